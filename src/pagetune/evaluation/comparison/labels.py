"""Names beside the points of a plot, none over another, none over a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DISTANCES = (9, 13, 18, 26, 36, 48, 62, 78, 96, 118, 144, 174, 208)
"""Points from a point to where its name may stand."""

LEADER = 18
"""From this distance on a thin line joins a name to its point."""

HALF_POINT = 6.5
"""Half the side of the square that a point takes, in points."""

HIDDEN, CROSSED, DOUBTFUL, ON_CURVE = 1000.0, 70.0, 45.0, 5.0
"""What it costs, in points of distance, to hide a name or a point, to lead over one or over another leader, to stand
nearer to another point than to one's own, and to stand on a curve, for each of its dots."""

PASSES = 6
"""Times that each name may look for a better place, knowing the others'."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Label:
    """A name, the point that it belongs to in the plot's own units, and its colour."""

    text: str
    x: float
    y: float
    colour: str
    bold: bool = False


def place_labels(
    axes: Axes, labels: Sequence[Label], *, size: float, curves: Sequence[Array] = (), leader: str
) -> list[Any]:
    """Write every label near its point, in letters of `size` points; returns the texts.

    `curves` [n, 2] in the plot's units may be stood on, but rather not; `leader` is the colour of the lines to names
    that stand apart. A name for which there is no room is left out. The limits of the axes must be final.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure: Any = axes.figure
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    unit = figure.dpi / 72
    texts = [_write(axes, label, size) for label in labels]
    extents = [text.get_window_extent(renderer) for text in texts]
    spots = np.array([axes.transData.transform((label.x, label.y)) for label in labels], dtype=np.float64)
    room = np.array(axes.get_window_extent(renderer).extents, dtype=np.float64)
    boxes = [
        _candidates(spot, extent.width, extent.height, unit, room) for spot, extent in zip(spots, extents, strict=True)
    ]
    chosen = _choose(spots, boxes, _dots(axes, curves, 6 * unit), unit)
    for place, found in enumerate(chosen):
        if found is None:
            texts[place].remove()
            continue
        box, spot = found, spots[place]
        texts[place].set_position(((box[0] - spot[0]) / unit, (box[1] - spot[1]) / unit))
        path = _paths(spot, box[None])[0]
        if np.linalg.norm(path[-1] - path[0]) >= LEADER * unit:
            ends = axes.transData.inverted().transform(path[[0, -1]])
            axes.plot(*ends.T, color=leader, lw=0.7, zorder=1, scalex=False, scaley=False)
    return [text for text, found in zip(texts, chosen, strict=True) if found is not None]


def _write(axes: Axes, label: Label, size: float) -> Any:
    text = axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(0, 0),
        textcoords="offset points",
        ha="left",
        va="bottom",
        fontsize=size,
        color=label.colour,
        fontweight="bold" if label.bold else "normal",
        annotation_clip=False,
    )
    text.set_in_layout(False)
    return text


def _candidates(spot: Array, width: float, height: float, unit: float, room: Array) -> Array:
    """float64 [n, 4]: the boxes inside `room` where a name could stand, the nearest first."""
    found = []
    for distance, angle in product(DISTANCES, range(0, 360, 15)):
        across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        left = spot[0] + across * distance * unit - width * (1 - across) / 2
        bottom = spot[1] + up * distance * unit - height * (1 - up) / 2
        found.append((left, bottom, left + width, bottom + height))
    boxes = np.array(found, dtype=np.float64)
    inside = (boxes[:, :2] >= room[:2]).all(axis=1) & (boxes[:, 2:] <= room[2:]).all(axis=1)
    return boxes[inside]


def _choose(spots: Array, boxes: Sequence[Array], dots: Array, unit: float) -> list[Array | None]:
    """For each point the cheapest of its boxes, given the others': first from above, then again a few times."""
    half = HALF_POINT * unit
    points = np.column_stack([spots - half, spots + half])
    chosen: list[Array | None] = [None] * len(spots)
    order = sorted(range(len(spots)), key=lambda n: (-spots[n, 1], spots[n, 0]))
    alone = [_alone(spots[n], boxes[n], points, n, dots, unit) for n in range(len(spots))]
    for _ in range(PASSES):
        before = list(chosen)
        for n in order:
            if len(boxes[n]):
                costs = alone[n] + _among(spots, boxes[n], chosen, n)
                chosen[n] = boxes[n][int(np.argmin(costs))]
        if all(_same(old, new) for old, new in zip(before, chosen, strict=True)):
            break
    return _without_hidden(chosen, points)


