from __future__ import annotations

from pagetune.evaluation.canvas import LIGHT, Canvas


def test_a_label_with_dollars_is_no_formula() -> None:
    with Canvas("kinds", 2.0) as canvas:
        axes = canvas.figure.subplots()
        axes.plot([0, 1], [0, 1], label="from $1 to $2")
        axes.set_yticks([0, 1], ["cost $5 to $6", "x_1^2 $"])
        axes.legend()
        drawn = canvas.svg()
    for name in ("cost $5 to $6", "x_1^2 $", "from $1 to $2"):
        assert name in drawn


def test_what_is_no_formula_at_all_can_be_drawn() -> None:
    with Canvas("kinds", 2.0, colours=LIGHT) as canvas:
        canvas.figure.subplots().set_xlabel(r"$\\frac{$")
        assert canvas.file("png")[1:4] == b"PNG"
