"""From a page's text and the boxes of single characters to words, each with its box, type size and line.

A word is what stands between spaces, or what `layout.words` cuts where a script has none.

The text comes whole, as one call; boxes are asked for only at the first and the last character of each word, and the
size of the type only once for each height of a box. So a page of 450 words costs 1,000 calls, not 3,000.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetune.layout.words import UNSPACED, cut
from pagetune.pages.geometry import Frame
from pagetune.records import SOURCES

HYPHEN = "\x02"
"""Stands at the end of a word that a line end has cut; `join_cut_words` puts the halves together."""

NO_CHARACTER = "\ufeff"
"""Stands in a page's text where an index has no character of its own; words are rid of it."""
UNKNOWN = "\ufffd"
"""A glyph of which nobody knows the character."""

_WORD = re.compile(r"[^\s\x02\ufffe\u200b]+[\x02\ufffe]?")
_CUT = re.compile("[\x02\ufffe\xad]")
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_UNCLEAN = re.compile("[\x00-\x08\x0e-\x1b\x7f\xad\ufb00-\ufb05\ufeff\ufffe]")
_CLEAN: dict[int, str] = dict.fromkeys((*range(32), 0x7F, 0xAD, 0xFEFF, 0xFFFE), "") | _LIGATURES
_RIGHT_TO_LEFT = re.compile(
    "[\u05d0-\u05f4\u0620-\u064a\u066e-\u06d3\u06fa-\u074f\u0750-\u077f\u0780-\u07b1\u08a0-\u08c7"
    "\ufb1d-\ufdfb\ufe70-\ufefc]"
)
_MARKS = "\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
_DIGITS = "0-9\u0660-\u0669\u06f0-\u06f9"
_CLUSTER = re.compile(f"[{_DIGITS}.,:/-]*[{_DIGITS}]|.[{_MARKS}]*", re.DOTALL)
"""A number, which runs from left to right everywhere, or a letter with its marks."""
_DRAWN_APART = 0.1
"""Heights of a word: as far apart two drawings of it may lie to be one word."""


class Words(NamedTuple):
    """The words of a page: boxes float32 [n, 4], sizes float32 [n], lines int32 [n]; sources uint8 [n], places in
    `records.SOURCES`."""

    words: list[str]
    boxes: NDArray[np.float32]
    sizes: NDArray[np.float32]
    lines: NDArray[np.int32]
    sources: NDArray[np.uint8]

    def at(self, places: Sequence[int] | NDArray[np.int64]) -> Words:
        """The words at these places, in their order."""
        chosen = np.asarray(places, np.int64)
        words = [self.words[place] for place in chosen.tolist()]
        return Words(words, self.boxes[chosen], self.sizes[chosen], self.lines[chosen], self.sources[chosen])

    def __add__(self, other: Words) -> Words:  # type: ignore[override] # Not two tuples, but two parts of a page.
        """The words of both, one after the other."""
        boxes, lines = np.concatenate([self.boxes, other.boxes]), np.concatenate([self.lines, other.lines])
        sizes, sources = np.concatenate([self.sizes, other.sizes]), np.concatenate([self.sources, other.sources])
        return Words(self.words + other.words, boxes, sizes, lines, sources)


def no_words() -> Words:
    """A page without words."""
    nothing = np.zeros(0, np.float32)
    return Words([], np.zeros((0, 4), np.float32), nothing, nothing.astype(np.int32), nothing.astype(np.uint8))


def pack(words: Words) -> list[bytes]:
    """The words in four parts of raw bytes: the words themselves, one a line (they hold no whitespace), and the arrays.

    For a page of 450 words a fifth of the time of JSON.
    """
    text = "\n".join(words.words).encode("utf-8", "surrogatepass")
    return [text, *(part.tobytes() for part in words[1:])]


