"""Pages and documents as parquet.

pages.parquet, a row a page, in reading order:
    id, document, digest   string       digest: of the page's content
    number                 int32        from 1
    width, height          float64      points, as shown
    words                  list<string>
    boxes                  list<float>  left, bottom, right, top of each word, flattened
    sizes                  list<float>  height of the type of each word, points
    lines                  list<int32>  line of each word
    sources                list<uint8>  where each word was read: its place in records.SOURCES
    origin, kind           string       see records.Page
    duplicate_of           string       id of the first page of the same content, or null

documents.parquet, a row for each file that was offered: the fields of records.Document, and `source`, the name of the
file in sources/ that its pages are rendered from (empty if it was not read).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pagetune.records import Document, OutlineEntry, Page

if TYPE_CHECKING:
    import pyarrow

_NOTE = b"pagetune"
_ARRAYS = ("boxes", "sizes", "lines", "sources")


def page_schema() -> pyarrow.Schema:
    """The columns of pages.parquet."""
    import pyarrow as pa

    text, numbers = pa.string(), pa.float32()
    return pa.schema(
        {
            **{"id": text, "document": text, "number": pa.int32(), "width": pa.float64(), "height": pa.float64()},
            **{"words": pa.list_(text), "boxes": pa.list_(numbers), "sizes": pa.list_(numbers)},
            **{
                "lines": pa.list_(pa.int32()),
                "sources": pa.list_(pa.uint8()),
                "origin": text,
                "kind": text,
                "digest": text,
                "duplicate_of": text,
            },
        }
    )


def document_schema() -> pyarrow.Schema:
    """The columns of documents.parquet."""
    import pyarrow as pa

    text = pa.string()
    entry = pa.struct([("level", pa.int32()), ("title", text), ("page", pa.int32()), ("top", pa.float64())])
    return pa.schema(
        {
            **{"id": text, "path": text, "digest": text, "format": text, "pages": pa.int32(), "title": text},
            **{"language": text, "outline": pa.list_(entry), "metadata": pa.map_(text, text)},
            **{"status": text, "reason": text, "source": text},
        }
    )


def pages_to_table(pages: Sequence[Page]) -> pyarrow.Table:
    """Pages as rows of `page_schema`."""
    import pyarrow as pa

    schema = page_schema()
    columns: list[Any] = []
    for field in schema:
        values = [getattr(page, field.name) for page in pages]
        if field.name in _ARRAYS:
            columns.append(_lists([np.asarray(value).ravel() for value in values], field.type.value_type))
        else:
            columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=schema)


def _lists(values: Sequence[NDArray[Any]], kind: Any) -> Any:
    import pyarrow as pa

    offsets = np.cumsum([0, *map(len, values)]).astype(np.int32)
    flat = np.concatenate(values) if values else np.zeros(0, np.float32)
    return pa.ListArray.from_arrays(offsets, pa.array(flat, kind))


def table_to_pages(table: pyarrow.Table) -> list[Page]:
    """Rows of `page_schema` as pages."""
    pages: list[Page] = []
    for batch in table.to_batches():
        parts = {name: batch.column(name) for name in batch.schema.names}
        plain = {
            name: parts.pop(name).to_pylist()
            for name in ("id", "document", "number", "width", "height", "words", "origin", "kind", "digest")
        }
        plain["duplicate_of"] = parts.pop("duplicate_of").to_pylist()
        arrays = {name: _split(parts[name]) for name in _ARRAYS if name in parts}  # `sources` came later.
        for row in range(batch.num_rows):
            fields = {name: values[row] for name, values in plain.items()}
            fields["words"] = tuple(fields["words"])
            fields |= {name: values[row] for name, values in arrays.items()}
            fields["boxes"] = fields["boxes"].reshape(-1, 4)
            pages.append(Page(**fields))
    return pages


def _split(column: Any) -> list[NDArray[Any]]:
    offsets = column.offsets.to_numpy()
    values = column.values.to_numpy(zero_copy_only=False)
    return [values[start:stop] for start, stop in pairwise(offsets)]


def documents_to_table(documents: Iterable[tuple[Document, str]]) -> pyarrow.Table:
    """Documents, each with the name of its source file, as rows of `document_schema`."""
    import pyarrow as pa

    rows = [_document_row(document) | {"source": source} for document, source in documents]
    return pa.Table.from_pylist(rows, schema=document_schema())


def table_to_documents(table: pyarrow.Table) -> list[tuple[Document, str]]:
    """Rows of `document_schema` as documents, each with the name of its source file."""
    found = []
    for row in table.to_pylist():
        source = row.pop("source")
        row["metadata"] = dict(row["metadata"])
        row["outline"] = tuple(OutlineEntry(**entry) for entry in row["outline"])
        found.append((Document(**row), source))
    return found


def _document_row(document: Document) -> dict[str, Any]:
    names = ("id", "path", "digest", "format", "pages", "title", "language", "status", "reason")
    outline = [{"level": e.level, "title": e.title, "page": e.page, "top": e.top} for e in document.outline]
    return {
        **{name: getattr(document, name) for name in names},
        "outline": outline,
        "metadata": list(document.metadata.items()),
    }


def save_pages(path: Path, pages: Sequence[Page], note: dict[str, Any]) -> None:
    """One document's pages and a JSON note beside them, as one file that is there whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pagetune.workspace import write_atomically

    table = pages_to_table(pages).replace_schema_metadata({_NOTE: json.dumps(note)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomically(path, sink.getvalue().to_pybytes())


def load_pages(path: Path) -> tuple[list[Page], dict[str, Any]] | None:
    """What `save_pages` wrote, None if it is not there or not readable."""
    note = load_note(path)
    if note is None:
        return None
    import pyarrow.parquet as pq

    return table_to_pages(pq.read_table(path)), note


def load_note(path: Path) -> dict[str, Any] | None:
    """Only the note of what `save_pages` wrote, None if it is not there or not readable."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return dict(json.loads(pq.read_schema(path).metadata[_NOTE]))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None
