"""The charts of the handbooks, drawn by matplotlib: each function returns a PNG and its printed size in points."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Plot
from numpy.typing import NDArray

Array = NDArray[Any]
Picture = tuple[bytes, float, float]

_WIDTH = 5.3
_COLOURS = ("#1f5a8a", "#d1792b", "#4b8b57", "#8a4f8f")
_SMALL = 6.5


def histograms(values: Array, names: Sequence[str]) -> Picture:
    """A grid of histograms, one a column of `values` [rows, columns]."""
    across = 3 if len(names) > 4 else 2
    down = math.ceil(len(names) / across)
    plot = _plot(0.98 * down + 0.2)
    for place, name in enumerate(names):
        axes = plot.add_subplot(down, across, place + 1)
        axes.hist(values[:, place], bins=20 if len(values) > 60 else 8, color=_COLOURS[0], edgecolor="white", lw=0.3)
        axes.set_xlabel(name, fontsize=_SMALL)
        if place % across == 0:
            axes.set_ylabel("count", fontsize=_SMALL)
        _tidy(axes)
    return _png(plot)


def correlations(matrix: Array, names: Sequence[str]) -> Picture:
    """A correlation matrix as coloured squares with their figures."""
    plot = _plot(3.5 if len(names) > 6 else 2.6)
    axes = plot.add_subplot()
    shades = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=_SMALL)
    axes.set_yticks(range(len(names)), names, fontsize=_SMALL)
    for row, column in np.ndindex(*matrix.shape):
        value = float(matrix[row, column])
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=5.2,
                  color="white" if abs(value) > 0.6 else "black")  # fmt: skip
    bar = plot.colorbar(shades, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=_SMALL)
    bar.set_label("correlation", fontsize=_SMALL)
    return _png(plot)


def scatter(x: Array, y: Array, x_name: str, y_name: str, groups: Array | None, group_names: Sequence[str]) -> Picture:
    """Two measurements against each other, coloured by group, with the least-squares line."""
    plot = _plot(2.25)
    axes = plot.add_subplot()
    if groups is None:
        axes.scatter(x, y, s=9, color=_COLOURS[0], alpha=0.75, lw=0)
    else:
        for kind, name in enumerate(group_names):
            mine = groups == kind
            axes.scatter(x[mine], y[mine], s=9, color=_COLOURS[kind], alpha=0.75, lw=0, label=name)
    slope, start = np.polyfit(x, y, 1)
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, slope * ends + start, color="#333333", lw=0.9, ls="--", label="best line")
    axes.legend(fontsize=_SMALL, frameon=False)
    axes.set_xlabel(x_name, fontsize=7.5)
    axes.set_ylabel(y_name, fontsize=7.5)
    _tidy(axes)
    return _png(plot)


def boxes(values: Array, names: Sequence[str], groups: Array, group_names: Sequence[str]) -> Picture:
    """Box plots, one panel a column of `values`, one box a group."""
    plot = _plot(2.7)
    for place, name in enumerate(names):
        axes = plot.add_subplot(2, 2, place + 1)
        drawn = axes.boxplot(
            [values[groups == kind, place] for kind in range(len(group_names))],
            patch_artist=True, widths=0.55, flierprops={"markersize": 2.5}, medianprops={"color": "black"},
        )  # fmt: skip
        for box, colour in zip(drawn["boxes"], _COLOURS, strict=False):
            box.set_facecolor(colour)
            box.set_alpha(0.75)
        axes.set_xticks(range(1, len(group_names) + 1), group_names)
        axes.set_ylabel(name, fontsize=_SMALL)
        _tidy(axes)
    return _png(plot)


def bars(labels: Sequence[str], heights: Sequence[float], x_name: str, y_name: str) -> Picture:
    """A bar for each label, its height written over it."""
    plot = _plot(1.7)
    axes = plot.add_subplot()
    drawn = axes.bar(labels, heights, color=_COLOURS[0], width=0.7)
    axes.bar_label(drawn, fmt="%g", fontsize=_SMALL)
    axes.set_xlabel(x_name, fontsize=7.5)
    axes.set_ylabel(y_name, fontsize=7.5)
    axes.margins(y=0.12)
    _tidy(axes)
    return _png(plot)


def pictures(images: Array, titles: Sequence[str], across: int) -> Picture:
    """Small grey pictures [n, height, width] in a grid, each under its title."""
    down = math.ceil(len(images) / across)
    cell = _WIDTH / across
    height = cell + (0.16 if any(titles) else 0.0)
    plot = Plot(figsize=(_WIDTH, down * height))
    for place, (image, title) in enumerate(zip(images, titles, strict=True)):
        row, column = divmod(place, across)
        bottom = 1 - (row + 1) / down + 0.04 * cell / (down * height)
        axes = plot.add_axes(((column + 0.06) / across, bottom, 0.88 / across, 0.88 * cell / (down * height)))
        axes.imshow(image, cmap="gray_r", aspect="auto")
        axes.set_axis_off()
        if title:
            axes.set_title(title, fontsize=_SMALL, pad=2)
    return _png(plot)


def _plot(height: float) -> Plot:
    return Plot(figsize=(_WIDTH, height), layout="tight")


def _tidy(axes: Any) -> None:
    axes.tick_params(labelsize=_SMALL, length=2)
    axes.spines[["top", "right"]].set_visible(False)


def _png(plot: Plot) -> Picture:
    out = io.BytesIO()
    FigureCanvasAgg(plot)
    # No name of the software in the file: its version would be the only thing that changes.
    plot.savefig(out, format="png", dpi=150, metadata={"Software": None})
    width, height = plot.get_size_inches()
    return out.getvalue(), float(width) * 72, float(height) * 72
