"""The comparison's table: results sorted by NDCG@10, each tested against the best.

The best was chosen by the figures that the tests are about: of equal models the luckiest leads, and some other is far
enough behind it to be called worse. So the family that is corrected (Holm, 1979) is all pairs of models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from pagetune.evaluation.metrics import EXPONENTIAL, GAIN, MAIN_METRIC, MEASURED, METRICS, QueryScores
from pagetune.evaluation.ranking import Run
from pagetune.evaluation.significance import (
    FEWEST_QUERIES,
    Comparison,
    Sampling,
    compare,
    holm,
    interval,
    pairwise,
    sampling,
)
from pagetune.evaluation.slices import Slices, slice_by
from pagetune.recipe import EvaluateRecipe

Kind = Literal["dense", "late", "router", "reads", "lexical"]
KINDS: dict[Kind, str] = {
    "dense": "one vector a page",
    "late": "late interaction",
    "router": "router of two towers",
    "reads": "reads the page's text",
    "lexical": "words, no model",
}
_NESTED = ("scores", "by_dimension", "run", "kept")


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What one model, or BM25, came to. `parameters`, `dimension` and `vectors_per_page` are None for BM25."""

    label: str
    kind: Kind
    about: str
    scores: QueryScores
    by_dimension: Mapping[int, float]
    """NDCG@10 at each dimension, the model's own first; a late-interaction model has its own only."""
    parameters: int | None
    dimension: int | None
    vectors_per_page: float | None
    bytes_per_page: float
    """In float32; of BM25, of the saved index."""
    pages_per_second: float | None
    """None where it is not known any more: every page had been encoded before."""
    ms_per_query: float
    """Of encoding, 32 queries at a time; of BM25, of the search."""
    device: str
    """What it was judged on: the times hold for that."""
    run: Run = field(default_factory=dict)
    """What it answered, where it has just been judged: it is kept in a file of its own."""
    kept: str | None = None
    """Where that lies: in the comparison's folder, without the endings .trec and .parquet; None where it does not."""

    def as_json(self) -> dict[str, Any]:
        """All of it but the run, as JSON has it."""
        scores = {metric: values.round(6).tolist() for metric, values in self.scores.values.items()}
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in _NESTED}
        by_dimension = {str(size): value for size, value in self.by_dimension.items()}
        return {**plain, "by_dimension": by_dimension, "queries": list(self.scores.queries), "scores": scores}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Result:
        """What `as_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
        kept = [metric for metric in MEASURED if metric in METRICS or metric in found["scores"]]
        values = {metric: np.asarray(found["scores"][metric], dtype=np.float64) for metric in kept}
        by_dimension = {int(size): float(value) for size, value in found["by_dimension"].items()}
        plain = {name: found[name] for name in cls.__dataclass_fields__ if name not in _NESTED}
        return cls(**plain, scores=QueryScores(tuple(found["queries"]), values), by_dimension=by_dimension)


@dataclass(frozen=True, slots=True)
class Failure:
    """A model without figures, and why."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A result in the table. `against_best` is the best one's comparison with it, corrected over all pairs of rows
    (Holm), None for the best itself."""

    result: Result
    metrics: Mapping[str, float]
    interval: tuple[float, float]
    against_best: Comparison | None

    @property
    def starred(self) -> bool:
        """Whether the best is not shown to be better than this."""
        return self.against_best is not None and self.against_best.outcome != "gain"


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The whole comparison. `facts` are the set's name, its counts, and what else is told below the table."""

    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    settings: EvaluateRecipe
    facts: Mapping[str, Any]
    signs: int = 0
    """How many signs the randomisation tests drew."""
    slices: Slices | None = None
    """The best against the second best, query by query of one kind; None where nothing is known to slice by."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the table: NDCG with both gains where they are known of all and differ in some."""
        every = [row.result.scores.values for row in self.rows]
        if not all(EXPONENTIAL in values for values in every):
            return tuple(METRICS)
        apart = any(np.abs(values[EXPONENTIAL] - values[MAIN_METRIC]).max(initial=0) > 1e-5 for values in every)
        return MEASURED if apart else tuple(METRICS)

    @property
    def shorter(self) -> list[int]:
        """The dimensions that some model's vectors were truncated to, widest first."""
        cut = {size for row in self.rows for size in row.result.by_dimension if size != row.result.dimension}
        return sorted(cut, reverse=True)

    @property
    def verdict(self) -> str:
        """One sentence: the best, and how many are not measurably worse."""
        if not self.rows:
            return f"None of {len(self.failures)} models could be judged."
        best, *others = self.rows
        low, high = best.interval
        told = (
            f"{best.result.label} has the highest {MAIN_METRIC} ({GAIN} gain), {best.metrics[MAIN_METRIC]:.3f} "
            f"({self.settings.confidence:.0%} interval {low:.3f} to {high:.3f}, {self.queries} queries)"
        )
        starred = sum(row.starred for row in others)
        if not others:
            return f"{told}."
        if self.queries < FEWEST_QUERIES:
            return f"{told}; too few queries to tell it from the others: at least {FEWEST_QUERIES} are needed."
        if not starred:
            return f"{told}, measurably above every other."
        return f"{told}; {starred} of {len(others)} others {'is' if starred == 1 else 'are'} not measurably worse (*)."

    @property
    def queries(self) -> int:
        return len(self.rows[0].result.scores.queries) if self.rows else 0


