"""From the lines that OCR has found on a picture to words in reading order: turned and askew lines are laid upright."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetune.layout.words import script_of, spans
from pagetune.pages.scripts import RIGHT_TO_LEFT, main_script
from pagetune.pages.words import Words, no_words
from pagetune.records import SOURCES

TALL = 1.5
"""A box so many times taller than it is wide holds a line that runs down or up the picture."""

CLEAR = 2.0
"""A box so many times longer than it is thick tells in which direction its line runs."""

_STAND_OFF = 0.1
"""The share of its height by which the detector's box stands off the type, above and below."""
_NARROW = frozenset(" iljtfrI.,:;!|'()[]")
_BROAD = frozenset("mw%@—")

Line = tuple[str, float, float, float, float]
"""Text, left, bottom, right, top."""


class Read(NamedTuple):
    """What a recogniser made of one line: its text, the mean confidence of its characters, and how well it is read."""

    text: str
    confidence: float
    quality: float


class Block(NamedTuple):
    """Lines that run in one direction. `quads` float32 [n, 4, 2]: corners in pixels, the first the picture's top left;
    `turns`: quarter turns clockwise at which the lines stand."""

    quads: NDArray[np.float32]
    reads: list[Read]
    turns: int


def lengths(quads: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Width and height of each quad, in pixels."""
    width = np.maximum(
        np.linalg.norm(quads[:, 0] - quads[:, 1], axis=1), np.linalg.norm(quads[:, 3] - quads[:, 2], axis=1)
    )
    height = np.maximum(
        np.linalg.norm(quads[:, 0] - quads[:, 3], axis=1), np.linalg.norm(quads[:, 1] - quads[:, 2], axis=1)
    )
    return width, height


def ems(quads: NDArray[np.float32]) -> NDArray[np.float32]:
    """The length of each line in heights of the line."""
    width, height = lengths(quads)
    return (np.maximum(width, height) / np.maximum(np.minimum(width, height), 1)).astype(np.float32)


def run_sideways(quads: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each line runs down or up the picture; a short one, of a figure or two, runs as most of the others do."""
    (width, height), long = lengths(quads), ems(quads)
    tall = height > width
    clear = long >= CLEAR if (long >= CLEAR).any() else np.ones(len(quads), bool)
    mostly = long[clear & tall].sum() > long[clear & ~tall].sum()
    return np.asarray(np.where(clear, tall, mostly), bool)


def breadth_in_characters(text: str) -> int:
    """Characters of the text but for spaces, those of East Asian full width counted twice."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text if character != " ")


def lay_out(blocks: Sequence[Block], scale: tuple[float, float], height: float) -> Words:
    """The words of all blocks, their boxes in points from the bottom left of a page that is `height` points high.

    `scale`: points a pixel, across and down. A line's box is shared out among its words by the breadth of their
    characters. Blocks come in the order given, the lines of each in the order in which they are read when upright.
    """
    parts = [_lay_out_block(block, scale, height) for block in blocks if block.reads]
    parts = [part for part in parts if part.words]
    if not parts:
        return no_words()
    starts = np.cumsum([0, *(int(part.lines[-1]) + 1 for part in parts[:-1])])
    shifted = [part._replace(lines=part.lines + np.int32(first)) for part, first in zip(parts, starts, strict=True)]
    return reduce(add, shifted)


def _lay_out_block(block: Block, scale: tuple[float, float], height: float) -> Words:
    axes = _axes(block.quads, block.turns)
    upright = block.quads @ axes.T
    low, high = upright.min(axis=1), upright.max(axis=1)
    # Upright coordinates run down the page; reading order is decided in coordinates that run up.
    edges = np.stack([low[:, 0], -high[:, 1], high[:, 0], -low[:, 1]], axis=1).tolist()
    lines = [(" ".join(read.text.split()), *edge) for read, edge in zip(block.reads, edges, strict=True)]
    words: list[str] = []
    boxes: list[tuple[float, float, float, float]] = []
    numbers: list[int] = []
    before: Line | None = None
    for line in in_reading_order([line for line in lines if line[0]]):
        number = 0 if before is None else numbers[-1] + (not _same_line(before, line))
        for word, box in _words_of(line):
            words.append(word)
            boxes.append(box)
            numbers.append(number)
        before = line
    if not words:
        return no_words()
    found = np.asarray(boxes, np.float32)
    sizes = (found[:, 3] - found[:, 1]) * np.float32(scale[1])
    sources = np.full(len(words), SOURCES.index("ocr"), np.uint8)
    return Words(words, _back(found, axes, scale, height), sizes, np.asarray(numbers, np.int32), sources)


def _axes(quads: NDArray[np.float32], turns: int) -> NDArray[np.float32]:
    """Two unit rows in the picture's pixels: the direction in which the block's lines run, and that down its page."""
    along = quads[:, 1] - quads[:, 0] if turns % 2 == 0 else quads[:, 3] - quads[:, 0]
    if turns in (2, 3):
        along = -along
    # The long lines know best how far the page is askew.
    longest = along[np.argsort(-np.linalg.norm(along, axis=1), kind="stable")[: max(1, len(along) // 2)]]
    x, y = np.median(longest / np.maximum(np.linalg.norm(longest, axis=1, keepdims=True), 1e-6), axis=0)
    run = np.asarray([x, y]) / max(float(np.hypot(x, y)), 1e-6)
    return np.asarray([run, [-run[1], run[0]]], np.float32)


def _back(
    boxes: NDArray[np.float32], axes: NDArray[np.float32], scale: tuple[float, float], height: float
) -> NDArray[np.float32]:
    """Boxes in upright coordinates -> the boxes around them on the page as it is shown, in points."""
    left, bottom, right, top = boxes.T
    corners = np.stack([np.stack([x, -y], axis=1) for x in (left, right) for y in (bottom, top)], axis=1) @ axes
    x, y = corners[:, :, 0] * scale[0], height - corners[:, :, 1] * scale[1]
    return np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], axis=1).astype(np.float32)


def _same_line(before: Line, line: Line) -> bool:
    """Whether two boxes that follow each other are pieces of one printed line, as for words of a text layer."""
    heights = before[4] - before[2], line[4] - line[2]
    overlap = min(before[4], line[4]) - max(before[2], line[2])
    gap = line[1] - before[3]
    return overlap >= 0.5 * min(heights) and -0.5 * max(heights) <= gap < max(heights)


def _words_of(line: Line) -> list[tuple[str, tuple[float, float, float, float]]]:
    text, left, bottom, right, top = line
    ends = np.cumsum([0.0, *map(_breadth, text)])
    scale, trim = (right - left) / max(float(ends[-1]), 1.0), _STAND_OFF * (top - bottom)
    found = [
        (text[start:stop], (left + scale * ends[start], bottom + trim, left + scale * ends[stop], top - trim))
        for start, stop in spans(text)
    ]
    return _as_read(found) if main_script(text) in RIGHT_TO_LEFT else found


Placed = tuple[str, tuple[float, float, float, float]]


def _as_read(shown: list[Placed]) -> list[Placed]:
    """Words from left to right, as a recogniser sees them -> the order in which a text from right to left is read."""
    result: list[Placed] = []
    run: list[Placed] = []  # Numbers and words of other scripts keep their own order.
    for word, box in reversed(shown):
        if any(script_of(character) in RIGHT_TO_LEFT for character in word):
            result += [*reversed(run), (word[::-1], box)]
            run = []
        else:
            run.append((word, box))
    return [*result, *reversed(run)]


def _breadth(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 2.0
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0.0
    if character in _NARROW:
        return 0.6
    return 1.4 if character in _BROAD or character.isupper() else 1.0


def in_reading_order(lines: list[Line]) -> list[Line]:
    """Sort lines as they are read: cut at the widest gap across the page, else between columns (the XY cut)."""
    if len(lines) < 2:
        return lines
    height = float(np.median([line[4] - line[2] for line in lines]))
    # Columns are parted first, and only by a gutter that several lines on both sides respect.
    left = _cut(lines, 1, 3, 1.0 * height)
    if left and min(len(part) for part in left) >= 3:
        return in_reading_order(left[0]) + in_reading_order(left[1])
    upper = _cut([(t, -r, -top, -le, -b) for t, le, b, r, top in lines], 2, 4, 0.0)
    if upper:
        back = [[(t, -r, -top, -le, -b) for t, le, b, r, top in part] for part in upper]
        return in_reading_order(back[0]) + in_reading_order(back[1])
    return sorted(lines, key=lambda line: (-round((line[2] + line[4]) / 2 / max(height, 1e-3)), line[1]))


def _cut(lines: list[Line], low: int, high: int, least: float) -> tuple[list[Line], list[Line]] | None:
    """Part the lines at the widest empty strip along one axis, if it is wider than `least`."""
    ordered = sorted(lines, key=lambda line: float(line[low]))
    reach = float(ordered[0][high])
    best, place = least, 0
    for position, line in enumerate(ordered[1:], start=1):
        gap = float(line[low]) - reach
        if gap > best:
            best, place = gap, position
        reach = max(reach, float(line[high]))
    return (ordered[:place], ordered[place:]) if place else None
