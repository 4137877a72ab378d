"""What is painted over: headings, captions and running heads on every page, and the judged queries' own words.

Words that are taken away from a page must be those that name its content, not the content itself. So the structure
is masked on all pages, while the sentence or phrase that a query was taken from is masked only where that query is
judged (or, in training, where it is being learned): masking every training sentence would thin the pages out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pagetune.examples.structure import DocumentStructure
from pagetune.pages.lines import words_rects
from pagetune.records import Query, Rect, Split

Masks = dict[str, tuple[Rect, ...]]
"""Page id -> rectangles in points. A page that is not in it has none."""


def structure_masks(document: DocumentStructure) -> Masks:
    """The rectangles of every heading, caption, running head, running foot and folio of one document."""
    masks: Masks = {}
    for laid in document.laid:
        positions: set[int] = set()
        for index in document.structural_lines(laid.page.number):
            positions.update(range(laid.lines[index].start, laid.lines[index].stop))
        if positions:
            masks[laid.page.id] = words_rects(laid.page, sorted(positions))
    return masks


def with_queries(masks: Mapping[str, tuple[Rect, ...]], queries: Iterable[Query]) -> Masks:
    """The same masks and the words that the queries were taken from."""
    merged = {page: list(rects) for page, rects in masks.items()}
    for query in queries:
        if query.rects:
            merged.setdefault(query.page, []).extend(query.rects)
    return {page: tuple(dict.fromkeys(rects)) for page, rects in merged.items()}


def evaluation_masks(
    masks: Mapping[str, tuple[Rect, ...]], queries: Iterable[Query], splits: Mapping[str, Split]
) -> Masks:
    """What evaluation always masks: the structure, and the words of the queries of validation and test."""
    return with_queries(masks, (query for query in queries if splits.get(query.id) in ("validation", "test")))
