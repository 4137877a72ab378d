"""A document's structure: captions, the outline's headings where they stand, headings by their type; and a collection.

The structure is found once a document and serves the writers and the masks alike.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pagetune.examples.captions import Caption, find_captions
from pagetune.examples.generic import is_references
from pagetune.examples.headings import find_headings
from pagetune.examples.layout import LaidDocument, lay_out
from pagetune.examples.outline import find_outlined
from pagetune.examples.prose import Sentence, sentences
from pagetune.examples.sections import Heading
from pagetune.layout.language import core
from pagetune.records import Document, Page


@dataclass(frozen=True)
class DocumentStructure:
    """A laid out document, what stands in it where, and the lines that are neither prose nor anything running."""

    laid: LaidDocument
    captions: dict[int, tuple[Caption, ...]]
    outlined: tuple[Heading, ...]
    headings: tuple[Heading, ...]
    references: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()
    """Where each list of references begins and ends: (page number, line), (page number, line)."""

    _sentences: dict[int, list[Sentence]] = field(default_factory=dict, repr=False)

    def sentences(self, number: int) -> list[Sentence]:
        """The sentences of a page outside headings, captions, running heads and the document's references."""
        if number not in self._sentences:
            leave_out = self.structural_lines(number) | self.reference_lines(number)
            self._sentences[number] = sentences(self.laid.pages[number], leave_out, self.laid.body_size)
        return self._sentences[number]

    def structural_lines(self, number: int) -> set[int]:
        """The lines of a page that run, or belong to a heading or a caption."""
        found = set(self.laid.pages[number].running)
        for caption in self.captions.get(number, ()):
            found.update(range(caption.first, caption.last + 1))
        for heading in (*self.outlined, *self.headings):
            if heading.page == number and heading.found:
                found.update(range(heading.first, heading.last + 1))
        return found

    def reference_lines(self, number: int) -> set[int]:
        """The lines of a page that stand in the document's list of references."""
        laid = self.laid.pages[number]
        if any(is_references(laid.lines[index].text) for index in laid.running):
            return set(range(len(laid.lines)))
        found: set[int] = set()
        for (page, line), (end_page, end_line) in self.references:
            if page <= number <= end_page:
                first = line if number == page else 0
                last = end_line if number == end_page else len(laid.lines)
                found.update(range(first, last))
        return found


def study(document: Document, pages: Sequence[Page]) -> DocumentStructure:
    """Find the structure of one document."""
    laid = lay_out(document, pages)
    captions = {page.page.number: find_captions(page, laid.body_size) for page in laid if page.answers}
    outlined = find_outlined(laid)
    headings = find_headings(laid, captions, outlined)
    return DocumentStructure(laid, captions, outlined, headings, _references(laid, (*outlined, *headings)))


def _references(laid: LaidDocument, headings: Sequence[Heading]) -> tuple[tuple[tuple[int, int], tuple[int, int]], ...]:
    ordered = sorted(headings, key=lambda heading: (heading.page, heading.first))
    starts = [(heading.page, heading.first) for heading in ordered] + [(max(laid.pages, default=0) + 1, 0)]
    return tuple(
        (start, end)
        for heading, (start, end) in zip(ordered, pairwise(starts), strict=True)
        if is_references(heading.title)
    )


_TELLING_PAGES = 3


@dataclass(frozen=True)
class Collection:
    """How many of a collection's pages hold a word: what makes one word say more than another."""

    pages: int
    frequency: Counter[str]

    def rarity(self, word: str) -> float:
        """The inverse document frequency of a folded word, in nats; 0 for a word on every page.

        Of one page or two, where it says nothing, all words have the same.
        """
        if self.pages < _TELLING_PAGES:
            return 1.0
        return math.log((1 + self.pages) / (1 + self.frequency[word]))


def collect(pages: Iterable[Page]) -> Collection:
    """Count the words of all pages that may be answers."""
    frequency: Counter[str] = Counter()
    count = 0
    for page in pages:
        if page.kind == "body" and page.duplicate_of is None:
            count += 1
            frequency.update({core(word) for word in page.words})
    return Collection(count, frequency)
