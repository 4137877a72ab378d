"""What is known of a query and its page that figures can be split by.

All but a page's type is of the records alone. The type is told by what is drawn on the page where somebody can say so
(`page_types`); without that by its own captions, the most of them deciding ("Table 3", "Abb. 2.1"), and by OCR.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from pagetune.evaluation.page_types import type_of_page
from pagetune.evaluation.ranking import Qrels
from pagetune.examples.captions import TYPE_OF_LABEL, find_captions
from pagetune.examples.layout import lay_out
from pagetune.layout.language import content_words, language_of, stems
from pagetune.layout.words import split
from pagetune.pages.marks import Marks
from pagetune.records import Document, Page, Query, Rect

Drawn = Callable[[Sequence[str]], Mapping[str, Marks]]
"""Page ids -> what is drawn on those pages, as far as it is known."""

FACETS = ("kind of query", "document", "language", "type of page", "length", "words on the page")

_PLOTTED = re.compile(
    r"\bhistogram\w*|\b(?:scatter|box|bar|line|pie|area|density|violin|dot|time series)[ -]?(?:plot|chart|graph)s?\b"
    r"|\b(?:balken|säulen|linien|streu|kreis|torten)diagramm\w*|\bnuages? de points\b",
    re.I,
)
"""What a caption says of a figure that is a chart."""

LENGTHS = ((3, "1–3 words"), (6, "4–6 words"), (10, "7–10 words"), (10**6, "11 words and more"))
OVERLAPS = (
    (0.0, "none of its words"),
    (1 / 3, "up to a third"),
    (2 / 3, "up to two thirds"),
    (1.0, "more than two thirds"),
)


def answer_of(query: Query, grades: Mapping[str, int]) -> str:
    """The page that a query is filed under: of the highest grade, its own page first, then by id."""
    return min(grades, key=lambda page: (-grades[page], page != query.page, page))


def page_types(
    pages: Iterable[Page], documents: Iterable[Document], wanted: Collection[str], drawn: Drawn | None = None
) -> dict[str, str]:
    """The type of each wanted page. Only documents with such a page are laid out, but those whole."""
    by_document: dict[str, list[Page]] = {}
    for page in pages:
        by_document.setdefault(page.document, []).append(page)
    known = {document.id: document for document in documents}
    marks = drawn([page.id for own in by_document.values() for page in own if page.id in wanted]) if drawn else {}
    found: dict[str, str] = {}
    for name, own in by_document.items():
        asked = [page for page in own if page.id in wanted]
        if not asked:
            continue
        laid = lay_out(known.get(name) or Document(name, "", "", "", len(own)), own)
        for page in asked:
            captions = find_captions(laid.pages[page.number], laid.body_size)
            named = [kind for caption in captions if (kind := caption_type(caption.label, caption.text))]
            found[page.id] = type_of_page(page, named, marks.get(page.id))
    return found


def caption_type(label: str, text: str = "") -> str | None:
    """ "table" of "Table 3.1", "chart" of "Figure 2" with the text "Histograms of age"; None for what is set as text
    ("Listing 2", "Algorithm 1")."""
    name = label.partition(" ")[0].rstrip(".").casefold()
    kind = TYPE_OF_LABEL.get(name)
    return "chart" if kind == "figure" and _PLOTTED.search(text) else kind


def languages(pages: Iterable[Page], documents: Iterable[Document]) -> dict[str, str]:
    """Document id -> its language ("en", "de" …), see `language_of`; "unknown" where hardly anything tells."""
    said = {document.id: document.language for document in documents}
    words: dict[str, list[str]] = {}
    for page in pages:
        sample = words.setdefault(page.document, [])
        if page.kind == "body" and len(sample) < 20_000:
            sample.extend(page.words)
    return {name: language_of(sample, said.get(name, "")) or "unknown" for name, sample in words.items()}


def length_of(text: str) -> str:
    """How many words a query has, in classes."""
    count = len(split(text))
    return next(name for most, name in LENGTHS if count <= most)


def overlap_of(query: Query, page: Page, masks: Mapping[str, Sequence[Rect]], language: str = "") -> str | None:
    """How many of the query's words, stop words apart and stemmed, its page has as the systems see it: masked.

    None for a query of stop words only.
    """
    return overlap_with(query.text, page.text(masks.get(page.id, ())), language)


def overlap_with(query: str, text: str, language: str = "") -> str | None:
    """The same of a page that is known by its text."""
    code = "" if language == "unknown" else language
    asked = set(stems(content_words(query, code), code))
    if not asked:
        return None
    there = set(stems(content_words(text, code), code))
    share = len(asked & there) / len(asked)
    return next(name for most, name in OVERLAPS if share <= most + 1e-9)


def facets_of(
    queries: Sequence[Query],
    qrels: Qrels,
    pages: Sequence[Page] = (),
    documents: Sequence[Document] = (),
    masks: Mapping[str, Sequence[Rect]] | None = None,
    drawn: Drawn | None = None,
) -> dict[str, dict[str, str]]:
    """Facet -> query id -> the slice it falls in. What is not known of a query is left out."""
    judged = [query for query in queries if any(grade > 0 for grade in qrels.get(query.id, {}).values())]
    answers = {query.id: answer_of(query, qrels[query.id]) for query in judged}
    known = {page.id: page for page in pages}
    types = page_types(pages, documents, set(answers.values()), drawn)
    spoken = languages(pages, documents)
    found: dict[str, dict[str, str]] = {name: {} for name in FACETS}
    for query in judged:
        page = known.get(answers[query.id])
        document = page.document if page else query.document
        overlap = overlap_of(query, page, masks or {}, spoken.get(document, "")) if page else None
        falls = (
            query.kind,
            document,
            spoken.get(document),
            types.get(answers[query.id]),
            length_of(query.text),
            overlap,
        )
        for own, name in zip(found.values(), falls, strict=True):
            if name:
                own[query.id] = name
    return found
