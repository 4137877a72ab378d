"""Is the difference real? A paired bootstrap interval, a paired randomisation test, and one sentence.

Both work on the differences query by query (Smucker, Allan and Carterette, 2007, on why the randomisation test; Sakai,
2006, on the bootstrap), through scipy.stats, and are seeded: the same scores give the same figures. How large a
difference is beside its spread, and how many queries it takes to see one: `pagetune.evaluation.power`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import DataError
from pagetune.evaluation.metrics import QueryScores
from pagetune.evaluation.power import POWER, effect_size, queries_needed, smallest_seen

if TYPE_CHECKING:
    from pagetune.recipe import EvaluateRecipe

FEWEST_QUERIES = 20
"""Below this many judged queries no verdict is given: the bootstrap interval is known to be too narrow there."""

_SPARE = 20
"""A pair that no drawn sign reaches comes out at so small a part of what counts as measurable, corrected."""

Outcome = Literal["gain", "loss", "no measurable gain", "too few queries"]


class Sampling(TypedDict, total=False):
    """How often is drawn, from which seed, for which confidence."""

    confidence: float
    resamples: int
    seed: int


def sampling(recipe: EvaluateRecipe) -> Sampling:
    """As the recipe has it."""
    return Sampling(confidence=recipe.confidence, resamples=recipe.resamples, seed=recipe.seed)


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
    spread: float = 0.0
    """The standard deviation of the differences query by query."""
    effect: float | None = None
    """The difference over its spread (Cohen's d of paired samples); None where nothing varies."""
    holm: float | None = None
    """p after Holm's correction, where this is one of several comparisons."""
    family: int = 1
    """How many comparisons were corrected together."""

    @property
    def outcome(self) -> Outcome:
        """A gain or a loss only where the interval and the test, corrected if it was, agree."""
        if self.queries < FEWEST_QUERIES:
            return "too few queries"
        if (self.p if self.holm is None else self.holm) < 1 - self.confidence:
            if self.low > 0:
                return "gain"
            if self.high < 0:
                return "loss"
        return "no measurable gain"

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Comparison:
        """Of its figures, whatever else stands beside them. Raises TypeError where one is missing."""
        return cls(**{field.name: found[field.name] for field in fields(cls) if field.name in found})

    def needed(self, gain: float, power: float = POWER) -> int | None:
        """How many queries like these would show a true change of `gain`; None where nothing varies."""
        return queries_needed(gain, self.spread, self.confidence, power) if self.spread else None

    @property
    def visible(self) -> float | None:
        """The smallest true change that so many queries show, four times in five; None where nothing varies."""
        return smallest_seen(self.queries, self.spread, self.confidence) if self.spread else None


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


def intervals(
    values: NDArray[np.float64], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 17
) -> list[tuple[float, float]]:
    """`interval` of each row of `values` [systems, queries], the queries drawn once for all: faster, and paired."""
    systems, queries = values.shape
    if not queries:
        raise DataError("no interval of 0 values: give the scores of at least one query")
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, systems))
    step = _batch(queries)
    for first in range(0, resamples, step):
        drawn = rng.integers(0, queries, (min(step, resamples - first), queries))
        rows = np.arange(len(drawn))[:, None] * queries
        # How often each query was drawn, so that a resample's means are one product.
        counts = np.bincount((drawn + rows).ravel(), minlength=drawn.size).reshape(drawn.shape)
        means[first : first + step] = counts @ values.T / queries
    edges = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    flat = np.ptp(values, axis=1) == 0
    low, high = np.where(flat, values[:, 0], edges)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def compare(
    new: tuple[str, NDArray[np.float64]],
    old: tuple[str, NDArray[np.float64]],
    metric: str,
    *,
    p: float | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 17,
) -> Comparison:
    """Compare two systems' scores of the same queries, each (name, float64 [queries]) in the same order.

    p is two-sided: how often random signs of the per-query differences give a mean as far from 0. One that is given is
    taken: that of a pair among many that were tested together (`pairwise`). Raises DataError.
    """
    (new_name, new_values), (old_name, old_values) = new, old
    if len(new_values) != len(old_values):
        raise DataError(f"{len(new_values)} scores against {len(old_values)}: compare systems on the same queries")
    differences = np.round(new_values - old_values, 12)
    low, high = interval(differences, confidence=confidence, resamples=resamples, seed=seed)
    spread = float(np.std(differences, ddof=1)) if np.ptp(differences) > 0 else 0.0
    return Comparison(
        new=new_name,
        old=old_name,
        metric=metric,
        new_mean=float(np.mean(new_values)),
        old_mean=float(np.mean(old_values)),
        difference=float(np.mean(differences)),
        low=low,
        high=high,
        p=_randomisation_p(differences, resamples, seed) if p is None else p,
        confidence=confidence,
        queries=len(differences),
        better=int(np.sum(differences > 0)),
        worse=int(np.sum(differences < 0)),
        spread=spread,
        effect=effect_size(float(np.mean(differences)), spread),
    )


