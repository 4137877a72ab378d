"""Ranking pages by vectors, and joining two rankings into one.

A page is as near to a query as its nearest passage. Vectors are truncated to a Matryoshka dimension and brought
back to length 1 (Kusupati et al., 2022), so that one encoding serves every dimension.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pagetune.evaluation.ranking import Run, best_places, ranking
from pagetune.models.scoring import score_pages, truncate

Queries = NDArray[np.float32] | Sequence[NDArray[np.float32]]
"""float32 [queries, dim], a vector a query; or a matrix [vectors, dim] a query, for late interaction."""

_BLOCK = 1 << 25
"""Scores held at a time: 128 MiB of float32."""


class Passages(Protocol):
    """What ranking needs of `pagetune.models.encoding.PageVectors`."""

    @property
    def ids(self) -> tuple[str, ...]: ...

    @property
    def vectors(self) -> NDArray[np.float32]: ...

    @property
    def owner(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """What one model made of the queries, in their order, and of the pages."""

    queries: Queries
    pages: Passages

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.pages.vectors.shape[1])

    @property
    def late(self) -> bool:
        """Whether a query has several vectors; those have no shorter dimensions."""
        return any(np.ndim(query) > 1 and len(query) > 1 for query in self.queries)

    def storage(self) -> dict[str, float]:
        """How many vectors a page has, and their bytes in float32."""
        vectors = len(self.pages.owner) / max(1, len(self.pages.ids))
        return {"vectors_per_page": round(vectors, 2), "bytes_per_page": round(4 * self.width * vectors)}


def rank_pages(
    query_ids: Sequence[str],
    query_vectors: Queries,
    pages: Passages,
    *,
    dimension: int | None = None,
    depth: int = 100,
    exclude: Mapping[str, Collection[str]] | None = None,
) -> Run:
    """The `depth` nearest pages of each query by cosine, exact, a page by its nearest passage.

    Where a query has several vectors a page's score is their sum (MaxSim; Khattab and Zaharia, 2020). `exclude` names
    the pages to leave out of a query's answer.
    """
    if len(query_ids) != len(query_vectors):
        raise ValueError(f"{len(query_ids)} query ids for {len(query_vectors)} query vectors: give one vector a query")
    if not len(pages.owner):
        return {query: {} for query in query_ids}
    left_out = exclude or {}
    order = np.argsort(pages.owner, kind="stable")
    owner, vectors = pages.owner[order], pages.vectors[order]
    ids = [pages.ids[place] for place in np.unique(owner)]
    run: Run = {}
    asked = iter(query_ids)
    for block in _scores(query_vectors, vectors, owner, dimension):
        names = list(islice(asked, len(block)))
        found = best_places(block, ids, depth, [left_out.get(query, ()) for query in names])
        for query, row, places in zip(names, block, found, strict=True):
            run[query] = dict(zip([ids[place] for place in places], row[places].tolist(), strict=True))
    return run


def _scores(
    queries: Queries, vectors: NDArray[np.float32], owner: NDArray[np.int64], dimension: int | None
) -> Iterator[NDArray[np.float32]]:
    """float32 [some queries, pages], block after block. A product's last bits depend on how the matrix was blocked:
    equal vectors shall tie, so the scores are rounded."""
    if not isinstance(queries, np.ndarray):
        if any(len(query) != 1 for query in queries):
            yield np.round(score_pages(queries, vectors, owner, dimension), 6).astype(np.float32, copy=False)
            return
        queries = np.concatenate(queries)
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    passages, short = truncate(vectors, dimension), truncate(queries, dimension)
    step = max(1, _BLOCK // len(passages))
    for first in range(0, len(short), step):
        near = np.maximum.reduceat(short[first : first + step] @ passages.T, starts, axis=1)
        yield np.round(near, 6).astype(np.float32, copy=False)


def fuse(dense: Run, lexical: Run, weight: float = 0.5, *, depth: int | None = None) -> Run:
    """Join two runs: `weight` times the model's scores plus (1 - weight) times BM25's, each scaled to 0..1.

    The scale is the query's own (min-max; Fox and Shaw, 1994). A page that only one run holds gets the other's 0.
    Best where both runs have the same depth; 50 to 200 pages changed little where it was measured.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight={weight} must be between 0 and 1")
    fused: Run = {}
    for query in dict.fromkeys((*dense, *lexical)):
        near, shared = dense.get(query, {}), lexical.get(query, {})
        # A lexical run that ends early has run out of pages that share a word: its floor is 0, not its last score.
        first, second = _scaled(near), _scaled(shared, floor=0.0 if len(shared) < len(near) else None)
        joined = {
            page: round(weight * first.get(page, 0.0) + (1 - weight) * second.get(page, 0.0), 6)
            for page in dict.fromkeys((*first, *second))
        }
        fused[query] = {page: joined[page] for page in ranking(joined)[:depth]}
    return fused


def _scaled(scores: Mapping[str, float], floor: float | None = None) -> dict[str, float]:
    if not scores:
        return {}
    low, high = min(scores.values()) if floor is None else floor, max(scores.values())
    if high <= low:
        return dict.fromkeys(scores, 1.0)
    return {page: (score - low) / (high - low) for page, score in scores.items()}
