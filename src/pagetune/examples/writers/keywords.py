"""Queries from pages that are neither prose nor structured (a letter of a few lines, an invoice, a form): key words.

The last resort of a document that nothing else was asked of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pagetune.examples.drafts import Draft, Notes
from pagetune.examples.layout import LaidPage
from pagetune.examples.structure import Collection, DocumentStructure
from pagetune.layout.language import bare, core, is_wordlike, stop_words
from pagetune.layout.words import is_short, join
from pagetune.pages.lines import words_rects
from pagetune.records import Page, QueryKind

_MOST = 4  # words of a query


@dataclass(frozen=True)
class KeywordWriter:
    """Two to four words of one line, of the lines whose words are rarest: of each page at most `per_page`.

    Where no line has two words that tell anything, the rarest of the whole page.
    """

    per_page: int = 1
    kind: QueryKind = "phrase"

    def write(self, document: DocumentStructure, collection: Collection, notes: Notes) -> Iterator[Draft]:
        if not self.per_page:
            return
        stops = stop_words(document.laid.language)
        for laid in document.laid:
            if not laid.answers:
                continue
            page = laid.page
            lines = [places for places in _telling(laid, stops) if places]
            rows = [_rarest(page, places, collection) for places in lines]
            found = [row for row in rows if len(row) > 1] or [
                _rarest(page, [place for places in lines for place in places], collection)
            ]
            found.sort(key=lambda row: (-_rarity(page, row, collection), -len(row), row))
            for row in [row for row in found if row][: self.per_page]:
                text = join([bare(page.words[place]) for place in row], page.gaps(row))
                yield Draft(text, self.kind, page.id, words_rects(page, row), ((page.id, 2),))


def _telling(laid: LaidPage, stops: frozenset[str]) -> Iterator[list[int]]:
    """Of each line that does not run, the places of its words that are no stop words, short words or numbers."""
    for _, line in laid.standing():
        yield [
            place
            for place in range(line.start, line.stop)
            if is_wordlike(word := laid.page.words[place]) and core(word) not in stops and not is_short(core(word))
        ]


def _rarest(page: Page, places: Sequence[int], collection: Collection) -> list[int]:
    """The places of the rarest of these words, the longer of two that are as rare, each word once, in their order."""
    first = {core(page.words[place]): place for place in reversed(places)}
    ranked = sorted(first, key=lambda word: (-collection.rarity(word), -len(word), first[word]))
    return sorted(first[word] for word in ranked[:_MOST])


def _rarity(page: Page, places: Sequence[int], collection: Collection) -> float:
    return sum(collection.rarity(core(page.words[place])) for place in places) / max(1, len(places))