def make_grid(
    results: Sequence[Result],
    failures: Sequence[Failure],
    settings: EvaluateRecipe,
    facts: Mapping[str, Any],
    facets: Mapping[str, Mapping[str, str]] | None = None,
) -> Grid:
    """Sort the results, the best NDCG@10 first, of equals the smaller model, and test each against the best.

    `facets`: facet -> query id -> the slice it falls in, for the best against the second best.
    """
    ordered = sorted(results, key=lambda r: (-r.scores.means()[MAIN_METRIC], r.parameters or 0, r.label))
    chance = sampling(settings)
    against, signs = _against_best(ordered, chance)
    # There is one fewer comparison than results: the best has nobody to be compared with.
    rows = [
        Row(result, result.scores.means(), interval(result.scores.values[MAIN_METRIC], **chance), compared)
        for result, compared in zip(ordered, (None, *against), strict=False)
    ]
    slices = _sliced(ordered, facets, settings) if facets and len(ordered) > 1 else None
    return Grid(tuple(rows), tuple(failures), settings, dict(facts), signs, slices)


def _against_best(ordered: Sequence[Result], chance: Sampling) -> tuple[list[Comparison], int]:
    """The best against each of the others, p corrected over all pairs of models; and how many signs were drawn."""
    if len(ordered) < 2:
        return [], 0
    best, *others = ordered
    values = np.array([result.scores.of(best.scores.queries).values[MAIN_METRIC] for result in ordered])
    p, signs = pairwise(values, **chance)
    pairs = list(combinations(range(len(ordered)), 2))
    corrected = dict(zip(pairs, holm([float(p[pair]) for pair in pairs]), strict=True))
    found = []
    for place, result in enumerate(others, start=1):
        pair = (best.label, values[0]), (result.label, values[place])
        one = compare(*pair, MAIN_METRIC, p=float(p[0, place]), **chance)
        enough = one.queries >= FEWEST_QUERIES
        found.append(replace(one, holm=corrected[0, place], family=len(pairs)) if enough else one)
    return found, signs


def _sliced(
    ordered: Sequence[Result], facets: Mapping[str, Mapping[str, str]], settings: EvaluateRecipe
) -> Slices | None:
    best, second = ordered[:2]
    judged = set(best.scores.queries) & set(second.scores.queries)
    known = {facet: {q: name for q, name in falls.items() if q in judged} for facet, falls in facets.items()}
    found = slice_by(known, (best.label, best.scores), (second.label, second.scores), settings=settings)
    return found if found.slices else None


def short_name(label: str) -> str:
    """A label for a plot: a Hub id without its owner."""
    return re.sub(r"^[\w.-]+/(?=[\w.-]+( \(|$))", "", label)
