"""The piece of a page that shows why it was found."""

from __future__ import annotations

import re
from bisect import bisect_left

from pagetune.evaluation.lexical import words_of

_WORD = re.compile(r"\w\w+")


def snippet(text: str, query: str, span: tuple[int, int] | None = None, length: int = 240) -> str:
    """About `length` characters of the text, on one line, around the most of the query's words.

    `span` is where in the text the best passage stands: only there is looked, unless no word of the query is in it.
    """
    start, stop = span or (0, len(text))
    at = _densest(text, start, stop, set(words_of(query)), length)
    if at is None and span is not None:
        at = start
    begin = max(0, (at or 0) - length // 4) if at else 0
    return _trimmed(text, begin, min(len(text), begin + length))


def _densest(text: str, start: int, stop: int, wanted: set[str], length: int) -> int | None:
    """Where the window of `length` characters with the most different wanted words begins; None without any."""
    stems: dict[str, str] = {}
    places: list[int] = []
    found: list[str] = []
    for match in _WORD.finditer(text, start, stop):
        word = match.group().lower()
        if word not in stems:
            stems[word] = next(iter(words_of(word)), "")
        if stems[word] in wanted:
            places.append(match.start())
            found.append(stems[word])
    # The part before the first word found takes a quarter of the window.
    reach = length - length // 4
    best: tuple[int, int, int] | None = None
    for first, place in enumerate(places):
        inside = found[first : bisect_left(places, place + reach)]
        score = (len(set(inside)), len(inside), -place)
        best = score if best is None else max(best, score)
    return None if best is None else -best[2]


def _trimmed(text: str, begin: int, end: int) -> str:
    """text[begin:end] without the broken words at its ends, white space collapsed, … where something was left out."""
    piece = text[begin:end]
    if begin > 0 and not text[begin - 1].isspace():
        piece = re.sub(r"^\S*\s", "", piece)
    if end < len(text) and not text[end].isspace():
        piece = re.sub(r"\s\S*$", "", piece)
    shown = " ".join(piece.split())
    before = "… " if text[:begin].strip() and shown else ""
    after = " …" if text[end:].strip() and shown else ""
    return f"{before}{shown}{after}"
