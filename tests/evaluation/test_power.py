from __future__ import annotations

import numpy as np
import pytest

from pagetune.evaluation.power import effect_size, queries_needed, smallest_seen


def test_the_queries_that_it_takes_are_those_of_the_tables() -> None:
    # Cohen (1988): a medium effect of paired samples, two-sided 5%, power 0.8, takes 34; a small one 199.
    assert queries_needed(0.5, 1.0) == 34
    assert queries_needed(0.2, 1.0) in (198, 199)
    assert queries_needed(-0.5, 1.0) == queries_needed(0.5, 1.0)
    assert queries_needed(0.5, 1.0, power=0.95) > queries_needed(0.5, 1.0)
    assert queries_needed(9.0, 0.1) == 2
    with pytest.raises(ValueError, match="gain=0"):
        queries_needed(0.0, 1.0)


def test_so_many_queries_show_the_change_in_four_of_five_experiments() -> None:
    from scipy import stats

    rng = np.random.default_rng(3)
    count = queries_needed(0.05, 0.2)
    found = [stats.ttest_1samp(rng.normal(0.05, 0.2, count), 0).pvalue < 0.05 for _ in range(2000)]
    assert 0.77 < np.mean(found) < 0.83


def test_the_smallest_change_seen_is_the_other_way_round() -> None:
    assert smallest_seen(200, 0.2) == pytest.approx(0.04, abs=0.001)
    assert queries_needed(smallest_seen(200, 0.2) or 0, 0.2) in (200, 201)
    assert smallest_seen(1, 0.2) is None


def test_the_effect_is_in_units_of_the_spread() -> None:
    assert effect_size(0.05, 0.2) == pytest.approx(0.25)
    assert effect_size(0.05, 0.0) is None
