"""Writing an index: the vectors of passages or tokens, the pages with their text and thumbnail, BM25."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import SearchError
from pagetune.evaluation.lexical import BM25
from pagetune.evaluation.retrieval import Passages
from pagetune.models.scoring import truncate
from pagetune.progress import SILENT, Progress
from pagetune.recipe import IndexRecipe
from pagetune.records import Page
from pagetune.search.index import LAYOUT, IndexInfo
from pagetune.workspace import replace_folder

if TYPE_CHECKING:
    import pyarrow
    from PIL.Image import Image

_BATCH = 8192
"""Vectors written at a time."""
_TOKENS_BATCH = 64
"""Pages whose tokens are written at a time."""
_PAGE_BATCH = 256
TOKENS_A_PASSAGE = 25
"""An approximate index of tokens pays later than one of passages: a page is scored by all of its own at once."""


def build_index(
    folder: Path,
    vectors: Passages,
    pages: Sequence[Page],
    recipe: IndexRecipe,
    *,
    late: bool = False,
    model: str = "",
    thumbnails: Iterable[tuple[str, Image]] = (),
    fusion_weight: float = 0.5,
    depth: int = 100,
    progress: Progress = SILENT,
) -> IndexInfo:
    """Write the index of `pages`; the folder is replaced as a whole, or not at all.

    `vectors` holds every page's passages, which are truncated to the recipe's dimension; with `late` its tokens, which
    keep their width, all those of a page in one row (LanceDB's multivector). `thumbnails` gives page ids and pictures,
    of any size and in any order. `model` is the fingerprint that a search compares. Raises SearchError.
    """
    import lancedb

    missing = sorted(set(vectors.ids) ^ {page.id for page in pages})
    if missing:
        raise SearchError(f"{len(missing)} pages are not in both pages and vectors, such as {missing[0]}; give both")
    width = vectors.vectors.shape[1]
    dimension = width if late else min(recipe.dimension, width)
    approximate = len(vectors.owner) >= recipe.ann_from * (TOKENS_A_PASSAGE if late else 1)
    info = IndexInfo(
        layout=LAYOUT,
        dimension=dimension,
        model=model,
        pages=len(pages),
        passages=len(vectors.owner),
        approximate=approximate,
        refine=recipe.refine,
        fusion_weight=fusion_weight,
        depth=depth,
        late=late,
        bytes_per_page=round(4 * dimension * len(vectors.owner) / max(1, len(pages))),
    )
    with replace_folder(folder) as fresh:
        database = lancedb.connect(fresh / "tables")
        documents = {page.id: page.document for page in pages}
        write = _write_tokens if late else _write_passages
        passages = write(database, vectors, documents, dimension, progress)
        _write_pages(database, pages, thumbnails, recipe.thumbnail_side, progress)
        if approximate:
            _approximate(database, passages, len(vectors.owner), progress)
        BM25({page.id: page.text() for page in pages}).save(fresh / "bm25")
        (fresh / "index.json").write_text(json.dumps(asdict(info), indent=1), encoding="utf-8")
    return info


def _write_passages(
    database: Any, vectors: Passages, documents: Mapping[str, str], dimension: int, progress: Progress
) -> Any:
    """A row a passage."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("page", pa.string()),
            ("document", pa.string()),
            ("passage", pa.int32()),
            ("vector", pa.list_(pa.float32(), dimension)),
        ]
    )
    numbers = _passage_numbers(vectors.owner)

    def batches() -> Iterator[pyarrow.RecordBatch]:
        with progress.task("write vectors", len(vectors.owner), "vectors") as task:
            for start in range(0, len(vectors.owner), _BATCH):
                rows = slice(start, start + _BATCH)
                short = truncate(vectors.vectors[rows], dimension)
                ids = [vectors.ids[owner] for owner in vectors.owner[rows]]
                yield pa.record_batch(
                    [
                        pa.array(ids, pa.string()),
                        pa.array([documents[page] for page in ids], pa.string()),
                        pa.array(numbers[rows], pa.int32()),
                        pa.FixedSizeListArray.from_arrays(pa.array(short.ravel(), pa.float32()), dimension),
                    ],
                    schema=schema,
                )
                task.advance(len(ids))

    return database.create_table("passages", data=pa.RecordBatchReader.from_batches(schema, batches()))


