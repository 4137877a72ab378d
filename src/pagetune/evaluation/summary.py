"""Everything that an evaluation measured, for JSON: what metrics.json holds and the stage remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pagetune.evaluation.by_metric import queries_for
from pagetune.evaluation.metrics import GAIN, MAIN_METRIC
from pagetune.evaluation.significance import Comparison
from pagetune.recipe import GATE_KEYS

if TYPE_CHECKING:
    from pagetune.evaluation.evaluate import EvaluationReport, SystemResult


def summarise(report: EvaluationReport) -> dict[str, Any]:
    """The same for the same inputs, whenever and wherever it ran."""
    return {
        "verdict": report.verdict,
        "outcome": report.gain.outcome,
        "queries": len(report.queries),
        "pages": report.pages,
        "corpus": report.corpus,
        "left_out": report.left_out,
        "gain": GAIN,
        "about": report.conditions.about,
        "systems": {name: _figures(result) for name, result in report.systems.items()},
        "by_kind": {
            kind: {"queries": len(ids)}
            | {name: _rounded(result.scores.of(ids).means()) for name, result in report.systems.items()}
            for kind, ids in report.kinds.items()
        },
        "by_dimension": {
            str(dimension): {name: _figures(result) for name, result in results.items()}
            for dimension, results in report.by_dimension.items()
        },
        "comparisons": {name: _compared(found) for name, found in report.comparisons.items()},
        "by_metric": {metric: _compared(found) for metric, found in report.by_metric.items()},
        "slices": report.slices.to_json() if report.slices is not None else None,
        "suspects": len(report.suspects),
        "guard": report.guard.to_json() if report.guard is not None else None,
        "storage": {name: dict(facts) for name, facts in report.storage.items()},
        "settings": report.settings.model_dump(mode="json", exclude=set(GATE_KEYS)),
        "conditions": asdict(report.conditions),
    }


def _compared(comparison: Comparison) -> dict[str, Any]:
    """Its figures; what is derived is so from the rounded ones, as whoever reads them back has it."""
    figures = _rounded(asdict(comparison))
    kept = Comparison(**figures)
    derived = {"outcome": comparison.outcome, "visible": kept.visible}
    return figures | _rounded(derived) | {"queries_for": queries_for(kept)}


def _figures(result: SystemResult) -> dict[str, Any]:
    intervals = {metric: [round(low, 6), round(high, 6)] for metric, (low, high) in result.intervals.items()}
    return {"metrics": _rounded(result.metrics), "interval": intervals[MAIN_METRIC], "intervals": intervals}


def _rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """To six digits: a machine's last bits are no news."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}
