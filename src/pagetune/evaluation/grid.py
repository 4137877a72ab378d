"""The deployment grid: what fewer dimensions, fewer bits, rescoring and token pooling cost, and what they save.

Everything comes from one encoding. A setting is searched exactly: its shortlist by the vectors in its precision, and
where it rescores, the shortlist once more by the float32 query against the same codes ("query") or against a second,
finer copy of the page's vectors ("int8", "float32"), whose bytes count too. (Matryoshka dimensions: Kusupati et al.,
2022. Binary with rescoring: Yamada et al., 2021. Token pooling: Clavié et al., 2024.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import DataError
from pagetune.evaluation.metrics import MAIN_METRIC, score_run
from pagetune.evaluation.precision import PRECISIONS, Matrix, Precision, Stored, search_ms, store
from pagetune.evaluation.ranking import Qrels, Run, best_places, ranking
from pagetune.evaluation.retrieval import Passages, Queries
from pagetune.evaluation.significance import intervals, sampling
from pagetune.models.scoring import truncate
from pagetune.progress import SILENT, Progress
from pagetune.recipe import EvaluateRecipe

if TYPE_CHECKING:
    from pagetune.evaluation.grid_reranking import Reranking

Cost = Literal["bytes_per_page", "ms_per_query"]
Rescoring = Literal["none", "query", "int8", "float32"]
PAIRS: tuple[tuple[Precision, Rescoring], ...] = (
    *(("float32", "none"), ("float16", "none"), ("int8", "none"), ("int8", "float32")),
    *(("binary", "none"), ("binary", "query"), ("binary", "int8"), ("binary", "float32")),
)
"""What is searched, and what its shortlist is rescored with."""

ANSWERS = 10
"""NDCG@10 looks at so many."""

SHORTLIST = 40
"""Pages rescored for a query: four for each answer."""

_BLOCK = 1 << 24
"""Scores held at a time: 64 MiB of float32."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to keep and search the vectors."""

    dimension: int
    precision: Precision
    rescoring: Rescoring = "none"
    pooling: int = 1
    reranked: int = 0
    """Pages of an answer that a reranker scores again; 0: none."""

    @property
    def name(self) -> str:
        """In words."""
        told = {"none": "", "query": " rescored by the query"}
        pooled = f", 1 token vector of {self.pooling}" if self.pooling > 1 else ""
        rescored = told.get(self.rescoring, f" rescored with {self.rescoring}")
        again = f", the first {self.reranked} reranked" if self.reranked else ""
        return f"{self.dimension} dimensions, {self.precision}{rescored}{pooled}{again}"


@dataclass(frozen=True, slots=True)
class Cell:
    """What one setting came to."""

    setting: Setting
    ndcg: float
    interval: tuple[float, float]
    loss: float
    """NDCG@10 less than at the full dimension in float32."""
    loss_interval: tuple[float, float]
    """Paired, query by query."""
    vectors_per_page: float
    bytes_per_page: float
    """Of all vectors that are kept, those that only rescoring reads included."""
    searched_bytes_per_page: float
    """Of those that every query reads."""
    ms_per_query: float
    """Of the search in numpy on one machine (see `precision.search_ms`), and of the reranker where there is one."""

    @property
    def bytes_at_a_million(self) -> float:
        """The vectors' bytes for 1,000,000 pages like these; an index adds its own."""
        return self.bytes_per_page * 1_000_000


@dataclass(frozen=True, slots=True)
class DeploymentGrid:
    """Every setting, the reference (full dimension, float32) first."""

    cells: tuple[Cell, ...]
    queries: int
    pages: int
    settings: EvaluateRecipe
    shortlist: int

    @property
    def reference(self) -> Cell:
        """The full dimension in float32, nothing pooled."""
        return self.cells[0]

    def front(self, cost: Cost = "bytes_per_page") -> tuple[Cell, ...]:
        """The settings that none beats in both NDCG@10 and cost (Pareto), the cheapest first.

        A reranker takes time and no bytes of the vectors: it has no place among the settings by bytes.
        """
        kept: list[Cell] = []
        cells = self.cells if cost == "ms_per_query" else [cell for cell in self.cells if not cell.setting.reranked]
        for cell in sorted(cells, key=lambda cell: (getattr(cell, cost), -cell.ndcg)):
            if not kept or cell.ndcg > kept[-1].ndcg:
                kept.append(cell)
        return tuple(kept)


