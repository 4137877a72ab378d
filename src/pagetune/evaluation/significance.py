"""Is the difference real? A paired bootstrap interval, a paired randomisation test, and one sentence.

Both work on the differences query by query (Smucker, Allan and Carterette, 2007, on why the randomisation test; Sakai,
2006, on the bootstrap), through scipy.stats, and are seeded: the same scores give the same figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import DataError

FEWEST_QUERIES = 20
"""Below this many judged queries no verdict is given: the bootstrap interval is known to be too narrow there."""

Outcome = Literal["gain", "loss", "no measurable gain", "too few queries"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`new` against `old` on the same queries, in one metric: the mean difference, its interval, and the test's p."""

    new: str
    old: str
    metric: str
    new_mean: float
    old_mean: float
    difference: float
    low: float
    high: float
    p: float
    confidence: float
    queries: int
    better: int
    worse: int

    @property
    def outcome(self) -> Outcome:
        """A gain or a loss only where the interval and the test agree."""
        if self.queries < FEWEST_QUERIES:
            return "too few queries"
        if self.p < 1 - self.confidence:
            if self.low > 0:
                return "gain"
            if self.high < 0:
                return "loss"
        return "no measurable gain"


def interval(
    values: NDArray[np.float64], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 17
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of `values` [n]; of no width where all are equal."""
    from scipy import stats

    if not len(values):
        raise DataError("no interval of 0 values: give the scores of at least one query")
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = stats.bootstrap(
        (values,),
        np.mean,
        vectorized=True,
        method="percentile",
        confidence_level=confidence,
        n_resamples=resamples,
        batch=_batch(len(values)),
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def compare(
    new: tuple[str, NDArray[np.float64]],
    old: tuple[str, NDArray[np.float64]],
    metric: str,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 17,
) -> Comparison:
    """Compare two systems' scores of the same queries, each (name, float64 [queries]) in the same order.

    p is two-sided: how often random signs of the per-query differences give a mean as far from 0. Raises DataError.
    """
    (new_name, new_values), (old_name, old_values) = new, old
    if len(new_values) != len(old_values):
        raise DataError(f"{len(new_values)} scores against {len(old_values)}: compare systems on the same queries")
    differences = np.round(new_values - old_values, 12)
    low, high = interval(differences, confidence=confidence, resamples=resamples, seed=seed)
    return Comparison(
        new=new_name,
        old=old_name,
        metric=metric,
        new_mean=float(np.mean(new_values)),
        old_mean=float(np.mean(old_values)),
        difference=float(np.mean(differences)),
        low=low,
        high=high,
        p=_randomisation_p(differences, resamples, seed),
        confidence=confidence,
        queries=len(differences),
        better=int(np.sum(differences > 0)),
        worse=int(np.sum(differences < 0)),
    )


def _randomisation_p(differences: NDArray[np.float64], resamples: int, seed: int) -> float:
    from scipy import stats

    moved = differences[differences != 0]
    # A sign in front of 0 changes nothing, so the queries without a difference need not be drawn;
    # and one difference is as far from 0 with either sign.
    if len(moved) < 2:
        return 1.0
    found = stats.permutation_test(
        (moved,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=_batch(len(moved)),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _batch(values: int) -> int:
    """Resamples at a time, so that they take some 32 MiB."""
    return max(1, (1 << 22) // values)


def verdict(comparison: Comparison) -> str:
    """One sentence: whether tuning helped, on what evidence."""
    c = comparison
    evidence = (
        f"{c.confidence:.0%} interval {_signed(c.low)} to {_signed(c.high)}, {_p(c.p)}, {c.queries} held-out queries"
    )
    change = f"{c.metric} {c.old_mean:.3f} → {c.new_mean:.3f}, {_signed(c.difference)}"
    match c.outcome:
        case "gain":
            return f"Tuning helped: {change} ({evidence})."
        case "loss":
            return f"Tuning made it worse: {change} ({evidence}); keep the {c.old} model."
        case "too few queries":
            some = "1 held-out query" if c.queries == 1 else f"{c.queries} held-out queries"
            return f"Too few queries for a verdict: {change} on {some}; at least {FEWEST_QUERIES} are needed."
        case _:
            return f"No measurable gain: {change} ({evidence})."


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
