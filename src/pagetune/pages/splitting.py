"""From a page's text and the boxes of single characters to words, each with its box, type size and line.

A word is what stands between spaces, or what `layout.words` cuts where a script has none.

The text comes whole, as one call; boxes are asked for only at the first and the last character of each word, and the
size of the type only once for each height of a box. So a page of 450 words costs 1,000 calls, not 3,000.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pagetune.layout.words import UNSPACED, cut
from pagetune.pages.directions import (
    RIGHT_TO_LEFT,
    from_the_top,
    look_turned,
    run_leftwards,
    turned_round,
    written_backwards,
    written_down,
)
from pagetune.pages.geometry import Frame
from pagetune.pages.line_numbers import number_lines
from pagetune.pages.words import HYPHEN, NO_CHARACTER, Words, no_words
from pagetune.records import SOURCES

_WORD = re.compile(r"[^\s\x02\ufffe\u200b]+[\x02\ufffe]?")
_CUT = re.compile("[\x02\ufffe\xad]")
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_UNCLEAN = re.compile("[\x00-\x08\x0e-\x1b\x7f\xad\ufb00-\ufb05\ufeff\ufffe]")
_CLEAN: dict[int, str] = dict.fromkeys((*range(32), 0x7F, 0xAD, 0xFEFF, 0xFFFE), "") | _LIGATURES
_DRAWN_APART = 0.1
"""Heights of a word: as far apart two drawings of it may lie to be one word."""


def split_words(
    text: str,
    boxes_of: Callable[[Sequence[int]], NDArray[np.float32]],
    size_of: Callable[[int], float],
    *,
    turns_of: Callable[[Sequence[int]], NDArray[np.int64]] | None = None,
    seen_of: Callable[[NDArray[np.float32], Sequence[int]], NDArray[np.bool_]] | None = None,
    spelt: Mapping[int, str] | None = None,
) -> Words:
    """Split a page's text. `boxes_of` gives the loose boxes [n, 4] of the characters at n indices of the text, on the
    page as it is shown, `size_of` the type size in points at one.

    `turns_of`: by how many quarter turns clockwise [n] the type at n indices stands upright; asked for only where boxes
    look turned. `seen_of`: which words [n] of these boxes and first indices a reader sees; the others are left out.
    `spelt`: what signs of the text are written out as. Words that are drawn twice in one place, for weight or for a
    halo, stand once.
    """
    words, spans = _tokens(text, spelt or {})
    if not words:
        return no_words()
    ends = _ends(spans)
    pairs = boxes_of(ends).reshape(-1, 2, 4)
    first, last = pairs[:, 0], pairs[:, 1]
    low, high = np.minimum(first[:, :2], last[:, :2]), np.maximum(first[:, 2:], last[:, 2:])
    boxes = np.concatenate([low, high], axis=1)
    leftwards = not text.isascii() and RIGHT_TO_LEFT.search(text) is not None
    down = written_down(pairs, spans)
    backwards = written_backwards(words, pairs) if leftwards else np.zeros(len(words), bool)
    keep = np.ones(len(words), bool) if seen_of is None else seen_of(boxes, ends[::2])
    seen = [word for word, kept in zip(words, keep.tolist(), strict=True) if kept] if not keep.all() else words
    keep[keep] = ~_drawn_twice(seen, boxes[keep])
    if not keep.all():
        kept = np.flatnonzero(keep).tolist()
        words, spans, boxes = [words[place] for place in kept], [spans[place] for place in kept], boxes[keep]
        down, backwards, ends = down[keep], backwards[keep], _ends(spans)
        if not words:
            return no_words()
    starts = ends[::2]
    broken = _after_breaks(text, ends)
    if _CUT.search(text):
        broken |= np.asarray([False, *(word.endswith(HYPHEN) for word in words[:-1])])
    turns = np.zeros(len(words), np.int64)
    if turns_of is not None and look_turned(words, boxes):
        turns = turns_of(starts)
    if down.any():  # A column that is written downwards is read as a line that was turned.
        turns[(turns == 0) & down] = 3
    if turns.any():
        return _turned(words, boxes, starts, broken, turns, size_of)
    lines = number_lines(boxes, broken, run_leftwards(words) if leftwards else None)
    found = Words(words, boxes, _sizes(boxes, starts, size_of), lines, _layer(len(words)))
    return turned_round(found, backwards) if backwards.any() else found


def _ends(spans: Sequence[tuple[int, int]]) -> list[int]:
    """The indices of the first and of the last character of each word, in turn."""
    return [index for start, end in spans for index in (start, end - 1)]


def _tokens(text: str, spelt: Mapping[int, str]) -> tuple[list[str], list[tuple[int, int]]]:
    """The words of a text, made plain, and where each begins and ends; `HYPHEN` ends one that a line end has cut."""
    spans = [match.span() for match in _WORD.finditer(text)]
    if not text.isascii() and UNSPACED.search(text):
        spans = [(start + a, start + b) for start, stop in spans for a, b in _cut(text[start:stop])]
    raws = [text[start:end] for start, end in spans]
    if not spelt and not _UNCLEAN.search(text):
        return raws, spans
    plain: dict[int, str] = {**_CLEAN, **spelt}
    cleaned = [raw.translate(plain) for raw in raws]
    kept = [place for place, word in enumerate(cleaned) if word]
    ends = [HYPHEN if _CUT.match(raws[at][-1]) else "" for at in kept]
    return [cleaned[at] + end for at, end in zip(kept, ends, strict=True)], [spans[at] for at in kept]


def _cut(token: str) -> list[tuple[int, int]]:
    """`cut`, past the places that have no character of their own."""
    if NO_CHARACTER not in token:
        return cut(token)
    places = [place for place, character in enumerate(token) if character != NO_CHARACTER]
    if not places:
        return [(0, len(token))]
    plain = "".join(token[place] for place in places)
    edges = [0, *(places[stop] for _, stop in cut(plain)[:-1]), len(token)]
    return [*pairwise(edges)]


def _drawn_twice(words: Sequence[str], boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """bool [n]: the same word stands in the same place before, a tenth of its height apart at most."""
    twice = np.zeros(len(words), bool)
    heights = np.maximum(boxes[:, 3] - boxes[:, 1], 1.0).astype(np.float64)
    places = boxes[:, :2] / (heights[:, None] / 2)
    # Neighbours in a grid of half a height; a second grid, half a step off, has those that the first one parts.
    for shift in (0.0, 0.5):
        cells = np.floor(places + shift)
        keys = cells[:, 0] * 1_000_003.0 + cells[:, 1]
        ordered = np.sort(keys)
        if (ordered[1:] != ordered[:-1]).all():  # As on nearly every page.
            continue
        _, cell, count = np.unique(keys, return_inverse=True, return_counts=True)
        first: dict[tuple[int, str], int] = {}
        for place in np.flatnonzero(count[cell] > 1).tolist():
            before = first.setdefault((int(cell[place]), words[place]), place)
            if before != place:
                twice[place] |= np.abs(boxes[place] - boxes[before]).max() <= _DRAWN_APART * heights[place]
    return twice


def _turned(
    words: list[str],
    boxes: NDArray[np.float32],
    starts: Sequence[int],
    broken: NDArray[np.bool_],
    turns: NDArray[np.int64],
    size_of: Callable[[int], float],
) -> Words:
    """Words of which some are turned: those that stand upright first, then those of each other turn, every one with
    its lines, sizes and order as on the page turned so that they stand upright."""
    order: list[int] = []
    lines: list[int] = []
    sizes: list[float] = []
    for turn in np.unique(turns).tolist():
        own = np.flatnonzero(turns == turn)
        upright = Frame(0, 0, 0, 0, turn).shown(boxes[own])
        numbers = number_lines(upright, broken[own], run_leftwards([words[place] for place in own.tolist()]))
        if turn:
            numbers, sequence = from_the_top(upright, numbers)
            own, upright = own[sequence], upright[sequence]
        first = lines[-1] + 1 if lines else 0
        order += own.tolist()
        lines += (numbers + first).tolist()
        sizes += _sizes(upright, [starts[place] for place in own.tolist()], size_of).tolist()
    return Words(
        [words[place] for place in order],
        boxes[order],
        np.asarray(sizes, np.float32),
        np.asarray(lines, np.int32),
        _layer(len(words)),
    )


def _layer(count: int) -> NDArray[np.uint8]:
    return np.full(count, SOURCES.index("text layer"), np.uint8)


def _after_breaks(text: str, ends: Sequence[int]) -> NDArray[np.bool_]:
    """Whether a line break stands between each word and the one before it; `ends`: first and last index of each."""
    breaks = np.cumsum(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32) == ord("\n"))
    at = breaks[np.asarray(ends)].reshape(-1, 2)
    return at[:, 0] != np.concatenate([[0], at[:-1, 1]])


def _sizes(boxes: NDArray[np.float32], starts: Sequence[int], size_of: Callable[[int], float]) -> NDArray[np.float32]:
    """The type size of each word, asked for once for each height of a box (a font at a size has one height)."""
    heights = np.round((boxes[:, 3] - boxes[:, 1]) * 100).astype(np.int64)
    _, first, group = np.unique(heights, return_index=True, return_inverse=True)
    sizes = np.asarray([size_of(starts[place]) for place in first], np.float32)
    return sizes[group]
