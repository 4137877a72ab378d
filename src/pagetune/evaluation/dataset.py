"""A dataset of page images as an evaluation sees it: its queries as records, the words of its pages, its vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError
from pagetune.evaluation.facets import FACETS, answer_of, length_of, overlap_with
from pagetune.evaluation.ranking import Qrels
from pagetune.evaluation.retrieval import Encoded
from pagetune.layout.language import language_of
from pagetune.layout.words import split
from pagetune.progress import SILENT, Progress
from pagetune.records import Query

if TYPE_CHECKING:
    from pagetune.examples.sources import Rows
    from pagetune.examples.visual import ImageEvalSet
    from pagetune.recipe import DatasetRecipe, ModelRecipe
    from pagetune.training.page_cache import ResizedPages

KINDS = ("kind", "query-type", "query_type", "query_types", "type")
"""Columns of a table of queries that say what kind they are, as published collections call them."""
DOCUMENTS = ("document", "doc-id", "doc_id", "docid")
"""Columns of a corpus that say which document a page is of."""
LANGUAGES = ("language", "lang")
TYPES = ("content_type", "content-type", "page_type", "page-type", "modality")
"""Columns of queries, judgements or pages: which language is spoken, what the answer stands in."""
PLAIN = "query"
"""The kind of a query that is of no kind."""


def dataset_queries(chosen: ImageEvalSet, recipe: DatasetRecipe) -> list[Query]:
    """The queries in their order, with kind and document where the dataset has a column of them."""
    kinds: Mapping[str, Any] = {}
    documents: Mapping[str, Any] = {}
    if chosen.form == "BEIR" and recipe.eval is not None:
        corpus, queries, _ = _tables(recipe)
        kinds = _column(queries, "query-id", KINDS)
        documents = _column(corpus, "corpus-id", DOCUMENTS)
    found = []
    for name, text in chosen.queries.items():
        grades = chosen.qrels.get(name, {})
        page = min(grades, key=lambda page: (-grades[page], page), default="")
        kind: Any = _word(kinds.get(name)) or PLAIN
        found.append(Query(name, text, kind, _word(documents.get(page)), page))
    return found


def _tables(recipe: DatasetRecipe) -> tuple[Rows, Rows, Rows]:
    """Corpus, queries and judgements of `dataset.eval`."""
    from pagetune.examples.judged import open_tables
    from pagetune.examples.published import resolve

    named = resolve(recipe)
    return open_tables(named.eval or "", named.eval_split, named.columns, named.revision)


def _column(rows: Rows, key: str, names: Sequence[str]) -> dict[str, Any]:
    """Id -> cell of the first of these columns that there is."""
    name = next((name for name in names if name in rows.columns), None)
    if name is None:
        return {}
    cells = rows.dataset.with_format(None).select_columns([key, name])[:]
    return {str(row): cell for row, cell in zip(cells[key], cells[name], strict=True)}


def _word(cell: Any) -> str:
    """A cell as a name: several kinds at once are one of their own."""
    if isinstance(cell, list):
        return ", ".join(sorted(str(part) for part in cell))
    return "" if cell is None else str(cell)


def dataset_facets(
    queries: Sequence[Query],
    qrels: Qrels,
    chosen: ImageEvalSet,
    recipe: DatasetRecipe,
    texts: Mapping[str, str] | None = None,
) -> dict[str, dict[str, str]]:
    """Facet -> query id -> slice, from columns of the set and, where the pages' words are known, from those.

    A page's type and the language are what a column calls them; without a column the language is that of the page's
    words, and there are no types.
    """
    judged = [query for query in queries if any(grade > 0 for grade in qrels.get(query.id, {}).values())]
    answers = {query.id: answer_of(query, qrels[query.id]) for query in judged}
    said = _said(chosen, recipe, answers)
    found: dict[str, dict[str, str]] = {name: {} for name in FACETS}
    for query in judged:
        text = (texts or {}).get(answers[query.id], "")
        language = said["language"].get(query.id) or (language_of(split(text)) if text else "")
        falls = (
            query.kind,
            query.document,
            language,
            said["type of page"].get(query.id),
            length_of(query.text),
            overlap_with(query.text, text, language) if text else None,
        )
        for own, name in zip(found.values(), falls, strict=True):
            if name:
                own[query.id] = name
    return found


def _said(chosen: ImageEvalSet, recipe: DatasetRecipe, answers: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Query id -> its language and its page's type, where a table of queries, judgements or pages has a column."""
    found: dict[str, dict[str, str]] = {"language": {}, "type of page": {}}
    if chosen.form != "BEIR":
        return found
    corpus, queries, qrels = _tables(recipe)
    for facet, names in (("language", LANGUAGES), ("type of page", TYPES)):
        of_query, of_page = _column(queries, "query-id", names), _column(corpus, "corpus-id", names)
        of_judgement = _of_judgements(qrels, names)
        for query, page in answers.items():
            cell = of_judgement.get((query, page)) or of_query.get(query) or of_page.get(page)
            if word := _word(cell):
                found[facet][query] = word
    return found


def _of_judgements(qrels: Rows, names: Sequence[str]) -> dict[tuple[str, str], Any]:
    name = next((name for name in names if name in qrels.columns), None)
    if name is None:
        return {}
    cells = qrels.dataset.with_format(None).select_columns(["query-id", "corpus-id", name])[:]
    keys = zip(map(str, cells["query-id"]), map(str, cells["corpus-id"]), strict=True)
    return dict(zip(keys, cells[name], strict=True))


def page_words(
    chosen: ImageEvalSet, recipe: DatasetRecipe, cache: Path, *, ocr: bool = False, progress: Progress = SILENT
) -> tuple[dict[str, str] | None, str]:
    """Page id -> its words, and where they come from; or None, and why.

    The words are those of a corpus's text or markdown; where it has none they are read only with `ocr`, kept in
    `cache`. Raises MissingExtra where OCR is asked for and not installed.
    """
    from pagetune.evaluation.comparison.page_texts import from_column, page_texts

    try:
        found = from_column(chosen, recipe, None)
    except DataError as error:
        return None, str(error)
    if found is None and ocr:
        found = page_texts(chosen, recipe, None, cache, progress)
    if found is None:
        return None, "the set has no text of its pages, and they were not read (evaluate.ocr=true does)"
    return found


def encode_set(
    model: Any,
    chosen: ImageEvalSet,
    recipe: ModelRecipe,
    cache: Path,
    progress: Progress = SILENT,
    kept: ResizedPages | None = None,
) -> Encoded:
    """Every page and query of the set, once; pages' vectors from the cache where it has them, else from `kept`."""
    from pagetune.models.pictures import encode_texts
    from pagetune.training.page_encoding import PageImages, encode_pictures

    pages = encode_pictures(model, PageImages.of(chosen), recipe, cache=cache, kept=kept, progress=progress)
    return Encoded(encode_texts(model, list(chosen.queries.values())), pages)