def unpack(parts: Sequence[bytes | bytearray | memoryview]) -> Words:
    """What `pack` made. Raises ValueError where the parts do not fit together."""
    text, boxes, sizes, lines, sources = parts
    words = Words(
        str(text, "utf-8", "surrogatepass").split("\n") if text else [],
        np.frombuffer(boxes, np.float32).reshape(-1, 4),
        np.frombuffer(sizes, np.float32),
        np.frombuffer(lines, np.int32),
        np.frombuffer(sources, np.uint8),
    )
    if len({len(part) for part in words}) > 1:
        raise ValueError(f"words, boxes, sizes, lines and sources number {[len(part) for part in words]}")
    return words


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
    leftwards = not text.isascii() and _RIGHT_TO_LEFT.search(text) is not None
    down = _written_down(pairs, spans)
    backwards = _written_backwards(words, pairs) if leftwards else np.zeros(len(words), bool)
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
    if turns_of is not None and _look_turned(words, boxes):
        turns = turns_of(starts)
    if down.any():  # A column that is written downwards is read as a line that was turned.
        turns[(turns == 0) & down] = 3
    if turns.any():
        return _turned(words, boxes, starts, broken, turns, size_of)
    lines = number_lines(boxes, broken, _leftwards(words) if leftwards else None)
    found = Words(words, boxes, _sizes(boxes, starts, size_of), lines, _layer(len(words)))
    return _turned_round(found, backwards) if backwards.any() else found


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


