"""What happened to each query from one system to another: scores, ranks, the first answers; for the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pagetune.evaluation.evaluate import Conditions, EvaluationReport, SystemResult
from pagetune.evaluation.metrics import MAIN_METRIC, rounded
from pagetune.evaluation.ranking import Qrels, ranking
from pagetune.recipe import EvaluateRecipe
from pagetune.records import Query

if TYPE_CHECKING:
    import pyarrow

    from pagetune.evaluation.false_negatives import Suspect

FIRST = 5
"""Answers of a system that are shown."""
EXAMPLES = 4
"""Queries shown at length, of the gains and of the losses."""
SLICE = "slice by"
"""Begins the name of each column that says in which slice a query falls."""


class Judged(Protocol):
    """What wins and losses are told of: an EvaluationReport, or two of many models that were compared."""

    @property
    def queries(self) -> Sequence[Query]: ...
    @property
    def qrels(self) -> Qrels: ...
    @property
    def systems(self) -> Mapping[str, SystemResult]: ...
    @property
    def compared(self) -> tuple[str, str]:
        """Two of the systems: from the first to the second a query is won or lost."""
        ...

    @property
    def settings(self) -> EvaluateRecipe: ...
    @property
    def conditions(self) -> Conditions: ...
    @property
    def suspects(self) -> Sequence[Suspect]: ...
    def rank_of(self, system: str, query: str) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Change:
    """A query before and after, or by one system and by another."""

    query: Query
    scores: dict[str, float]
    """NDCG@10 by system."""
    ranks: dict[str, int | None]
    """The place of its page, by system; None below the depth of the run."""
    judged: tuple[tuple[str, int], ...]
    """Its pages and their grades, the best first."""
    first: dict[str, tuple[str, ...]]
    """The first answers of the two systems that are compared, in their order."""

    @property
    def change(self) -> float:
        """In NDCG@10, from the first of the two to the second."""
        old, new = self.first
        return round(self.scores[new] - self.scores[old], 12)

    @property
    def outcome(self) -> Literal["better", "worse", "same"]:
        return "better" if self.change > 0 else "worse" if self.change < 0 else "same"

    @property
    def page(self) -> str:
        """The page that it is about."""
        return self.judged[0][0]

    @property
    def mistaken(self) -> str | None:
        """The page that the second of the two puts first, where that does not answer the query."""
        *_, new = self.first.values()
        first = next(iter(new), None)
        return None if first is None or first in dict(self.judged) else first

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "query-id": self.query.id,
            "query": self.query.text,
            "kind": self.query.kind,
            "change": round(self.change, 6),
            "scores": rounded(self.scores),
            "ranks": self.ranks,
            "judged": dict(self.judged),
            "first": {name: list(pages) for name, pages in self.first.items()},
        }


def changes(report: Judged) -> list[Change]:
    """Every query, the greatest gain first, ties by id."""
    scores = {name: result.scores.of([query.id for query in report.queries]) for name, result in report.systems.items()}
    found = [
        _change(report, query, {name: float(scores[name].values[MAIN_METRIC][place]) for name in scores})
        for place, query in enumerate(report.queries)
    ]
    return sorted(found, key=lambda one: (-one.change, one.query.id))


def gains(found: Sequence[Change], count: int = EXAMPLES) -> list[Change]:
    """The greatest of the queries that are answered better now."""
    return [one for one in found[:count] if one.change > 0]


def losses(found: Sequence[Change], count: int = EXAMPLES) -> list[Change]:
    """The greatest of the queries that are answered worse now."""
    return [one for one in found[: -count - 1 : -1] if one.change < 0]


def _change(report: Judged, query: Query, scores: dict[str, float]) -> Change:
    grades = report.qrels[query.id]
    judged = sorted(
        (page for page, grade in grades.items() if grade > 0),
        key=lambda page: (-grades[page], page != query.page, page),
    )
    return Change(
        query,
        scores,
        {name: report.rank_of(name, query.id) for name in report.systems},
        tuple((page, grades[page]) for page in judged),
        {name: tuple(ranking(report.systems[name].run.get(query.id, {}))[:FIRST]) for name in report.compared},
    )


def as_table(report: EvaluationReport) -> pyarrow.Table:
    """One row a query: its text, kind and pages, and for each system every metric, the rank of its page, the first
    answer; then NDCG@10 at each shorter dimension, and the slice that it falls in by each facet."""
    import pyarrow as pa

    ids = [query.id for query in report.queries]
    right = [{page: grade for page, grade in sorted(report.qrels[query].items()) if grade > 0} for query in ids]
    columns: dict[str, Any] = {
        "query-id": ids,
        "query": [query.text for query in report.queries],
        "kind": [query.kind for query in report.queries],
        "document": [query.document for query in report.queries],
        "page": [query.page for query in report.queries],
        "context": [query.context for query in report.queries],
        "corpus-ids": [list(grades) for grades in right],
        "grades": pa.array([list(grades.values()) for grades in right], pa.list_(pa.int32())),
    }
    for name, result in report.systems.items():
        scores = result.scores.of(ids)
        for metric, values in scores.values.items():
            columns[f"{name} {metric}"] = values
        columns[f"{name} rank"] = pa.array([report.rank_of(name, query) for query in ids], pa.int32())
        columns[f"{name} first"] = [next(iter(ranking(result.run.get(query, {}))), None) for query in ids]
    for size, results in list(report.by_dimension.items())[1:]:
        for name, result in results.items():
            columns[f"{name}@{size} {MAIN_METRIC}"] = result.scores.of(ids).values[MAIN_METRIC]
    for facet, slices in (report.slices.facets if report.slices is not None else {}).items():
        falls = {query: one.name for one in slices for query in one.queries}
        columns[f"{SLICE} {facet}"] = pa.array([falls.get(query) for query in ids], pa.string())
    return pa.table(columns)
