"""What a query writer makes, and what it must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from pagetune.examples.structure import Collection, DocumentStructure
from pagetune.records import QueryKind, Rect


@dataclass(frozen=True, slots=True)
class Draft:
    """A query before the filters: its text, the page and rectangles it was taken from, the pages that answer it.

    `answers` are (page id, grade): 2 = this is the page, 1 = the answer goes on here. `context` is put before the
    text ("context: text") where the text alone is too short or means several things.
    """

    text: str
    kind: QueryKind
    page: str
    rects: tuple[Rect, ...]
    answers: tuple[tuple[str, int], ...]
    context: str = ""
    section: str = ""


@dataclass
class Notes:
    """Why drafts were not made, counted."""

    dropped: Counter[str] = field(default_factory=Counter)

    def drop(self, reason: str, count: int = 1) -> None:
        if count:
            self.dropped[reason] += count


class QueryWriter(Protocol):
    """Writes queries of one kind from one document at a time.

    `write` gets the document with its structure found and what is known of the whole collection. It yields drafts;
    what it sees and leaves out it counts in `notes`. The filters that all kinds share come afterwards.
    """

    @property
    def kind(self) -> QueryKind:
        """The kind of every draft it yields."""

    def write(self, document: DocumentStructure, collection: Collection, notes: Notes) -> Iterator[Draft]:
        """The drafts of one document."""
