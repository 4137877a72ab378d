"""The reranker's depth as an axis of the deployment grid: every setting's first pages, scored again query by query.

Every pair of query and page is scored once, whatever the number of settings whose shortlists it is on and of depths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pagetune.evaluation.ranking import Run, ranking
from pagetune.evaluation.reranking import LogOdds, blend


@dataclass(frozen=True, slots=True)
class Reranking:
    """What the grid needs to know of a reranker.

    `score` gives, for a run, the scores of all its pages, and the milliseconds that one pair takes. `weight` is how
    much it counts against the search's own scores (see `reranking.blend`).
    """

    depths: tuple[int, ...]
    """How many pages of an answer are scored again, the axis."""
    score: Callable[[Run], tuple[LogOdds, float]]
    weight: float

    @property
    def deepest(self) -> int:
        """Pages that a search must find."""
        return max(self.depths, default=0)

    def rerank(self, runs: Sequence[Run]) -> Iterator[tuple[int, int, Run, float]]:
        """For each run by its place, and each depth: the run in its new order, and the milliseconds that it took."""
        scores, ms = self.score(union(runs, self.deepest))
        for place, run in enumerate(runs):
            for depth in self.depths:
                yield place, depth, self._reranked(run, scores, depth), ms * depth

    def _reranked(self, run: Run, scores: LogOdds, depth: int) -> Run:
        found: Run = {}
        for query, answers in run.items():
            first = ranking(answers)[:depth]
            found[query] = blend(answers, {page: scores[query][page] for page in first}, self.weight)
        return found


def union(runs: Sequence[Run], depth: int) -> Run:
    """Query -> every page that is among the first `depth` of some run, with the best place that it has."""
    places: dict[str, dict[str, int]] = {}
    for run in runs:
        for query, answers in run.items():
            own = places.setdefault(query, {})
            for place, page in enumerate(ranking(answers)[:depth]):
                own[page] = min(place, own.get(page, place))
    return {query: _by_place(own) for query, own in places.items()}


def _by_place(places: Mapping[str, int]) -> dict[str, float]:
    return {page: -float(places[page]) for page in sorted(places, key=lambda page: (places[page], page))}
