"""The printed lines of a page.

A text layer often breaks one printed line in two (a raised digit, a wide space after a section number).
Here the pieces that stand side by side on one baseline are one line again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pagetune.records import Page, Rect


@dataclass(frozen=True, slots=True)
class Line:
    """One printed line: the words `start` up to `stop` of its page, its box in points, its size of type."""

    start: int
    stop: int
    left: float
    bottom: float
    right: float
    top: float
    size: float
    text: str

    @property
    def rect(self) -> Rect:
        return (self.left, self.bottom, self.right, self.top)

    @property
    def height(self) -> float:
        return self.top - self.bottom


def lines_of(page: Page, *, gap: float = 2.5) -> list[Line]:
    """The page's lines in reading order. Pieces on one baseline at most `gap` type sizes apart are joined."""
    count = len(page.words)
    if not count:
        return []
    starts = np.flatnonzero(np.r_[True, page.lines[1:] != page.lines[:-1]])
    stops = np.r_[starts[1:], count]
    boxes = page.boxes
    left = np.minimum.reduceat(boxes[:, 0], starts).tolist()
    bottom = np.minimum.reduceat(boxes[:, 1], starts).tolist()
    right = np.maximum.reduceat(boxes[:, 2], starts).tolist()
    top = np.maximum.reduceat(boxes[:, 3], starts).tolist()
    pieces: list[tuple[int, int, float, float, float, float]] = []
    for piece in zip(starts.tolist(), stops.tolist(), left, bottom, right, top, strict=True):
        if pieces and _one_line(pieces[-1], piece, page, gap):
            last = pieces[-1]
            pieces[-1] = (
                last[0],
                piece[1],
                min(last[2], piece[2]),
                min(last[3], piece[3]),
                max(last[4], piece[4]),
                max(last[5], piece[5]),
            )
        else:
            pieces.append(piece)
    return [Line(*piece, size=_size(page, piece), text=page.joined(range(piece[0], piece[1]))) for piece in pieces]


_Piece = tuple[int, int, float, float, float, float]


def _one_line(last: _Piece, piece: _Piece, page: Page, gap: float) -> bool:
    shared = min(last[5], piece[5]) - max(last[3], piece[3])
    lower = min(last[5] - last[3], piece[5] - piece[3])
    if shared < 0.5 * max(lower, 0.1):
        return False
    size = float(page.sizes[last[1] - 1])
    return -0.5 * size <= piece[2] - last[4] <= gap * size


def _size(page: Page, piece: _Piece) -> float:
    sizes = page.sizes[piece[0] : piece[1]]
    if len(sizes) < 3:
        return float(sizes.max())
    lengths = [len(word) for word in page.words[piece[0] : piece[1]]]
    order = np.argsort(sizes, kind="stable")
    reached = np.cumsum(np.asarray(lengths)[order])
    return float(sizes[order[int(np.searchsorted(reached, reached[-1] / 2))]])


def words_rects(page: Page, positions: Sequence[int], *, pad: float = 0.5) -> tuple[Rect, ...]:
    """Rectangles around the words at `positions`, neighbours of one line together, `pad` points wider each side."""
    runs: list[list[int]] = []
    for position in sorted(positions):
        last = runs[-1][-1] if runs else None
        if last is not None and position == last + 1 and _beside(page, last, position):
            runs[-1].append(position)
        else:
            runs.append([position])
    rects = []
    for run in runs:
        boxes = page.boxes[run[0] : run[-1] + 1]
        low, high = boxes[:, :2].min(axis=0) - pad, boxes[:, 2:].max(axis=0) + pad
        rects.append((_round(low[0]), _round(low[1]), _round(high[0]), _round(high[1])))
    return tuple(rects)


def _beside(page: Page, last: int, position: int) -> bool:
    if page.lines[last] != page.lines[position]:
        return False
    return bool(page.boxes[position, 0] >= page.boxes[last, 0])


def _round(value: float) -> float:
    return round(float(value), 2)
