"""Evaluation sets of page images: out of rows (query, image, negative_*), or out of corpus, queries and qrels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError
from pagetune.examples.encoded import EncodedPages, Faults, read_pictures
from pagetune.examples.sources import Rows, open_rows
from pagetune.examples.triplets import IMAGE, Triplets
from pagetune.examples.visual import ImageEvalSet

if TYPE_CHECKING:
    from pagetune.examples.fetching import Fetcher
    from pagetune.examples.sources import Source

_ID_LENGTH = 16
"""Hexadecimal digits of a content key that serve as a page's id: no two of a billion pages would share them."""


EXCLUDED = ("excluded", "exclude")
"""Columns of a table of queries that list pages to leave out of a query's answers."""


def rows_set(triplets: Triplets) -> ImageEvalSet:
    """Each row a query that its image answers, all pages of all rows, also of those without a query, once by content.

    A query that stands in several rows is one, which the images of all of them answer. Its id is query-ROW, of the
    first of them (and -NUMBER beyond the first query of a row); a page's is the beginning of its content key. Pages
    stand in the order of the rows.
    """
    places: dict[str, tuple[str, int]] = {}
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    ids: dict[str, str] = {}
    asking = {*triplets.chosen}
    for row in sorted(asking | {*triplets.others}):
        slots = range(len(triplets.slots)) if row in asking else ()
        for place in ((IMAGE, row), *(triplets.place(slot, row) for slot in slots)):
            page = triplets.pictures[place[0]].keys[place[1]][:_ID_LENGTH]
            places.setdefault(page, place)
        for number, text in enumerate(triplets.queries[row]):
            query = ids.setdefault(text, f"query-{row}-{number}" if number else f"query-{row}")
            queries[query] = text
            qrels.setdefault(query, {})[triplets.pictures[IMAGE].keys[row][:_ID_LENGTH]] = 1
    return ImageEvalSet(
        queries=queries,
        page_ids=tuple(places),
        qrels=qrels,
        pages=EncodedPages(triplets.pictures, places),
        name=triplets.rows.name,
        broken=tuple(triplets.broken.values()),
    )


def open_tables(
    source: Source, split: str | None, columns: Mapping[str, str] | None, revision: str | None
) -> tuple[Rows, Rows, Rows]:
    """The three tables of a source in BEIR layout: corpus, queries, qrels. The split is that of the qrels."""
    mapping = dict(columns or {})
    qrels = _open(source, "qrels", split, mapping, revision, {})
    beir = {"_id": "query-id", "text": "query"}
    queries = _open(source, "queries", qrels.split, mapping, revision, beir)
    return _open(source, "corpus", qrels.split, mapping, revision, {"_id": "corpus-id"}), queries, qrels


def _open(
    source: Source,
    table: str,
    split: str | None,
    columns: Mapping[str, str],
    revision: str | None,
    usual: dict[str, str],
) -> Rows:
    """One table, with those of the recipe's column names that it has, else with the names usual in BEIR."""
    rows = open_rows(source, config=table, split=split, revision=revision, lenient=True)
    found = rows.columns
    renaming = {there: here for there, here in columns.items() if there in found and here not in found}
    renaming |= {
        there: here
        for there, here in usual.items()
        if there in found and here not in found and here not in renaming.values()
    }
    return replace(rows, name=f"{rows.name} ({table})", dataset=rows.dataset.rename_columns(renaming))


def tables_set(
    corpus: Rows,
    queries: Rows,
    qrels: Rows,
    max_queries: int | None = None,
    skip_broken: bool = False,
    fetcher: Fetcher | None = None,
) -> ImageEvalSet:
    """An evaluation set of three tables, its pages as published: a page that is there twice stays there twice.

    Where one of them answers a query and the judgements do not name the other, which is as right, that one is left out
    of the query's answers, so that it does not count as wrong. Queries that no row of qrels names are left out, as are
    judgements of 0. `max_queries` keeps the first ones. A column `excluded` (or `exclude`) of the queries lists the ids
    of pages to leave out of a query's answers.
    """
    corpus.need("corpus-id", IMAGE)
    queries.need("query-id", "query")
    qrels.need("query-id", "corpus-id", "score")
    faults = {name: Faults(skip_broken) for name in ("corpus", "queries", "qrels")}
    pages = _ids(corpus, "corpus-id", faults["corpus"])
    asked = _ids(queries, "query-id", faults["queries"])
    texts = _texts(queries, asked, faults["queries"])
    graded = _grades(qrels, pages, asked, faults["qrels"])
    excluded = _excluded(queries, asked, pages, graded, faults["queries"])
    texts = {name: text for name, text in texts.items() if asked[name] not in faults["queries"].rows}
    pictures = read_pictures(corpus, IMAGE, faults["corpus"], None, fetcher)
    pages = {name: row for name, row in pages.items() if row not in faults["corpus"].rows}
    kept: dict[str, dict[str, int]] = {}
    for name in texts:
        found = {page: grade for page, grade in graded.get(name, {}).items() if page in pages}
        if found and (max_queries is None or len(kept) < max_queries):
            kept[name] = found
    if not kept:
        raise DataError(f"{qrels.name}: no row with a score above 0 names a query of {queries.name}; correct the ids")
    encoded = EncodedPages({IMAGE: pictures}, {name: (IMAGE, row) for name, row in pages.items()})
    for name, copies in copies_of_answers(encoded, kept).items():
        excluded[name] = (*dict.fromkeys((*excluded.get(name, ()), *copies)),)
    return ImageEvalSet(
        queries={name: texts[name] for name in kept},
        page_ids=tuple(pages),
        qrels=kept,
        pages=encoded,
        name=corpus.name.removesuffix(" (corpus)"),
        form="BEIR",
        broken=tuple(message for one in faults.values() for message in one.rows.values()),
        excluded={name: excluded[name] for name in kept if name in excluded},
    )


