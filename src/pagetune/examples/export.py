"""Sets of page images as folders of parquet that `datasets.load_dataset`, and this library, read as they are.

README.md                          the card, which names the configurations
triplets/train-00000-of-00001.parquet          query, image, negative_0 …, label
corpus/test-… queries/test-… qrels/test-…      as BEIR and ViDoRe have them; split `train` of the training set
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml

from pagetune.errors import DataError
from pagetune.examples.visual import ImageEvalSet, ImageTrainSet
from pagetune.workspace import replace_folder, write_atomically

Provenance = Mapping[tuple[str, str], Mapping[str, str]]
"""Query and page of a judgement that was decided in a review -> the columns of DECIDED."""

DECIDED = ("by", "at", "models")
"""Columns of the judgements where some were decided in a review: who, when, and which models had put the page above the
judged one. Empty beside a judgement that came with the set."""

EXCLUDED = "excluded"
"""Column of the queries where some name pages to leave out of their answers; an empty list beside the others."""

Excluded = Mapping[str, Sequence[str]]

Form = Literal["all", "triplets", "beir"]

SHARD_BYTES = 400_000_000
"""About so much of pictures in one file."""

_GROUP = 100
"""Rows of a row group: what a reader holds in memory at a time."""

_Row = dict[str, Any]


def export_sets(
    train: ImageTrainSet | None,
    evaluation: ImageEvalSet | None,
    folder: Path,
    form: Form = "all",
    report: Mapping[str, Any] | None = None,
    decided: Provenance | None = None,
) -> list[Path]:
    """Write the sets and their card into a new folder; the paths written, relative to it.

    The training set is written as triplets and as BEIR (split train), the evaluation set as BEIR (split test).
    Pictures are written as the bytes they are. `decided`: which of the evaluation set's judgements come from a review;
    they are in its qrels already. Raises DataError if the folder has anything in it, or nothing to write.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is there and not empty; name a new folder")
    if train is None and (evaluation is None or form == "triplets"):
        wanted = "dataset.train" if form == "triplets" else "dataset.train or dataset.eval"
        raise DataError(f"there is nothing to write as {form}; set {wanted}")
    with replace_folder(folder) as fresh:
        if train is not None and form in ("all", "triplets"):
            _write(fresh / "triplets", "train", _triplets(train))
        if form in ("all", "beir"):
            for split, tables in _beir(train, evaluation, decided or None):
                for name, table in tables.items():
                    _write(fresh / name, split, table)
        written = sorted(path.relative_to(fresh) for path in fresh.rglob("*.parquet"))
        write_atomically(fresh / "README.md", card(written, train, evaluation, report or {}, decided or {}))
    return [Path("README.md"), *written]


def card(
    files: Sequence[Path],
    train: ImageTrainSet | None,
    evaluation: ImageEvalSet | None,
    report: Mapping[str, Any],
    decided: Provenance = MappingProxyType({}),
) -> str:
    """The dataset card: the configurations for the Hub, then what is in it."""
    found: dict[str, dict[str, str]] = {}
    for path in files:
        split = path.name.partition("-")[0]
        found.setdefault(path.parent.name, {})[split] = f"{path.parent.name}/{split}-*.parquet"
    head = {
        "task_categories": ["visual-document-retrieval"],
        "tags": ["pagetune", "visual-document-retrieval", "sentence-transformers"],
        "configs": [
            {"config_name": name, "data_files": [{"split": split, "path": path} for split, path in splits.items()]}
            for name, splits in sorted(found.items())
        ],
    }
    columns = {
        "triplets": ", ".join(f"`{name}`" for name in train.dataset.column_names) if train else "",
        "corpus": "`corpus-id`, `image`",
        "queries": "`query-id`, `query`"
        + (f", `{EXCLUDED}`" if evaluation is not None and evaluation.excluded else ""),
        "qrels": ", ".join(f"`{name}`" for name in ("query-id", "corpus-id", "score", *(DECIDED if decided else ()))),
    }
    lines = ["# Queries and the page images that answer them", "", "Written by `pagetune data export`.", ""]
    if train is not None:
        lines.append(f"- Training: {len(train)} rows, {train.form}, from `{_public(train.name)}`.")
    if evaluation is not None:
        lines.append(
            f"- Evaluation: {len(evaluation)} queries against {len(evaluation.page_ids)} pages, "
            f"from `{_public(evaluation.name)}`."
        )
    if decided:
        lines.append(
            f"- Decided in a review: {len(decided)} judgements of the split `test`, with who, when and over what."
        )
    if evaluation is not None and evaluation.excluded:
        lines.append(
            f"- Excluded: `{EXCLUDED}` lists pages to leave out of a query's answers; "
            f"{len(evaluation.excluded)} queries have some."
        )
    if "leakage" in report:
        both = report["leakage"]
        lines.append(
            f"- In both: {both['queries']} queries, {both['answers']} answers, {both['other_pages']} other pages."
        )
    lines += ["", "| configuration | splits | columns |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {', '.join(splits)} | {columns[name]} |" for name, splits in sorted(found.items())]
    first = sorted(found)[0]
    lines += ["", "```python", "from datasets import load_dataset", ""]
    lines += [f'rows = load_dataset("THIS_FOLDER_OR_ID", "{first}", split="{next(iter(found[first]))}")', "```", ""]
    lines += ["The licence is that of the documents the pages come from: state it here before publishing.", ""]
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n" + "\n".join(lines)


def _public(name: str) -> str:
    """A source as a card may name it: of a local path the last part only."""
    return name.rpartition("/")[2] if name.startswith(("/", "~", ".")) else name


