"""Queries from headings that the outline does not have: short lines in larger type, or with a number like 3.2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pagetune.examples.drafts import Draft, Notes
from pagetune.examples.generic import is_generic, needs_context
from pagetune.examples.sections import Heading, section_answers
from pagetune.examples.structure import Collection, DocumentStructure
from pagetune.layout.language import content_words, strip_numbering, tidy
from pagetune.layout.words import fold
from pagetune.records import QueryKind


@dataclass(frozen=True)
class HeadingWriter:
    """One query for each heading found by its type, below the next higher heading where it is short."""

    max_pages: int = 6
    kind: QueryKind = "heading"

    def write(self, document: DocumentStructure, collection: Collection, notes: Notes) -> Iterator[Draft]:
        laid = document.laid
        everything = sorted((*document.headings, *_ranked(document)), key=lambda heading: (heading.page, heading.first))
        own = {(heading.page, heading.first) for heading in document.headings}
        times = Counter(fold(strip_numbering(heading.title)) for heading in everything)
        for position, heading in enumerate(everything):
            if (heading.page, heading.first) not in own:
                continue
            if is_generic(heading.title):
                notes.drop("generic")
                continue
            answers = section_answers(laid, everything, position)
            if not answers:
                notes.drop("page is not body")
                continue
            if len(answers) > self.max_pages:
                notes.drop("too broad")
                continue
            title = tidy(strip_numbering(heading.title))
            parent = next((h for h in everything[position::-1] if h.level < heading.level), None)
            context = tidy(strip_numbering(parent.title)) if parent else ""
            unclear = len(content_words(title, laid.language)) < 2 or times[fold(title)] > 1 or needs_context(title)
            yield Draft(
                text=f"{context}: {title}" if unclear and context else title,
                kind="heading",
                page=laid.pages[heading.page].page.id,
                rects=heading.rects,
                answers=tuple(answers),
                context=context,
            )


def _ranked(document: DocumentStructure) -> list[Heading]:
    """The outline's headings, ordered by type size like those found by it."""
    ranked = []
    for heading in document.outlined:
        page = document.laid.pages.get(heading.page)
        if page is None or not page.lines:
            continue
        size = page.lines[min(heading.first, len(page.lines) - 1)].size if heading.found else 0.0
        ranked.append(replace(heading, level=-size if heading.found else -1000.0))
    return ranked
