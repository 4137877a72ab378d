"""Where a page is cut into passages, and the plain texts that a model reads."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of a page, a line of the page a line: read to its end, in passages, where a `str` is cut off."""

    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage of a page: its token ids (without special tokens) and where it stands in the page's text."""

    ids: tuple[int, ...]
    start: int
    stop: int


def cut_texts(tokenizer: Any, texts: Sequence[str], room: int, overlap: int) -> list[list[Passage]]:
    """Cut the texts of pages into passages of at most `room` tokens; a text without a token is one empty passage."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
    )
    return [
        _cut_page(text, ids, offsets, room, overlap)
        for text, ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def _cut_page(
    text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]], room: int, overlap: int
) -> list[Passage]:
    if not ids:
        return [Passage((), 0, 0)]
    starts = [start for start, _ in offsets]
    breaks = sorted({bisect_left(starts, position) for position, sign in enumerate(text) if sign == "\n"} - {0})
    return [
        Passage(tuple(ids[start:stop]), offsets[start][0], offsets[stop - 1][1])
        for start, stop in cut(len(ids), breaks, room, overlap)
    ]


def cut(length: int, breaks: Sequence[int], size: int, overlap: int) -> list[tuple[int, int]]:
    """Cut `length` tokens into windows [start, stop) of at most `size`, which share at most `overlap`.

    `breaks` are the positions at which a line begins, rising. A window ends at the end of a line, unless that
    would leave it less than half full; the next one begins with the first line inside the overlap.
    """
    windows: list[tuple[int, int]] = []
    start = stop = 0
    while True:
        last = stop
        stop = start + size
        if stop >= length:
            windows.append((start, length))
            return windows
        position = bisect_right(breaks, stop) - 1
        if position >= 0 and breaks[position] > max(start + size // 2, last):
            stop = breaks[position]
        windows.append((start, stop))
        position = bisect_left(breaks, max(stop - overlap, start + 1))
        start = breaks[position] if position < len(breaks) and breaks[position] < stop else stop
