"""JSONL, JSON, CSV and TSV files as arrow tables, each broken line named; parquet through `datasets`.

A row counts from 0, as in Python; a line of a file from 1, as in an editor.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError
from pagetune.workspace import read_text

if TYPE_CHECKING:
    import pyarrow as pa

_CSV = (".csv", ".tsv")
NUMBERS = ("label", "score")
"""Columns of a CSV file that hold numbers; everything else in it is text."""

_KINDS = {bool: "a truth value", int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}


def read_text_table(path: Path, columns: Mapping[str, str]) -> pa.Table:
    """One JSONL, JSON, CSV or TSV file, its columns renamed by `columns` (found name -> our name).

    Cells that are missing are null. Raises DataError, naming the file, the line or row, and the column.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}; check the file") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}; save the file as UTF-8") from None
    rows = [*(_csv_rows(text, path) if path.suffix in _CSV else _json_rows(text, path))]
    names = [*dict.fromkeys(name for row in rows for name in row)]
    cells = {columns.get(name, name): [row.get(name) for row in rows] for name in names}
    if path.suffix in _CSV:
        cells |= {name: _numbers(cells[name]) for name in NUMBERS if name in cells}
    return to_table(cells, str(path))


def to_table(cells: Mapping[str, Sequence[Any]], where: str) -> pa.Table:
    """Columns of Python values as an arrow table. Raises DataError where a column mixes kinds."""
    import pyarrow as pa

    arrays = {}
    for name, values in cells.items():
        _judge_kinds(name, values, where)
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{where}: column {name!r} is of no one type: {reason}; write it alike in all rows"
            ) from None
    return pa.table(arrays)


def _csv_rows(text: str, path: Path) -> Iterator[dict[str, Any]]:
    first = text.partition("\n")[0]
    # Spreadsheets of many countries part their cells with semicolons, those of some with tabs.
    usual = "\t" if path.suffix == ".tsv" else ","
    delimiter = usual if usual in first else next((mark for mark in ";\t," if mark in first), usual)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        head = [name.strip() for name in next(reader, [])]
        doubled = [name for place, name in enumerate(head) if name in head[:place]]
        if doubled:
            raise DataError(f"{path}: line 1: column {doubled[0]!r} is there twice; rename one")
        for values in reader:
            if not any(values):  # An empty line, or what a spreadsheet makes of one.
                continue
            if len(values) != len(head):
                raise DataError(
                    f"{path}: line {reader.line_num}: {len(values)} cells, but {len(head)} columns; "
                    "quote cells that hold a separator"
                )
            yield {name: value or None for name, value in zip(head, values, strict=True)}
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: not CSV: {error}; correct the line") from None


def _json_rows(text: str, path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".json" and text.lstrip().startswith("["):
        try:
            found = json.loads(text, parse_constant=_constant)
        except ValueError as error:
            raise DataError(f"{path}: not JSON: {error}; correct the file") from None
        for row, cells in enumerate(found):
            if not isinstance(cells, dict):
                raise DataError(f"{path}: row {row}: {cells!r} is not an object; write {{column: value}}")
            yield cells
        return
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            cells = json.loads(content, parse_constant=_constant)
        except ValueError as error:
            reason = str(error).partition(":")[0]
            raise DataError(f"{path}: line {line}: not JSON: {reason}: {content.strip()[:40]!r}; correct it") from None
        if not isinstance(cells, dict):
            raise DataError(f"{path}: line {line}: {content.strip()[:40]} is not an object; write {{column: value}}")
        yield cells


def _constant(name: str) -> float | None:
    """A missing value as pandas and numpy write it in JSON is a missing value."""
    return None if name == "NaN" else float(name)


def _judge_kinds(name: str, values: Sequence[Any], where: str) -> None:
    """Refuse a column of text in which one row has a number, naming the row: arrow would not."""
    first: str | None = None
    for row, value in enumerate(values):
        kind = None if value is None else _KINDS.get(type(value), type(value).__name__)
        if kind is None or kind == first:
            continue
        if first is not None:
            raise DataError(
                f"{where}: row {row}: {name} {value!r} is {kind}, where rows before have {first}; correct it"
            )
        first = kind


def _numbers(values: list[str | None]) -> list[Any]:
    """The values as whole numbers, else as numbers; as they are if one is neither, which is said later."""
    for kind in (int, float):
        try:
            return [None if value is None else kind(value) for value in values]
        except ValueError:
            continue
    return values
