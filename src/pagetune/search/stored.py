"""A few pages' way through an index and back: what it stores of their vectors, and how it scores them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pagetune.models.answers import Stored
from pagetune.models.encoding import PageVectors
from pagetune.models.scoring import Matrix
from pagetune.recipe import IndexRecipe
from pagetune.records import Page
from pagetune.search.building import build_index
from pagetune.search.index import SearchIndex

Store = Callable[[PageVectors, Sequence[Matrix]], Stored]


def through_index(recipe: IndexRecipe) -> Store:
    """The way through an index made by this recipe, in a folder of its own that is removed: for the parity gate."""

    def store(vectors: PageVectors, queries: Sequence[Matrix]) -> Stored:
        with tempfile.TemporaryDirectory(prefix="pagetune-parity-") as folder:
            pages = [_page(name) for name in vectors.ids]
            late = any(len(query) > 1 for query in queries)
            build_index(Path(folder) / "index", vectors, pages, recipe, late=late)
            return read_back(SearchIndex(Path(folder) / "index"), vectors.ids, queries)

    return store


def read_back(index: SearchIndex, ids: Sequence[str], queries: Sequence[Matrix]) -> Stored:
    """The vectors of the pages `ids` as an index holds them, and its scores of each query with each of these pages,
    searched as a user's would be."""
    import lancedb

    table = lancedb.connect(index.folder / "tables").open_table("passages").to_arrow()
    place = {name: number for number, name in enumerate(ids)}
    rows = np.array([place[name] for name in table["page"].to_pylist()], np.int64)
    column = table["vector"].combine_chunks()
    if index.info.late:
        order = np.argsort(rows)
        parts = [np.stack(column[int(row)].as_py()).astype(np.float32) for row in order]
        kept, owner = np.concatenate(parts), np.repeat(rows[order], [len(part) for part in parts])
    else:
        order = np.lexsort((np.array(table["passage"].to_pylist()), rows))
        flat = np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float32)
        kept, owner = flat.reshape(len(rows), -1)[order], rows[order]
    scores = np.zeros((len(queries), len(ids)), np.float32)
    for row, query in enumerate(queries):
        for name, (score, _) in index.nearest(query, len(ids)).items():
            scores[row, place[name]] = score
    return Stored(PageVectors(tuple(ids), kept, owner), scores)


def _page(name: str) -> Page:
    """A page of which an index needs no more than its vectors; its one word is for BM25."""
    box, one = np.zeros((1, 4), np.float32), np.ones(1, np.float32)
    return Page(name, name, 1, 1.0, 1.0, (name,), box, one, np.zeros(1, np.int32))
