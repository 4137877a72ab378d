"""Judging while training: when an earlier checkpoint is kept: a gain that is more than noise."""

from __future__ import annotations

import numpy as np

from pagetune.training.validation import clearly_better


def test_a_gain_within_its_error_is_none() -> None:
    one = np.array([0.0, 1.0, 0.4, 0.6])
    assert not clearly_better(one, one)
    assert not clearly_better(one + np.array([0.5, -0.4, 0.3, -0.3]), one)
    assert not clearly_better(one, one + 0.1)
    assert not clearly_better(one[:1] + 1, one[:1])


def test_a_gain_of_every_query_is_one() -> None:
    one = np.array([0.0, 1.0, 0.4, 0.6])
    assert clearly_better(one + np.array([0.2, 0.1, 0.2, 0.1]), one)