def pairwise(
    values: NDArray[np.float64], *, resamples: int = 10_000, seed: int = 17, confidence: float = 0.95
) -> tuple[NDArray[np.float64], int]:
    """p of the randomisation test of every pair of `values` [systems, queries], as [systems, systems]; and how many
    signs were drawn.

    One draw of signs serves all pairs: the mean of a signed difference is the difference of the signed means. At least
    so many are drawn that a pair can come out as measurable among all of them after Holm's correction.
    """
    systems, queries = values.shape
    pairs = systems * (systems - 1) // 2
    drawn = max(resamples, round(_SPARE * pairs / (1 - confidence)))
    apart = np.abs(values[:, None].mean(axis=2) - values[None].mean(axis=2)) - 1e-9
    beyond = np.zeros((systems, systems), dtype=np.int64)
    rng = np.random.default_rng(seed)
    step = _batch(max(queries, systems**2))
    for first in range(0, drawn, step):
        count = min(step, drawn - first)
        bits = np.unpackbits(rng.integers(0, 256, (count, -(-queries // 8)), dtype=np.uint8), axis=1)[:, :queries]
        means = (bits * 2.0 - 1.0) @ values.T / queries
        for system in range(systems):
            beyond[system] += (np.abs(means[:, [system]] - means) >= apart[system]).sum(axis=0)
    return (beyond + 1) / (drawn + 1), drawn


def compare_scores(
    new: tuple[str, QueryScores], old: tuple[str, QueryScores], metrics: Sequence[str] = (), **chance: Unpack[Sampling]
) -> dict[str, Comparison]:
    """`compare` in each metric (none given: all that both have), whatever the order of the queries. Raises DataError.

    Metrics of one run say much the same, so that no correction is made between them: choose one beforehand.
    """
    (new_name, new_scores), (old_name, old_scores) = new, old
    if set(new_scores.queries) != set(old_scores.queries):
        odd = sorted(set(new_scores.queries) ^ set(old_scores.queries))
        raise DataError(f"{len(odd)} queries are judged in one system only, such as {odd[0]!r}; judge both on the same")
    old_scores = old_scores.of(new_scores.queries)
    chosen = metrics or [name for name in new_scores.values if name in old_scores.values]
    return {
        name: compare((new_name, new_scores.values[name]), (old_name, old_scores.values[name]), name, **chance)
        for name in chosen
    }


def holm(p: Sequence[float]) -> list[float]:
    """Each p of a family after Holm's correction (1979): the chance of one false finding among all stays at alpha."""
    adjusted = [0.0] * len(p)
    highest = 0.0
    for place, position in enumerate(sorted(range(len(p)), key=lambda position: p[position])):
        highest = max(highest, min(1.0, (len(p) - place) * p[position]))
        adjusted[position] = highest
    return adjusted


def correct(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same comparisons as one family: their `holm` and `family` set, and so their outcomes.

    Those of too few queries get no verdict anyway: they are left as they are, and do not count.
    """
    tested = [place for place, found in enumerate(comparisons) if found.queries >= FEWEST_QUERIES]
    adjusted = dict(zip(tested, holm([comparisons[place].p for place in tested]), strict=True))
    return tuple(
        replace(found, holm=adjusted[place], family=len(tested)) if place in adjusted else found
        for place, found in enumerate(comparisons)
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
    change = told_change(c)
    match c.outcome:
        case "gain":
            return f"Tuning helped: {change} ({told_evidence(c, 'held-out ')})."
        case "loss":
            return f"Tuning made it worse: {change} ({told_evidence(c, 'held-out ')}); keep the {c.old} model."
        case "too few queries":
            some = "1 held-out query" if c.queries == 1 else f"{c.queries} held-out queries"
            return f"Too few queries for a verdict: {change} on {some}; at least {FEWEST_QUERIES} are needed."
        case _:
            return f"No measurable gain: {change} ({told_evidence(c, 'held-out ')}{_enough(c)})."


def sentence(comparison: Comparison) -> str:
    """One sentence on any two systems: whether `new` is better, on what evidence."""
    c = comparison
    told = f"{c.new} against {c.old}: {told_change(c)}"
    match c.outcome:
        case "gain":
            return f"{told}, measurably better ({told_evidence(c)})."
        case "loss":
            return f"{told}, measurably worse ({told_evidence(c)})."
        case "too few queries":
            return f"{told}, too few queries for a verdict ({c.queries}; at least {FEWEST_QUERIES} are needed)."
        case _:
            return f"{told}, not measurable ({told_evidence(c)}{_enough(c)})."


def told_change(c: Comparison) -> str:
    """The two means and their difference, in words."""
    return f"{c.metric} {c.old_mean:.3f} → {c.new_mean:.3f}, {_signed(c.difference)}"


def told_evidence(c: Comparison, kind: str = "") -> str:
    """The interval, p and the number of queries, in words; `kind` is said of the queries."""
    corrected = "" if c.holm is None else f" ({_p(c.holm)} after Holm's correction over {c.family})"
    between = f"{c.confidence:.0%} interval {_signed(c.low)} to {_signed(c.high)}"
    return f"{between}, {_p(c.p)}{corrected}, {c.queries} {kind}queries"


def _enough(c: Comparison) -> str:
    return "" if c.visible is None else f", enough to see a change of {c.visible:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
