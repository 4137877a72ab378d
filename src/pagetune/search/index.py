"""The index on disk: passages' vectors, pages with their text and thumbnail, and BM25 beside them.

    index/
      index.json     what it was made with: dimension, model, counts
      tables/        LanceDB: passages (page, document, number, passage, vector), pages (text, thumbnail …)
      bm25/          the lexical index over the same pages

Small tables are searched exactly. From `ann_from` vectors on an approximate index (IVF_HNSW_SQ: a graph over vectors of
8-bit numbers; Malkov and Yashunin, 2018) finds candidates, which are scored again by their full vectors.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
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
from pagetune.workspace import replace_folder

if TYPE_CHECKING:
    import pyarrow
    from PIL.Image import Image

LAYOUT = 1
_BATCH = 8192
"""Vectors written at a time."""
_PAGE_BATCH = 256
_RESCORED = 50
"""A query for up to this many passages has `refine` times as many rescored; larger ones need less."""


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What an index was made with."""

    layout: int
    dimension: int
    model: str
    """The fingerprint of the model whose vectors these are."""
    pages: int
    passages: int
    approximate: bool
    refine: int
    fusion_weight: float
    depth: int
    """Pages that each of the model and BM25 brings into the fusion."""


def build_index(
    folder: Path,
    vectors: Passages,
    pages: Sequence[Page],
    recipe: IndexRecipe,
    *,
    model: str = "",
    thumbnails: Iterable[tuple[str, Image]] = (),
    fusion_weight: float = 0.5,
    depth: int = 100,
    progress: Progress = SILENT,
) -> IndexInfo:
    """Write the index of `pages`; the folder is replaced as a whole, or not at all.

    `vectors` holds every page's passages; they are truncated to the recipe's dimension. `thumbnails` gives page ids
    and pictures, of any size and in any order. `model` is the fingerprint that a search compares. Raises SearchError.
    """
    import lancedb

    missing = sorted(set(vectors.ids) ^ {page.id for page in pages})
    if missing:
        raise SearchError(f"{len(missing)} pages are not in both pages and vectors, such as {missing[0]}; give both")
    dimension = min(recipe.dimension, vectors.vectors.shape[1])
    approximate = len(vectors.owner) >= recipe.ann_from
    info = IndexInfo(
        LAYOUT, dimension, model, len(pages), len(vectors.owner), approximate, recipe.refine, fusion_weight, depth
    )
    with replace_folder(folder) as fresh:
        database = lancedb.connect(fresh / "tables")
        passages = _write_passages(database, vectors, {page.id: page for page in pages}, dimension, progress)
        _write_pages(database, pages, thumbnails, recipe.thumbnail_side, progress)
        if approximate:
            _approximate(database, passages, len(vectors.owner), progress)
        BM25({page.id: page.text() for page in pages}).save(fresh / "bm25")
        (fresh / "index.json").write_text(json.dumps(asdict(info), indent=1), encoding="utf-8")
    return info


def _write_passages(
    database: Any, vectors: Passages, pages: Mapping[str, Page], dimension: int, progress: Progress
) -> Any:
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
                        pa.array([pages[page].document for page in ids], pa.string()),
                        pa.array(numbers[rows], pa.int32()),
                        pa.FixedSizeListArray.from_arrays(pa.array(short.ravel(), pa.float32()), dimension),
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


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page as the index holds it."""

    id: str
    document: str
    number: int
    text: str
    thumbnail: bytes | None = None


class SearchIndex:
    """An index opened for reading; tables are opened when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        """Raises SearchError where there is no index, or one of another layout."""
        try:
            found = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise SearchError(f"{folder} holds no index; build it with: pagetune index") from None
        if found.get("layout") != LAYOUT:
            raise SearchError(
                f"the index {folder} has layout {found.get('layout')!r}, this Pagetune reads {LAYOUT}; "
                "build it again with: pagetune index"
            )
        self.folder = folder
        self.info = IndexInfo(**found)

    @cached_property
    def bm25(self) -> BM25:
        return BM25.load(self.folder / "bm25")

    @cached_property
    def _passages(self) -> Any:
        return self._table("passages")

    @cached_property
    def _pages(self) -> Any:
        return self._table("pages")

    def _table(self, name: str) -> Any:
        try:
            return self._database.open_table(name)
        except (OSError, ValueError, RuntimeError) as error:
            raise SearchError(
                f"the index {self.folder} is damaged ({' '.join(str(error).split())[:200]}); delete it and run: "
                "pagetune index"
            ) from None

    @cached_property
    def _database(self) -> Any:
        import lancedb

        return lancedb.connect(self.folder / "tables")

    @cached_property
    def documents(self) -> dict[str, str]:
        """Page id -> document id, of every page."""
        table = self._pages.search().select(["page", "document"]).limit(self.info.pages).to_arrow()
        return dict(zip(table["page"].to_pylist(), table["document"].to_pylist(), strict=True))

    def nearest(
        self, vector: NDArray[np.float32], depth: int, documents: Sequence[str] = ()
    ) -> dict[str, tuple[float, int]]:
        """The `depth` nearest pages, best first: page id -> (cosine of its nearest passage, that passage's number).

        `vector` is float32 [dim], of the index's dimension or longer: it is truncated. Raises SearchError.
        """
        if len(vector) < self.info.dimension:
            raise SearchError(
                f"the query's vector has {len(vector)} dimensions, the index {self.info.dimension}; "
                "build the index again with: pagetune index"
            )
        query = truncate(vector[None].astype(np.float32), self.info.dimension)[0]
        wanted = min(self.info.passages, depth * -(-self.info.passages // max(1, self.info.pages)))
        while True:
            rows = self._closest(query, wanted, documents)
            found: dict[str, tuple[float, int]] = {}
            for page, passage, distance in rows:
                # The nearest comes first, so a page's first row is its best passage.
                found.setdefault(page, (round(1.0 - distance, 6), passage))
            if len(found) >= depth or len(rows) < wanted or wanted >= self.info.passages:
                break
            wanted = min(self.info.passages, 4 * wanted)
        order = sorted(found, key=lambda page: (-found[page][0], page))
        return {page: found[page] for page in order[:depth]}

    def _closest(
        self, query: NDArray[np.float32], wanted: int, documents: Sequence[str]
    ) -> list[tuple[str, int, float]]:
        search = self._passages.search(query).distance_type("cosine").select(["page", "passage", "_distance"])
        search = search.limit(max(1, wanted))
        if self.info.approximate:
            factor = min(self.info.refine, -(-self.info.refine * _RESCORED // max(1, wanted)))
            search = search.refine_factor(max(1, factor))
        if documents:
            search = search.where(f"document IN ({_quoted(documents)})", prefilter=True)
        table = search.to_arrow()
        columns = (table[name].to_pylist() for name in ("page", "passage", "_distance"))
        return list(zip(*columns, strict=True))

    def pages(self, ids: Sequence[str], *, thumbnails: bool = False) -> dict[str, StoredPage]:
        """Page id -> what is stored of it."""
        if not ids:
            return {}
        names = ["page", "document", "number", "text", *(["thumbnail"] if thumbnails else [])]
        rows = self._pages.search().where(f"page IN ({_quoted(ids)})").select(names).limit(len(ids)).to_arrow()
        return {row["page"]: StoredPage(row.pop("page"), **row) for row in rows.to_pylist()}


def _quoted(names: Sequence[str]) -> str:
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)
