from __future__ import annotations

import numpy as np
import pytest

from pagetune.models.calibration import PLAIN, Calibration, fit_calibration


def test_the_scale_and_offset_that_made_the_answers_are_found() -> None:
    rng = np.random.default_rng(3)
    log_odds = rng.normal(-2, 3, 20000).astype(np.float32)
    answers = rng.random(20000) < Calibration(0.6, -1.5).apply(log_odds)
    found = fit_calibration(log_odds, answers)
    assert (found.scale, found.offset) == pytest.approx((0.6, -1.5), abs=0.1)
    assert found.pairs == 20000
    assert found.apply(log_odds).mean() == pytest.approx(answers.mean(), abs=1e-3)


def test_the_order_stays_and_clean_parting_stays_finite() -> None:
    log_odds = np.array([-3, -2, -1, 4, 5], np.float32)
    found = fit_calibration(log_odds, log_odds > 0)
    values = found.apply(log_odds)
    assert (np.diff(values) > 0).all()
    assert 0 < values[0] < 0.5 < values[-1] < 1
    assert np.isfinite([found.scale, found.offset]).all()


def test_where_nothing_can_be_fitted_the_sigmoid_stays() -> None:
    log_odds = np.array([1.0, 2.0, np.nan], np.float32)
    assert fit_calibration(log_odds, np.array([True, True, False])) is PLAIN
    assert fit_calibration(np.array([3.0, -3.0] * 9, np.float32), np.array([False, True] * 9)) is PLAIN
    assert PLAIN.apply(log_odds)[:2] == pytest.approx([0.731059, 0.880797], abs=1e-5)
    assert np.isnan(PLAIN.apply(log_odds)[2])
    assert PLAIN.apply(np.array([-900.0, 900.0], np.float32)).tolist() == [0.0, 1.0]
