"""The words of an evaluation set's pages, for BM25 and the models that read: a column of the dataset, else OCR."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError, MissingExtra
from pagetune.progress import SILENT, Progress
from pagetune.workspace import write_atomically

if TYPE_CHECKING:
    from pagetune.examples.sources import Rows
    from pagetune.examples.visual import ImageEvalSet
    from pagetune.recipe import DatasetRecipe

USUAL = ("text", "markdown")
"""Columns of a corpus table that hold a page's text, as published collections call them."""

BY_OCR = "the pages' text by OCR"
"""Where a text comes from that was not given."""

PAGES_AT_ONCE = 16
"""Pages read between two writes to the disk: what a kill can cost."""


def page_texts(
    chosen: ImageEvalSet, recipe: DatasetRecipe, column: str | None, cache: Path, progress: Progress = SILENT
) -> tuple[dict[str, str], str]:
    """Page id -> text for every page, and where it comes from, in words.

    `column`: the column to take, none: a corpus's `text` or `markdown` if it has one, else OCR, kept in `cache` under
    the pages' content. `progress` sees the pages that are read now, but the first, which waits for the engine.
    Raises DataError for a column that is not there, MissingExtra where OCR is needed and not installed.
    """
    if found := from_column(chosen, recipe, column):
        return found
    if importlib.util.find_spec("rapidocr") is None:
        raise MissingExtra("rapidocr", "light", "reading page images without a column of their text")
    return _by_ocr(chosen, cache, progress), BY_OCR


def known_texts(chosen: ImageEvalSet, recipe: DatasetRecipe, column: str | None, cache: Path) -> dict[str, str] | None:
    """The same where they are there already, in a column or in `cache`; None where they would have to be read."""
    with suppress(DataError):
        if found := from_column(chosen, recipe, column):
            return found[0]
    kept, keys = _kept(cache), {page: chosen.page_key(page) for page in chosen.page_ids}
    return {page: kept[key] for page, key in keys.items()} if all(key in kept for key in keys.values()) else None


def from_column(chosen: ImageEvalSet, recipe: DatasetRecipe, column: str | None) -> tuple[dict[str, str], str] | None:
    """Page id -> text and where it comes from, as `page_texts`, but None where the set has no text of its pages.

    Raises DataError for a column that is not there or holds no text.
    """
    from pagetune.examples.judged import open_tables
    from pagetune.examples.published import resolve

    recipe = resolve(recipe)
    assert recipe.eval is not None
    if chosen.form == "BEIR":
        corpus = open_tables(recipe.eval, recipe.eval_split, recipe.columns, recipe.revision)[0]
        name = column or next((name for name in USUAL if name in corpus.columns), None)
        if name is None:
            return None
        ids, texts = (_cells(corpus, key) for key in ("corpus-id", name))
        given = {str(page): text for page, text in zip(ids, texts, strict=True)}
    elif column is not None:
        name = column
        given = _of_rows(chosen, recipe, column)
    else:
        return None
    found = {page: given.get(page) for page in chosen.page_ids}
    odd = next((page for page, text in found.items() if not isinstance(text, str | None)), None)
    if odd is not None:
        raise DataError(f"{chosen.name}: {name} of page {odd!r} is {found[odd]!r}, no text; name another text_column")
    missing = [page for page, text in found.items() if not (text or "").strip()]
    if len(missing) == len(found) and column is None:
        return None
    if len(missing) == len(found):
        raise DataError(f"{chosen.name}: no page has a text in column {name!r}; name another compare.text_column")
    empty = f" ({len(missing)} of {len(found)} empty)" if missing else ""
    return {page: text or "" for page, text in found.items()}, f"column {name!r}{empty}"


def _of_rows(chosen: ImageEvalSet, recipe: DatasetRecipe, column: str) -> dict[str, Any]:
    """Page id -> cell, where each row has its page and the page's text. Pages of negative columns have none."""
    from pagetune.examples.sources import open_rows

    assert recipe.eval is not None
    rows = open_rows(
        recipe.eval,
        config=recipe.eval_config,
        split=recipe.eval_split,
        columns=recipe.columns,
        revision=recipe.revision,
    )
    own = chosen.pages.columns["image"].keys
    by_key = dict(zip(own, _cells(rows, column), strict=False))  # The set may hold the first rows only.
    found = {page: by_key[key] for page in chosen.page_ids if (key := chosen.page_key(page)) in by_key}
    if len(found) < len(chosen.page_ids):
        raise DataError(
            f"{chosen.name}: column {column!r} has no text of the pages in negative columns "
            f"({len(chosen.page_ids) - len(found)} pages); leave compare.text_column out, and they are read by OCR"
        )
    return found


def _cells(rows: Rows, column: str) -> list[Any]:
    if column not in rows.columns:
        raise DataError(
            f"{rows.name}: compare.text_column={column!r} is missing (there are {rows.columns}); correct it"
        )
    cells: list[Any] = rows.dataset.with_format(None).select_columns([column])[:][column]
    return cells


def _by_ocr(chosen: ImageEvalSet, cache: Path, progress: Progress) -> dict[str, str]:
    from pagetune.models.page_reader import text_of_picture

    keys = {page: chosen.page_key(page) for page in chosen.page_ids}
    found = _kept(cache)
    missing: dict[str, str] = {}
    for page, key in keys.items():
        if key not in found:
            missing.setdefault(key, page)
    todo = list(missing.items())
    fresh = {key: text_of_picture(chosen.image(page)) for key, page in todo[:1]}
    with progress.task("read pages by OCR", len(todo[1:]), "pages") as task:
        for start in range(0, len(todo), PAGES_AT_ONCE):
            for key, page in todo[max(1, start) : start + PAGES_AT_ONCE]:
                fresh[key] = text_of_picture(chosen.image(page))
                task.advance()
            name = hashlib.sha256("".join(fresh).encode()).hexdigest()[:32]
            write_atomically(cache / f"{name}.json", json.dumps(fresh, ensure_ascii=False))
            found.update(fresh)
            fresh = {}
    return {page: found[key] for page, key in keys.items()}


def _kept(cache: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(cache.glob("*.json")):
        with suppress(OSError, ValueError):
            found.update(json.loads(file.read_text(encoding="utf-8")))
    return found