def _written_down(pairs: NDArray[np.float32], spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """bool [n]: the last character stands right below the first; `pairs` float32 [n, 2, 4] are the boxes of both.

    So does a word of one character, or digits side by side, between others of a column, and where most words do, one
    that stands alone.
    """
    middle = (pairs[:, :, :2] + pairs[:, :, 2:]) / 2
    across, down = np.abs(middle[:, 1, 0] - middle[:, 0, 0]), middle[:, 0, 1] - middle[:, 1, 1]
    size = pairs[:, 0, 2] - pairs[:, 0, 0]
    # Latin type never does, turned or not; a raised or lowered character is less than a square below its neighbour.
    found = (down > 0.8 * size) & (across < 0.25 * size) & (down > 0.8 * (pairs[:, 0, 3] - pairs[:, 0, 1]))
    if not found.any():
        return found
    ends = np.asarray(spans)
    whole = np.concatenate([pairs[:, :, :2].min(1), pairs[:, :, 2:].max(1)], axis=1)
    last = np.where(found[:, None], pairs[:, 1], whole)[:-1]
    first = np.where(found[:, None], pairs[:, 0], whole)[1:]
    apart, em = (last[:, :2] + last[:, 2:] - first[:, :2] - first[:, 2:]) / 2, last[:, 2] - last[:, 0]
    joined = ends[1:, 0] == ends[:-1, 1]
    below = joined & (np.abs(apart[:, 0]) < 0.5 * em) & (apart[:, 1] > 0.8 * em) & (apart[:, 1] < 2 * em)
    found = found | np.r_[False, below] | np.r_[below, False]
    if 2 * found.sum() > len(found):
        beside = joined & (np.abs(apart[:, 1]) < 0.5 * em)
        wide = (whole[:, 2] - whole[:, 0]) > 1.5 * (whole[:, 3] - whole[:, 1])
        found |= ~(wide | np.r_[False, beside] | np.r_[beside, False])
    return found


def _written_backwards(words: Sequence[str], pairs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """bool [n]: a word of right-to-left letters of which the first stands left of the last.

    pdfium turns such words round, also where the file has their letters in the order of reading already.
    """
    found = np.zeros(len(words), bool)
    rightwards = pairs[:, 0, 0] < pairs[:, 1, 0]
    for place in np.flatnonzero(rightwards).tolist():
        word = words[place]
        found[place] = not word.isascii() and len(_RIGHT_TO_LEFT.findall(word)) > 1
    return found


def _leftwards(words: Sequence[str]) -> NDArray[np.bool_]:
    """bool [n]: the word is of a script that is written from right to left; all are where most are."""
    found = np.asarray([not word.isascii() and _RIGHT_TO_LEFT.search(word) is not None for word in words], bool)
    return found | (2 * int(found.sum()) > len(words))


def _turned_round(found: Words, backwards: NDArray[np.bool_]) -> Words:
    """The words as they are read: each letter with its marks, from the last to the first, and so the words of a line
    of which most were written backwards."""
    words = [_reverse(word) if back else word for word, back in zip(found.words, backwards.tolist(), strict=True)]
    order = np.arange(len(words))
    for line in np.unique(found.lines[backwards]).tolist():
        own = np.flatnonzero(found.lines == line)
        letters = [place for place in own.tolist() if _RIGHT_TO_LEFT.search(words[place])]
        left = found.boxes[own, 0]
        if 2 * backwards[letters].sum() > len(letters) and (left[1:] > left[:-1]).all():
            order[own] = own[::-1]
    return found._replace(words=words).at(order)._replace(lines=found.lines)


def _reverse(word: str) -> str:
    return "".join(reversed(_CLUSTER.findall(word)))


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


def _look_turned(words: Sequence[str], boxes: NDArray[np.float32]) -> bool:
    """Is a longer word higher than wide, or does the type run from right to left? Only then it is worth asking."""
    tall = (boxes[:, 3] - boxes[:, 1]) > 1.5 * (boxes[:, 2] - boxes[:, 0])
    if any(len(words[place]) > 3 for place in np.flatnonzero(tall).tolist()):
        return True
    return 2 * int((boxes[1:, 0] < boxes[:-1, 0]).sum()) >= len(words) > 1


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
        numbers = number_lines(upright, broken[own], _leftwards([words[place] for place in own.tolist()]))
        if turn:
            numbers, sequence = _from_the_top(upright, numbers)
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


def _from_the_top(
    upright: NDArray[np.float32], numbers: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Lines of turned type that the file gives from the foot to the head of the page, turned round: their numbers and
    the order of their words."""
    heights = [float(upright[numbers == line, 1].mean()) for line in range(int(numbers[-1]) + 1)]
    rising = sum(after > before for before, after in pairwise(heights))
    if 2 * rising <= len(heights) - 1:
        return numbers, np.arange(len(numbers))
    sequence = np.argsort(-numbers, kind="stable")
    return (numbers[-1] - numbers[sequence]).astype(np.int32), sequence


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


def join_cut_words(pages: Sequence[Words]) -> list[Words]:
    """Join the words that line ends have cut, over a whole document.

    The halves become one word where the first half stood: `exam-` + `ple` is `example`, unless the document
    elsewhere writes the two with a hyphen and never without (`well-` + `known`).
    """
    known: set[str] | None = None
    result: list[Words] = []
    for page in pages:
        if not any(word.endswith(HYPHEN) for word in page.words):
            result.append(page)
            continue
        if known is None:
            known = {_bare(word) for other in pages for word in other.words}
        result.append(_join(page, known))
    return result


def _join(page: Words, known: set[str]) -> Words:
    words: list[str] = []
    keep: list[int] = []
    position = 0
    while position < len(page.words):
        word = page.words[position]
        keep.append(position)
        # A word may be cut twice, so the joined one is looked at again.
        while word.endswith(HYPHEN):
            first = word[: -len(HYPHEN)].removesuffix("-").removesuffix("\u2010")
            second = page.words[position + 1] if position + 1 < len(page.words) else ""
            if not second or not second[0].isalnum() or not first:
                word = f"{first}-"
                break
            hyphened = f"{first}-{second}"
            keeps = _bare(hyphened) in known and _bare(first + second) not in known
            word = hyphened if keeps or not second[0].islower() else first + second
            position += 1
        words.append(word)
        position += 1
    return page.at(keep)._replace(words=words)


def _bare(word: str) -> str:
    return word.strip(".,;:!?()[]{}\"'“”‘’").lower()
