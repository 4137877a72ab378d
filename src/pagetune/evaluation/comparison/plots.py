"""The comparison's two plots: parameters against NDCG@10, dimension against NDCG@10; every point has its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pagetune.evaluation.canvas import LIGHT, VARIABLES, Canvas, plain
from pagetune.evaluation.comparison.grid import KINDS, Grid, Kind, Row, short_name
from pagetune.evaluation.comparison.labels import Label, place_labels
from pagetune.evaluation.metrics import GAIN, MAIN_METRIC

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: dict[Kind, str] = {"dense": "tuned", "late": "fused", "router": "loss", "reads": "base", "lexical": "bm25"}
MARKERS: dict[Kind, str] = {"dense": "o", "late": "D", "router": "s", "reads": "^", "lexical": "o"}
WIDTH = 8.6
TEXT = 9.0

Draw = Callable[[Grid, Canvas], bool]


def size_plot(grid: Grid, canvas: Canvas) -> bool:
    """Parameters (logarithmic) against NDCG@10 with its interval; False where there is no model to draw."""
    rows = [row for row in grid.rows if row.result.parameters]
    if not rows:
        return False
    axes = canvas.figure.subplots()
    axes.set_xscale("log")
    curves = []
    for row in rows:
        x, y = float(row.result.parameters or 1), row.metrics[MAIN_METRIC]
        _point(axes, row, x, y, canvas)
        axes.plot([x, x], row.interval, color=canvas.colours[COLOURS[row.result.kind]], lw=1.2, alpha=0.45, zorder=1)
        curves.append(np.array([[x, row.interval[0]], [x, row.interval[1]]]))
    sizes = [float(row.result.parameters or 1) for row in rows]
    # Room for the names on both sides, in steps of the logarithm.
    spread = max(sizes) / min(sizes)
    margin = max(2.2, spread**0.16)
    axes.set_xlim(min(sizes) / margin, max(sizes) * margin)
    _heights(axes, [*(row.interval for row in rows), *((r.metrics[MAIN_METRIC],) * 2 for r in grid.rows)])
    curves.extend(_lexical(axes, grid, canvas))
    axes.xaxis.set_major_formatter(lambda value, _: count_of(value))
    axes.xaxis.set_minor_formatter(lambda value, _: "")
    axes.set_xlabel("parameters")
    _finish(axes, grid, rows, canvas)
    labels = [_label(row, float(row.result.parameters or 1), canvas) for row in rows]
    place_labels(axes, [*labels, *_lexical_labels(axes, grid, canvas)], size=TEXT, curves=curves, leader=_grey(canvas))
    return True


def dimension_plot(grid: Grid, canvas: Canvas) -> bool:
    """Dimension (logarithmic) against NDCG@10, the same vectors truncated; False where there is no model to draw."""
    rows = [row for row in grid.rows if row.result.by_dimension]
    if not rows:
        return False
    axes = canvas.figure.subplots()
    axes.set_xscale("log", base=2)
    curves = []
    for row in rows:
        colour = canvas.colours[COLOURS[row.result.kind]]
        sizes = sorted(row.result.by_dimension)
        values = [row.result.by_dimension[size] for size in sizes]
        axes.plot(sizes, values, color=colour, lw=1.5, alpha=0.6, zorder=2)
        axes.plot(sizes[:-1], values[:-1], "o", color=colour, ms=3, alpha=0.6, zorder=2)
        curves.append(np.array([*zip(sizes, values, strict=True)], dtype=np.float64))
        _point(axes, row, float(sizes[-1]), values[-1], canvas)
    every = sorted({size for row in rows for size in row.result.by_dimension})
    axes.set_xlim(min(every) / 1.25, max(every) * 2.6)
    _heights(axes, [(value, value) for row in rows for value in row.result.by_dimension.values()])
    curves.extend(_lexical(axes, grid, canvas))
    powers = [2**n for n in range(3, 14) if min(every) / 1.25 <= 2**n <= max(every)]
    axes.set_xticks(powers or every, [str(size) for size in powers or every])
    axes.minorticks_off()
    axes.set_xlabel("dimension")
    _finish(axes, grid, rows, canvas)
    labels = [_label(row, float(row.result.dimension or 1), canvas) for row in rows]
    place_labels(axes, [*labels, *_lexical_labels(axes, grid, canvas)], size=TEXT, curves=curves, leader=_grey(canvas))
    return True


PLOTS: dict[str, Draw] = {"size": size_plot, "dimension": dimension_plot}


def drawn(grid: Grid, name: str, kinds: Sequence[str] = ("page",)) -> dict[str, Any]:
    """The plot `name` as each of `kinds`: "page" (str, to stand inside HTML), "svg" or "png" (bytes of a file).

    Empty where there is nothing to draw.
    """
    height = 4.2 + 0.13 * len(grid.rows)
    found: dict[str, Any] = {}
    for colours, chosen in ((VARIABLES, {"page"}), (LIGHT, {"svg", "png"})):
        if not chosen.intersection(kinds):
            continue
        with Canvas(name, height, WIDTH, colours) as canvas:
            if not PLOTS[name](grid, canvas):
                return {}
            for kind in sorted(chosen.intersection(kinds)):
                found[kind] = canvas.svg() if kind == "page" else canvas.file(kind)
    return found


def count_of(value: float) -> str:
    """A large number as people say it: 384, 23M, 2.1B."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _point(axes: Axes, row: Row, x: float, y: float, canvas: Canvas) -> None:
    """Filled: the best, and what the best is not shown to be better than; hollow: the others."""
    colour = canvas.colours[COLOURS[row.result.kind]]
    filled = row.against_best is None or row.starred
    axes.plot(
        [x],
        [y],
        MARKERS[row.result.kind],
        ms=7,
        mfc=colour if filled else canvas.colours["paper"],
        mec=colour,
        mew=1.6,
        zorder=3,
    )


