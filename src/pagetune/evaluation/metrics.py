"""Retrieval metrics through ir_measures (trec_eval's own code).

NDCG (Järvelin and Kekäläinen, 2002) has the linear gain: a page of grade 2 counts twice one of grade 1, as in
trec_eval. Other tools have 2^grade - 1 instead (Burges et al., 2005), where it counts three times as much. Both are
measured, and no figure stands without the name of its gain; where all grades are 1 they are the same.

trec_eval keeps a number for every grade up to the highest, so that 2^grade - 1 cannot be given to it as a grade: NDCG
with that gain, and with the linear one where grades are very high, is computed here, in its order of additions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import DataError
from pagetune.evaluation.ranking import Qrels, Run, ranking

METRICS: dict[str, str] = {
    "NDCG@10": "nDCG@10",
    "MAP": "AP",
    "MRR@10": "RR",
    "Recall@1": "R@1",
    "Recall@5": "R@5",
    "Recall@10": "R@10",
}
"""The columns of every table: our names of the metrics, and ir_measures'. NDCG has the linear gain; trec_eval's
reciprocal rank has no cut-off, and is cut here."""

MAIN_METRIC = "NDCG@10"
RECIPROCAL = "MRR@10"
GAIN = "linear"

EXPONENTIAL = "NDCG@10 (exponential gain)"
"""Stands beside MAIN_METRIC in all scores."""

MEASURED = (MAIN_METRIC, EXPONENTIAL, *(name for name in METRICS if name != MAIN_METRIC))
"""Every metric of `score_run`."""


HIGHEST = 1000
"""Beyond this grade NDCG is computed here, and trec_eval is told only which pages are relevant."""

_CUT = 10

_NOTHING = 2000
"""2 to the power of less than minus that is 0."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryScores:
    """Every metric of every judged query: `values[metric]` is float64 [len(queries)], in the order of `queries`."""

    queries: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]

    def means(self) -> dict[str, float]:
        """The mean of each metric over the queries."""
        return {metric: float(np.mean(values)) for metric, values in self.values.items()}

    def of(self, queries: Sequence[str]) -> QueryScores:
        """Only these queries, in this order."""
        place = {query: position for position, query in enumerate(self.queries)}
        chosen = [place[query] for query in queries]
        return QueryScores(tuple(queries), {metric: values[chosen] for metric, values in self.values.items()})


def score_run(
    run: Run,
    qrels: Qrels,
    exclude: Mapping[str, Collection[str]] | None = None,
    metrics: Collection[str] = MEASURED,
    order: Callable[[Mapping[str, float]], Sequence[str]] = ranking,
) -> QueryScores:
    """Judge a run in all metrics, or some of them. A judged query without an answer scores 0, one without a judgement
    is refused.

    Ties are broken by page id before trec_eval sees them, as it would break them its own way: that of `trec_order`,
    which files from elsewhere are judged by. MAP sees the run to the depth it has. `exclude` names, for a query, pages
    that count as not retrieved: the ones below move up. Raises DataError.
    """
    import ir_measures

    left_out = exclude or {}
    queries = tuple(sorted(qrels))
    _check(qrels, left_out)
    ranked = {query: _by_place(order(run.get(query, {})), left_out.get(query, ())) for query in queries}
    high = any(abs(grade) > HIGHEST for grades in qrels.values() for grade in grades.values())
    bound = 1 if high else HIGHEST
    plain = {
        query: {page: max(-bound, min(int(grade), bound)) for page, grade in qrels[query].items()} for query in queries
    }
    position = {query: index for index, query in enumerate(queries)}
    values = {ours: np.zeros(len(queries), dtype=np.float64) for ours in MEASURED if ours in metrics}
    here = {EXPONENTIAL: _exponential} | ({MAIN_METRIC: _linear} if high else {})
    chosen = {ir_measures.parse_measure(METRICS[name]): name for name in values if name not in here}
    # A measure's hash is that of its text, made anew each time: asked once for each object, which is kept.
    known: dict[int, tuple[Any, str]] = {}
    for found in ir_measures.iter_calc(list(chosen), plain, ranked) if chosen else ():
        measure = found.measure
        if id(measure) not in known:
            known[id(measure)] = (measure, chosen[measure])
        values[known[id(measure)][1]][position[found.query_id]] = found.value
    if (reciprocal := values.get(RECIPROCAL)) is not None:
        reciprocal[reciprocal < 1 / (_CUT + 0.5)] = 0
    for name in values.keys() & here.keys():
        values[name][:] = [_ndcg([*ranked[query]], qrels[query], here[name]) for query in queries]
    return QueryScores(queries, values)


def _ndcg(ranked: Sequence[str], grades: Mapping[str, int], gain: Callable[[int, int], float]) -> float:
    """NDCG@10, the gains as shares of something that cancels out."""
    worth = {page: int(grade) for page, grade in grades.items() if grade > 0}
    top = max(worth.values())
    reached = (gain(worth[page], top) if page in worth else 0.0 for page in ranked[:_CUT])
    ideal = (gain(grade, top) for grade in sorted(worth.values(), reverse=True)[:_CUT])
    return _discounted(reached) / _discounted(ideal)


def _discounted(gains: Iterable[float]) -> float:
    total = 0.0  # One after the other, as trec_eval adds: `sum` is more exact, and so another last digit.
    for place, gain in enumerate(gains):
        total += gain / math.log2(place + 2)
    return total


def _linear(grade: int, top: int) -> float:
    return grade / top


def _exponential(grade: int, top: int) -> float:
    """2^grade - 1 over 2^top: by a power of 2, no digit is lost and nothing is too large."""
    return math.ldexp(1.0, max(grade - top, -_NOTHING)) - math.ldexp(1.0, -min(top, _NOTHING))


def _by_place(ranked: Sequence[str], excluded: Collection[str]) -> dict[str, float]:
    kept = [page for page in ranked if page not in excluded] if excluded else ranked
    return dict(zip(kept, map(float, range(0, -len(kept), -1)), strict=True))


def _check(qrels: Qrels, exclude: Mapping[str, Collection[str]]) -> None:
    if not qrels:
        raise DataError("no judged queries: 0 queries with judgements; give qrels of at least one query")
    empty = sorted(query for query, grades in qrels.items() if not any(grade > 0 for grade in grades.values()))
    if empty:
        raise DataError(f"{len(empty)} queries have no page of a grade above 0, such as {empty[0]!r}; leave them out")
    for query in sorted(qrels.keys() & exclude.keys()):
        for page, grade in qrels[query].items():
            if grade > 0 and page in exclude[query]:
                raise DataError(f"query {query!r}: page {page!r} has grade {grade} and is excluded; drop one of both")


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """To six digits: a machine's last bits are no news."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}
