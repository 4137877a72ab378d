"""A gate for continuous integration of models: does NDCG@10 stay where it was, or above a value?

It closes only where the fall is measurable: against an earlier run on the same queries by the paired tests, against one
on other queries by both runs' intervals, against a value by the interval of the mean.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from pagetune.errors import DataError
from pagetune.evaluation.metrics import MAIN_METRIC
from pagetune.evaluation.significance import FEWEST_QUERIES, Sampling, compare, sentence

SYSTEM = "tuned"
"""The system that is looked at unless another is asked for."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a model may pass, and why."""

    passed: bool
    sentence: str


def check(run: Path, fail_under: str | float | Path, system: str = SYSTEM) -> Gate:
    """Look at the run in the folder `run` (metrics.json, per-query.parquet).

    `fail_under` is a number from 0 to 1, or the metrics.json of an earlier run, or its folder. Raises DataError.
    """
    value = _number(fail_under)
    if value is not None:
        return _against_value(run, value, system)
    return _against_run(run, Path(fail_under), system)  # type: ignore[arg-type]


def check_reference(fail_under: str | float | Path, own: Path) -> None:
    """What `check` will compare with, looked at before the evaluation takes its time.

    `own` is the folder that the evaluation is about to replace: it can be no reference. Raises DataError.
    """
    if _number(fail_under) is not None:
        return
    place = Path(fail_under)  # type: ignore[arg-type]
    if not place.exists():
        raise DataError(f"fail-under {str(place)!r} is neither a number nor a file; give 0.6, or a metrics.json")
    if (place if place.is_dir() else place.parent).resolve() == own.resolve():
        raise DataError(
            f"fail-under {str(place)!r} is the run that this evaluation replaces; give a copy of its folder"
        )
    _metrics(place)


def _number(given: str | float | Path) -> float | None:
    try:
        value = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if not 0 <= value <= 1:
        raise DataError(
            f"fail-under {given!s}: {MAIN_METRIC} is between 0 and 1; give such a number, or a metrics.json"
        )
    return value


def _against_value(run: Path, value: float, system: str) -> Gate:
    metrics = _metrics(run)
    mean, (low, high), queries = _figures(metrics, system, run)
    told = f"{system} {MAIN_METRIC} {mean:.3f} ({low:.3f} to {high:.3f}, {queries} queries)"
    if mean >= value:
        return Gate(True, f"Passed: {told}, not below {value:g}.")
    if queries < FEWEST_QUERIES:
        return Gate(
            True, f"Passed: {told}, below {value:g}, but too few queries: at least {FEWEST_QUERIES} are needed."
        )
    if high < value:
        return Gate(False, f"Failed: {told}, measurably below {value:g}.")
    return Gate(True, f"Passed: {told}, below {value:g}, but not measurably.")


def _against_run(run: Path, reference: Path, system: str) -> Gate:
    if not reference.exists():
        raise DataError(f"fail-under {str(reference)!r} is neither a number nor a file; give 0.6, or a metrics.json")
    now, then = _metrics(run), _metrics(reference)
    new, old = _per_query(run, system), _per_query(reference, system)
    if new is not None and old is not None and new.keys() == old.keys():
        chance = _chance(now)
        queries = sorted(new)
        found = compare(
            (f"{system} now", np.array([new[query] for query in queries])),
            (f"{system} of {_name(reference)}", np.array([old[query] for query in queries])),
            MAIN_METRIC,
            **chance,
        )
        failed = found.outcome == "loss"
        return Gate(not failed, f"{'Failed' if failed else 'Passed'}: {sentence(found)}")
    return _unpaired(now, then, run, reference, system)


def _unpaired(now: dict[str, Any], then: dict[str, Any], run: Path, reference: Path, system: str) -> Gate:
    """Other queries, or none of them kept: the two intervals have to do, each as wide as a normal one would be."""
    (mean, own, queries), (before, its, asked) = _figures(now, system, run), _figures(then, system, reference)
    confidence = _chance(now)["confidence"]
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    error = math.hypot((own[1] - own[0]) / (2 * z), (its[1] - its[0]) / (2 * z))
    difference, reach = mean - before, z * error
    told = (
        f"{system} {MAIN_METRIC} {before:.3f} → {mean:.3f}, {difference:+.3f} ({confidence:.0%} interval "
        f"{difference - reach:+.3f} to {difference + reach:+.3f}, on other queries: {queries} now, {asked} then)"
    ).replace("-", "−")
    if min(queries, asked) < FEWEST_QUERIES:
        return Gate(True, f"Passed: {told}, too few queries: at least {FEWEST_QUERIES} are needed.")
    failed = difference + reach < 0
    return Gate(
        not failed, f"Failed: {told}, measurably worse." if failed else f"Passed: {told}, not measurably worse."
    )


def _metrics(place: Path) -> dict[str, Any]:
    file = place / "metrics.json" if place.is_dir() else place
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        found["systems"], found["queries"]
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{file} is not the metrics.json of an evaluation; give one that pagetune evaluate wrote"
        ) from None
    return found


def _figures(metrics: dict[str, Any], system: str, place: Path) -> tuple[float, tuple[float, float], int]:
    try:
        found = metrics["systems"][system]
        return float(found["metrics"][MAIN_METRIC]), tuple(found["interval"]), int(metrics["queries"])
    except (KeyError, TypeError):
        known = ", ".join(metrics["systems"])
        raise DataError(
            f"{place}: has no {MAIN_METRIC} of {system!r} (there are {known}); choose one of them"
        ) from None


def _per_query(place: Path, system: str) -> dict[str, float] | None:
    """Query id -> NDCG@10, None where it was not kept beside the metrics."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = (place if place.is_dir() else place.parent) / "per-query.parquet"
    try:
        table = pq.read_table(file, columns=["query-id", f"{system} {MAIN_METRIC}"]).to_pydict()
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None
    return dict(zip(table["query-id"], table[f"{system} {MAIN_METRIC}"], strict=True))


def _chance(metrics: dict[str, Any]) -> Sampling:
    settings = metrics.get("settings", {})
    return Sampling(
        confidence=float(settings.get("confidence", 0.95)),
        resamples=int(settings.get("resamples", 10_000)),
        seed=int(settings.get("seed", 17)),
    )


def _name(place: Path) -> str:
    return str(place if place.is_dir() else place.parent)