def deployment_grid(
    query_ids: Sequence[str],
    query_vectors: Queries,
    pages: Passages,
    qrels: Qrels,
    *,
    dimensions: Sequence[int] = (),
    precisions: Collection[Precision] = PRECISIONS,
    poolings: Sequence[int] = (),
    exclude: Mapping[str, Collection[str]] | None = None,
    shortlist: int = SHORTLIST,
    timed: int = 32,
    reranking: Reranking | None = None,
    settings: EvaluateRecipe | None = None,
    progress: Progress = SILENT,
) -> DeploymentGrid:
    """Judge every setting on the same queries. Queries without a judgement are left out. Raises DataError.

    With `reranking` every setting stands once more at each of its depths, after all that are not reranked.

    `dimensions` are Matryoshka dimensions besides the full one; late interaction, which is not trained for them, has
    its own only, and `poolings` besides: one vector is kept of so many. Search is timed over the first `timed` queries.
    """
    chosen = settings or EvaluateRecipe()
    judged = [place for place, query in enumerate(query_ids) if any(g > 0 for g in qrels.get(query, {}).values())]
    if not judged or not len(pages.owner):
        raise DataError(f"{len(judged)} judged queries and {len(pages.ids)} pages: the grid needs at least one of each")
    ids = [query_ids[place] for place in judged]
    asked = [np.atleast_2d(query_vectors[place]).astype(np.float32) for place in judged]
    left_out = {query: set(exclude.get(query, ())) for query in ids} if exclude else {}
    graded = {query: qrels[query] for query in ids}
    collection = _Collection.of(pages)
    full = collection.vectors.shape[1]
    late = any(len(query) > 1 for query in asked)
    sizes = [full] if late else [full, *sorted({size for size in dimensions if 0 < size < full}, reverse=True)]
    factors = sorted({1, *(poolings if late else ())})
    pairs = [pair for pair in PAIRS if pair[0] in {*precisions, "float32"}]
    deepest = reranking.deepest if reranking is not None else 0
    found: list[tuple[Setting, Run, float, float, float, float]] = []
    with progress.task("deployment grid", len(sizes) * len(factors) * len(pairs), "settings") as task:
        for factor, size in product(factors, sizes):
            smaller = collection.pooled(factor).truncated(size)
            short = [truncate(query, size) for query in asked]
            kinds = {precision: store(smaller.vectors, precision) for precision in _needed(pairs)}
            asks = dict(zip(ids, short, strict=True))
            runs = _runs(pairs, kinds, smaller, asks, left_out, shortlist, max(ANSWERS, deepest))
            per_page = len(smaller.owner) / len(smaller.ids)
            for pair in pairs:
                searched, second = kinds[pair[0]], _rescored_with(pair, kinds)
                finer = second if second is not searched else None
                kept = searched.vector_bytes + (finer.vector_bytes if finer is not None else 0)
                ms = search_ms(short[:timed], searched, smaller.owner, rescored=second, shortlist=shortlist)
                sizes_of = (per_page, per_page * kept, per_page * searched.vector_bytes)
                found.append((Setting(size, *pair, factor), runs[pair], *sizes_of, ms))
                task.advance()
    if reranking is not None:
        for place, depth, run, more in list(reranking.rerank([run for _, run, *_ in found])):
            setting, _, held, stored, read, ms = found[place]
            found.append((replace(setting, reranked=depth), run, held, stored, read, ms + more))
    scores = _ndcg([(run, setting.reranked > 0) for setting, run, *_ in found], graded)
    chance = sampling(chosen)
    # Rounded: two settings that answer alike shall differ by nothing.
    losses = np.round(scores[0] - scores, 12)
    both = intervals(np.concatenate([scores, losses]), **chance)
    of_means, of_losses = both[: len(found)], both[len(found) :]
    cells = [
        Cell(setting, float(values.mean()), of_mean, float(lost.mean()), of_loss, *costs)
        for (setting, _, *costs), values, lost, of_mean, of_loss in zip(
            found, scores, losses, of_means, of_losses, strict=True
        )
    ]
    return DeploymentGrid(tuple(cells), len(ids), len(pages.ids), chosen, shortlist)


def _ndcg(runs: Sequence[tuple[Run, bool]], qrels: Qrels) -> NDArray[np.float64]:
    """NDCG@10, float64 [runs, queries]; each run with whether its pages have yet to be put in order.

    Most settings put the same pages first for most queries: what is the same answer is judged once.
    """
    numbers: dict[tuple[str, tuple[str, ...]], int] = {}
    places = np.empty((len(runs), len(qrels)), dtype=np.intp)
    for row, (run, reranked) in enumerate(runs):
        for column, query in enumerate(qrels):
            found = run.get(query, {})
            pages = tuple(ranking(found)[:ANSWERS] if reranked else found)
            places[row, column] = numbers.setdefault((query, pages), len(numbers))
    # Names of one length sort as their numbers do.
    names = [f"{number:09d}" for number in range(len(numbers))]
    answers = {name: dict.fromkeys(pages, 0.0) for name, (_, pages) in zip(names, numbers, strict=True)}
    judged = {name: qrels[query] for name, (query, _) in zip(names, numbers, strict=True)}
    return score_run(answers, judged, metrics=(MAIN_METRIC,), order=list).values[MAIN_METRIC][places]