def _write_tokens(
    database: Any, vectors: Passages, documents: Mapping[str, str], dimension: int, progress: Progress
) -> Any:
    """A row a page, which holds the vectors of all its tokens."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("page", pa.string()),
            ("document", pa.string()),
            ("vector", pa.list_(pa.list_(pa.float32(), dimension))),
        ]
    )
    order = np.argsort(vectors.owner, kind="stable")
    bounds = np.searchsorted(vectors.owner[order], np.arange(len(vectors.ids) + 1))

    def batches() -> Iterator[pyarrow.RecordBatch]:
        with progress.task("write vectors", len(vectors.ids), "pages") as task:
            for start in range(0, len(vectors.ids), _TOKENS_BATCH):
                ids = list(vectors.ids[start : start + _TOKENS_BATCH])
                stops = bounds[start : start + len(ids) + 1]
                tokens = truncate(vectors.vectors[order[stops[0] : stops[-1]]], dimension)
                flat = pa.FixedSizeListArray.from_arrays(pa.array(tokens.ravel(), pa.float32()), dimension)
                yield pa.record_batch(
                    [
                        pa.array(ids, pa.string()),
                        pa.array([documents[page] for page in ids], pa.string()),
                        pa.ListArray.from_arrays(pa.array(stops - stops[0], pa.int32()), flat),
                    ],
                    schema=schema,
                )
                task.advance(len(ids))

    return database.create_table("passages", data=pa.RecordBatchReader.from_batches(schema, batches()))


def _passage_numbers(owner: NDArray[np.int64]) -> NDArray[np.int32]:
    """int32 [n]: 0, 1, 2 … within each page, in the order of the vectors."""
    order = np.argsort(owner, kind="stable")
    _, starts, counts = np.unique(owner[order], return_index=True, return_counts=True)
    numbers = np.empty(len(owner), dtype=np.int32)
    numbers[order] = np.arange(len(owner)) - np.repeat(starts, counts)
    return numbers


def _write_pages(
    database: Any, pages: Sequence[Page], thumbnails: Iterable[tuple[str, Image]], side: int, progress: Progress
) -> None:
    import pyarrow as pa

    schema = pa.schema(
        [
            ("page", pa.string()),
            ("document", pa.string()),
            ("number", pa.int32()),
            ("text", pa.string()),
            ("thumbnail", pa.binary()),
        ]
    )

    def batches() -> Iterator[pyarrow.RecordBatch]:
        with progress.task("write pages", len(pages), "pages") as task:
            rows: list[dict[str, Any]] = []
            for page, picture in _with_pictures(pages, thumbnails):
                rows.append(
                    {
                        "page": page.id,
                        "document": page.document,
                        "number": page.number,
                        "text": page.text().encode("utf-8", "replace").decode("utf-8"),
                        "thumbnail": None if picture is None else _jpeg(picture, side),
                    }
                )
                task.advance()
                if len(rows) == _PAGE_BATCH:
                    yield pa.RecordBatch.from_pylist(rows, schema=schema)
                    rows = []
            if rows:
                yield pa.RecordBatch.from_pylist(rows, schema=schema)

    database.create_table("pages", data=pa.RecordBatchReader.from_batches(schema, batches()))


def _with_pictures(
    pages: Sequence[Page], thumbnails: Iterable[tuple[str, Image]]
) -> Iterator[tuple[Page, Image | None]]:
    """Every page once: those with a picture as the pictures come, then the others."""
    waiting = {page.id: page for page in pages}
    for page_id, picture in thumbnails:
        page = waiting.pop(page_id, None)
        if page is not None:
            yield page, picture
    for page in waiting.values():
        yield page, None


def _jpeg(picture: Image, side: int) -> bytes:
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=70, optimize=True)
    return out.getvalue()


def _approximate(database: Any, passages: Any, rows: int, progress: Progress) -> None:
    from lancedb.index import Bitmap, BTree, HnswSq

    progress.say(f"building an approximate index over {rows:,} vectors, which takes about 0.4 ms a vector")
    with progress.task("build approximate index", None, "vectors") as task:
        passages.create_index("vector", config=HnswSq(distance_type="cosine"))
        passages.create_index("document", config=Bitmap())
        database.open_table("pages").create_index("page", config=BTree())
        task.advance(rows)
