"""The index on disk: passages' vectors, pages with their text and thumbnail, and BM25 beside them.

    index/
      index.json     what it was made with: dimension, model, counts
      tables/        LanceDB: passages (page, document, passage, vector), pages (text, thumbnail …)
      bm25/          the lexical index over the same pages

Small tables are searched exactly. From `ann_from` vectors on an approximate index (IVF_HNSW_SQ: a graph over vectors of
8-bit numbers; Malkov and Yashunin, 2018) finds candidates, which are scored again by their full vectors.

An index of late interaction has a row a page in `passages`, with the vectors of all its tokens, and scores by MaxSim:
for each token of the query its nearest of the page, added up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import SearchError
from pagetune.evaluation.lexical import BM25
from pagetune.models.scoring import truncate

if TYPE_CHECKING:
    pass

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
    late: bool = False
    """Whether `passages` counts tokens, and a score adds up those of the query."""
    bytes_per_page: int = 0
    """Of a page's vectors, in float32."""


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

        `vector` is float32 [dim], of the index's dimension or longer: it is truncated. In an index of late interaction
        it is [tokens, dim], the score is MaxSim, and the number is 0. Raises SearchError.
        """
        query = self._query(vector)
        if self.info.late:
            rows = self._closest(query, depth, documents)
            # LanceDB adds up 1 - cosine over the query's tokens.
            return {page: (round(len(query) - distance, 6), 0) for page, _, distance in _by_distance(rows)[:depth]}
        wanted = min(self.info.passages, depth * -(-self.info.passages // max(1, self.info.pages)))
        while True:
            rows = self._closest(query[0], wanted, documents)
            found: dict[str, tuple[float, int]] = {}
            for page, passage, distance in rows:
                # The nearest comes first, so a page's first row is its best passage.
                found.setdefault(page, (round(1.0 - distance, 6), passage))
            if len(found) >= depth or len(rows) < wanted or wanted >= self.info.passages:
                break
            wanted = min(self.info.passages, 4 * wanted)
        order = sorted(found, key=lambda page: (-found[page][0], page))
        return {page: found[page] for page in order[:depth]}

    def nearest_passages(self, vector: NDArray[np.float32], pages: Sequence[str], most: int) -> dict[str, list[int]]:
        """Page id -> the numbers of its `most` nearest passages, the nearest first; not for late interaction."""
        if not pages:
            return {}
        search = (
            self._passages.search(self._query(vector)[0])
            .distance_type("cosine")
            .select(["page", "passage", "_distance"])
        )
        # Exact: few rows are left, and every page needs its own.
        search = search.where(f"page IN ({_quoted(pages)})", prefilter=True).limit(self.info.passages)
        table = (search.bypass_vector_index() if self.info.approximate else search).to_arrow()
        found: dict[str, list[int]] = {page: [] for page in pages}
        for page, passage in zip(table["page"].to_pylist(), table["passage"].to_pylist(), strict=True):
            if len(found[page]) < most:
                found[page].append(passage)
        return found

    def _query(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [vectors, dimension]: the query as the index compares it."""
        query = np.atleast_2d(vector).astype(np.float32)
        if query.shape[1] < self.info.dimension or (len(query) > 1 and not self.info.late):
            raise SearchError(
                f"the query has {len(query)} vector(s) of {query.shape[1]} dimensions, the index {self._form()}; "
                "build the index again with: pagetune index"
            )
        return truncate(query, self.info.dimension)

    def _form(self) -> str:
        return f"one a {'token' if self.info.late else 'passage'} of {self.info.dimension}"

    def _closest(
        self, query: NDArray[np.float32], wanted: int, documents: Sequence[str]
    ) -> list[tuple[str, int, float]]:
        names = ["page", "_distance"] if self.info.late else ["page", "passage", "_distance"]
        search = self._passages.search(query).distance_type("cosine").select(names).limit(max(1, wanted))
        if self.info.approximate:
            factor = min(self.info.refine, -(-self.info.refine * _RESCORED // max(1, wanted)))
            search = search.refine_factor(max(1, factor))
        if documents:
            search = search.where(f"document IN ({_quoted(documents)})", prefilter=True)
        table = search.to_arrow()
        passages = [0] * len(table) if self.info.late else table["passage"].to_pylist()
        return list(zip(table["page"].to_pylist(), passages, table["_distance"].to_pylist(), strict=True))

    def pages(self, ids: Sequence[str], *, thumbnails: bool = False) -> dict[str, StoredPage]:
        """Page id -> what is stored of it."""
        if not ids:
            return {}
        names = ["page", "document", "number", "text", *(["thumbnail"] if thumbnails else [])]
        rows = self._pages.search().where(f"page IN ({_quoted(ids)})").select(names).limit(len(ids)).to_arrow()
        return {row["page"]: StoredPage(row.pop("page"), **row) for row in rows.to_pylist()}


def _quoted(names: Sequence[str]) -> str:
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)


def _by_distance(rows: list[tuple[str, int, float]]) -> list[tuple[str, int, float]]:
    return sorted(rows, key=lambda row: (round(row[2], 6), row[0]))
