"""Queries, judgements, splits and masks as one thing, and at rest.

At rest it is a folder of parquet files with the column names of BEIR and ViDoRe, so that other tools read it, a split
a file as `datasets.load_dataset` wants it:

    queries/train.parquet, validation.parquet, test.parquet    query-id, query, kind, document, page, rects, context …
    qrels/train.parquet …                                      query-id, corpus-id, score
    masks.parquet                                              corpus-id, rects

`corpus-id` is a page's id; `rects` are left, bottom, right, top in points.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pagetune.errors import DataError
from pagetune.records import Example, Judgement, Query, QueryKind, Rect, Split

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS: tuple[Split, ...] = get_args(Split)
_QUERY_COLUMNS = ("query-id", "query", "kind", "document", "page", "rects", "context", "section")
_QREL_COLUMNS = ("query-id", "corpus-id", "score")
_MASK_COLUMNS = ("corpus-id", "rects")
_EXAMPLE_COLUMNS = ("query-id", "positive", "negatives")


@dataclass(frozen=True)
class RetrievalData:
    """Queries with the pages that answer them, the side each query is on, and what evaluation masks on each page."""

    queries: list[Query]
    judgements: list[Judgement]
    splits: dict[str, Split]
    masks: dict[str, tuple[Rect, ...]] = field(default_factory=dict)

    def of(self, split: Split) -> list[Query]:
        """The queries of one split, in order."""
        return [query for query in self.queries if self.splits.get(query.id) == split]

    def qrels(self, split: Split) -> dict[str, dict[str, int]]:
        """The judgements of one split: query id -> page id -> grade."""
        graded: dict[str, dict[str, int]] = {}
        for judgement in self.judgements:
            if self.splits.get(judgement.query) == split:
                graded.setdefault(judgement.query, {})[judgement.page] = judgement.grade
        return graded


def validate_data(data: RetrievalData, pages: Collection[str] | None = None) -> None:
    """Raise DataError for the first thing that does not fit: an id twice, a query without an answer, an unknown page.

    `pages`, if given, are the ids of all pages there are.
    """
    known = None if pages is None else set(pages)
    ids = _validate_queries(data.queries)
    answered: set[str] = set()
    seen: set[tuple[str, str]] = set()
    for row, judgement in enumerate(data.judgements):
        where = f"qrels row {row} (query-id {judgement.query!r}, corpus-id {judgement.page!r})"
        if judgement.query not in ids:
            raise DataError(f"{where}: there is no such query; remove the row or add the query")
        if known is not None and judgement.page not in known:
            raise DataError(f"{where}: there is no such page; read its document or remove the row")
        if isinstance(judgement.grade, bool) or judgement.grade not in (1, 2):
            raise DataError(
                f"{where}: score {judgement.grade!r} is not a grade; use 2 (the page) or 1 (it goes on there)"
            )
        if (judgement.query, judgement.page) in seen:
            raise DataError(f"{where}: stands there twice; keep one")
        seen.add((judgement.query, judgement.page))
        answered.add(judgement.query)
    for name, split in data.splits.items():
        if name not in ids:
            raise DataError(f"splits, query-id {name!r}: there is no such query; remove it")
        if split not in SPLITS:
            raise DataError(f"splits, query-id {name!r}: {split!r} is not a split; use one of {', '.join(SPLITS)}")
        if name not in answered:
            raise DataError(
                f"queries, query-id {name!r}: no row of qrels names its page; add one or leave the query out"
            )
    for page in data.masks:
        if known is not None and page not in known:
            raise DataError(f"masks, corpus-id {page!r}: there is no such page; read its document or remove the row")


def _validate_queries(queries: Sequence[Query]) -> set[str]:
    ids: set[str] = set()
    for row, query in enumerate(queries):
        where = f"queries row {row} (query-id {query.id!r})"
        if not query.id or query.id in ids:
            raise DataError(f"{where}: the id is {'there twice' if query.id else 'empty'}; give each query its own")
        if not query.text.strip():
            raise DataError(f"{where}: query {query.text!r} has no text; write one or remove the row")
        if query.kind not in get_args(QueryKind):
            raise DataError(f"{where}: kind {query.kind!r} is unknown; use one of {', '.join(get_args(QueryKind))}")
        ids.add(query.id)
    return ids


def save_data(data: RetrievalData, folder: Path) -> None:
    """Write the data into `folder`, which is made if it is not there. Queries without a split are left out.

    Raises DataError if the data is not valid.
    """
    import pyarrow.parquet as pq

    validate_data(data)
    for split in SPLITS:
        queries = data.of(split)
        rows = [
            (q.id, q.text, q.kind, q.document, q.page, [list(rect) for rect in q.rects], q.context, q.section)
            for q in queries
        ]
        qrels = [(query, page, grade) for query, own in data.qrels(split).items() for page, grade in own.items()]
        for name, columns, content in (("queries", _QUERY_COLUMNS, rows), ("qrels", _QREL_COLUMNS, qrels)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            pq.write_table(_table(columns, content), folder / name / f"{split}.parquet")
    masks = [(page, [list(rect) for rect in rects]) for page, rects in sorted(data.masks.items())]
    pq.write_table(_table(_MASK_COLUMNS, masks), folder / "masks.parquet")


def load_data(folder: Path) -> RetrievalData:
    """Read what `save_data` wrote, or a folder of the same form from elsewhere.

    Only `query-id` and `query`, and `query-id`, `corpus-id` and `score` are needed; the other columns, the masks and
    the files of validation may be missing. Raises DataError, naming the file, the row, the column and the value.
    """
    queries: list[Query] = []
    judgements: list[Judgement] = []
    splits: dict[str, Split] = {}
    if not (folder / "queries").is_dir():
        raise DataError(f"{folder}: there is no folder 'queries' in it; write one with: pagetune queries")
    for split in SPLITS:
        path = folder / "queries" / f"{split}.parquet"
        if not path.exists():
            continue
        for row, cells in _rows(path, ("query-id", "query")):
            query = _query(cells, path, row)
            if query.id in splits:
                raise DataError(f"{path}: row {row}: query-id {query.id!r} is there twice; give each query its own")
            queries.append(query)
            splits[query.id] = split
        judgements.extend(_judgements(folder / "qrels" / f"{split}.parquet"))
    if not queries:
        raise DataError(f"{folder / 'queries'}: no queries in train, validation or test.parquet; write some first")
    masks: dict[str, tuple[Rect, ...]] = {}
    if (folder / "masks.parquet").exists():
        path = folder / "masks.parquet"
        for row, cells in _rows(path, _MASK_COLUMNS):
            masks[_text(cells, "corpus-id", path, row)] = _rects(cells, path, row)
    data = RetrievalData(queries, judgements, splits, masks)
    try:
        validate_data(data)
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None
    return data


def save_examples(examples: Sequence[Example], path: Path) -> None:
    """Write training examples to a parquet file: query-id, positive, negatives (a list of any length)."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [(example.query, example.positive, list(example.negatives)) for example in examples]
    pq.write_table(_table(_EXAMPLE_COLUMNS, rows), path)


