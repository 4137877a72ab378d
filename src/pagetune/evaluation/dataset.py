"""A dataset of page images as an evaluation sees it: its queries as records, the words of its pages, its vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError
from pagetune.evaluation.evaluate import Encoded
from pagetune.progress import SILENT, Progress
from pagetune.records import Query

if TYPE_CHECKING:
    from pagetune.evaluation.lexical import BM25
    from pagetune.examples.sources import Rows
    from pagetune.examples.visual import ImageEvalSet
    from pagetune.recipe import DatasetRecipe, ModelRecipe

KINDS = ("kind", "query-type", "query_type", "query_types", "type")
"""Columns of a table of queries that say what kind they are, as published collections call them."""
DOCUMENTS = ("document", "doc-id", "doc_id", "docid")
"""Columns of a corpus that say which document a page is of."""
PLAIN = "query"
"""The kind of a query that is of no kind."""


def dataset_queries(chosen: ImageEvalSet, recipe: DatasetRecipe) -> list[Query]:
    """The queries in their order, with kind and document where the dataset has a column of them."""
    kinds: Mapping[str, Any] = {}
    documents: Mapping[str, Any] = {}
    if chosen.form == "BEIR" and recipe.eval is not None:
        from pagetune.examples.judged import open_tables

        corpus, queries, _ = open_tables(recipe.eval, recipe.eval_split, recipe.columns, recipe.revision)
        kinds = _column(queries, "query-id", KINDS)
        documents = _column(corpus, "corpus-id", DOCUMENTS)
    found = []
    for name, text in chosen.queries.items():
        grades = chosen.qrels.get(name, {})
        page = min(grades, key=lambda page: (-grades[page], page), default="")
        kind: Any = _word(kinds.get(name)) or PLAIN
        found.append(Query(name, text, kind, _word(documents.get(page)), page))
    return found


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


def lexical(
    chosen: ImageEvalSet, recipe: DatasetRecipe, cache: Path, *, ocr: bool = False, progress: Progress = SILENT
) -> tuple[BM25 | None, str]:
    """BM25 over the pages' words and where those come from; or None, and why.

    The words are those of a corpus's text or markdown; where it has none they are read only with `ocr`, kept in
    `cache`. Raises MissingExtra where OCR is asked for and not installed.
    """
    from pagetune.evaluation.comparison.page_texts import _from_column, page_texts
    from pagetune.evaluation.lexical import BM25

    try:
        found = _from_column(chosen, recipe, None)
    except DataError as error:
        return None, str(error)
    if found is None and ocr:
        found = page_texts(chosen, recipe, None, cache, progress)
    if found is None:
        return None, "the set has no text of its pages, and they were not read (evaluate.ocr=true does)"
    texts, origin = found
    return BM25(texts), origin


def encode_set(
    model: Any, chosen: ImageEvalSet, recipe: ModelRecipe, cache: Path, progress: Progress = SILENT
) -> Encoded:
    """Every page and query of the set, once; pages from the cache where it has them."""
    from pagetune.models.pictures import encode_pictures, encode_texts

    keys = {page: chosen.page_key(page) for page in chosen.page_ids}
    pages = encode_pictures(
        model,
        keys,
        chosen.images,
        batch_size=recipe.encode_batch,
        token_pooling=recipe.token_pooling,
        cache=cache,
        progress=progress,
    )
    return Encoded(encode_texts(model, list(chosen.queries.values())), pages)
