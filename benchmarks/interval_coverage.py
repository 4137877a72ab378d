"""Claim: a 95% interval holds the true difference 93 to 97% of the time; without one the test finds one in 4 to 6%.

Two systems answer queries whose answer's rank is drawn: how hard a query is they share, the rest is each one's own
luck, so that many queries score the same with both (the differences are inflated with zeros), NDCG@10 is 0 beyond rank
10, and one system is better by a known amount: the mean over 400,000 drawn queries. Two such worlds: a middling
collection (NDCG near 0.55) and one where both are good (near 0.9, as published models are). From each, thousands of
test sets of 100 and 300 queries; `compare`, the code that every report uses, judges each. For no difference, which of
the two systems is called new is drawn query by query.

Beside the claim: the same with fewer queries, the interval of a mean (not a difference), the share of seen gains at the
number of queries that `queries_needed` asks for, and a world in which hardly any query changes, where every interval is
too narrow because the few that decide may be missing: there the test, which is exact, keeps a verdict from being given.
"""

from __future__ import annotations

import os
import sys

import numpy as np
from numpy.typing import NDArray

from pagetune.evaluation.power import POWER, queries_needed
from pagetune.evaluation.significance import compare, interval

TRIALS = int(os.environ.get("PAGETUNE_TRIALS", "3000"))
RESAMPLES = 1000
SIZES = (100, 300)
SMALLER = (20, 50)
"""Not in the claim: how far below it falls."""
Scores = NDArray[np.float64]
Pair = tuple[Scores, Scores]


def ndcg(steps: Scores) -> Scores:
    """NDCG@10 of the only relevant page, where `steps` is the logarithm of its rank."""
    rank = 1 + np.floor(np.exp(np.minimum(steps, 20)))
    return np.where(rank <= 10, 1 / np.log2(1 + rank), 0.0)


def world(rng: np.random.Generator, hardness: float, better: float, own: float, count: int = 400_000) -> Pair:
    """Every query's score with the old and the new system."""
    shared = rng.normal(hardness, 1.6, count)
    old, new = (ndcg(shared + rng.normal(-shift, own, count)) for shift in (0.0, better))
    return old, new


def few_change(rng: np.random.Generator, count: int = 400_000) -> Pair:
    """One query in thirty goes from wherever it was to rank 1."""
    old = ndcg(rng.normal(0.8, 1.6, count))
    return old, np.where(rng.random(count) < 1 / 30, 1.0, old)


def coverage(pair: Pair, queries: int, rng: np.random.Generator, trials: int) -> tuple[float, float, float]:
    """How often the interval of the difference holds it, that of a mean the mean, and how often a gain is seen."""
    old, new = pair
    true, mean = float(np.mean(new - old)), float(np.mean(new))
    held = held_mean = seen = 0
    for trial in range(trials):
        drawn = rng.integers(0, len(old), queries)
        found = compare(("new", new[drawn]), ("old", old[drawn]), "NDCG@10", resamples=RESAMPLES, seed=trial)
        low, high = interval(new[drawn], resamples=RESAMPLES, seed=trial)
        held += found.low <= true <= found.high
        held_mean += low <= mean <= high
        seen += found.outcome == "gain"
    return held / trials, held_mean / trials, seen / trials


def false_positives(pair: Pair, queries: int, rng: np.random.Generator, trials: int) -> tuple[float, float]:
    """How often p < 0.05, and how often a verdict is given, where the two systems are as good as each other."""
    old, new = pair
    small = verdicts = 0
    for trial in range(trials):
        drawn = rng.integers(0, len(old), queries)
        swap = rng.random(queries) < 0.5
        first, second = np.where(swap, old[drawn], new[drawn]), np.where(swap, new[drawn], old[drawn])
        found = compare(("new", first), ("old", second), "NDCG@10", resamples=RESAMPLES, seed=trial)
        small += found.p < 0.05
        verdicts += found.outcome in ("gain", "loss")
    return small / trials, verdicts / trials


def main() -> int:
    rng, aside = np.random.default_rng(17), np.random.default_rng(23)
    worlds = {"middling": world(rng, 0.8, 0.25, 1.05), "good": world(rng, -1.6, 0.5, 1.0)}
    wrong = []
    for name, pair in worlds.items():
        old, new = pair
        same = np.mean(old == new)
        print(f"{name}: {old.mean():.3f} → {new.mean():.3f}, {same:.0%} of the queries the same", flush=True)
        for queries in SIZES:
            held, mean, seen = coverage(pair, queries, rng, TRIALS)
            small, verdicts = false_positives(pair, queries, rng, TRIALS)
            print(
                f"  {queries} queries: interval holds the difference {held:.1%}, a mean {mean:.1%}; a gain seen "
                f"{seen:.1%}; at no difference p < 0.05 {small:.1%}, a verdict {verdicts:.1%}",
                flush=True,
            )
            wrong += [] if 0.93 <= held <= 0.97 else [f"{name}, {queries}: coverage {held:.1%}"]
            wrong += [] if 0.04 <= small <= 0.06 else [f"{name}, {queries}: false positives {small:.1%}"]
        for queries in SMALLER:
            held, mean, _ = coverage(pair, queries, aside, TRIALS // 3)
            print(f"  {queries} queries (not in the claim): the difference {held:.1%}, a mean {mean:.1%}", flush=True)
        needed = queries_needed(float(np.mean(new - old)), float(np.std(new - old)))
        seen = coverage(pair, needed, rng, TRIALS // 6)[2]
        print(f"  {needed} queries, as many as {POWER:.0%} asks for: a gain seen {seen:.1%}", flush=True)
    rare = few_change(rng)
    for queries in SIZES:
        held, _, seen = coverage(rare, queries, rng, TRIALS // 6)
        small, verdicts = false_positives(rare, queries, rng, TRIALS // 6)
        print(
            f"one query in thirty changes, {queries} queries (not in the claim): interval holds {held:.1%}; at no "
            f"difference a verdict {verdicts:.1%}",
            flush=True,
        )
    for line in wrong:
        print(f"not as claimed: {line}")
    print(f"{TRIALS} test sets each; claim {'FAILS' if wrong else 'holds'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
