"""Where a page is cut into passages, and the plain texts that a model reads."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


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
