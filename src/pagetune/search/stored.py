"""A few pages' way through an index and back: what it stores of their vectors, and how it scores them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pagetune.models.encoding import PageVectors
from pagetune.models.parity import Stored
from pagetune.models.scoring import Matrix, score_pages
from pagetune.recipe import IndexRecipe
from pagetune.records import Page
from pagetune.search.index import SearchIndex, build_index

Store = Callable[[PageVectors, Sequence[Matrix]], Stored]


def through_index(recipe: IndexRecipe) -> Store:
    """The way through an index made by this recipe, in a folder of its own that is removed: for the parity gate."""

    def store(vectors: PageVectors, queries: Sequence[Matrix]) -> Stored:
        with tempfile.TemporaryDirectory(prefix="pagetune-parity-") as folder:
            build_index(Path(folder) / "index", vectors, [_page(name) for name in vectors.ids], recipe)
            return read_back(SearchIndex(Path(folder) / "index"), vectors.ids, queries)

    return store


def read_back(index: SearchIndex, ids: Sequence[str], queries: Sequence[Matrix]) -> Stored:
    """The vectors of the pages `ids` as an index holds them, and its scores of each query with each of these pages.

    A query of one vector is searched as a user's would be; one of several vectors is scored over the stored vectors
    (MaxSim).
    """
    import lancedb

    table = lancedb.connect(index.folder / "tables").open_table("passages").to_arrow()
    place = {name: number for number, name in enumerate(ids)}
    owner = np.array([place[name] for name in table["page"].to_pylist()], np.int64)
    order = np.lexsort((np.array(table["passage"].to_pylist()), owner))
    flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    kept = np.asarray(flat, np.float32).reshape(len(owner), -1)[order]
    vectors = PageVectors(tuple(ids), kept, owner[order])
    if any(len(query) > 1 for query in queries):
        scores = score_pages(queries, vectors.vectors, vectors.owner, vectors.vectors.shape[1])
        return Stored(vectors, scores)
    scores = np.zeros((len(queries), len(ids)), np.float32)
    for row, query in enumerate(queries):
        for name, (score, _) in index.nearest(query[0], len(ids)).items():
            scores[row, place[name]] = score
    return Stored(vectors, scores)


def _page(name: str) -> Page:
    """A page of which an index needs no more than its vectors; its one word is for BM25."""
    box, one = np.zeros((1, 4), np.float32), np.ones(1, np.float32)
    return Page(name, name, 1, 1.0, 1.0, (name,), box, one, np.zeros(1, np.int32))
