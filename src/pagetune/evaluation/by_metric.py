"""Tuned against base in every metric, and how many queries it would take to see a small gain."""

from __future__ import annotations

from typing import Unpack

from pagetune.evaluation.metrics import EXPONENTIAL, MAIN_METRIC, MEASURED, QueryScores
from pagetune.evaluation.ranking import Qrels
from pagetune.evaluation.significance import Comparison, Sampling, compare_scores, correct

SMALL_GAINS = (0.01, 0.02)
"""Of which the tables say how many queries would show them."""


def graded(qrels: Qrels) -> bool:
    """Whether some query has a lesser answer beside another: else the two gains of NDCG say the same."""
    return any(len({grade for grade in grades.values() if grade > 0}) > 1 for grades in qrels.values())


def compare_metrics(
    new: tuple[str, QueryScores],
    old: tuple[str, QueryScores],
    question: Comparison,
    qrels: Qrels,
    **chance: Unpack[Sampling],
) -> dict[str, Comparison]:
    """`new` against `old`, each (name, scores), in every metric that says something of its own, paired by query.

    NDCG@10 is `question`, which was asked beforehand and stays as it is; the others are one family (Holm).
    """
    left_out = {MAIN_METRIC} if graded(qrels) else {MAIN_METRIC, EXPONENTIAL}
    shared = new[1].values.keys() & old[1].values.keys()
    others = [metric for metric in MEASURED if metric in shared and metric not in left_out]
    if not others:
        return {MAIN_METRIC: question}
    found = compare_scores(new, old, others, **chance)
    corrected = dict(zip(found, correct(list(found.values())), strict=True))
    return {metric: corrected.get(metric, question) for metric in (MAIN_METRIC, *others)}


def queries_for(comparison: Comparison) -> dict[str, int | None]:
    """How many queries like these show a true change so small, four times in five; None where nothing varies."""
    return {f"{gain:g}": comparison.needed(gain) for gain in SMALL_GAINS}
