"""Vectors at rest in fewer bits, what they stand for, and an exact search over them as they lie.

float32, float16, int8 (a value a byte, the range of each dimension cut into 256 steps) and binary (a sign a bit), the
last two as Sentence Transformers' `quantize_embeddings` makes them; int8's ranges are those of the corpus. A query
stays in float32, so that only the pages' bytes shrink; over binary it is first reduced to its signs too, which makes a
comparison an exclusive or, and may then be rescored.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Precision = Literal["float32", "float16", "int8", "binary"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Matrix = NDArray[np.float32]

_FEW = 1 << 18
"""Numbers that one thread turns into float32."""

_ROWS = 1 << 13
"""Vectors turned into float32 at a time, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """The vectors of a collection in one precision.

    `codes` [vectors, bytes or values]; for int8 `low` and `step` float32 [dimension]: what the codes stand for.
    """

    precision: Precision
    dimension: int
    codes: NDArray[Any]
    low: Matrix | None = None
    step: Matrix | None = None

    @property
    def vector_bytes(self) -> int:
        """Bytes of one vector."""
        return int(self.codes.shape[1] * self.codes.itemsize)

    def decoded(self, rows: slice | NDArray[np.int64] | None = None) -> Matrix:
        """float32 [vectors, dimension]: what the codes of these rows stand for, near length 1."""
        codes = self.codes if rows is None else self.codes[rows]
        if self.precision == "binary":
            return _of_length_1(np.unpackbits(codes, axis=1, count=self.dimension))
        if self.low is None or self.step is None:
            return _single(codes)
        # The middle of each step: a value was rounded down to its beginning.
        return (_single(codes) + np.float32(128.5)) * self.step + self.low

    def reduced(self, query: Matrix) -> Matrix:
        """The query as this precision is searched with: its signs for binary, as it is for the others."""
        return _signs(query) if self.precision == "binary" else query

    def scores(self, query: Matrix) -> Matrix:
        """float32 [vectors of the query, vectors]: how near each is, computed on the codes as they lie."""
        if self.precision == "float32":
            return np.asarray(query @ self.codes.T, dtype=np.float32)
        if self.precision == "binary":
            apart = _apart(np.packbits(query > 0, axis=1), self.codes)
            return np.asarray(1 - 2 * apart.astype(np.float32) / self.dimension, dtype=np.float32)
        # What int8 stands for is a product and a sum: the query takes the one, a constant is the other.
        scaled, constant = query, np.zeros((len(query), 1), np.float32)
        if self.low is not None and self.step is not None:
            scaled = query * self.step
            constant = query @ (self.low + np.float32(128.5) * self.step)[:, None]
        found = np.empty((len(query), len(self.codes)), np.float32)
        for first in range(0, len(self.codes), _ROWS):
            found[:, first : first + _ROWS] = scaled @ _single(self.codes[first : first + _ROWS]).T
        return found + constant


def store(vectors: Matrix, precision: Precision) -> Stored:
    """float32 [vectors, dimension] of length 1 into one precision; int8's ranges are calibrated on these."""
    from sentence_transformers.util.quantization import quantize_embeddings

    dimension = vectors.shape[1]
    if precision == "float32":
        return Stored(precision, dimension, vectors)
    if precision == "float16":
        return Stored(precision, dimension, vectors.astype(np.float16))
    if precision == "binary":
        return Stored(precision, dimension, np.asarray(quantize_embeddings(vectors, "ubinary")))
    ranges = np.vstack([vectors.min(axis=0), vectors.max(axis=0)]) if len(vectors) else np.zeros((2, dimension))
    step = np.asarray((ranges[1] - ranges[0]) / 255, dtype=np.float32)
    codes = quantize_embeddings(vectors, "int8", ranges=ranges)
    return Stored(precision, dimension, np.asarray(codes), np.asarray(ranges[0], np.float32), step)


def search_ms(
    queries: Sequence[Matrix],
    searched: Stored,
    owner: NDArray[np.int64],
    *,
    rescored: Stored | None = None,
    shortlist: int = 40,
    answers: int = 10,
) -> float:
    """Milliseconds of one exact search, one query after the other: the median over the queries.

    Numpy on this machine over these pages. It has no product of int8 or float16 (they are made float32 on the way),
    so that a search engine which has is faster there; the time grows with the number of pages.
    """
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    stops = np.r_[starts[1:], len(owner)]
    single = len(starts) == len(owner)
    taken = []
    for number, query in enumerate([*queries[:1], *queries]):
        began = time.perf_counter()
        pages = np.maximum.reduceat(searched.scores(searched.reduced(query)), starts, axis=1).sum(axis=0)
        wanted = min(len(pages), answers if rescored is None else shortlist)
        near = np.argpartition(-pages, wanted - 1)[:wanted]
        if rescored is not None:
            # With one vector a page, a page's place is its vector's.
            rows = near if single else np.concatenate([np.arange(starts[page], stops[page]) for page in near])
            counts = np.r_[0, np.cumsum(stops[near] - starts[near])[:-1]]
            pages = np.maximum.reduceat(query @ rescored.decoded(rows).T, counts, axis=1).sum(axis=0)
            near = near[np.argsort(-pages)[:answers]]
        else:
            near = near[np.argsort(-pages[near])]
        if number:  # The first, which comes twice, only warms up.
            taken.append(time.perf_counter() - began)
    return 1000 * float(np.median(taken)) if taken else 0.0


def _single(codes: NDArray[Any]) -> Matrix:
    """The same numbers as float32; many by torch: numpy turns float16 into it a number at a time. A few are sooner done
    than torch has called its threads together."""
    if codes.size <= _FEW:
        return codes.astype(np.float32)
    import torch

    return np.asarray(torch.from_numpy(np.ascontiguousarray(codes)).float().numpy(), dtype=np.float32)


def _signs(vectors: Matrix) -> Matrix:
    """Vectors of length 1 of which only the signs are left, as `quantize_embeddings` reads them."""
    return _of_length_1(vectors > 0)


def _of_length_1(bits: NDArray[Any]) -> Matrix:
    return np.asarray((bits * np.float32(2) - 1) / np.sqrt(bits.shape[1]), dtype=np.float32)


def _apart(query: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """int [vectors of the query, vectors]: in how many bits they differ."""
    if codes.shape[1] % 8 == 0:
        return _counted(np.ascontiguousarray(query).view(np.uint64), np.ascontiguousarray(codes).view(np.uint64))
    return _counted(query, codes)


def _counted(query: NDArray[Any], codes: NDArray[Any]) -> NDArray[np.int64]:
    found = np.empty((len(query), len(codes)), np.int64)
    for row, own in enumerate(query):
        differ = np.bitwise_xor(codes, own)
        if hasattr(np, "bitwise_count"):
            found[row] = np.bitwise_count(differ).sum(axis=1)
        else:  # numpy 1
            found[row] = np.unpackbits(differ.view(np.uint8), axis=1).sum(axis=1)
    return found
