"""How near each page is to each query, from their vectors, at any Matryoshka dimension."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


def truncate(vectors: NDArray[np.float32], dimension: int | None) -> NDArray[np.float32]:
    """float32 [n, dimension]: the first `dimension` numbers of each vector, brought to length 1 (None: all)."""
    if dimension is not None and not 0 < dimension <= vectors.shape[1]:
        raise ValueError(f"dimension={dimension} must be between 1 and the vectors' {vectors.shape[1]}")
    short = np.array(vectors[:, :dimension], dtype=np.float32)
    lengths = np.linalg.norm(short, axis=1, keepdims=True)
    np.divide(short, lengths, out=short, where=lengths > 0)
    return short


def score_pages(
    queries: Sequence[Matrix], vectors: Matrix, owner: NDArray[np.int64], dimension: int | None = None
) -> Matrix:
    """float32 [queries, pages]: for each vector of a query the nearest of the page's, summed over the query's.

    MaxSim (Khattab and Zaharia, 2020); the cosine where both have one vector. `owner` int64 [vectors], never falling,
    is the place of a vector's page, and every page has a vector.
    """
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]]) if len(owner) else np.zeros(0, np.int64)
    pages = truncate(vectors, dimension)
    found = np.zeros((len(queries), len(starts)), np.float32)
    for row, query in enumerate(queries):
        nearest = np.maximum.reduceat(truncate(query, dimension) @ pages.T, starts, axis=1)
        found[row] = nearest.sum(axis=0)
    return found
