"""From a reranker's log-odds to the probability that a page answers: Platt's scaling (Platt, 1999).

A reranker trains with some negatives a positive and is used on a shortlist of fifty pages of which one or two answer:
its log-odds are off by a constant at least. Two numbers, fitted on validation queries, set that right; the order of
pages stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Calibration:
    """probability = sigmoid(scale * log-odds + offset). `pairs` it was fitted on; 0: not fitted."""

    scale: float = 1.0
    offset: float = 0.0
    pairs: int = 0

    def apply(self, log_odds: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 of the same shape, 0 to 1; NaN stays NaN."""
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-(self.scale * log_odds.astype(np.float64) + self.offset))), np.float32)


PLAIN = Calibration()
"""The sigmoid as it is."""


def fit_calibration(log_odds: NDArray[np.float32], answers: NDArray[np.bool_]) -> Calibration:
    """The calibration under which the answers are most probable, by Newton's method.

    The targets are drawn in a little, as Platt has it, so that pairs that are parted cleanly give no infinite scale.
    Where there is only one kind of answer, or the scores are upside down, nothing is fitted.
    """
    known = ~np.isnan(log_odds)
    scores, answered = log_odds[known].astype(np.float64), answers[known]
    yes, no = int(answered.sum()), int((~answered).sum())
    if not yes or not no:
        return PLAIN
    targets = np.where(answered, (yes + 1) / (yes + 2), 1 / (no + 2))
    columns = np.stack([scores, np.ones_like(scores)], axis=1)
    found = np.array([0.0, np.log((yes + 1) / (no + 1))])
    for _ in range(100):
        probable = 1 / (1 + np.exp(-np.clip(columns @ found, -60, 60)))
        slope = columns.T @ (probable - targets)
        curve = (columns * (probable * (1 - probable))[:, None]).T @ columns + 1e-9 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        found -= np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    return Calibration(float(found[0]), float(found[1]), len(scores)) if found[0] > 0 else PLAIN
