"""Queries out of the documents' own structure: the writers in turn, then the filters that all of them share.

No language model is needed. A writer of your own fits in beside the six of Pagetune: see `QueryWriter`.
"""

from __future__ import annotations

import hashlib
import random
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pagetune.errors import DataError
from pagetune.examples.drafts import Draft, Notes, QueryWriter
from pagetune.examples.generic import is_generic
from pagetune.examples.masks import Masks, structure_masks
from pagetune.examples.structure import DocumentStructure, collect, study
from pagetune.examples.writers.keywords import KeywordWriter
from pagetune.layout.language import content_words
from pagetune.layout.words import fold, is_short, letters_of, split
from pagetune.progress import SILENT, Progress
from pagetune.recipe import QueriesRecipe
from pagetune.records import Document, Judgement, Page, Query

_WORDS_LEFT = 10  # a page with fewer words left once it is masked cannot be found by anything

_NOT_ITS_OWN = "its queries are those of other documents"

__all__ = ["Draft", "Notes", "QueryWriter", "WrittenQueries", "default_writers", "write_queries"]


@dataclass(frozen=True)
class WrittenQueries:
    """What was written: the queries, the pages that answer them, the masks, and what was left out and why.

    `masks` hold the structure of every page (headings, captions, running heads); a query's own words are in its
    `rects`. `dropped` counts each reason over all kinds, `dropped_by_kind` for each kind. `silent` holds the documents
    of which nothing could be asked, each with its reason.
    """

    queries: list[Query] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    masks: Masks = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    dropped_by_kind: dict[str, dict[str, int]] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)

    @property
    def dropped(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for reasons in self.dropped_by_kind.values():
            total.update(reasons)
        return dict(total.most_common())


def default_writers(recipe: QueriesRecipe) -> list[QueryWriter]:
    """Pagetune's own writers for the kinds that the recipe names, in the order in which they go first."""
    from pagetune.examples.writers.book_index import IndexWriter
    from pagetune.examples.writers.captions import CaptionWriter
    from pagetune.examples.writers.headings import HeadingWriter
    from pagetune.examples.writers.outline import OutlineWriter
    from pagetune.examples.writers.phrases import PhraseWriter
    from pagetune.examples.writers.sentences import SentenceWriter

    writers: list[QueryWriter] = [
        OutlineWriter(max_pages=recipe.max_pages_per_section),
        CaptionWriter(),
        HeadingWriter(max_pages=recipe.max_pages_per_section),
        IndexWriter(),
        SentenceWriter(per_page=recipe.sentences_per_page),
        PhraseWriter(per_page=recipe.phrases_per_page, seed=recipe.seed),
    ]
    return [writer for writer in writers if writer.kind in recipe.kinds]


def write_queries(
    documents: Sequence[Document],
    pages: Sequence[Page],
    recipe: QueriesRecipe,
    writers: Sequence[QueryWriter] | None = None,
    progress: Progress = SILENT,
) -> WrittenQueries:
    """Write queries from every document that was read.

    Deterministic: the same documents, pages and recipe give the same queries with the same ids. The documents are
    gone through one at a time; the work grows with the number of pages, and no faster.

    Raises DataError if a page belongs to no document, or a writer names a page that does not exist.
    """
    chosen = default_writers(recipe) if writers is None else list(writers)
    by_document = _by_document(documents, pages)
    collection = collect(pages)
    known = {page.id: page for page in pages}
    dropped: dict[str, Notes] = {writer.kind: Notes() for writer in chosen}
    masks: Masks = {}
    kept: list[tuple[str, Draft]] = []
    why: dict[str, Counter[str]] = {}

    def draft(document: Document, writers: Sequence[QueryWriter]) -> None:
        structure = study(document, by_document[document.id])
        structural = structure_masks(structure)
        masks.update(structural)
        for writer in writers:
            notes = Notes()
            drafts = _sound(writer.write(structure, collection, notes), structure, structural, known, recipe, notes)
            kept.extend((document.id, found) for found in drafts)
            dropped[writer.kind].dropped.update(notes.dropped)
            why.setdefault(document.id, Counter()).update(notes.dropped)

    read = [document for document in documents if by_document[document.id] and document.status == "read"]
    with progress.task("writing queries", len(pages), "pages") as task:
        for document in read:
            draft(document, chosen)
            task.advance(len(by_document[document.id]))
    had = {document for document, _ in kept}
    kept = list(_distinct(kept, dropped))
    if writers is None and "phrase" in recipe.kinds:
        asked = {document for document, _ in kept}
        for document in read:
            if document.id not in asked:
                draft(document, [KeywordWriter(recipe.phrases_per_page)])
        had |= {document for document, _ in kept}
        kept = list(_distinct(kept, dropped))
    asked = {document for document, _ in kept}
    silent = {
        document.id: _NOT_ITS_OWN
        if document.id in had
        else _why_silent(by_document[document.id], why.get(document.id, Counter()))
        for document in read
        if document.id not in asked
    }
    return _assemble(_sample(kept, recipe), masks, dropped, silent)


def _why_silent(pages: Sequence[Page], dropped: Counter[str]) -> str:
    """Why nothing could be asked of a document; `dropped`: why its drafts went. What is counted comes after a colon."""
    if not any(page.words for page in pages):
        return "no words"
    answers = [page for page in pages if page.kind == "body" and page.duplicate_of is None]
    if answers:
        words = sum(len(page.words) for page in answers)
        told = ", ".join(f"{reason} {count}" for reason, count in dropped.most_common(3))
        why = f" ({told})" if told else ""
        return f"too little prose: {words} word{'s'[: words != 1]}{why}"
    if any(page.duplicate_of for page in pages):
        return "its pages are copies of others"
    if all(page.kind == "blank" for page in pages):
        return "only blank pages, of a few words"
    return "only pages of contents, lists and index"


def _by_document(documents: Sequence[Document], pages: Sequence[Page]) -> dict[str, list[Page]]:
    by_document: dict[str, list[Page]] = {document.id: [] for document in documents}
    for page in pages:
        if page.document not in by_document:
            raise DataError(
                f"page {page.id!r}: its document {page.document!r} is not among the documents; read them again"
            )
        by_document[page.document].append(page)
    return by_document


def _sound(
    drafts: Iterable[Draft],
    structure: DocumentStructure,
    masks: Masks,
    known: dict[str, Page],
    recipe: QueriesRecipe,
    notes: Notes,
) -> Iterator[Draft]:
    """The drafts that may be asked; the others are counted with their reason."""
    for draft in drafts:
        for page, grade in (*draft.answers, (draft.page, 2)):
            if page not in known or grade not in (1, 2):
                raise DataError(
                    f"{draft.kind} query {draft.text!r}: page {page!r} grade {grade!r} cannot be; fix its writer"
                )
        reason = _fault(draft, structure.laid.language, masks, known, recipe)
        if reason is None:
            yield draft
        else:
            notes.drop(reason)


def _fault(draft: Draft, language: str, masks: Masks, known: dict[str, Page], recipe: QueriesRecipe) -> str | None:
    words = fold(draft.text).split()
    if is_generic(draft.text):
        return "generic"
    if len(words) < recipe.min_words:
        return "too short"
    if len(words) > recipe.max_words:
        return "too long"
    if not _sayable(draft.text) or not content_words(draft.text, language):
        return "non-prose"
    best = [known[page] for page, grade in draft.answers if grade == 2]
    if not best or any(known[page].kind != "body" or known[page].duplicate_of for page, _ in draft.answers):
        return "page is not body"
    for page in best:
        rects = masks.get(page.id, ()) + (draft.rects if page.id == draft.page else ())
        if int(page.visible(rects).sum()) < _WORDS_LEFT:
            return "nothing left on its page once masked"
    return None


def _sayable(text: str) -> bool:
    """Could a person type this: mostly letters, at least one word that is not short, nothing unprintable?"""
    solid = [character for character in text if not character.isspace()]
    letters = letters_of(text)
    odd = any(
        unicodedata.category(character) in ("Co", "Cn", "Cc", "Cs") or character == "\ufffd" for character in text
    )
    telling = any(not is_short("".join(filter(str.isalpha, word))) for word in split(text))
    return letters >= 0.6 * len(solid) and telling and not odd


def _distinct(drafts: Sequence[tuple[str, Draft]], dropped: dict[str, Notes]) -> Iterator[tuple[str, Draft]]:
    """One query for each set of words: the first of those with the same answers, none where the answers differ."""
    same: dict[tuple[str, ...], list[tuple[str, Draft]]] = defaultdict(list)
    for document, draft in drafts:
        same[tuple(sorted(fold(draft.text).split()))].append((document, draft))
    for group in same.values():
        answers = [frozenset(page for page, grade in draft.answers if grade == 2) for _, draft in group]
        if all(one & answers[0] for one in answers):
            yield group[0]
            for _, draft in group[1:]:
                dropped[draft.kind].drop("duplicate")
        else:
            for _, draft in group:
                dropped[draft.kind].drop("ambiguous: the same words ask for different pages")


def _sample(drafts: list[tuple[str, Draft]], recipe: QueriesRecipe) -> list[tuple[str, Draft]]:
    if recipe.max_queries is None or len(drafts) <= recipe.max_queries:
        return drafts
    chosen = random.Random(recipe.seed).sample(range(len(drafts)), recipe.max_queries)
    return [drafts[position] for position in sorted(chosen)]


def _assemble(
    drafts: Sequence[tuple[str, Draft]], masks: Masks, dropped: dict[str, Notes], silent: dict[str, str]
) -> WrittenQueries:
    written = WrittenQueries(
        masks=masks,
        silent=silent,
        dropped_by_kind={kind: dict(notes.dropped.most_common()) for kind, notes in dropped.items()},
    )
    counts: Counter[str] = Counter()
    taken: set[str] = set()
    for document, draft in drafts:
        name = _name(document, draft, taken)
        written.queries.append(
            Query(name, draft.text, draft.kind, document, draft.page, draft.rects, draft.context, draft.section)
        )
        written.judgements.extend(Judgement(name, page, grade) for page, grade in draft.answers)
        counts[draft.kind] += 1
    written.written.update(counts)
    return written


def _name(document: str, draft: Draft, taken: set[str]) -> str:
    """An id that stays the same as long as the query does, whatever else is written."""
    digest = hashlib.sha256(f"{draft.page}\n{draft.text}".encode()).hexdigest()
    length = 8
    while (name := f"{document}-{draft.kind}-{digest[:length]}") in taken:
        length += 1
    taken.add(name)
    return name