def _label(row: Row, x: float, canvas: Canvas) -> Label:
    name = short_name(row.result.label)
    star = " *" if row.starred else ""
    return Label(name + star, x, row.metrics[MAIN_METRIC], canvas.colours["ink"], bold=row.against_best is None)


def _lexical(axes: Axes, grid: Grid, canvas: Canvas) -> list[Any]:
    """BM25 has neither parameters nor a dimension: a line across."""
    curves = []
    for row in _lexical_rows(grid):
        axes.axhline(row.metrics[MAIN_METRIC], color=canvas.colours["bm25"], lw=1.4, ls=(0, (4, 3)), zorder=1)
        left, right = axes.get_xlim()
        xs = np.geomspace(left, right, 40)
        curves.append(np.column_stack([xs, np.full(40, row.metrics[MAIN_METRIC])]))
    return curves


def _lexical_labels(axes: Axes, grid: Grid, canvas: Canvas) -> list[Label]:
    left, right = axes.get_xlim()
    x = left * (right / left) ** 0.02
    colour = canvas.colours["bm25"]
    return [replace(_label(row, x, canvas), colour=colour) for row in _lexical_rows(grid)]


def _lexical_rows(grid: Grid) -> list[Row]:
    return [row for row in grid.rows if row.result.kind == "lexical"]


def _heights(axes: Axes, ranges: Sequence[tuple[float, ...]]) -> None:
    low, high = min(min(pair) for pair in ranges), max(max(pair) for pair in ranges)
    space = max(0.02, 0.08 * (high - low))
    axes.set_ylim(max(0.0, low - space) if low >= 0.02 else -space / 2, min(1.03, high + space))


def _finish(axes: Axes, grid: Grid, rows: Sequence[Row], canvas: Canvas) -> None:
    """The legend of the kinds above the drawing; a point's name says the rest."""
    from matplotlib.lines import Line2D

    axes.set_ylabel(f"{MAIN_METRIC} ({GAIN} gain)")
    plain(axes, "both")
    axes.tick_params(which="minor", length=0)
    kinds = [kind for kind in KINDS if any(row.result.kind == kind for row in rows)]
    handles = [
        Line2D([], [], ls="", marker=MARKERS[kind], ms=7, color=canvas.colours[COLOURS[kind]], label=KINDS[kind])
        for kind in kinds
    ]
    if len(kinds) > 1:
        canvas.figure.legend(
            handles=handles,
            loc="outside upper left",
            ncols=len(kinds),
            frameon=False,
            handlelength=1.0,
            handletextpad=0.4,
            columnspacing=1.4,
            fontsize=10,
        )


def _grey(canvas: Canvas) -> str:
    return canvas.colours["base"]
