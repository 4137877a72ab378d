"""A document laid out for the writers: its pages' lines, what runs, the size of its body type, its paragraphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from pagetune.layout.language import language_of
from pagetune.pages.lines import Line, lines_of
from pagetune.pages.running import running_lines
from pagetune.records import Document, Page


@dataclass(frozen=True, slots=True)
class LaidPage:
    """A page, its lines in reading order, and the numbers of those that run (heads, feet, folios)."""

    page: Page
    lines: tuple[Line, ...]
    running: frozenset[int]

    @property
    def answers(self) -> bool:
        """May this page be the answer to a query?"""
        return self.page.kind == "body" and self.page.duplicate_of is None

    def standing(self) -> Iterator[tuple[int, Line]]:
        """The lines that do not run, with their numbers."""
        return ((index, line) for index, line in enumerate(self.lines) if index not in self.running)


@dataclass(frozen=True)
class LaidDocument:
    """A document and its pages, by their number."""

    document: Document
    pages: dict[int, LaidPage]
    body_size: float
    language: str

    def __iter__(self) -> Iterator[LaidPage]:
        return iter(self.pages.values())

    def before(self, number: int) -> LaidPage | None:
        return self.pages.get(number - 1)


def lay_out(document: Document, pages: Sequence[Page]) -> LaidDocument:
    """Lines, running heads, body size (the size that most letters have) and language of one document."""
    ordered = sorted(pages, key=lambda page: page.number)
    lines = [lines_of(page) for page in ordered]
    running = running_lines(ordered, lines)
    sizes: Counter[float] = Counter()
    for rows in lines:
        for line in rows:
            sizes[round(line.size * 2) / 2] += len(line.text)
    sample = islice((word for page in ordered if page.kind == "body" for word in page.words), 20000)
    return LaidDocument(
        document=document,
        pages={
            page.number: LaidPage(page, tuple(rows), runs)
            for page, rows, runs in zip(ordered, lines, running, strict=True)
        },
        body_size=sizes.most_common(1)[0][0] if sizes else 10.0,
        language=language_of(sample, document.language),
    )


def follows(line: Line, above: Line) -> bool:
    """Is `line` the next line of the same block of type as `above`?"""
    size = max(line.size, above.size)
    step = above.bottom - line.bottom
    overlap = min(line.right, above.right) - max(line.left, above.left)
    return abs(line.size - above.size) <= 0.12 * size and 0.5 * size <= step <= 1.75 * size and overlap > 0
