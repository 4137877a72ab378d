from __future__ import annotations

import math

import numpy as np
import pytest

from pagetune.errors import DataError
from pagetune.evaluation.metrics import EXPONENTIAL, MAIN_METRIC, MEASURED, METRICS, score_run

QRELS = {"q1": {"a": 2, "b": 1}, "q2": {"c": 2}, "q3": {"d": 2}}
RUN = {"q1": {"x": 3.0, "b": 2.0, "a": 1.0}, "q2": {"c": 1.0}}


def test_ndcg_has_the_linear_gain() -> None:
    scores = score_run(RUN, QRELS)
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    assert scores.values["NDCG@10"][0] == pytest.approx((1 / math.log2(3) + 2 / math.log2(4)) / ideal)


def test_the_exponential_gain_stands_beside_it_under_its_own_name() -> None:
    scores = score_run(RUN, QRELS)
    ideal = 3 / math.log2(2) + 1 / math.log2(3)
    assert scores.values[EXPONENTIAL][0] == pytest.approx((1 / math.log2(3) + 3 / math.log2(4)) / ideal)
    assert "exponential" in EXPONENTIAL
    assert MAIN_METRIC not in ("", EXPONENTIAL)


def test_both_gains_are_the_same_where_judgements_are_binary() -> None:
    scores = score_run(RUN, {query: dict.fromkeys(grades, 1) for query, grades in QRELS.items()})
    np.testing.assert_array_equal(scores.values[EXPONENTIAL], scores.values[MAIN_METRIC])


def test_some_metrics_are_what_they_are_among_all() -> None:
    whole = score_run(RUN, QRELS)
    for name in MEASURED:
        alone = score_run(RUN, QRELS, metrics=(name,))
        assert [*alone.values] == [name]
        np.testing.assert_array_equal(alone.values[name], whole.values[name])


def test_grades_of_0_and_below_are_worth_nothing() -> None:
    with_them = score_run(RUN, QRELS | {"q1": {"a": 2, "b": 1, "x": 0, "y": -2}}).means()
    assert with_them == score_run(RUN, QRELS).means()


def test_excluded_pages_are_as_if_not_retrieved() -> None:
    scores = score_run(RUN, QRELS, exclude={"q1": {"x"}, "q9": {"a"}})
    np.testing.assert_allclose(scores.values["MRR@10"], [1.0, 1.0, 0.0])
    with pytest.raises(DataError, match="'q1': page 'a' has grade 2 and is excluded"):
        score_run(RUN, QRELS, exclude={"q1": ["a"]})


def test_every_metric_of_every_query_with_0_for_an_unanswered_one() -> None:
    scores = score_run(RUN, QRELS)
    assert scores.queries == ("q1", "q2", "q3")
    assert [*scores.values] == [*MEASURED]
    assert set(MEASURED) == {*METRICS, EXPONENTIAL}
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


@pytest.mark.parametrize("seed", ["0", "1", "2", "3"])
def test_neither_gain_takes_the_others_place_whatever_the_order_of_hashes(seed: str) -> None:
    import os
    import subprocess
    import sys

    told = "from pagetune.evaluation.metrics import *; s = score_run({'q': {'x': 3.0, 'b': 2.0, 'a': 1.0}}, "
    told += "{'q': {'a': 2, 'b': 1}}); print(*(f'{s.values[name][0]:.6f}' for name in (MAIN_METRIC, EXPONENTIAL)))"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.619906", "0.586883"]


def test_the_exponential_gain_has_trec_evals_digits() -> None:
    import pytrec_eval

    rng = np.random.default_rng(3)
    for _ in range(200):
        grades = {f"p{n:02d}": int(grade) for n, grade in enumerate(rng.integers(-1, 8, int(rng.integers(2, 30))))}
        grades["p00"] = 1
        run = {f"p{n:02d}": float(-place) for place, n in enumerate(rng.permutation(30)[:15])}
        steep = {page: 2**grade - 1 if grade > 0 else grade for page, grade in grades.items()}
        theirs = pytrec_eval.RelevanceEvaluator({"q": steep}, {"ndcg_cut_10"}).evaluate({"q": run})["q"]["ndcg_cut_10"]
        assert score_run({"q": run}, {"q": grades}).values[EXPONENTIAL][0] == theirs


@pytest.mark.parametrize("top", [8, 53, 64, 1000, 5000, 10**9, 10**400])
def test_high_grades_are_computed_whatever_they_are(top: int) -> None:
    scores = score_run({"q": {"b": 2.0, "a": 1.0}}, {"q": {"a": top, "b": 1, "c": -top}})
    low, log3 = 1 / (2 ** min(top, 1100) - 1), math.log2(3)
    assert scores.values[EXPONENTIAL][0] == pytest.approx((low + 1 / log3) / (1 + low / log3), rel=1e-12)
    share = 1 / top
    assert scores.values["NDCG@10"][0] == pytest.approx((share + 1 / log3) / (1 + share / log3), rel=1e-12)
    assert scores.values["MAP"][0] == scores.values["Recall@5"][0] == 1


def test_above_the_bound_the_linear_gain_has_the_same_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    from pagetune.evaluation import metrics

    grades = {"q": {"a": 3, "b": 1, "c": 2, "d": 7}}
    run = {"q": {"x": 5.0, "b": 4.0, "d": 3.0, "a": 2.0}}
    before = score_run(run, grades)
    monkeypatch.setattr(metrics, "HIGHEST", 6)
    after = score_run(run, grades)
    for name in MEASURED:
        np.testing.assert_allclose(after.values[name], before.values[name], rtol=1e-14)
