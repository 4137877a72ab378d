"""The best of a comparison against the model that it was to beat, query by query, for the report's wins and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pagetune.errors import DataError
from pagetune.evaluation.comparison.grid import Grid, Result, short_name
from pagetune.evaluation.comparison.keeping import RUN
from pagetune.evaluation.evaluate import LEXICAL, Conditions, SystemResult
from pagetune.evaluation.per_query import Change, changes, gains, losses
from pagetune.evaluation.ranking import Qrels, Run, place_of_best, ranking
from pagetune.evaluation.trec import read_quoted
from pagetune.recipe import EvaluateRecipe
from pagetune.records import Query

RANKED = 4
"""Models whose ranks are in the table of queries: the two, BM25, and the next best."""


@dataclass(frozen=True, eq=False)
class Contest:
    """Some models' answers to the same queries; a `per_query.Judged`."""

    queries: Sequence[Query]
    qrels: Qrels
    systems: Mapping[str, SystemResult]
    """By the short names of the models, the two that are compared first."""
    compared: tuple[str, str]
    settings: EvaluateRecipe
    conditions: Conditions
    reason: str
    """Why it is these two, as a sentence."""
    suspects: tuple[()] = ()

    def rank_of(self, system: str, query: str) -> int | None:
        """The place of the first page of the highest grade, from 1; None below the depth."""
        return place_of_best(ranking(self.systems[system].run.get(query, {})), self.qrels[query])

    def changes(self) -> list[Change]:
        """Every query, the greatest gain first."""
        return changes(self)

    def summary(self) -> dict[str, Any]:
        """The queries that differ most, for JSON."""
        found = self.changes()
        return {
            "compared": list(self.compared),
            "greatest_gains": [one.summary() for one in gains(found)],
            "greatest_losses": [one.summary() for one in losses(found)],
        }


def make_contest(grid: Grid, queries: Sequence[Query], qrels: Qrels, first: str, folder: Path) -> Contest | str:
    """The best against `first`, the first model that was named, or where that leads itself against the second best.

    What they answered is read from `folder`, where it is kept. Returns the reason where there is nothing to compare.
    """
    if len(grid.rows) < 2:
        return "there is no second model to compare with"
    ordered = [row.result for row in grid.rows]
    best = ordered[0]
    named = next((result for result in ordered[1:] if result.label == first), None)
    other = named or ordered[1]
    runs: dict[str, Run] = {}
    for result in _shown(ordered, best, other):
        found = _run(result, folder)
        if not isinstance(found, str):
            runs[result.label] = found
        elif result in (best, other):
            return found
    judged = set(best.scores.queries)
    asked = [query for query in queries if query.id in judged]
    results = {result.label: result for result in ordered}
    names = _names(list(runs))
    systems = {name: SystemResult(runs[label], results[label].scores, {}) for label, name in names.items()}
    conditions = Conditions(str(grid.facts["set"]), masked=False)
    compared = (names[other.label], names[best.label])
    why = "the first of compare.models" if named else "the second best"
    reason = f"{compared[1]}, the best, against {compared[0]}, {why}."
    return Contest(asked, qrels, systems, compared, grid.settings, conditions, reason)


def _shown(ordered: Sequence[Result], best: Result, other: Result) -> list[Result]:
    """The two, BM25 and the next best: as many as the table of queries has columns for."""
    lexical = [result for result in ordered if result.label == LEXICAL]
    found = {result.label: result for result in (other, best, *lexical, *ordered)}
    return list(found.values())[:RANKED]


def _run(result: Result, folder: Path) -> Run | str:
    """What a model answered, or why that is not known."""
    if result.run:
        return result.run
    if not result.kept:
        return f"{result.label} was judged before answers were kept; remove its file in models/ to judge it anew"
    with suppress(DataError):
        if found := read_quoted(folder / f"{result.kept}{RUN}"):
            return found
    return f"{result.kept}{RUN} is damaged; remove {result.kept}.json to judge {result.label} anew"


def _names(labels: Sequence[str]) -> dict[str, str]:
    """Labels and what they are called in a narrow column: without the owner, where that leaves them apart."""
    short = {label: short_name(label) for label in labels}
    return short if len(set(short.values())) == len(labels) else {label: label for label in labels}