@dataclass(frozen=True, slots=True, eq=False)
class _Collection:
    """Pages that have vectors, in the order of their vectors; `starts` is the place of each one's first."""

    ids: tuple[str, ...]
    vectors: Matrix
    owner: NDArray[np.int64]

    @classmethod
    def of(cls, pages: Passages) -> _Collection:
        order = np.argsort(pages.owner, kind="stable")
        kept, owner = np.unique(pages.owner[order], return_inverse=True)
        return cls(tuple(pages.ids[place] for place in kept), pages.vectors[order], owner.astype(np.int64))

    @property
    def starts(self) -> NDArray[np.int64]:
        return np.flatnonzero(np.r_[True, self.owner[1:] != self.owner[:-1]])

    def truncated(self, dimension: int) -> _Collection:
        return _Collection(self.ids, truncate(self.vectors, dimension), self.owner)

    def pooled(self, factor: int) -> _Collection:
        """One token vector of so many, by hierarchical clustering within the page."""
        if factor == 1:
            return self
        import torch
        from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

        parts = [torch.from_numpy(part) for part in np.split(self.vectors, self.starts[1:])]
        merged = [part.numpy() for part in HierarchicalTokenPooling(factor).pool(parts)]
        owner = np.repeat(np.arange(len(merged), dtype=np.int64), [len(part) for part in merged])
        return _Collection(self.ids, np.concatenate(merged).astype(np.float32), owner)


Pair = tuple[Precision, Rescoring]


def _needed(pairs: Sequence[Pair]) -> list[Precision]:
    wanted = {precision for precision, _ in pairs} | {second for _, second in pairs}
    return [precision for precision in PRECISIONS if precision in wanted]


def _rescored_with(pair: Pair, kinds: Mapping[Precision, Stored]) -> Stored | None:
    precision, rescoring = pair
    if rescoring == "none":
        return None
    return kinds[precision] if rescoring == "query" else kinds[rescoring]


def _runs(
    pairs: Sequence[Pair],
    kinds: Mapping[Precision, Stored],
    collection: _Collection,
    queries: Mapping[str, Matrix],
    exclude: Mapping[str, Collection[str]],
    shortlist: int,
    answers: int,
) -> dict[Pair, Run]:
    """A run for every pair, each matrix of scores computed once for all of them."""
    ids = collection.ids
    rank = np.empty(len(ids), dtype=np.intp)
    rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    runs: dict[Pair, Run] = {pair: {} for pair in pairs}
    tokens = max(len(query) for query in queries.values())
    for group in _groups(list(queries), max(1, _BLOCK // (tokens * len(collection.owner)))):
        stacked = np.concatenate([queries[query] for query in group])
        bounds = np.cumsum([0, *(len(queries[query]) for query in group[:-1])])
        tables: dict[tuple[Precision, bool], Matrix] = {}
        for kind, stored in kinds.items():
            decoded = stored.decoded().T
            # Over binary the query is reduced to signs for the search, and whole for the rescoring.
            for whole in (False, True) if kind == "binary" else (False,):
                asked = stacked if whole else stored.reduced(stacked)
                nearest = asked @ decoded
                # With one vector a page, or a query, there is nothing to choose among, or to add up.
                if len(collection.owner) > len(ids):
                    nearest = np.maximum.reduceat(nearest, collection.starts, axis=1)
                if len(stacked) > len(group):
                    nearest = np.add.reduceat(nearest, bounds, axis=0)
                tables[kind, whole] = np.round(nearest, 6).astype(np.float32, copy=False)
        out = [exclude.get(query, ()) for query in group]
        found = {kind: best_places(tables[kind, False], ids, max(answers, shortlist), out) for kind in kinds}
        for precision, rescoring in pairs:
            finer = _finer(tables, rescoring)
            for row, query in enumerate(group):
                scores, places = tables[precision, False][row], found[precision][row]
                if finer is not None:
                    scores, places = finer[row], places[:shortlist]
                    places = places[np.lexsort((rank[places], -scores[places]))]
                places = places[:answers]
                pages = [ids[place] for place in places]
                runs[precision, rescoring][query] = dict(zip(pages, scores[places].tolist(), strict=True))
    return runs


def _finer(tables: Mapping[tuple[Precision, bool], Matrix], rescoring: Rescoring) -> Matrix | None:
    """The scores that a shortlist is put in order by; None where there is none."""
    if rescoring == "none":
        return None
    return tables["binary", True] if rescoring == "query" else tables[rescoring, False]


def _groups(queries: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for first in range(0, len(queries), size):
        yield queries[first : first + size]
