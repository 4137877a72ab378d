from __future__ import annotations

import math

import numpy as np
import pytest

from pagetune.errors import DataError
from pagetune.evaluation.metrics import METRICS, score_run

QRELS = {"q1": {"a": 2, "b": 1}, "q2": {"c": 2}, "q3": {"d": 2}}
RUN = {"q1": {"x": 3.0, "b": 2.0, "a": 1.0}, "q2": {"c": 1.0}}


def test_ndcg_has_the_linear_gain() -> None:
    scores = score_run(RUN, QRELS)
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    assert scores.values["NDCG@10"][0] == pytest.approx((1 / math.log2(3) + 2 / math.log2(4)) / ideal)


def test_every_metric_of_every_query_with_0_for_an_unanswered_one() -> None:
    scores = score_run(RUN, QRELS)
    assert scores.queries == ("q1", "q2", "q3")
    assert set(scores.values) == set(METRICS)
    np.testing.assert_allclose(scores.values["MRR@10"], [0.5, 1.0, 0.0])
    np.testing.assert_allclose(scores.values["MAP"], [(1 / 2 + 2 / 3) / 2, 1.0, 0.0])
    np.testing.assert_allclose(scores.values["Recall@1"], [0.0, 1.0, 0.0])
    np.testing.assert_allclose(scores.values["Recall@5"], [1.0, 1.0, 0.0])
    assert scores.means()["Recall@10"] == pytest.approx(2 / 3)
    np.testing.assert_allclose(scores.of(["q2", "q1"]).values["MRR@10"], [1.0, 0.5])


def test_cutoffs_at_10_and_beyond() -> None:
    run = {"q2": {f"x{n:02d}": 100.0 - n for n in range(10)} | {"c": 1.0}}
    scores = score_run(run, {"q2": {"c": 2}}).means()
    assert scores["MRR@10"] == scores["NDCG@10"] == scores["Recall@10"] == 0
    assert scores["MAP"] == pytest.approx(1 / 11)


def test_ties_go_to_the_smaller_page_id() -> None:
    assert score_run({"q2": {"b": 1.0, "c": 1.0, "d": 1.0}}, {"q2": {"c": 2}}).means()["MRR@10"] == pytest.approx(0.5)


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(DataError, match="no judged queries"):
        score_run(RUN, {})
    with pytest.raises(DataError, match="'q9'"):
        score_run(RUN, {"q9": {"a": 0}})
