"""Retrieval metrics through ir_measures (trec_eval's own code).

NDCG (Järvelin and Kekäläinen, 2002) has the linear gain: a page of grade 2 counts twice one of grade 1, as in
trec_eval. Other tools have 2^grade - 1 instead (Burges et al., 2005), where it counts three times as much. Both are
measured, and no figure stands without the name of its gain; where all grades are 1 they are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import DataError
from pagetune.evaluation.ranking import Qrels, Run, ranking

METRICS: dict[str, str] = {
    "NDCG@10": "nDCG@10",
    "MAP": "AP",
    "MRR@10": "RR@10",
    "Recall@1": "R@1",
    "Recall@5": "R@5",
    "Recall@10": "R@10",
}
"""The columns of every table: our names of the metrics, and ir_measures'. NDCG has the linear gain."""

MAIN_METRIC = "NDCG@10"
GAIN = "linear"

EXPONENTIAL = "NDCG@10 (exponential gain)"
"""Stands beside MAIN_METRIC in all scores."""

MEASURED = (MAIN_METRIC, EXPONENTIAL, *(name for name in METRICS if name != MAIN_METRIC))
"""Every metric of `score_run`."""


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
    plain = {query: {page: int(grade) for page, grade in qrels[query].items()} for query in queries}
    position = {query: index for index, query in enumerate(queries)}
    values = {ours: np.zeros(len(queries), dtype=np.float64) for ours in MEASURED if ours in metrics}

    def judge(judgements: Qrels, measures: Mapping[Any, str]) -> None:
        # A measure's hash is that of its text, made anew each time: asked once for each object, which is kept.
        known: dict[int, tuple[Any, str]] = {}
        for found in ir_measures.iter_calc(list(measures), judgements, ranked):
            measure = found.measure
            if id(measure) not in known:
                known[id(measure)] = (measure, measures[measure])
            values[known[id(measure)][1]][position[found.query_id]] = found.value

    if chosen := {ir_measures.parse_measure(name): ours for ours, name in METRICS.items() if ours in metrics}:
        judge(plain, chosen)
    if EXPONENTIAL in metrics:
        # In a call of its own: beside a measure with gains, ir_measures may compute the one without them with them.
        judge(
            {query: {page: _exponential(grade) for page, grade in grades.items()} for query, grades in plain.items()},
            {ir_measures.parse_measure(METRICS[MAIN_METRIC]): EXPONENTIAL},
        )
    return QueryScores(queries, values)


def _exponential(grade: int) -> int:
    """2^grade - 1, and of grades that are worth nothing the grade."""
    return 2**grade - 1 if grade > 0 else grade


def _by_place(ranked: Sequence[str], excluded: Collection[str]) -> dict[str, float]:
    kept = (page for page in ranked if page not in excluded)
    return {page: float(-place) for place, page in enumerate(kept)}


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
