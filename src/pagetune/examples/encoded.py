"""Columns of pictures that stay encoded: each header read, hashed and judged once, the bytes left where they lie."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError
from pagetune.examples.pictures import Picture, encode, is_url

if TYPE_CHECKING:
    import pyarrow as pa

    from pagetune.examples.fetching import Fetcher
    from pagetune.examples.sources import Rows

_BATCH = 256
_FETCHES = 8
"""So many addresses are fetched at a time."""


@dataclass
class Faults:
    """The broken rows of a table: the first is raised, or, where `skip`, all are collected."""

    skip: bool = False
    rows: dict[int, str] = field(default_factory=dict)

    def add(self, row: int, message: str) -> None:
        """Raise DataError with the message, or note that the row is broken (its first fault)."""
        if not self.skip:
            raise DataError(message)
        self.rows.setdefault(row, message)


@dataclass(frozen=True, eq=False)
class PictureColumn:
    """A column of encoded pictures. `cells` are of the type of `datasets.Image`; a row left out is null there.

    `keys` are content keys, "" for a row left out; `sizes` are width, height and the number of bytes.
    """

    cells: pa.ChunkedArray
    keys: list[str]
    sizes: list[tuple[int, int, int]]

    def cell(self, row: int) -> dict[str, Any]:
        """The encoded picture of a row: {"bytes", "path"}."""
        found: dict[str, Any] = self.cells[row].as_py()
        return found


def read_pictures(
    rows: Rows, column: str, faults: Faults, wanted: Collection[int] | None = None, fetcher: Fetcher | None = None
) -> PictureColumn:
    """Read the headers of a column of pictures in any form. `wanted`: only these rows, none: all but broken ones.

    Cells that are encoded pictures already are not copied. Broken pictures go to `faults`.
    """
    import pyarrow as pa

    stored = rows.dataset.data.column(column)
    chunks: list[pa.Array] = []
    keys: list[str] = []
    sizes: list[tuple[int, int, int]] = []
    with ThreadPoolExecutor(_FETCHES) as pool:
        for part in _parts(stored):
            start = len(keys)
            numbers = [
                row
                for row in range(start, start + len(part))
                if (wanted is None or row in wanted) and row not in faults.rows
            ]
            values = {row: part[row - start].as_py() for row in numbers}
            found = _read_batch(rows, column, values, faults, fetcher, pool)
            for row in range(start, start + len(part)):
                picture = found.get(row)
                keys.append(picture.key if picture else "")
                sizes.append((picture.width, picture.height, picture.size) if picture else (0, 0, 0))
            chunks.append(_chunk(part, start, values, found))
    return PictureColumn(pa.chunked_array(chunks, _cell_type()), keys, sizes)


def _parts(stored: pa.ChunkedArray) -> Iterator[pa.Array]:
    """The column in batches that lie in one piece: joining pieces would copy them into memory."""
    for chunk in stored.chunks:
        for start in range(0, len(chunk), _BATCH):
            yield chunk.slice(start, _BATCH)


def _read_batch(
    rows: Rows,
    column: str,
    values: Mapping[int, Any],
    faults: Faults,
    fetcher: Fetcher | None,
    pool: ThreadPoolExecutor,
) -> dict[int, Picture]:
    def read(row: int) -> Picture | DataError:
        try:
            return encode(_in_memory(values[row]), f"{rows.where(row)}: {column}", rows.folder(row), fetcher)
        except DataError as error:
            return error

    fetched = any(is_url(_path(value)) for value in values.values())
    results = pool.map(read, values) if fetched else map(read, values)
    found = {}
    for row, result in zip(values, results, strict=True):
        if isinstance(result, DataError):
            faults.add(row, str(result))
        else:
            found[row] = result
    return found


def _chunk(part: pa.Array, start: int, values: Mapping[int, Any], found: Mapping[int, Picture]) -> pa.Array:
    """The batch as cells: what is stored already where nothing has changed, so that no bytes are copied."""
    import pyarrow as pa

    def unchanged(row: int) -> bool:
        picture = found.get(row)
        return picture is None or (picture.content is not None and picture.content is _bytes(values[row]))

    stored = _as_cells(part)
    if stored is not None and all(unchanged(row) for row in range(start, start + len(part))):
        return stored
    cells = [found[row].cell() if row in found else None for row in range(start, start + len(part))]
    return pa.array(cells, _cell_type())


def _as_cells(part: pa.Array) -> pa.Array | None:
    import pyarrow as pa

    if part.type == _cell_type():
        return part
    if pa.types.is_binary(part.type):
        return pa.StructArray.from_arrays([part, pa.nulls(len(part), pa.string())], fields=[*_cell_type()])
    return None


def _cell_type() -> pa.StructType:
    import pyarrow as pa

    return pa.struct({"bytes": pa.binary(), "path": pa.string()})


def _bytes(value: Any) -> Any:
    return value.get("bytes") if isinstance(value, Mapping) else value


def _path(value: Any) -> Any:
    return (None if value.get("bytes") else value.get("path")) if isinstance(value, Mapping) else value


def _in_memory(value: Any) -> Any:
    """Nested lists, as arrow keeps arrays, as an array."""
    if not isinstance(value, list):
        return value
    import numpy as np

    try:
        return np.array(value)
    except ValueError:
        return value


@dataclass(frozen=True, eq=False)
class EncodedPages:
    """Pages by id: where each one's picture lies, as a column and a row of it."""

    columns: Mapping[str, PictureColumn]
    places: Mapping[str, tuple[str, int]]

    def cell(self, page: str) -> dict[str, Any]:
        """The encoded picture: {"bytes", "path"}. Raises DataError for an unknown page."""
        column, row = self._place(page)
        return self.columns[column].cell(row)

    def key(self, page: str) -> str:
        """The content key. Raises DataError for an unknown page."""
        column, row = self._place(page)
        return self.columns[column].keys[row]

    def size(self, page: str) -> tuple[int, int, int]:
        """Width, height and number of bytes. Raises DataError for an unknown page."""
        column, row = self._place(page)
        return self.columns[column].sizes[row]

    def _place(self, page: str) -> tuple[str, int]:
        try:
            return self.places[page]
        except KeyError:
            raise DataError(f"there is no page {page!r} among {len(self.places)}; use an id of page_ids") from None
