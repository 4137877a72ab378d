from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetune.errors import DataError
from pagetune.evaluation.metrics import QueryScores
from pagetune.evaluation.significance import (
    FEWEST_QUERIES,
    Comparison,
    compare,
    compare_scores,
    correct,
    holm,
    interval,
    intervals,
    pairwise,
    sentence,
    verdict,
)


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


def test_the_intervals_of_many_systems_are_those_of_each() -> None:
    values = np.random.default_rng(3).random((4, 70))
    values[2] = 0.5
    found = intervals(values, resamples=500)
    assert found[2] == (0.5, 0.5)
    for row, one in zip(values, found, strict=True):
        assert one == pytest.approx(interval(row, resamples=500), abs=1e-12)
    with pytest.raises(DataError, match="at least one"):
        intervals(np.zeros((2, 0)))


def test_unequal_or_no_scores_are_refused() -> None:
    with pytest.raises(DataError, match="same queries"):
        compare(("a", scores(5)), ("b", scores(6)), "NDCG@10")
    with pytest.raises(DataError, match="at least one"):
        interval(np.zeros(0))


def test_no_measurable_gain_says_what_the_queries_could_have_shown() -> None:
    base = scores()
    found = judge(np.random.default_rng(4).normal(0.0, 0.2, len(base)), base)
    assert found.visible is not None
    assert verdict(found).endswith(f"120 held-out queries, enough to see a change of {found.visible:.3f}).")
    assert found.needed(found.visible) == pytest.approx(120, abs=1)
    assert found.effect == pytest.approx(found.difference / found.spread)
    same = judge(np.zeros(50), scores(50))
    assert same.visible is same.needed(0.1) is same.effect is None
    assert "enough" not in verdict(same)


def test_a_sentence_on_any_two_systems() -> None:
    base = scores()
    better = judge(np.random.default_rng(2).normal(0.08, 0.15, len(base)), base)
    assert sentence(better).startswith("tuned against base: NDCG@10 ")
    assert "measurably better" in sentence(better)
    assert "measurably worse" in sentence(judge(np.full(120, -0.1) - base / 9, base))
    assert "not measurable" in sentence(judge(np.random.default_rng(4).normal(0.0, 0.2, len(base)), base))
    assert "too few queries for a verdict (5;" in sentence(judge(np.full(5, 0.1), scores(5)))


def test_holms_correction_as_in_his_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_correction_only_raises_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(before <= after <= 1 for before, after in zip(p, adjusted, strict=True))
    order = sorted(range(len(p)), key=p.__getitem__)
    assert [adjusted[place] for place in order] == sorted(adjusted)
    assert min(adjusted) == pytest.approx(min(1, len(p) * min(p)))


def test_a_family_of_comparisons_takes_stronger_evidence() -> None:
    base = scores()
    rng = np.random.default_rng(2)
    weak = next(
        found
        for found in (judge(rng.normal(0.03, 0.15, len(base)), base) for _ in range(99))
        if 0.02 < found.p < 0.05 and found.outcome == "gain"
    )
    few = judge(np.full(5, 0.1), scores(5))
    noise = judge(rng.normal(0, 0.2, len(base)), base)
    corrected = correct([weak, few, noise, noise])
    assert [found.family for found in corrected] == [3, 1, 3, 3]
    assert corrected[0].holm == pytest.approx(3 * weak.p)
    assert corrected[0].outcome == "no measurable gain"
    assert "after Holm's correction over 3" in sentence(corrected[0])
    assert corrected[1] == few


def test_every_metric_is_compared_on_the_same_queries_in_any_order() -> None:
    first = QueryScores(("a", "b", "c"), {"NDCG@10": np.array([0.1, 0.2, 0.3]), "MAP": np.array([0.0, 1.0, 0.5])})
    found = compare_scores(("new", first.of(["c", "a", "b"])), ("old", first))
    assert {name: (one.difference, one.metric) for name, one in found.items()} == {
        "NDCG@10": (0, "NDCG@10"),
        "MAP": (0, "MAP"),
    }
    assert [*compare_scores(("new", first), ("old", first), ["MAP"])] == ["MAP"]
    with pytest.raises(DataError, match="1 queries are judged in one system only, such as 'c';"):
        compare_scores(("new", first), ("old", first.of(["a", "b"])))


def test_all_pairs_are_tested_as_each_alone_would_be() -> None:
    rng = np.random.default_rng(6)
    values = np.round(rng.uniform(0, 1, (4, 70)), 1)
    values[1] = values[0]
    values[3] = values[2] + 0.1
    found, drawn = pairwise(values, resamples=20_000)
    assert drawn == 20_000
    assert found.shape == (4, 4)
    np.testing.assert_array_equal(found, found.T)
    assert found[0, 1] == 1
    for old, new in ((0, 2), (0, 3), (2, 3)):
        alone = compare(("a", values[new]), ("b", values[old]), "NDCG@10", resamples=20_000).p
        assert found[old, new] == pytest.approx(alone, abs=0.015)


def test_many_pairs_draw_so_many_signs_that_one_can_be_measurable() -> None:
    values = np.tile(np.linspace(0.1, 0.4, 40), (12, 1))
    values[0] += 0.5
    found, drawn = pairwise(values, resamples=100)
    assert drawn == 66 * 20 / 0.05
    assert 66 * found[0, 1] < 0.05


@pytest.mark.parametrize("systems", [3, 5, 10])
def test_of_equal_models_hardly_ever_one_is_called_worse_than_the_luckiest(systems: int) -> None:
    """Corrected over all pairs; over those against the best alone it happens far more often than in 1 of 20."""
    rng = np.random.default_rng(11)
    trials, wrong, naive = 200, 0, 0
    pairs = [(a, b) for a in range(systems) for b in range(a)]
    for _ in range(trials):
        values = rng.uniform(0, 0.6, 40) + rng.normal(0, 0.2, (systems, 40))
        best = int(np.argmax(values.mean(axis=1)))
        p, _ = pairwise(values, resamples=100)
        corrected = dict(zip(pairs, holm([float(p[pair]) for pair in pairs]), strict=True))
        wrong += min(own for pair, own in corrected.items() if best in pair) < 0.05
        naive += min(holm([float(p[best, other]) for other in range(systems) if other != best])) < 0.05
    assert wrong / trials <= 0.075
    assert naive >= wrong
    if systems > 3:
        assert naive / trials > 0.075
