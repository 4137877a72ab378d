"""What a page mostly shows, by what is drawn on it and where its words stand: text, table, chart, figure or scan.

The rules are made to be right when they speak; else a page is text. They look at boxes only, not at pixels:

- scan: pictures are the page, or hold four fifths of its words, which OCR has read, ours or somebody's before us, or
  nobody;
- table: rules of one width with rows of cells between them, or rows of short cells, many of them numbers, in columns;
- chart: drawn paths with numbers along an axis, which grow as they stand;
- figure: a picture, or drawn paths without such an axis (a diagram, a map).

Of what there is the largest decides, and must cover LARGE of the page, or SMALL where a caption names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pagetune.evaluation.drawings import (
    RUNNING,
    WHOLE,
    as_rect,
    cells_of,
    cut_to_page,
    drawings,
    has_axis,
    ruled_tables,
)
from pagetune.evaluation.page_words import Words, columns_of_numbers
from pagetune.pages.marks import Marks
from pagetune.records import Page, Rect

PAGE_TYPES = ("text", "table", "chart", "figure", "scan", "no text")

LARGE, SMALL = 0.05, 0.02
"""The shares of a page from which on what covers it decides: without a caption, and with one."""
FEW = 30
"""Words: fewer, printed on a picture of the whole page, are its title."""

_ICON = 30.0


def type_of_page(page: Page, named: Sequence[str], marks: Marks | None = None) -> str:
    """The type of a page whose captions name these types; without marks by captions and origin alone."""
    labels = Counter(named)
    if marks is None:
        if page.origin != "text layer":
            return "scan" if page.origin == "ocr" else "no text"
        return max(labels, key=lambda kind: (labels[kind], -PAGE_TYPES.index(kind))) if labels else "text"
    pictures, words = cut_to_page(page, marks.pictures), Words.of(page)
    cover = _Cover(page)
    for box in pictures:
        cover.add(as_rect(box))
    # Together: a scan may be stored in strips or layers.
    whole = bool(cover.cells.mean() >= WHOLE)
    if (page.origin != "text layer" or not marks.text_shown) and (whole or cover.holds(words) >= WHOLE):
        return "scan"
    if whole and len(page.words) < FEW:
        return "figure"
    shares = _shares(page, marks, pictures, words, labels)
    enough = {kind: share for kind, share in shares.items() if share >= (SMALL if _named(kind, labels) else LARGE)}
    if enough:
        return max(enough, key=lambda kind: (enough[kind], -PAGE_TYPES.index(kind)))
    if labels and set(labels) == {"table"}:  # Set without rules, and of words: only its name tells.
        return "table"
    return "text" if page.words else "no text"


def _named(kind: str, labels: Counter[str]) -> bool:
    """Whether a caption names it: "Figure 3" may be a chart, and a "Chart" a picture."""
    return bool(labels[kind] or (kind != "table" and (labels["chart"] or labels["figure"])))


def _shares(
    page: Page, marks: Marks, pictures: NDArray[np.float32], words: Words, labels: Counter[str]
) -> dict[str, float]:
    """How much of the page tables, charts and figures cover."""
    covered = {kind: _Cover(page) for kind in ("table", "chart", "figure")}
    tables = list(ruled_tables(page, marks, words))
    only_tables, no_tables = set(labels) == {"table"}, bool(labels) and not labels["table"]
    # A chart that is a raster picture, or whose numbers are outlines, has no axis to be found: its caption may tell.
    picture = "chart" if labels["chart"] and not labels["figure"] else "figure"
    for box in pictures:
        large = min(box[2] - box[0], box[3] - box[1]) >= _ICON
        if large and _area(box) < WHOLE * page.width * page.height and words.filling(as_rect(box)) < RUNNING:
            covered[picture].add(as_rect(box))
    # Panels with their ticks are ruled like a table: what stands under "Figure 3" is none where shapes are in it.
    for box in drawings(page, marks, words, [] if no_tables else tables):
        # What is drawn under "Table 3" are its symbols and its cells.
        covered["table" if only_tables else "chart" if has_axis(words, box) else picture].add(box)
    if (labels["figure"] or labels["chart"]) and not (covered["chart"].cells | covered["figure"].cells).any():
        for box in drawings(page, marks, words, tables, framed=True):
            covered["figure"].add(box)
    # What a chart or a figure covers is not a table's: its tick labels stand in rows and columns too.
    drawn = covered["chart"].cells | covered["figure"].cells
    for box in (*tables, *columns_of_numbers(words)):
        covered["table"].add(box)
    covered["table"].cells &= ~drawn
    return {kind: float(own.cells.mean()) for kind, own in covered.items()}


class _Cover:
    """The cells of a page that boxes cover, each counted once."""

    def __init__(self, page: Page) -> None:
        self.cells, self._side = cells_of(page)

    def add(self, box: Rect) -> None:
        left, bottom, right, top = (max(0, int(edge // self._side)) for edge in box)
        self.cells[bottom : top + 1, left : right + 1] = True

    def holds(self, words: Words) -> float:
        """The share of the words that stand in what is covered."""
        down, across = (
            np.clip(np.nan_to_num(middle) // self._side, 0, size - 1).astype(int)
            for middle, size in zip((words.y, words.x), self.cells.shape, strict=True)
        )
        return float(self.cells[down, across].mean()) if len(down) else 0.0


def _area(box: NDArray[np.float32]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
