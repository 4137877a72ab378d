"""How a model answers a few pairs of a query and a page, and how far two answers lie apart.

Everything is computed in the weights' own precision, without autocast and TF32, so that a difference of precision in
the weights shows, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pagetune.models.encoding import PageVectors
from pagetune.models.inspect import is_late
from pagetune.models.scoring import Matrix, score_pages

Pair = tuple[str, Any]
"""A query, and the page that answers it: its image, or its text for a model that reads."""

FLOOR = 1e-3
"""The spread of scores is taken as at least this share of the mean score: where all pages are alike, it is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The pairs' vectors as the model gives them, float32 [vectors, dimension] each, of whatever length."""

    queries: tuple[Matrix, ...]
    pages: tuple[Matrix, ...]

    @property
    def width(self) -> int:
        """Numbers in a page's vector."""
        return int(self.pages[0].shape[1])

    def truncated(self, dimension: int | None) -> Encoded:
        """The first `dimension` numbers of each vector, as Sentence Transformers truncates: not to length 1."""
        return Encoded(
            tuple(vectors[:, :dimension] for vectors in self.queries),
            tuple(vectors[:, :dimension] for vectors in self.pages),
        )

    def page_vectors(self) -> PageVectors:
        """The pages as an index takes them, every vector of length 1; ids in the order of the pairs."""
        owner = np.repeat(np.arange(len(self.pages), dtype=np.int64), [len(page) for page in self.pages])
        return PageVectors(tuple(f"{place:04d}" for place in range(len(self.pages))), to_length_1(self.pages), owner)

    def scores(self) -> Matrix:
        """float32 [queries, pages]: cosine, or MaxSim."""
        pages = self.page_vectors()
        return score_pages(self.queries, pages.vectors, pages.owner)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What may differ: `vectors` as a share of a vector's length, `scores` of the spread of a query's scores."""

    vectors: float
    scores: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest differences: of vectors, as a share of their length, and of scores, as a share of their spread."""

    queries: float
    pages: float
    scores: float

    def within(self, allowed: Tolerance) -> bool:
        """Whether all three are tolerable."""
        return max(self.queries, self.pages) <= allowed.vectors and self.scores <= allowed.scores


EXACT = Tolerance(1e-3, 0.01)
"""float32. Merging adapters moves a vector by 1e-6 of its length and a score by 2e-5 of the spread, reloading by
nothing; weights rounded to bfloat16, which keeps 8 bits, by 1e-2 and 0.1 (benchmarks/parity_faults.py measures it)."""

HALF = Tolerance(0.01, 0.1)
"""The same weights in bfloat16 or float16: on the same machine nothing differs, but another attention kernel adds in
another order; rounding the weights anew moves a vector by 0.02."""

LEARNT = 0.2
"""An adapter that moves no score by more than this share of the spread has learnt nothing that could be lost."""

HALF_MERGED = Tolerance(0.1, 1.0)
"""Adapters merged into weights of half precision round each of them anew: up to 0.03 of a vector and 0.45 of the spread
were measured. Whether what the adapter learnt survives that is judged by `LEARNT` and `LOST`."""

LOST = 0.5
"""Share of the change that the adapter makes to the scores (root mean square) above which merging has lost it. Rounding
takes 0.34 of one that moves a reranker's scores by 0.4 of their spread, 0.1 of one that moves them by all of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Remembered:
    """How a model answers as it was trained. `base`: without its adapters; None where it has none."""

    pairs: tuple[Pair, ...]
    encoded: Encoded
    base: Encoded | None
    prompts: dict[str, str]
    spread: float
    """Root mean square, over queries, of the standard deviation of a query's scores over the pages."""

    def truncated(self, dimension: int | None) -> Remembered:
        """The same at a Matryoshka dimension."""
        base = None if self.base is None else self.base.truncated(dimension)
        encoded = self.encoded.truncated(dimension)
        return replace(self, encoded=encoded, base=base, spread=spread_of(encoded.scores()))


@dataclass(frozen=True, slots=True)
class StepReport:
    """One comparison that held."""

    name: str
    difference: Difference
    allowed: Tolerance


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What an index made of the pages' vectors: as it stores them, and its own scores [queries, pages]."""

    vectors: PageVectors
    scores: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One way to load the saved folder, and what is expected of it."""

    name: str
    load: Callable[[], Any]
    folder: Path
    dimension: int | None
    allowed: Tolerance
    batch: int


def is_half(model: Any) -> bool:
    """Whether the weights are of half precision."""
    import torch

    return model.dtype in (torch.bfloat16, torch.float16)


def encode(model: Any, pairs: Sequence[Pair], batch_size: int, *, whole: bool = False) -> Encoded:
    """The pairs' vectors, in the weights' own precision; `whole`: at full width, whatever the model truncates to."""
    late, training = is_late(model), model.training
    options: dict[str, Any] = {"batch_size": batch_size, "show_progress_bar": False}
    if not late:
        options["convert_to_tensor"] = True
    with ExitStack() as stack:
        stack.enter_context(exact_arithmetic(model.device))
        if whole and not late:
            stack.enter_context(model.truncate_embeddings(None))
        queries = model.encode_query([query for query, _ in pairs], **options)
        pages = model.encode_document([page for _, page in pairs], **options)
    model.train(training)
    return Encoded(tuple(to_matrix(entry) for entry in queries), tuple(to_matrix(entry) for entry in pages))


def difference(expected: Encoded, found: Encoded, spread: float) -> Difference:
    """How far `found` is from `expected`; infinite where it is of another shape."""
    queries = farthest(expected.queries, found.queries)
    pages = farthest(expected.pages, found.pages)
    if found.queries[0].shape[1] != found.pages[0].shape[1]:
        return Difference(queries, pages, float("inf"))
    return Difference(queries, pages, score_difference(expected.scores(), found.scores(), spread))


def score_difference(expected: Matrix, found: Matrix, spread: float) -> float:
    """The largest difference of two scores, as a share of their spread."""
    return float(np.abs(expected - found).max() / max(spread, 1e-12))


def spread_of(scores: Matrix) -> float:
    """How far the scores of one query lie apart: what a difference has to be small beside."""
    return float(max(np.sqrt(np.var(scores, axis=1).mean()), FLOOR * np.abs(scores).mean()))


@contextmanager
def exact_arithmetic(device: Any) -> Iterator[None]:
    """Compute in the weights' own precision: no autocast, no TF32."""
    import torch

    precision, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = convolutions


def to_matrix(entry: Any) -> Matrix:
    return np.ascontiguousarray(np.atleast_2d(entry.detach().float().cpu().numpy()), dtype=np.float32)


def to_length_1(parts: Sequence[Matrix]) -> Matrix:
    vectors = np.concatenate(parts)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def farthest(expected: Sequence[Matrix], found: Sequence[Matrix]) -> float:
    if any(one.shape != other.shape for one, other in zip(expected, found, strict=True)):
        return float("inf")
    apart = [
        np.linalg.norm(one - other, axis=1) / np.maximum(np.linalg.norm(one, axis=1), 1e-12)
        for one, other in zip(expected, found, strict=True)
    ]
    return float(np.concatenate(apart).max())


def root_mean_square(values: Any) -> float:
    """Of all the numbers."""
    return float(np.sqrt(np.mean(np.square(values))))
