"""Rows of a dataset: from the Hub, from local files, or given in Python; with the place of each row for messages."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError
from pagetune.examples.hub import hub_configs, load_from_hub, quiet
from pagetune.examples.layouts import BEIR, find_files, is_beir
from pagetune.examples.tables import NUMBERS, read_text_table, to_table

if TYPE_CHECKING:
    from typing import TypeAlias

    from datasets import Dataset

    Source: TypeAlias = str | Path | Dataset | Sequence[Mapping[str, Any]]

OURS = ("query", "image", "label", "negatives", "id", "query-id", "corpus-id", "score")
"""The names that a column can be mapped to, besides negative_0, negative_1 …"""

NEGATIVE = re.compile(r"negative_(\d+)")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FILE_NAME = "file_name"


@dataclass(frozen=True, eq=False)
class Rows:
    """A dataset with the names that messages need: what it is called, and which file each row came from."""

    name: str
    dataset: Dataset
    split: str = ""
    files: tuple[tuple[Path, int], ...] = ()
    """Each file and its number of rows, in order; empty where the rows come from no local file."""

    def where(self, row: int) -> str:
        """The place of a row: its file and its number there, from 0."""
        path, place = self._place(row)
        return f"{path or self.name}: row {place}"

    def folder(self, row: int) -> Path | None:
        """What a relative path in this row starts from."""
        path, _ = self._place(row)
        return path.parent if path else None

    @property
    def columns(self) -> list[str]:
        return self.dataset.column_names

    def need(self, *columns: str) -> None:
        """Raise DataError if one of these columns is missing."""
        for column in columns:
            if column not in self.columns:
                raise DataError(
                    f"{self.name}: column {column!r} is missing (there are {self.columns}); "
                    f"add it, or name it with dataset.columns={{THERE: {column}}}"
                )

    def _place(self, row: int) -> tuple[Path | None, int]:
        for path, count in self.files:
            if row < count:
                return path, row
            row -= count
        return None, row


def load_rows(
    source: str | Path,
    *,
    config: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    max_rows: int | None = None,
    revision: str | None = None,
) -> Dataset:
    """The rows of a dataset as they stand, columns renamed; pictures stay encoded, paths stay relative.

    `source` is a Hub id, or a Parquet, JSONL, JSON, CSV or TSV file, or a folder of them in which configuration and
    split are folders or file names, or a folder of pictures with a metadata.csv or .jsonl (file_name, query).
    `columns` maps names found there to ours. `max_rows` keeps the first. Raises DataError.
    """
    rows = open_rows(source, config=config, split=split, columns=columns, revision=revision)
    return rows.dataset.select(range(min(max_rows, len(rows.dataset)))) if max_rows is not None else rows.dataset


def open_rows(
    source: Source,
    *,
    config: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    revision: str | None = None,
    lenient: bool = False,
) -> Rows:
    """As `load_rows`, with the place of each row. `lenient` takes a table's only split, whatever it is called.

    `source` may also be a `datasets.Dataset`, or rows as mappings with pictures in any form of `pictures.py`.
    """
    columns = dict(columns or {})
    _judge_mapping(columns)
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.exists():
            return _local(path, config, split, columns, lenient)
        if isinstance(source, Path) or not _HUB_ID.fullmatch(source) or path.suffix in (".parquet", ".jsonl", ".csv"):
            raise DataError(f"{source}: there is no such file or folder, and it is no Hub id; correct it")
        return _hub(source, config, split, columns, revision, lenient)
    return _given(source, columns)


def has_beir_layout(source: Source, revision: str | None = None) -> bool:
    """Whether a source has the three tables corpus, queries and qrels."""
    if not isinstance(source, str | Path):
        return False
    path = Path(source).expanduser()
    if path.exists():
        return is_beir(path)
    if isinstance(source, Path) or not _HUB_ID.fullmatch(source):
        return False
    return {*hub_configs(source, revision)} >= {*BEIR}


def _local(path: Path, config: str | None, split: str | None, columns: dict[str, str], lenient: bool) -> Rows:
    from datasets import Dataset, concatenate_datasets

    files, chosen = find_files(path, config, split, lenient)
    if files[0].suffix == ".parquet":
        dataset, counts = _parquet(files)
        rows = Rows(str(path), dataset, chosen, (*zip(files, counts, strict=True),))
        return _not_empty(_rename(rows, _with_file_name(columns, dataset.column_names)))
    parts = []
    for file in files:
        table = read_text_table(file, {})
        part = _rename(Rows(str(file), Dataset(table), chosen), _with_file_name(columns, table.column_names))
        parts.append((file, part.dataset))
    parts = [part for part in parts if len(part[1])] or parts[:1]
    try:
        dataset = concatenate_datasets([part for _, part in parts])
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: its files differ: {' '.join(str(error).split())}; write them alike") from None
    return _not_empty(Rows(str(path), dataset, chosen, tuple((file, len(part)) for file, part in parts)))


def _with_file_name(columns: dict[str, str], found: Sequence[str]) -> dict[str, str]:
    """The mapping of columns, with the name that an imagefolder's metadata has for the picture."""
    return {_FILE_NAME: "image", **columns} if _FILE_NAME in found and "image" not in found else columns


