"""Retrieval metrics through ir_measures (trec_eval's own code).

NDCG has the linear gain: a page of grade 2 counts twice one of grade 1, as in trec_eval; some other tools use
2^grade - 1 instead, and their figures differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
"""Our names of the metrics, and ir_measures'."""

MAIN_METRIC = "NDCG@10"
GAIN = "linear"


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


def score_run(run: Run, qrels: Qrels) -> QueryScores:
    """Judge a run. A judged query that the run does not answer scores 0; a query without judgements is refused.

    Ties are broken by page id before trec_eval sees them, as it would break them its own way. MAP sees the run
    to the depth it has. Raises DataError.
    """
    import ir_measures

    queries = tuple(sorted(qrels))
    if not queries:
        raise DataError("no judged queries: 0 queries with judgements; give qrels of at least one query")
    empty = [query for query in queries if not any(grade > 0 for grade in qrels[query].values())]
    if empty:
        raise DataError(f"{len(empty)} queries have no page of a grade above 0, such as {empty[0]!r}; leave them out")
    ranked = {
        query: {page: float(-place) for place, page in enumerate(ranking(run.get(query, {})))} for query in queries
    }
    measures = {ir_measures.parse_measure(name): ours for ours, name in METRICS.items()}
    position = {query: index for index, query in enumerate(queries)}
    values = {ours: np.zeros(len(queries), dtype=np.float64) for ours in METRICS}
    plain = {query: {page: int(grade) for page, grade in qrels[query].items()} for query in queries}
    for found in ir_measures.iter_calc(list(measures), plain, ranked):
        values[measures[found.measure]][position[found.query_id]] = found.value
    return QueryScores(queries, values)
