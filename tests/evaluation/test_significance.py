from __future__ import annotations

import numpy as np
import pytest

from pagetune.errors import DataError
from pagetune.evaluation.significance import FEWEST_QUERIES, Comparison, compare, interval, verdict


def scores(count: int = 120, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 0.7, count)


def judge(change: np.ndarray, base: np.ndarray, resamples: int = 2000) -> Comparison:
    return compare(("tuned", base + change), ("base", base), "NDCG@10", resamples=resamples)


def test_a_gain_is_said_with_its_evidence() -> None:
    base = scores()
    found = judge(np.random.default_rng(2).normal(0.08, 0.15, len(base)), base)
    assert found.outcome == "gain"
    assert found.low < found.difference < found.high
    assert found.p < 0.01
    sentence = verdict(found)
    assert sentence.startswith("Tuning helped: NDCG@10 ")
    assert "120 held-out queries" in sentence
    assert sentence.count(".") == sentence.count("0.") + 1 or sentence.endswith(".")


def test_a_loss_says_keep_the_base() -> None:
    base = scores()
    found = judge(np.random.default_rng(2).normal(-0.08, 0.15, len(base)), base)
    assert found.outcome == "loss"
    assert verdict(found).endswith("keep the base model.")


def test_noise_is_no_measurable_gain() -> None:
    base = scores()
    found = judge(np.random.default_rng(4).normal(0.0, 0.2, len(base)), base)
    assert found.outcome == "no measurable gain"
    assert verdict(found).startswith("No measurable gain")


def test_the_same_model_twice_is_no_measurable_gain() -> None:
    found = judge(np.zeros(50), scores(50))
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert (found.better, found.worse) == (0, 0)
    assert verdict(found).startswith("No measurable gain")


@pytest.mark.parametrize("count", [1, FEWEST_QUERIES - 1])
def test_few_queries_get_no_verdict_however_large_the_change(count: int) -> None:
    found = judge(np.full(count, 0.3), scores(count))
    assert found.outcome == "too few queries"
    assert f"at least {FEWEST_QUERIES}" in verdict(found)


def test_the_same_scores_give_the_same_figures() -> None:
    base = scores()
    change = np.random.default_rng(5).normal(0.03, 0.1, len(base))
    assert judge(change, base) == judge(change, base)


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    covered = 0
    for trial in range(200):
        low, high = interval(rng.normal(0.5, 0.2, 60), resamples=400, seed=trial)
        covered += low <= 0.5 <= high
    assert 0.88 < covered / 200 <= 1.0


def test_chance_rarely_counts_as_a_gain() -> None:
    rng = np.random.default_rng(7)
    outcomes = [judge(rng.normal(0, 0.2, 60), scores(60), resamples=300).outcome for _ in range(150)]
    assert outcomes.count("gain") + outcomes.count("loss") < 18


def test_unequal_or_no_scores_are_refused() -> None:
    with pytest.raises(DataError, match="same queries"):
        compare(("a", scores(5)), ("b", scores(6)), "NDCG@10")
    with pytest.raises(DataError, match="at least one"):
        interval(np.zeros(0))