def _alone(spot: Array, boxes: Array, points: Array, own: int, dots: Array, unit: float) -> Array:
    """float64 [boxes]: what each box costs whatever the other names do."""
    others = np.delete(points, own, axis=0)
    # A leader cannot but begin in the points that lie over its own.
    apart = others[~_inside(spot[None], others)[0]]
    paths = _paths(spot, boxes)
    lengths: Array = np.linalg.norm(paths[:, -1] - paths[:, 0], axis=1) / unit
    crossed = _inside(paths, apart).any(axis=1).sum(axis=1)
    margin = np.array([-2.0, -1.0, 2.0, 1.0]) * unit
    centres = (others[:, :2] + others[:, 2:]) / 2
    nearest = np.clip(centres, boxes[:, None, :2], boxes[:, None, 2:]) - centres
    doubtful = np.linalg.norm(nearest, axis=2).min(axis=1, initial=np.inf) / unit < lengths + 1
    costs = lengths + CROSSED * crossed + DOUBTFUL * doubtful + ON_CURVE * _inside(dots, boxes + margin).sum(axis=0)
    found: Array = costs + HIDDEN * _overlaps(boxes, points).sum(axis=1)
    return found


def _among(spots: Array, boxes: Array, chosen: Sequence[Array | None], own: int) -> Array:
    """float64 [boxes]: what each box costs beside the names that have a place."""
    placed = [(spots[n], box) for n, box in enumerate(chosen) if n != own and box is not None]
    if not placed:
        return np.zeros(len(boxes))
    taken = np.array([box for _, box in placed])
    leaders = np.concatenate([_paths(spot, box[None]) for spot, box in placed])
    paths = _paths(spots[own], boxes)
    crossed = _inside(paths, taken).any(axis=1).sum(axis=1) + _cross(paths, leaders).sum(axis=1)
    crossed += _inside(leaders, boxes).any(axis=1).sum(axis=0)
    found: Array = HIDDEN * _overlaps(boxes, taken).sum(axis=1) + CROSSED * crossed
    return found


def _without_hidden(chosen: list[Array | None], points: Array) -> list[Array | None]:
    kept: list[Array | None] = []
    for box in chosen:
        others = np.array([*points, *(other for other in kept if other is not None)])
        kept.append(None if box is None or _overlaps(box[None], others).any() else box)
    return kept


def _paths(spot: Array, boxes: Array) -> Array:
    """float64 [boxes, 16, 2]: dots from a point to the nearest edge of each box."""
    ends = np.clip(spot, boxes[:, :2], boxes[:, 2:])
    found: Array = np.linspace(np.broadcast_to(spot, ends.shape), ends, 16, axis=1)
    return found


def _dots(axes: Axes, curves: Sequence[Array], apart: float) -> Array:
    """Curves as dots so far apart, in pixels."""
    found = [np.zeros((0, 2))]
    for curve in curves:
        for start, stop in pairwise(axes.transData.transform(curve)):
            found.append(np.linspace(start, stop, max(2, int(np.linalg.norm(stop - start) / apart))))
    return np.concatenate(found)


def _inside(dots: Array, boxes: Array) -> NDArray[np.bool_]:
    """bool [..., boxes]: whether each dot [..., 2] lies in each box."""
    x, y = dots[..., 0, None], dots[..., 1, None]
    found: NDArray[np.bool_] = (x >= boxes[:, 0]) & (x <= boxes[:, 2]) & (y >= boxes[:, 1]) & (y <= boxes[:, 3])
    return found


def _overlaps(boxes: Array, others: Array) -> NDArray[np.bool_]:
    """bool [boxes, others]"""
    left, bottom, right, top = (boxes[:, None, side] for side in range(4))
    return (left < others[:, 2]) & (others[:, 0] < right) & (bottom < others[:, 3]) & (others[:, 1] < top)


def _cross(paths: Array, others: Array) -> NDArray[np.bool_]:
    """bool [paths, others]: whether two straight paths cross."""

    def side(a: Array, b: Array, c: Array) -> Array:
        found: Array = (b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0]
        return found

    a, b, c, d = paths[:, None, 0], paths[:, None, -1], others[None, :, 0], others[None, :, -1]
    return (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)


def _same(old: Array | None, new: Array | None) -> bool:
    return old is new or (old is not None and new is not None and bool((old == new).all()))
