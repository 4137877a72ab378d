"""Queries from the document's outline: a section's title, with the titles above it where it needs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pagetune.examples.drafts import Draft, Notes
from pagetune.examples.generic import is_generic, needs_context
from pagetune.examples.layout import LaidDocument, LaidPage
from pagetune.examples.sections import Heading, section_answers
from pagetune.layout.language import content_words, squash, strip_numbering, tidy
from pagetune.layout.words import fold, join
from pagetune.pages.lines import Line, words_rects
from pagetune.records import OutlineEntry, QueryKind

if TYPE_CHECKING:
    from pagetune.examples.structure import Collection, DocumentStructure

_LONGEST_HEADING = 4  # lines


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


def find_outlined(laid: LaidDocument) -> tuple[Heading, ...]:
    """The outline's entries in the order of the document, each at the place where its heading stands.

    Targets are often off by one: the heading is looked for on the page that the entry points at, then on the next,
    then on the one before; on a page, nearest to the height that the entry gives.
    """
    headings = []
    above: list[OutlineEntry] = []
    for entry in laid.document.outline:
        above = [parent for parent in above if parent.level < entry.level]
        ancestors = tuple(" ".join(parent.title.split()) for parent in above)
        above.append(entry)
        headings.append(_place(laid, entry, ancestors))
    return tuple(sorted(headings, key=lambda heading: (heading.page, heading.first)))


def _place(laid: LaidDocument, entry: OutlineEntry, ancestors: tuple[str, ...]) -> Heading:
    title = " ".join(entry.title.split())
    for number in (entry.page, entry.page + 1, entry.page - 1):
        page = laid.pages.get(number)
        if page is None or not page.answers:
            continue
        span = find_title(page, title, entry.top if number == entry.page else None, laid.body_size)
        if span is not None:
            first, last, words = span
            return Heading(title, entry.level, number, first, last, words_rects(page.page, words), ancestors)
    page = laid.pages.get(entry.page)
    first = 0
    if page is not None and entry.top is not None:
        first = sum(line.bottom > entry.top for line in page.lines)
    return Heading(title, entry.level, entry.page, first, first, (), ancestors, found=False)


def find_title(page: LaidPage, title: str, top: float | None, body_size: float) -> tuple[int, int, range] | None:
    """Where a title stands on a page: its first and last line and its words; None if it does not.

    The lines must hold the title and nothing else but its number, or begin with it (a heading run into its text).
    """
    wanted = {squash(title), squash(strip_numbering(title))} - {""}
    if not wanted:
        return None
    found: list[tuple[tuple[bool, float, int], tuple[int, int, range]]] = []
    lines = page.lines
    for index, line in page.standing():
        span = _match(lines, index, wanted)
        if span is None:
            continue
        last, words, whole = span
        away = abs(line.top - top) if top is not None else 0.0
        larger = line.size >= 1.1 * body_size
        rank = (not whole, round((0 if larger else 40) + (away if away > 60 else 0)), index)
        found.append((rank, (index, last, words)))
    return min(found)[1] if found else None


def _match(lines: Sequence[Line], first: int, wanted: set[str]) -> tuple[int, range, bool] | None:
    joined = ""
    endings = tuple(wanted)
    for last in range(first, min(first + _LONGEST_HEADING, len(lines))):
        joined += squash(lines[last].text)
        if joined in wanted or (joined.endswith(endings) and _numbered(lines[first : last + 1], wanted)):
            return last, range(lines[first].start, lines[last].stop), True
        if len(joined) > 2 * max(map(len, wanted)) + 20:
            break
    return None


def _numbered(lines: Sequence[Line], wanted: set[str]) -> bool:
    return squash(strip_numbering(join([line.text for line in lines]))) in wanted