def copies_of_answers(pages: EncodedPages, qrels: Mapping[str, Mapping[str, int]]) -> dict[str, list[str]]:
    """Query id -> pages of the same bytes as one that answers it, which the judgements do not name."""
    same: dict[str, list[str]] = {}
    for page in pages.places:
        same.setdefault(pages.key(page), []).append(page)
    found = {
        query: [copy for page in grades for copy in same[pages.key(page)] if copy not in grades]
        for query, grades in qrels.items()
    }
    return {query: copies for query, copies in found.items() if copies}


def _cells(rows: Rows, *columns: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = rows.dataset.with_format(None).select_columns([*columns])[:]
    return found


def _id(value: Any, rows: Rows, row: int, column: str) -> str:
    """An id as text; ViDoRe numbers its queries and pages. Raises DataError for one that is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{rows.where(row)}: {column} {value!r} is no id; write a text or a whole number")
    return value


def _ids(rows: Rows, column: str, faults: Faults) -> dict[str, int]:
    """The row of each id. An id that is there twice is a fault: it is not clear which is meant."""
    ids: dict[str, int] = {}
    for row, value in enumerate(_cells(rows, column)[column]):
        try:
            name = _id(value, rows, row, column)
        except DataError as error:
            faults.add(row, str(error))
            continue
        if name in ids:
            faults.add(row, f"{rows.where(row)}: {column} {value!r} is also that of row {ids[name]}; give each its own")
            continue
        ids[name] = row
    return ids


def _texts(rows: Rows, asked: Mapping[str, int], faults: Faults) -> dict[str, str]:
    texts = {}
    cells = _cells(rows, "query")["query"]
    for name, row in asked.items():
        text = cells[row]
        if isinstance(text, str) and text.strip():
            texts[name] = text
        else:
            problem = (
                "has no text; write one" if text is None or isinstance(text, str) else "is not text; write a string"
            )
            faults.add(row, f"{rows.where(row)} (query-id {name!r}): query {text!r} {problem} or remove the row")
    return texts


def _excluded(
    rows: Rows,
    asked: Mapping[str, int],
    pages: Mapping[str, int],
    graded: Mapping[str, Mapping[str, int]],
    faults: Faults,
) -> dict[str, tuple[str, ...]]:
    """Of each query that has any the pages to leave out of its answers."""
    column = next((name for name in EXCLUDED if name in rows.columns), None)
    if column is None:
        return {}
    cells, found = _cells(rows, column)[column], {}
    for name, row in asked.items():
        where = f"{rows.where(row)} (query-id {name!r}): {column}"
        try:
            if not isinstance(cells[row] or [], list):
                raise DataError(f"{where} {cells[row]!r} is no list; write one of ids of corpus")
            own = [_id(cell, rows, row, column) for cell in cells[row] or []]
            for page in own:
                if page not in pages:
                    raise DataError(f"{where} {page!r} is not in corpus; correct it or remove it")
                if page in graded.get(name, {}):
                    raise DataError(f"{where} {page!r} answers the query in qrels; drop one of both")
        except DataError as error:
            faults.add(row, str(error))
            continue
        if own:
            found[name] = tuple(dict.fromkeys(own))
    return found


def _grades(
    rows: Rows, pages: Mapping[str, int], asked: Mapping[str, int], faults: Faults
) -> dict[str, dict[str, int]]:
    graded: dict[str, dict[str, int]] = {}
    cells = _cells(rows, "query-id", "corpus-id", "score")
    for row, (query_cell, page_cell, score) in enumerate(zip(*cells.values(), strict=True)):
        try:
            query = _id(query_cell, rows, row, "query-id")
            page = _id(page_cell, rows, row, "corpus-id")
            if not isinstance(score, int | float) or score != score or int(score) != score:
                raise DataError(
                    f"{rows.where(row)}: score {score!r} is not a whole number; write 1, or more for a better page"
                )
            for column, name, known, table in (
                ("query-id", query, asked, "queries"),
                ("corpus-id", page, pages, "corpus"),
            ):
                if name not in known:
                    raise DataError(
                        f"{rows.where(row)}: {column} {name!r} is not in {table}; correct it or remove the row"
                    )
            if page in graded.get(query, {}):
                raise DataError(
                    f"{rows.where(row)}: query-id {query!r} with corpus-id {page!r} is there twice; keep one"
                )
        except DataError as error:
            faults.add(row, str(error))
            continue
        if score > 0:
            graded.setdefault(query, {})[page] = int(score)
    return graded
