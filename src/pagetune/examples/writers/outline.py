"""Queries from the document's outline: a section's title, with the titles above it where it needs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pagetune.examples.drafts import Draft, Notes
from pagetune.examples.generic import is_generic, needs_context
from pagetune.examples.layout import LaidDocument
from pagetune.examples.sections import Heading, section_answers
from pagetune.examples.structure import Collection, DocumentStructure
from pagetune.layout.language import content_words, strip_numbering, tidy
from pagetune.layout.words import fold
from pagetune.records import QueryKind


@dataclass(frozen=True)
class OutlineWriter:
    """One query for each bookmark whose heading is found on the page that it points at, or next to it."""

    max_pages: int = 6
    kind: QueryKind = "outline"

    def write(self, document: DocumentStructure, collection: Collection, notes: Notes) -> Iterator[Draft]:
        headings = document.outlined
        times = Counter(fold(strip_numbering(heading.title)) for heading in headings)
        for position, heading in enumerate(headings):
            if is_generic(heading.title):
                notes.drop("generic")
                continue
            if not heading.found:
                notes.drop("heading not found on its page")
                continue
            answers = section_answers(document.laid, headings, position)
            if not answers:
                notes.drop("page is not body")
            elif len(answers) > self.max_pages:
                notes.drop("too broad")
            else:
                yield _draft(heading, answers, times, document.laid)


def _draft(heading: Heading, answers: Sequence[tuple[str, int]], times: Counter[str], laid: LaidDocument) -> Draft:
    title = tidy(strip_numbering(heading.title))
    parents = [tidy(strip_numbering(name)) for name in heading.ancestors]
    telling = [name for name in parents if not is_generic(name)]
    context = telling[-1] if telling else ""
    alone = len(content_words(title, laid.language)) >= 2 and times[fold(title)] == 1 and not needs_context(title)
    return Draft(
        text=title if alone or not context else f"{context}: {title}",
        kind="outline",
        page=laid.pages[heading.page].page.id,
        rects=heading.rects,
        answers=tuple(answers),
        context=" > ".join(parents),
        section=(parents or [title])[0],
    )
