"""A gate for continuous integration of models: does NDCG@10 stay where it was, or above a value?

It closes only where the fall is measurable: against an earlier run on the same queries by the paired tests, against one
on other queries or pages by both runs' intervals, against a value by the interval of the mean. Where judgements have
changed since an earlier run, its answers, which were kept, are scored again by today's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from pagetune.errors import DataError
from pagetune.evaluation.metrics import GAIN, MAIN_METRIC, score_run
from pagetune.evaluation.significance import FEWEST_QUERIES, Sampling, compare, sentence
from pagetune.workspace import read_text

if TYPE_CHECKING:
    from pagetune.evaluation.ranking import Run

SYSTEM = "tuned"
"""The system that is looked at unless another is asked for."""

NAMED = f"{MAIN_METRIC} ({GAIN} gain)"
"""The metric as a sentence says it."""


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


def check_reference(fail_under: str | float | Path, own: Path, system: str = SYSTEM) -> None:
    """What `check` will compare with, looked at before the evaluation takes its time: it must have judged `system`.

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
    _figures(_metrics(place), system, place)


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
    told = f"{system} {NAMED} {mean:.3f} ({low:.3f} to {high:.3f}, {queries} queries)"
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
    if new is None or old is None:
        return _unpaired(now, then, run, reference, system, "figures by query were not kept")
    if why := _unlike(new, old, now, then):
        return _unpaired(now, then, run, reference, system, why)
    changed = sorted(query for query in new.qrels if new.qrels[query] != old.qrels[query])
    before, told = old.scores, ""
    if changed:
        answers = _kept_run(reference, system)
        some = f"{_queries(changed)} judged otherwise now"
        if answers is None:
            return _unpaired(now, then, run, reference, system, f"{some}, and the answers of that run were not kept")
        again = score_run(answers, {query: new.qrels[query] for query in changed}, metrics=(MAIN_METRIC,))
        before = before | dict(zip(again.queries, again.values[MAIN_METRIC].tolist(), strict=True))
        told = f" {some}: there the answers of that run are scored again, by today's judgements."
    queries = sorted(new.scores)
    found = compare(
        (f"{system} now", np.array([new.scores[query] for query in queries])),
        (f"{system} of {_name(reference)}", np.array([before[query] for query in queries])),
        NAMED,
        **_chance(now),
    )
    failed = found.outcome == "loss"
    return Gate(not failed, f"{'Failed' if failed else 'Passed'}: {sentence(found)}{told}")


def _unlike(new: _Kept, old: _Kept, now: dict[str, Any], then: dict[str, Any]) -> str | None:
    """Why the figures of two runs cannot be paired query by query; None where they can."""
    if new.scores.keys() != old.scores.keys():
        return "on other queries"
    if asked := [query for query, text in new.texts.items() if text != old.texts[query]]:
        return f"{_queries(asked)} of another text now"
    # A run of an earlier Pagetune says how many pages there were, not which.
    known = "corpus" if now.get("corpus") and then.get("corpus") else "pages"
    if now.get(known) != then.get(known):
        return "over other pages"
    return "with other pages left out of the answers" if _left_out(now, then) else None


def _left_out(now: dict[str, Any], then: dict[str, Any]) -> bool:
    """Whether other pages were left out; of a run of an earlier Pagetune there is only their number."""
    if "left_out" in now and "left_out" in then:
        return bool(now["left_out"] != then["left_out"])
    counts = [found.get("conditions", {}).get("excluded", 0) for found in (now, then)]
    return bool(counts[0] != counts[1])


def _queries(found: Sequence[str]) -> str:
    return "1 query is" if len(found) == 1 else f"{len(found):,} queries are"


def _unpaired(now: dict[str, Any], then: dict[str, Any], run: Path, reference: Path, system: str, why: str) -> Gate:
    """What cannot be paired, and why: the two intervals have to do, each as wide as a normal one would be."""
    (mean, own, queries), (before, its, asked) = _figures(now, system, run), _figures(then, system, reference)
    confidence = _chance(now)["confidence"]
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    error = math.hypot((own[1] - own[0]) / (2 * z), (its[1] - its[0]) / (2 * z))
    difference, reach = mean - before, z * error
    told = (
        f"{system} {NAMED} {before:.3f} → {mean:.3f}, {difference:+.3f} ({confidence:.0%} interval "
        f"{difference - reach:+.3f} to {difference + reach:+.3f}, not paired by query, as {why}: {queries} queries "
        f"now, {asked} then)"
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
        found: dict[str, Any] = json.loads(read_text(file))
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


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """What was kept of each query: its NDCG@10, its text, its judgements above 0."""

    scores: dict[str, float]
    texts: dict[str, str]
    qrels: dict[str, dict[str, int]]


def _per_query(place: Path, system: str) -> _Kept | None:
    """None where it was not kept beside the metrics."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = (place if place.is_dir() else place.parent) / "per-query.parquet"
    columns = ["query-id", "query", "corpus-ids", "grades", f"{system} {MAIN_METRIC}"]
    try:
        found = pq.read_table(file, columns=columns).to_pydict()
        ids, texts, pages, grades, scores = (found[name] for name in columns)
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None
    judged = [dict(zip(*each, strict=True)) for each in zip(pages, grades, strict=True)]
    return _Kept(*(dict(zip(ids, values, strict=True)) for values in (scores, texts, judged)))


def _kept_run(place: Path, system: str) -> Run | None:
    """The system's answers, None where they were not kept beside the metrics."""
    from pagetune.evaluation.output import load_answers

    try:
        return load_answers(place if place.is_dir() else place.parent, system)
    except (DataError, KeyError):
        return None


def _chance(metrics: dict[str, Any]) -> Sampling:
    settings = metrics.get("settings", {})
    return Sampling(
        confidence=float(settings.get("confidence", 0.95)),
        resamples=int(settings.get("resamples", 10_000)),
        seed=int(settings.get("seed", 17)),
    )


def _name(place: Path) -> str:
    return str(place if place.is_dir() else place.parent)
