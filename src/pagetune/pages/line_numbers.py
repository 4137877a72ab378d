"""The printed line of each word: counted where a text is split, and kept where others are put among its words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pagetune.pages.words import Words


def number_lines(
    boxes: NDArray[np.float32],
    broken: Sequence[bool] | NDArray[np.bool_],
    leftwards: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """The line of each word, counted from 0: `broken` is the text layer's own opinion, the boxes correct it.

    A break inside one printed line (a superscript, a change of font) is undone; a jump that the layer has not marked
    (down the page, or back to its left) becomes one. Beside words that are written from right to left, `leftwards`, a
    jump to the left is none.
    """
    before, after = boxes[:-1], boxes[1:]
    heights = boxes[:, 3] - boxes[:, 1]
    overlap = np.minimum(before[:, 3], after[:, 3]) - np.maximum(before[:, 1], after[:, 1])
    share = overlap / np.maximum(np.minimum(heights[:-1], heights[1:]), 1e-3)
    gap = after[:, 0] - before[:, 2]
    em = np.maximum(heights[:-1], heights[1:])
    upright = (boxes[:, 2] - boxes[:, 0]) >= 0.8 * heights
    flat = upright[:-1] | upright[1:]
    marked = np.asarray(broken[1:], bool)
    undone = (share >= 0.5) & (gap >= -0.2 * em) & (gap < em)
    back = after[:, 0] < before[:, 0] - 0.5 * em
    if leftwards is not None and leftwards.any():
        level = (share >= 0.5) & (leftwards[:-1] | leftwards[1:])
        beside = before[:, 0] - after[:, 2]
        undone |= level & (beside >= -0.2 * em) & (beside < em)
        back &= ~level
    jump = flat & ((share < 0.3) | back)
    return np.concatenate([[0], np.cumsum((marked & ~undone) | jump)]).astype(np.int32)


def merge_words(words: Words, others: Words) -> Words:
    """Words of a page and others that are painted over it (a form's values, notes), in one order of reading.

    A piece of the others goes on with the piece of a line to its left, or stands before the one right of it (a tick of
    its box), if there is one; else its line stands below the line above it.
    """
    if not words.words or not others.words:
        return words if words.words else others
    starts, rows = _pieces(words)
    stops = [*starts[1:], len(words.words)]
    firsts = [*_pieces(others)[0], len(others.words)]
    # Each word's place among those of the page, and its line.
    keys: list[tuple[float, int, int]] = [(place, 0, place) for place in range(len(words.words))]
    lines: list[tuple[int, int]] = [(0, line) for line in words.lines.tolist()]
    for start, stop, box in zip(firsts[:-1], firsts[1:], _pieces(others)[1], strict=True):
        height, number = box[3] - box[1], int(others.lines[start])
        level = np.abs(rows[:, 1] + rows[:, 3] - box[1] - box[3]) < height
        before = np.flatnonzero(level & (rows[:, 2] <= box[0] + 1))
        after = np.flatnonzero(level & (rows[:, 0] >= box[2] - 1) & (rows[:, 0] <= box[2] + 2 * height))
        above = np.flatnonzero((rows[:, 1] + rows[:, 3]) / 2 >= box[3])
        line, at = (1, number), -0.5
        if len(before):
            piece = int(before[np.argmax(rows[before, 2])])
            line, at = (0, int(words.lines[starts[piece]])), stops[piece] - 0.75
        elif len(after):
            piece = int(after[np.argmin(rows[after, 0])])
            line, at = (0, int(words.lines[starts[piece]])), starts[piece] - 0.25
        elif len(above):
            piece = int(above[np.argmin(rows[above, 1])])
            at = int(np.searchsorted(words.lines, words.lines[starts[piece]], side="right")) - 0.5
        keys += [(at, number, len(keys) + place) for place in range(stop - start)]
        lines += [line] * (stop - start)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    fresh = [lines[one] != lines[other] for one, other in pairwise(order)]
    numbers = np.concatenate([[0], np.cumsum(fresh)]).astype(np.int32)
    return (words + others).at(order)._replace(lines=numbers)


def _pieces(words: Words) -> tuple[list[int], NDArray[np.float32]]:
    """The first words of the pieces into which wide gaps part the lines, and the boxes [n, 4] of the pieces."""
    boxes = words.boxes
    gap = boxes[1:, 0] - boxes[:-1, 2]
    wide = np.abs(gap) > np.maximum(boxes[1:, 3] - boxes[1:, 1], boxes[:-1, 3] - boxes[:-1, 1])
    starts = np.flatnonzero(np.r_[True, wide | (words.lines[1:] != words.lines[:-1])])
    low = np.minimum.reduceat(boxes[:, :2], starts)
    return starts.tolist(), np.concatenate([low, np.maximum.reduceat(boxes[:, 2:], starts)], axis=1)
