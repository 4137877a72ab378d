"""Judging while training: the evaluation's own figures; an earlier checkpoint is kept for a gain above noise."""

from __future__ import annotations

import numpy as np
import pytest

from pagetune.evaluation.metrics import MAIN_METRIC, score_run
from pagetune.evaluation.ranking import best
from pagetune.training.validation import clearly_better, judge_scores


@pytest.mark.parametrize("seed", range(30))
def test_training_judges_as_the_evaluation_does(seed: int) -> None:
    """Graded judgements, ties, fewer pages than the cut-off, judged pages that were never ranked."""
    draw = np.random.default_rng(seed)
    queries, pages = int(draw.integers(1, 12)), int(draw.integers(1, 40))
    ids = [f"page-{number}" for number in draw.permutation(pages)]
    scores = draw.integers(0, draw.integers(2, 30), (queries, pages)).astype(np.float32) / 7
    scores += draw.choice([0, 1e-7], scores.shape).astype(np.float32)
    judged = [*ids, *(f"elsewhere-{number}" for number in range(5))]
    qrels = {}
    for query in range(queries):
        chosen = draw.choice(judged, min(len(judged), int(draw.integers(1, 25))), replace=False)
        qrels[f"q{query:02d}"] = {str(page): int(draw.integers(0, 4)) for page in chosen} | {str(chosen[0]): 2}
    run = {query: best(np.round(row, 6), ids, 100) for query, row in zip(qrels, scores, strict=True)}
    expected = score_run(run, qrels)
    assert expected.queries == tuple(qrels)
    found = judge_scores(scores, ids, list(qrels.values()))
    np.testing.assert_allclose(found, expected.values[MAIN_METRIC], atol=1e-9)
    excluded = {name: [page for page in ids[::2] if not grades.get(page)] for name, grades in qrels.items()}
    found = judge_scores(scores, ids, list(qrels.values()), list(excluded.values()))
    np.testing.assert_allclose(found, score_run(run, qrels, excluded).values[MAIN_METRIC], atol=1e-9)


def test_a_gain_within_its_error_is_none() -> None:
    one = np.array([0.0, 1.0, 0.4, 0.6])
    assert not clearly_better(one, one)
    assert not clearly_better(one + np.array([0.5, -0.4, 0.3, -0.3]), one)
    assert not clearly_better(one, one + 0.1)
    assert not clearly_better(one[:1] + 1, one[:1])


def test_a_gain_of_every_query_is_one() -> None:
    one = np.array([0.0, 1.0, 0.4, 0.6])
    assert clearly_better(one + np.array([0.2, 0.1, 0.2, 0.1]), one)
