"""Judging a reranker while it is trained: NDCG@10 and MRR@10 of shortlists, in every direction that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from pagetune.examples.rerank import RankedList, RerankSet
from pagetune.training.mini_batches import Budget
from pagetune.training.rerank_pairs import PairFeed, score_lists
from pagetune.training.validation import CUT, METRIC, ndcg

if TYPE_CHECKING:
    from pagetune.recipe import RerankDirection

RECIPROCAL = f"mrr@{CUT}"


class RerankEvaluator(SentenceEvaluator):
    """Reranks shortlists, which are lists in their first order with a grade each, one above 0 among them.

    The metric is NDCG@10, the gain linear in the grade, first averaged over the lists of a direction and then over the
    directions. Grades of what the shortlist left out do not count: it is the order that is judged.
    """

    def __init__(self, shortlists: RerankSet) -> None:
        super().__init__()
        self.shortlists = shortlists
        self.primary_metric = METRIC
        self.feed: PairFeed | None = None
        self.budget = Budget(items=16)

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """The metric, and NDCG@10 and MRR@10 of each direction, with the model as it is now."""
        return summarise(self._judge(model))

    def values(self, model: Any) -> NDArray[np.float64]:
        """float64 [lists]: the NDCG@10 of each, direction by direction."""
        return np.concatenate([found[METRIC] for found in self._judge(model).values()])

    def first_order(self) -> dict[str, float]:
        """The same figures of the shortlists as they are."""
        return summarise(
            {
                direction: judge_lists(lists, [-np.arange(len(each.labels)) for each in lists])
                for direction, lists in self.shortlists.lists.items()
            }
        )

    def _judge(self, model: Any) -> dict[RerankDirection, dict[str, NDArray[np.float64]]]:
        if self.feed is None or self.feed.model is not model:
            raise ValueError("the evaluator was given no feed of this model")
        return {
            direction: judge_lists(lists, score_lists(direction, lists, self.feed, self.budget))
            for direction, lists in self.shortlists.lists.items()
        }


def judge_lists(
    lists: Sequence[RankedList], scores: Sequence[NDArray[np.floating[Any]] | NDArray[np.integer[Any]]]
) -> dict[str, NDArray[np.float64]]:
    """float64 [lists]: NDCG@10 and the reciprocal rank of the first answer among 10. Ties keep the list's order."""
    gains, ranks = [], []
    for each, own in zip(lists, scores, strict=True):
        order = [str(place) for place in np.argsort(-np.asarray(own, dtype=np.float64), kind="stable")]
        grades = {str(place): round(label) for place, label in enumerate(each.labels)}
        gains.append(ndcg(grades, order))
        first = next((rank for rank, place in enumerate(order[:CUT], start=1) if grades[place] > 0), None)
        ranks.append(1 / first if first else 0.0)
    return {METRIC: np.array(gains, dtype=np.float64), RECIPROCAL: np.array(ranks, dtype=np.float64)}


def summarise(found: dict[RerankDirection, dict[str, NDArray[np.float64]]]) -> dict[str, float]:
    """The mean over directions, and each direction's own."""
    means = {
        f"{direction}_{name}": float(values.mean()) for direction, own in found.items() for name, values in own.items()
    }
    every = [float(own[METRIC].mean()) for own in found.values()]
    return {METRIC: sum(every) / len(every), **means}
