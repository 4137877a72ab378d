"""The deployment grid as two plots: bytes a page, and milliseconds a query, against NDCG@10; each with the front of
what none beats in both. A reranker takes no bytes of the vectors: its settings stand in the second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pagetune.evaluation.canvas import LIGHT, VARIABLES, Canvas, plain
from pagetune.evaluation.comparison.labels import Label, place_labels
from pagetune.evaluation.grid import Cell, Cost, DeploymentGrid
from pagetune.evaluation.metrics import GAIN, MAIN_METRIC
from pagetune.evaluation.precision import PRECISIONS, Precision

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: dict[Precision, str] = {"float32": "base", "float16": "bm25", "int8": "tuned", "binary": "fused"}
MARKERS: dict[Precision, str] = {"float32": "o", "float16": "s", "int8": "D", "binary": "^"}
WIDTH, HEIGHT = 8.6, 9.0
AXES: dict[Cost, str] = {
    "bytes_per_page": "bytes a page, all copies of its vectors",
    "ms_per_query": "milliseconds a query",
}


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
    drawn = dict(zip(AXES, canvas.figure.subplots(2, 1), strict=True))
    _legend(grid, canvas)
    for cost, axes in drawn.items():
        _points(grid, cost, axes, canvas)
    # Names find their places when both plots have theirs.
    for cost, axes in drawn.items():
        _names(grid, cost, axes, canvas)


def _shown(grid: DeploymentGrid, cost: Cost) -> list[Cell]:
    return [cell for cell in grid.cells if cost == "ms_per_query" or not cell.setting.reranked]


def _stair(grid: DeploymentGrid, cost: Cost) -> NDArray[np.float64]:
    """Between two settings of the front the cheaper one is what can be had: the line is a stair."""
    front = grid.front(cost)
    most = max(getattr(cell, cost) for cell in _shown(grid, cost))
    ends = [*(getattr(cell, cost) for cell in front), most]
    return np.array([[end, cell.ndcg] for cell, *both in zip(front, ends, ends[1:], strict=False) for end in both])


def _points(grid: DeploymentGrid, cost: Cost, axes: Axes, canvas: Canvas) -> None:
    from matplotlib.ticker import LogLocator

    axes.set_xscale("log", base=2 if cost == "bytes_per_page" else 10)
    shown, front = _shown(grid, cost), set(grid.front(cost))
    costs, means = [getattr(cell, cost) for cell in shown], [cell.ndcg for cell in shown]
    axes.plot(*_stair(grid, cost).T, color=canvas.colours["ink"], lw=1.2, alpha=0.55, zorder=1)
    for cell in shown:
        setting, kept = cell.setting, cell in front
        colour = canvas.colours[COLOURS[setting.precision]]
        axes.plot(
            [getattr(cell, cost)],
            [cell.ndcg],
            MARKERS[setting.precision],
            ms=8 if kept else 6,
            mfc=canvas.colours["paper"] if setting.rescoring != "none" else colour,
            mec=canvas.colours["reranked"] if setting.reranked else colour,
            mew=2.2 if setting.reranked else 1.5,
            alpha=1.0 if kept else 0.5,
            zorder=3 if kept else 2,
        )
    axes.set_xlim(min(costs) / 1.9, max(costs) * 1.9)
    space = max(0.02, 0.08 * (max(means) - min(means)))
    axes.set_ylim(max(-space / 2, min(means) - space), min(1.05, max(means) + space))
    if cost == "ms_per_query":
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.minorticks_off()  # Their labels would be formulas.
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:.3g}")
    axes.set_xlabel(AXES[cost])
    axes.set_ylabel(f"{MAIN_METRIC} ({GAIN} gain)")
    plain(axes, "both")


def _names(grid: DeploymentGrid, cost: Cost, axes: Axes, canvas: Canvas) -> None:
    front, ink = grid.front(cost), canvas.colours["ink"]
    labels = [Label(short_name(cell), getattr(cell, cost), cell.ndcg, ink) for cell in front]
    others = [np.array([[getattr(cell, cost), cell.ndcg]] * 2) for cell in _shown(grid, cost) if cell not in front]
    place_labels(axes, labels, size=9.0, curves=[_stair(grid, cost), *others], leader=canvas.colours["base"])


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
    if any(cell.setting.reranked for cell in grid.cells):
        ring = canvas.colours["reranked"]
        handles.append(Line2D([], [], ls="", marker="o", ms=7, mfc="none", mec=ring, mew=2.2, label="reranked"))
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


def short_name(cell: Cell) -> str:
    """The setting in a few letters, each setting in others."""
    setting = cell.setting
    rescored = "" if setting.rescoring == "none" else f" + {setting.rescoring}"
    pooled = f" /{setting.pooling}" if setting.pooling > 1 else ""
    reranked = f", {setting.reranked} reranked" if setting.reranked else ""
    return f"{setting.dimension} {setting.precision}{rescored}{pooled}{reranked}"
