"""Where did it help, and where not? Two systems compared within slices of the queries, all slices tested together.

Of twenty slices without a difference one looks as if it had one: so p is corrected over all that are tested (Holm,
1979). A slice of fewer than FEWEST_QUERIES gets no verdict and is not tested; one of fewer than SMALL has an interval
that is too narrow by a little (`benchmarks/interval_coverage.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pagetune.errors import DataError
from pagetune.evaluation.facets import LENGTHS, OVERLAPS
from pagetune.evaluation.metrics import MAIN_METRIC, QueryScores, rounded
from pagetune.evaluation.page_types import PAGE_TYPES
from pagetune.evaluation.significance import FEWEST_QUERIES, Comparison, Outcome, compare, correct, sampling
from pagetune.recipe import EvaluateRecipe

SMALL = 50
"""From here on the interval holds what it says."""

MOST = 20
"""Slices of a facet: of more documents than that the least asked for are one slice."""

SMALLEST = 3
"""Slices of a facet that have too few queries each for a verdict: more than that are one slice."""

_ORDER = {name: place for place, name in enumerate((*(n for _, n in LENGTHS), *(n for _, n in OVERLAPS), *PAGE_TYPES))}
"""Classes that have an order of their own; others stand by size."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The queries of one facet that fall together, and the two systems on them."""

    facet: str
    name: str
    queries: tuple[str, ...]
    comparison: Comparison

    @property
    def outcome(self) -> Outcome:
        """By the p corrected over all slices."""
        return self.comparison.outcome

    @property
    def warning(self) -> str | None:
        """What to mind where there are few queries."""
        count = len(self.queries)
        if count < FEWEST_QUERIES:
            return f"{count} {'query' if count == 1 else 'queries'}: too few for a verdict"
        return f"{count} queries: few, the interval is a little too narrow" if count < SMALL else None


@dataclass(frozen=True, slots=True)
class Slices:
    """Every slice, facet by facet; a facet in which all queries fall together is left out."""

    slices: tuple[Slice, ...]
    metric: str
    new: str
    old: str

    @property
    def facets(self) -> dict[str, tuple[Slice, ...]]:
        """The slices by facet, in order."""
        found: dict[str, list[Slice]] = {}
        for one in self.slices:
            found.setdefault(one.facet, []).append(one)
        return {facet: tuple(own) for facet, own in found.items()}

    @property
    def tested(self) -> int:
        """How many were tested together."""
        return sum(one.comparison.holm is not None for one in self.slices)

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.slices:
            return "No slices: the queries are all of one kind."
        if not self.tested:
            return f"{self.new} against {self.old}: too few queries in each of {len(self.slices)} slices."
        told = []
        for outcome, word in (("gain", "better"), ("loss", "worse")):
            named = [f"{one.facet} {one.name}" for one in self.slices if one.outcome == outcome]
            told += [f"measurably {word} in {_listed(named)}"] if named else []
        unsure = sum(one.outcome == "no measurable gain" for one in self.slices)
        told += [f"not measurable in {unsure}"] if unsure else []
        few = len(self.slices) - self.tested
        told += [f"too few queries in {few}"] if few else []
        return f"{self.new} against {self.old}, {self.tested} slices tested together: {'; '.join(told)}."

    def to_json(self) -> dict[str, Any]:
        """Everything, for JSON."""
        shared = ("new", "old", "metric", "queries")
        return {
            "verdict": self.verdict,
            "metric": self.metric,
            "new": self.new,
            "old": self.old,
            "tested": self.tested,
            "facets": {
                facet: [
                    {"name": one.name, "queries": len(one.queries), "outcome": one.outcome, "warning": one.warning}
                    | {name: value for name, value in rounded(asdict(one.comparison)).items() if name not in shared}
                    for one in own
                ]
                for facet, own in self.facets.items()
            },
        }


def slices_from_json(found: Mapping[str, Any], falls: Mapping[str, Mapping[str, str]]) -> Slices:
    """What `Slices.to_json` gave, with the queries: facet -> query id -> slice. Raises KeyError, TypeError."""
    shared = {"new": found["new"], "old": found["old"], "metric": found["metric"]}
    slices = []
    for facet, own in found["facets"].items():
        for row in own:
            queries = tuple(query for query, name in falls[facet].items() if name == row["name"])
            slices.append(Slice(facet, row["name"], queries, Comparison.from_json({**row, **shared})))
    return Slices(tuple(slices), found["metric"], found["new"], found["old"])


def slice_by(
    facets: Mapping[str, Mapping[str, str]],
    new: tuple[str, QueryScores],
    old: tuple[str, QueryScores],
    *,
    metric: str = MAIN_METRIC,
    settings: EvaluateRecipe | None = None,
) -> Slices:
    """Compare two systems, each (name, scores), within slices: facet -> query id -> slice, see `facets_of`.

    Queries without scores are left out. Raises DataError where none has scores of both systems.
    """
    chance = sampling(settings or EvaluateRecipe())
    (new_name, new_scores), (old_name, old_scores) = new, old
    asked = {query for falls in facets.values() for query in falls}
    judged = asked.intersection(new_scores.queries, old_scores.queries)
    if asked and not judged:
        raise DataError(
            f"none of the {len(asked)} queries has scores of both systems; give the scores of these queries"
        )
    found: list[Slice] = []
    for facet, falls in facets.items():
        named: dict[str, list[str]] = {}
        for query, name in falls.items():
            if query in judged:
                named.setdefault(name, []).append(query)
        merged = _in_order(named)
        if len(merged) < 2:  # All in one slice, or all too small to stand alone: that is the whole set.
            continue
        for name, queries in merged.items():
            own = tuple(sorted(queries))
            values = new_scores.of(own).values[metric], old_scores.of(own).values[metric]
            compared = compare((new_name, values[0]), (old_name, values[1]), metric, **chance)
            found.append(Slice(facet, name, own, compared))
    corrected = correct([one.comparison for one in found])
    return Slices(
        tuple(Slice(one.facet, one.name, one.queries, fixed) for one, fixed in zip(found, corrected, strict=True)),
        metric,
        new_name,
        old_name,
    )


def _in_order(named: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Classes in their own order, others by size; many small ones, and what is beyond MOST, as one at the end."""
    order = sorted(named, key=lambda name: (_ORDER.get(name, -1), -len(named[name]), name))
    kept = [name for name in order if len(named[name]) >= FEWEST_QUERIES][: MOST - 1]
    if len(order) - len(kept) <= SMALLEST:
        return {name: named[name] for name in order}
    rest = [name for name in order if name not in kept]
    return {name: named[name] for name in kept} | {f"{len(rest)} others": [q for name in rest for q in named[name]]}


def _listed(names: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
