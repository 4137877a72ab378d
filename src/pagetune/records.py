"""The records that every room shares: documents, pages, queries, judgements, examples, hits.

Lengths are PDF points (1/72 inch), the origin at the bottom left of the page, as in the PDF itself.
A page that was a picture is treated as if printed at 72 dots per inch: one pixel, one point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pagetune.layout.words import is_solid, join

Rect = tuple[float, float, float, float]
"""Left, bottom, right, top, in points."""

PageKind = Literal["body", "contents", "list", "index", "blank"]
"""What a page is. Only a `body` page may be the answer to a query."""

SOURCES = ("text layer", "hidden layer", "form field", "annotation", "ocr")
"""Where a word of a page was read: in the painted text, in a text that lies unseen over a picture of itself, in the
value of a form field, in an annotation that is painted on the page, or in the page's pixels."""

QueryKind = Literal["outline", "caption", "heading", "sentence", "phrase", "index"]
Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """One bookmark. `page` counts from 1; `top` is the height it points at, if it says."""

    level: int
    title: str
    page: int
    top: float | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One file that was offered for reading, whether it could be read or not."""

    id: str
    path: str
    digest: str
    format: str
    pages: int
    title: str = ""
    language: str = ""
    outline: tuple[OutlineEntry, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    status: Literal["read", "duplicate", "refused"] = "read"
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """One page: where it came from and its words with their positions, in reading order.

    `boxes` is float32 [words, 4] (left, bottom, right, top); `sizes` float32 [words], the height of the type;
    `lines` int32 [words], the number of the line that a word stands in, never falling. `sources` uint8 [words] says
    where each word was read, as a place in `SOURCES`; empty where only `origin` is known, which most words are of.
    """

    id: str
    document: str
    number: int
    width: float
    height: float
    words: tuple[str, ...]
    boxes: NDArray[np.float32]
    sizes: NDArray[np.float32]
    lines: NDArray[np.int32]
    origin: Literal["text layer", "ocr", "none"] = "text layer"
    kind: PageKind = "body"
    digest: str = ""
    duplicate_of: str | None = None
    sources: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))

    def text(self, mask: Sequence[Rect] = ()) -> str:
        """The page's words, a line of the page a line, without the words whose centre lies in `mask`."""
        shown = np.flatnonzero(self.visible(mask))
        ends = np.flatnonzero(np.diff(self.lines[shown])) + 1
        return "\n".join(self.joined(line.tolist()) for line in np.split(shown, ends)) if len(shown) else ""

    def joined(self, positions: Sequence[int]) -> str:
        """The words at these positions, rising, as one line of text: as printed where their script has no spaces."""
        words = [self.words[position] for position in positions]
        return join(words, self.gaps(positions) if is_solid(words) else None)

    def gaps(self, positions: Sequence[int]) -> list[float]:
        """How far from the one before each of these words stands, in sizes of type; NaN where a line ends between the
        two, infinity where words between them are left out."""
        found = [math.inf] * len(positions)
        for place, (before, after) in enumerate(pairwise(positions), start=1):
            if after == before + 1 and self.lines[before] != self.lines[after]:
                found[place] = math.nan
            elif after == before + 1:
                distance = float(self.boxes[after, 0] - self.boxes[before, 2])
                found[place] = distance / max(float(self.sizes[after]), 1e-3)
        return found

    def visible(self, mask: Sequence[Rect] = ()) -> NDArray[np.bool_]:
        """bool [words]: False where the centre of a word lies inside one of the rectangles."""
        keep = np.ones(len(self.words), dtype=bool)
        if not len(mask) or not len(self.words):
            return keep
        x = (self.boxes[:, 0] + self.boxes[:, 2]) / 2
        y = (self.boxes[:, 1] + self.boxes[:, 3]) / 2
        for left, bottom, right, top in mask:
            keep &= ~((x >= left) & (x <= right) & (y >= bottom) & (y <= top))
        return keep


@dataclass(frozen=True, slots=True)
class Query:
    """A text to search with and where it was taken from.

    `rects` are the words it was taken from on the page `page`: they are masked there, so that a heading
    does not answer its own query. `context` names the place in the document (the outline's ancestors).
    """

    id: str
    text: str
    kind: QueryKind
    document: str
    page: str
    rects: tuple[Rect, ...] = ()
    context: str = ""
    section: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Page `page` answers query `query`: grade 2 = this is the page, 1 = the answer goes on here."""

    query: str
    page: str
    grade: int


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: a query, a page that answers it, pages that seem to and do not."""

    query: str
    positive: str
    negatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer of a search. `score` is comparable within one answer list only.

    `relevance` is the reranker's, 0 to 1, where one looked at the page: comparable over queries as far as it is
    calibrated.
    """

    rank: int
    score: float
    page: str
    document: str
    number: int
    snippet: str = ""
    relevance: float | None = None