def load_examples(path: Path) -> list[Example]:
    """Read what `save_examples` wrote. Raises DataError if the file is not of that form."""
    examples = []
    for row, cells in _rows(path, _EXAMPLE_COLUMNS):
        negatives = cells["negatives"]
        if not isinstance(negatives, list) or not all(isinstance(name, str) for name in negatives):
            raise DataError(f"{path}: row {row}: negatives {negatives!r} is not a list of page ids; mine again")
        query, positive = _text(cells, "query-id", path, row), _text(cells, "positive", path, row)
        examples.append(Example(query, positive, tuple(negatives)))
    return examples


def summary(data: RetrievalData) -> dict[str, Any]:
    """Counts for a report: queries by split, and by kind within each."""
    kinds = {split: dict(Counter(query.kind for query in data.of(split)).most_common()) for split in SPLITS}
    return {"queries": {split: sum(counts.values()) for split, counts in kinds.items()}, "kinds": kinds}


def _table(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    types: Mapping[str, pa.DataType] = {
        "rects": pa.list_(pa.list_(pa.float64())),
        "score": pa.int64(),
        "negatives": pa.list_(pa.string()),
    }
    schema = pa.schema([(column, types.get(column, pa.string())) for column in columns])
    values = zip(*rows, strict=True) if rows else ([] for _ in columns)
    return pa.table([pa.array(list(v), t) for v, t in zip(values, schema.types, strict=True)], schema=schema)


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: not readable as parquet ({' '.join(str(error).split())}); write it again") from None
    for column in needed:
        if column not in table.column_names:
            raise DataError(f"{path}: column {column!r} is missing (there are {table.column_names}); add or rename it")
    yield from enumerate(table.to_pylist())


def _text(cells: Mapping[str, Any], column: str, path: Path, row: int) -> str:
    value = cells.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # ViDoRe numbers its queries and pages
    if not isinstance(value, str):
        raise DataError(f"{path}: row {row}: {column} {value!r} is not text; write a string there")
    return value


def _rects(cells: Mapping[str, Any], path: Path, row: int) -> tuple[Rect, ...]:
    rects = []
    for rect in cells.get("rects") or ():
        if rect is None or len(rect) != 4 or any(value is None for value in rect):
            raise DataError(f"{path}: row {row}: rects has {rect!r}; a rectangle is left, bottom, right, top in points")
        rects.append((float(rect[0]), float(rect[1]), float(rect[2]), float(rect[3])))
    return tuple(rects)


def _query(cells: Mapping[str, Any], path: Path, row: int) -> Query:
    optional = {column: cells.get(column) or "" for column in ("document", "page", "context", "section")}
    kind: Any = cells.get("kind") or "sentence"
    if kind not in get_args(QueryKind):
        raise DataError(f"{path}: row {row}: kind {kind!r} is unknown; use one of {', '.join(get_args(QueryKind))}")
    return Query(
        id=_text(cells, "query-id", path, row),
        text=_text(cells, "query", path, row),
        kind=kind,
        rects=_rects(cells, path, row),
        **optional,
    )


def _judgements(path: Path) -> Iterator[Judgement]:
    if not path.exists():
        raise DataError(f"{path}: is missing, but there are queries for it; write their judgements there")
    for row, cells in _rows(path, _QREL_COLUMNS):
        grade = cells["score"]
        if not isinstance(grade, int | float) or int(grade) != grade:
            raise DataError(f"{path}: row {row}: score {grade!r} is not a whole number; use 2 or 1")
        if grade > 0:
            yield Judgement(_text(cells, "query-id", path, row), _text(cells, "corpus-id", path, row), int(grade))
