"""The drawings and the ruled tables of a page, by the boxes of its paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from pagetune.evaluation.page_words import Words, in_cells
from pagetune.pages.marks import Marks
from pagetune.records import Page, Rect

WHOLE = 0.8
"""A path or a picture of so much of the page is its ground, its frame, or the page itself."""
FEWEST = 4
"""Shapes of a drawing: fewer are an ornament or a frame."""
SMALLEST = (50.0, 40.0)
"""Points: a smaller drawing is an icon."""
RUNNING = 0.25
"""What is filled with words by so much is a ground behind them rather than a picture."""
_NEAR = 12.0
"""Points: paths so near each other are of one drawing."""
_CELL, _CELLS = 4.0, 2000
"""Points: the sides of the cells that areas are counted in; of a larger page's such that it has no more to a side."""
_THIN = 3.0
_PLAIN = 6
"""Pieces of a path: a rectangle has so many at most."""
_LARGEST = 1e100
"""A number at an axis; products of larger ones overflow."""
_BUSY = 400
"""Pieces beyond which one path counts no more."""


def cut_to_page(page: Page, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes cut to the page; what lies off it is of no size."""
    return np.clip(boxes, 0, np.array([page.width, page.height, page.width, page.height], np.float32))


def cells_of(page: Page) -> tuple[NDArray[np.bool_], float]:
    """bool [down, across]: a page's cells, none of them taken; and their side in points."""
    # A whole number: single and double precision are to agree on which cell an edge is in.
    side = max(_CELL, float(ceil(max(page.width, page.height) / _CELLS)))
    return np.zeros((int(page.height // side) + 1, int(page.width // side) + 1), bool), side


def as_rect(box: NDArray[np.float32]) -> Rect:
    """A row of boxes as plain numbers."""
    left, bottom, right, top = box.tolist()
    return left, bottom, right, top


def drawings(page: Page, marks: Marks, words: Words, tables: Sequence[Rect], *, framed: bool = False) -> Iterator[Rect]:
    """The boxes of what is drawn: groups of shapes near each other that are no table and no ground behind words.

    `framed`: frames and boxes with words in them are taken too, as where a caption says that there is a figure.
    """
    boxes = cut_to_page(page, marks.paths)
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    there = (np.maximum(wide, high) > 0) & (wide * high < WHOLE * page.width * page.height)
    chosen = there if framed else there & _are_shapes(boxes, marks, words)
    boxes, pieces = boxes[chosen], np.clip(marks.segments[chosen] // 8, 1, _BUSY // 8)
    for mine in _near_each_other(page, boxes):
        box = as_rect(np.concatenate([boxes[mine, :2].min(0), boxes[mine, 2:].max(0)]))
        if box[2] - box[0] < SMALLEST[0] or box[3] - box[1] < SMALLEST[1]:
            continue
        if any(_mostly_in(box, table) for table in tables):
            continue
        if framed or (pieces[mine].sum() >= FEWEST and words.filling(box) < RUNNING):
            yield box


def _near_each_other(page: Page, boxes: NDArray[np.float32]) -> Iterator[NDArray[np.bool_]]:
    """bool [boxes] for each group of them."""
    from scipy import ndimage

    taken, side = cells_of(page)
    wider = np.clip(boxes + np.array([-_NEAR, -_NEAR, _NEAR, _NEAR], np.float32) / 2, 0, None)
    for left, bottom, right, top in (wider // side).astype(int).tolist():
        taken[bottom : top + 1, left : right + 1] = True
    labelled, _ = ndimage.label(taken, np.ones((3, 3)))
    middle = ((boxes[:, :2] + boxes[:, 2:]) / 2 // side).astype(int)
    group = labelled[middle[:, 1], middle[:, 0]]
    for own in np.unique(group):
        yield group == own


def _are_shapes(boxes: NDArray[np.float32], marks: Marks, words: Words) -> NDArray[np.bool_]:
    """bool [paths]: neither a rule nor a plain box that words stand in or that repeats below."""
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    plain = marks.segments <= _PLAIN
    shapes = ~_thin(wide, high)
    for place in np.flatnonzero(shapes & plain & (wide >= 20) & (high >= 5)):
        if len(words.within(as_rect(boxes[place]))) >= 3:
            shapes[place] = False
    # A listing's ground is often painted line by line: boxes of one left and one right.
    sides = np.round(boxes[:, [0, 2]]).astype(int)
    grounds = np.flatnonzero(shapes & plain & marks.filled & (wide >= 100))
    if len(grounds):
        _, index, counts = np.unique(sides[grounds], axis=0, return_inverse=True, return_counts=True)
        shapes[grounds[counts[index.ravel()] >= 3]] = False
    return shapes


def _thin(wide: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.bool_]:
    return (np.minimum(wide, high) <= _THIN) & (np.maximum(wide, high) >= 4 * np.minimum(wide, high) + 4)


def has_axis(words: Words, box: Rect) -> bool:
    """Whether three numbers in a row or a column, in or at the box, grow (or their logarithms) as they stand."""
    near = words.within(box, 30.0)
    near = near[np.abs(words.values[near]) < _LARGEST]
    x, y, values = words.x[near], words.y[near], words.values[near]
    right, left = words.boxes[near, 2], words.boxes[near, 0]
    return any(_scale(across, along, values) for across, along in ((y, x), (right, y), (left, y), (x, y)))


def _scale(across: NDArray[np.float32], along: NDArray[np.float32], values: NDArray[np.float64]) -> bool:
    for line in np.unique(np.round(across / 2)):
        own = np.flatnonzero(np.abs(across / 2 - line) <= 0.75)
        own = own[np.argsort(along[own])]
        for start in range(len(own) - 2):
            three = own[start : start + 3]
            if _grow_evenly(along[three], values[three]):
                return True
    return False


def _grow_evenly(along: NDArray[np.float32], values: NDArray[np.float64]) -> bool:
    """Three places and the numbers there: whether the numbers are linear in the places, or their logarithms are."""
    first, second = float(along[1] - along[0]), float(along[2] - along[1])
    if min(first, second) < 8:
        return False
    kinds = [values, np.log10(values)] if values.min() > 0 else [values]
    for own in kinds:
        one, two = own[1] - own[0], own[2] - own[1]
        if one * two > 0 and abs(one / first - two / second) <= 0.06 * abs(one / first):
            return True
    return False


def ruled_tables(page: Page, marks: Marks, words: Words) -> Iterator[Rect]:
    """Between three or more rules of one left and one right: rows of cells. Rules that touch end to end are one."""
    boxes = cut_to_page(page, marks.paths)
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    flat = _whole_rules(boxes[(high <= _THIN) & (wide >= 15)])
    flat = flat[flat[:, 2] - flat[:, 0] >= 60]
    for left, right in np.unique(np.round(flat[:, [0, 2]] / 4), axis=0) * 4:
        own = flat[(np.abs(flat[:, 0] - left) <= 4) & (np.abs(flat[:, 2] - right) <= 4)]
        heights = np.unique(np.round(own[:, 1]))
        if len(heights) >= 3 and heights[-1] - heights[0] >= 25:
            box = (float(left), float(heights[0]), float(right), float(heights[-1]))
            if in_cells(words, box):
                yield box


def _whole_rules(rules: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rules of one height that touch, joined: a table's are often drawn a cell at a time."""
    joined: list[list[float]] = []
    for rule in rules[np.lexsort((rules[:, 0], np.round(rules[:, 1])))].tolist():
        last = joined[-1] if joined else None
        if last and abs(last[1] - rule[1]) <= 1.5 and rule[0] <= last[2] + 3:
            last[2] = max(last[2], rule[2])
        else:
            joined.append(rule)
    return np.array(joined, np.float32).reshape(-1, 4)


def _mostly_in(box: Rect, other: Rect) -> bool:
    wide = min(box[2], other[2]) - max(box[0], other[0])
    high = min(box[3], other[3]) - max(box[1], other[1])
    return wide > 0 and high > 0 and wide * high >= 0.5 * (box[2] - box[0]) * (box[3] - box[1])
