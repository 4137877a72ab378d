"""The deployment grid as a plot: bytes a page against NDCG@10, and the front of what none beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pagetune.evaluation.canvas import LIGHT, VARIABLES, Canvas, plain
from pagetune.evaluation.comparison.labels import Label, place_labels
from pagetune.evaluation.grid import Cell, DeploymentGrid
from pagetune.evaluation.metrics import MAIN_METRIC
from pagetune.evaluation.precision import PRECISIONS, Precision

COLOURS: dict[Precision, str] = {"float32": "base", "float16": "bm25", "int8": "tuned", "binary": "fused"}
MARKERS: dict[Precision, str] = {"float32": "o", "float16": "s", "int8": "D", "binary": "^"}
WIDTH, HEIGHT = 8.6, 4.8


def draw_grid(grid: DeploymentGrid, kinds: Sequence[str] = ("page",)) -> dict[str, Any]:
    """The plot as each of `kinds`: "page" (str, to stand inside HTML), "svg" or "png" (bytes of a file)."""
    found: dict[str, Any] = {}
    for colours, chosen in ((VARIABLES, {"page"}), (LIGHT, {"svg", "png"})):
        if not chosen.intersection(kinds):
            continue
        with Canvas("grid", HEIGHT, WIDTH, colours) as canvas:
            _draw(grid, canvas)
            for kind in sorted(chosen.intersection(kinds)):
                found[kind] = canvas.svg() if kind == "page" else canvas.file(kind)
    return found


def _draw(grid: DeploymentGrid, canvas: Canvas) -> None:
    axes = canvas.figure.subplots()
    axes.set_xscale("log", base=2)
    front = grid.front()
    costs, means = [cell.bytes_per_page for cell in grid.cells], [cell.ndcg for cell in grid.cells]
    # Between two settings of the front the cheaper one is what can be had: the line is a stair.
    stair = np.array([[cell.bytes_per_page, cell.ndcg] for cell in front] + [[max(costs), front[-1].ndcg]])
    axes.step(*stair.T, where="post", color=canvas.colours["ink"], lw=1.2, alpha=0.55, zorder=1)
    for cell in grid.cells:
        colour, kept = canvas.colours[COLOURS[cell.setting.precision]], cell in front
        axes.plot(
            [cell.bytes_per_page],
            [cell.ndcg],
            MARKERS[cell.setting.precision],
            ms=8 if kept else 6,
            mfc=canvas.colours["paper"] if cell.setting.rescoring != "none" else colour,
            mec=colour,
            mew=1.5,
            alpha=1.0 if kept else 0.5,
            zorder=3 if kept else 2,
        )
    axes.set_xlim(min(costs) / 1.9, max(costs) * 1.9)
    space = max(0.02, 0.08 * (max(means) - min(means)))
    axes.set_ylim(max(-space / 2, min(means) - space), min(1.05, max(means) + space))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("bytes a page, all copies of its vectors")
    axes.set_ylabel(MAIN_METRIC)
    plain(axes, "both")
    axes.tick_params(which="minor", length=0)
    _legend(grid, canvas)
    labels = [Label(_short(cell), cell.bytes_per_page, cell.ndcg, canvas.colours["ink"]) for cell in front]
    others = [np.array([[cell.bytes_per_page, cell.ndcg]] * 2) for cell in grid.cells if cell not in front]
    place_labels(axes, labels, size=9.0, curves=[stair, *others], leader=canvas.colours["base"])


def _legend(grid: DeploymentGrid, canvas: Canvas) -> None:
    from matplotlib.lines import Line2D

    used = [kind for kind in PRECISIONS if any(cell.setting.precision == kind for cell in grid.cells)]
    handles = [
        Line2D([], [], ls="", marker=MARKERS[kind], ms=7, color=canvas.colours[COLOURS[kind]], label=kind)
        for kind in used
    ]
    ink = canvas.colours["ink"]
    handles.append(
        Line2D([], [], ls="", marker="o", ms=7, mfc=canvas.colours["paper"], mec=ink, mew=1.5, label="rescored")
    )
    handles.append(Line2D([], [], color=ink, lw=1.2, alpha=0.55, label="front"))
    canvas.figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=len(handles),
        frameon=False,
        handlelength=1.2,
        handletextpad=0.4,
        columnspacing=1.4,
        fontsize=10,
    )


def _short(cell: Cell) -> str:
    setting = cell.setting
    rescored = "" if setting.rescoring == "none" else f" + {setting.rescoring}"
    pooled = f" /{setting.pooling}" if setting.pooling > 1 else ""
    return f"{setting.dimension} {setting.precision}{rescored}{pooled}"