def _parquet(files: Sequence[Path]) -> tuple[Dataset, list[int]]:
    """Parquet through `datasets`, which maps it into memory from its own cache."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    counts: list[int] = []
    names: list[str] | None = None
    for file in files:
        try:
            counts.append(pq.read_metadata(file).num_rows)
            found = pq.read_schema(file).names
        except (OSError, pa.ArrowInvalid) as error:
            reason = " ".join(str(error).split()).partition(". ")[0]
            raise DataError(f"{file}: not readable as parquet ({reason}); write it again") from None
        if names is not None and set(found) != set(names):
            raise DataError(f"{file}: has the columns {found}, but {files[0].name} has {names}; write them alike")
        names = names or found
    with quiet():
        try:
            dataset = load_dataset("parquet", data_files=[str(file) for file in files], split="train")
        except (DatasetGenerationError, OSError, ValueError, TypeError, pa.ArrowException) as error:
            cause = error.__cause__ or error
            reason = " ".join(str(cause).split())[:200]
            raise DataError(f"{files[0].parent}: its parquet cannot be read: {reason}; write it again") from None
    return dataset, counts


def _hub(
    source: str, config: str | None, split: str | None, columns: dict[str, str], revision: str | None, lenient: bool
) -> Rows:
    dataset, chosen = load_from_hub(source, config, split, revision, lenient)
    name = f"{source} ({', '.join(part for part in (config, chosen) if part)})"
    return _not_empty(_rename(Rows(name, dataset, chosen), columns))


def _given(source: Dataset | Sequence[Mapping[str, Any]], columns: dict[str, str]) -> Rows:
    from datasets import Dataset

    if not isinstance(source, Dataset):
        source = Dataset(_encoded_table(source))
    if source._indices is not None:
        source = source.flatten_indices()
    return _not_empty(_rename(Rows("rows", source, str(source.split or "")), columns))


def _encoded_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows given in Python as a table: whatever is a picture in memory becomes an encoded cell."""
    from PIL import Image

    from pagetune.examples.pictures import encode, is_array

    names = [*dict.fromkeys(name for row in rows for name in row)]
    cells: dict[str, list[Any]] = {name: [] for name in names}
    for number, row in enumerate(rows):
        for name in names:
            value = row.get(name)
            if isinstance(value, Image.Image) or is_array(value):
                value = encode(value, f"rows: row {number}: {name}").cell()
            elif isinstance(value, bytes | bytearray):
                value = {"bytes": bytes(value), "path": None}
            elif isinstance(value, Path):
                value = {"bytes": None, "path": str(value)}
            elif isinstance(value, float) and math.isnan(value) and name not in NUMBERS:
                value = None  # An empty cell, as pandas has it.
            cells[name].append(value)
    return to_table(cells, "rows")


def _judge_mapping(columns: Mapping[str, str]) -> None:
    seen: dict[str, str] = {}
    for there, here in columns.items():
        if here not in OURS and not NEGATIVE.fullmatch(here):
            raise DataError(f"dataset.columns: {there}: {here!r} is no column; use {', '.join(OURS)} or negative_0 …")
        if here in seen:
            raise DataError(f"dataset.columns: {seen[here]!r} and {there!r} both become {here!r}; keep one")
        seen[here] = there


def _rename(rows: Rows, columns: Mapping[str, str]) -> Rows:
    found = rows.columns
    renaming = {there: here for there, here in columns.items() if there in found and there != here}
    for there, here in columns.items():
        if there not in found and here not in found:
            raise DataError(
                f"{rows.name}: column {there!r} of dataset.columns is missing (there are {found}); correct it"
            )
    for there, here in renaming.items():
        if here in found and here not in renaming:
            raise DataError(
                f"{rows.name}: {there!r} cannot become {here!r}, which is there too; map that one elsewhere"
            )
    return replace(rows, dataset=rows.dataset.rename_columns(renaming)) if renaming else rows


def _not_empty(rows: Rows) -> Rows:
    if not len(rows.dataset):
        raise DataError(f"{rows.name}: has no rows; give at least one")
    return rows
