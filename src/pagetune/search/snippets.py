"""The piece of a page that shows why it was found."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

from pagetune.evaluation.lexical import words_of
from pagetune.layout.words import is_solid, spans, unwrap

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
    terms: dict[str, set[str]] = {}
    places: list[int] = []
    found: list[str] = []
    for at, word in _words(text, start, stop):
        if word not in terms:
            terms[word] = wanted.intersection(words_of(word))
        for term in terms[word]:
            places.append(at)
            found.append(term)
    # The part before the first word found takes a quarter of the window.
    reach = length - length // 4
    best: tuple[int, int, int] | None = None
    for first, place in enumerate(places):
        inside = found[first : bisect_left(places, place + reach)]
        score = (len(set(inside)), len(inside), -place)
        best = score if best is None else max(best, score)
    return None if best is None else -best[2]


def _words(text: str, start: int, stop: int) -> Iterator[tuple[int, str]]:
    if is_solid([text[start:stop]]):
        yield from ((start + at, text[start + at : start + end]) for at, end in spans(text[start:stop]))
    else:
        yield from ((match.start(), match.group().lower()) for match in _WORD.finditer(text, start, stop))


def _trimmed(text: str, begin: int, end: int) -> str:
    """text[begin:end] without the broken words at its ends, white space collapsed, … where something was left out."""
    whole = [(start, stop) for start, stop in spans(text) if start >= begin and stop <= end]
    piece = text[whole[0][0] : whole[-1][1]] if whole else text[begin:end]
    shown = " ".join(unwrap(piece).split())
    before = "… " if text[:begin].strip() and shown else ""
    after = " …" if text[end:].strip() and shown else ""
    return f"{before}{shown}{after}"