@dataclass(frozen=True)
class _Table:
    """A table to write: its rows, the bytes of its pictures, its columns' kinds, and how some of its rows are read."""

    rows: int
    size: int
    kinds: Mapping[str, str]
    read: Callable[[range], list[_Row]]


def _triplets(train: ImageTrainSet) -> _Table:
    from datasets import Image

    def read(rows: range) -> list[_Row]:
        dataset = train.dataset.select(rows)
        for column in train.columns:
            dataset = dataset.cast_column(column, Image(decode=False))
        return [{name: _embedded(value) for name, value in row.items()} for row in dataset]

    kinds = {"query": "string", **dict.fromkeys(train.columns, "image")}
    if train.has_label:
        kinds["label"] = str(train.dataset.features["label"].dtype)
    size = sum(size for column in train.columns for _, _, size in train.sizes[column])
    return _Table(len(train), size, kinds, read)


def _beir(
    train: ImageTrainSet | None, evaluation: ImageEvalSet | None, decided: Provenance | None
) -> Iterator[tuple[str, dict[str, _Table]]]:
    """The three tables of each set, by split."""
    if evaluation is not None:
        cells, sizes = evaluation.pages.cell, evaluation.pages.size
        pages = [*evaluation.page_ids]
        size = sum(sizes(page)[2] for page in pages)
        # A page that is broken was left out of the pages: it is in no answer anyhow.
        known = {*pages}
        kept = {query: [page for page in out if page in known] for query, out in evaluation.excluded.items()}
        yield "test", _tables(evaluation.queries, evaluation.qrels, pages, cells, size, decided, kept or None)
    if train is not None:
        yield "train", _train_tables(train, decided, excluding=evaluation is not None and bool(evaluation.excluded))


def _train_tables(train: ImageTrainSet, decided: Provenance | None, *, excluding: bool) -> dict[str, _Table]:
    """Each query once, with all pages that answer it; each page once, by content."""
    from datasets import Image

    places: dict[str, tuple[str, int]] = {}
    for column in train.columns:
        for row, key in enumerate(train.keys[column]):
            places.setdefault(key, (column, row))
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    labels = train.dataset["label"] if train.has_label else None
    for row, text in enumerate(train.dataset["query"]):
        name = train.keys["query"][row][:16]
        queries[name] = text
        # A labelled pair that is labelled 0 is a page that does not answer.
        if labels is None or labels[row] > 0:
            qrels.setdefault(name, {})[train.keys["image"][row]] = 1
    raw = {
        column: train.dataset.select_columns([column]).cast_column(column, Image(decode=False))
        for column in train.columns
    }
    size = sum(train.sizes[column][row][2] for column, row in places.values())

    def cell(page: str) -> Any:
        column, row = places[page]
        return raw[column][row][column]

    # Nothing was decided or is excluded here, but a configuration has the same columns in every split.
    return _tables(queries, qrels, [*places], cell, size, None if decided is None else {}, {} if excluding else None)


def _tables(
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    pages: Sequence[str],
    cell: Callable[[str], Any],
    size: int,
    decided: Provenance | None,
    excluded: Excluded | None,
) -> dict[str, _Table]:
    """`decided` and `excluded`: None is no such columns."""
    asked: list[_Row] = [{"query-id": name, "query": text} for name, text in queries.items()]
    asked_kinds = {"query-id": "string", "query": "string"}
    if excluded is not None:
        asked = [row | {EXCLUDED: list(excluded.get(row["query-id"], ()))} for row in asked]
        asked_kinds[EXCLUDED] = "strings"
    more = DECIDED if decided is not None else ()
    said = decided or {}
    judged = [
        {"query-id": name, "corpus-id": page, "score": grade}
        | {column: said.get((name, page), {}).get(column) for column in more}
        for name, grades in qrels.items()
        for page, grade in grades.items()
    ]

    def corpus(rows: range) -> list[_Row]:
        return [{"corpus-id": pages[row], "image": _embedded(cell(pages[row]))} for row in rows]

    ids = {"query-id": "string", "corpus-id": "string", "score": "int64", **dict.fromkeys(more, "string")}
    return {
        "corpus": _Table(len(pages), size, {"corpus-id": "string", "image": "image"}, corpus),
        "queries": _Table(len(asked), 0, asked_kinds, lambda rows: asked[rows.start : rows.stop]),
        "qrels": _Table(len(judged), 0, ids, lambda rows: judged[rows.start : rows.stop]),
    }


def _embedded(value: Any) -> Any:
    """A cell that names a file with the file's bytes instead, so that the dataset can be moved."""
    if isinstance(value, dict) and value["bytes"] is None and value["path"] is not None:
        path = Path(value["path"])
        try:
            return {"bytes": path.read_bytes(), "path": path.name}
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}; read the dataset again") from None
    return value


def _write(folder: Path, split: str, table: _Table) -> None:
    """One table as one file or more, its schema telling `datasets` which columns are pictures."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features, Image, Value

    special: dict[str, Any] = {"image": Image(), "strings": [Value("string")]}
    features = {name: special.get(kind) or Value(kind) for name, kind in table.kinds.items()}
    schema = Features(features).arrow_schema
    shards = max(1, -(-table.size // SHARD_BYTES))
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        start, stop = table.rows * shard // shards, table.rows * (shard + 1) // shards
        with pq.ParquetWriter(folder / f"{split}-{shard:05d}-of-{shards:05d}.parquet", schema) as writer:
            for place in range(start, stop, _GROUP):
                rows = table.read(range(place, min(stop, place + _GROUP)))
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
