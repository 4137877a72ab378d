"""A second look at a finished evaluation: where tuning helped and where not, and which judgements may be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pagetune.evaluation.evaluate import BASE, FUSED, RERANKED, TUNED, EvaluationReport
from pagetune.evaluation.false_negatives import find_suspects
from pagetune.evaluation.slices import slice_by


def look_closer(report: EvaluationReport, facets: Mapping[str, Mapping[str, str]]) -> EvaluationReport:
    """The same report with its slices and suspects. `facets`: facet -> query id -> slice."""
    scores = {name: report.systems[name].scores for name in (TUNED, BASE)}
    slices = slice_by(facets, (TUNED, scores[TUNED]), (BASE, scores[BASE]), settings=report.settings)
    runs = {name: report.systems[name].run for name in witnesses(tuple(report.systems))}
    texts = {query.id: query.text for query in report.queries}
    return replace(report, slices=slices, suspects=find_suspects(runs, report.qrels, texts))


def witnesses(systems: Sequence[str]) -> tuple[str, ...]:
    """The systems that must agree on a suspect: all but the fusion, which only repeats what two of them say, and what a
    reranker made of it."""
    return tuple(name for name in systems if name not in (FUSED, RERANKED))
