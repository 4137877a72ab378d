"""Shortlists to judge a reranker on while it trains: pages for a query, and turned round, queries for a page."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pagetune.examples.rerank import Input, PageSide, Pictures, RankedList, RerankSet

if TYPE_CHECKING:
    from pagetune.recipe import RerankDirection
    from pagetune.records import Query

DEPTH = 20
"""Of a shortlist that a fit is judged on: an evaluation shall cost little."""

FEWEST = 600
"""Pairs of all shortlists together, at least where there are so many: fewer say nothing."""

SHARE = 0.15
"""Share of the training's own computation that all evaluations together may cost."""

Run = Mapping[str, Mapping[str, float]]
Grades = Mapping[str, Mapping[str, int]]


def shortlist_pairs(trained_an_evaluation: int) -> int:
    """How many pairs an evaluation may have: a step computes forward and backward, three times what scoring costs."""
    return max(FEWEST, round(SHARE * 3 * trained_an_evaluation))


def shortlists(
    queries: Sequence[Query],
    run: Run,
    grades: Grades,
    side: PageSide,
    directions: Sequence[RerankDirection],
    pairs: int,
    *,
    seed: int,
    pictures: Pictures | None = None,
) -> RerankSet:
    """Lists in the order of `run` (query id -> page id -> score), graded, of at most about so many pairs together.

    Only those that have both an answer and something else can be put in order. For a page the candidates are the
    queries in whose shortlists it stands, those that rated it highest first. A page that goes in as text is the
    passage for the query; for several queries, the one that shares most with all of them together: which of them it
    answers has no say.
    """
    draw = random.Random(seed)
    by_id = {query.id: query for query in queries}
    room = pairs // max(1, len(directions))
    ranked = {query.id: _first(run.get(query.id, {})) for query in queries}
    chosen = [query for query in by_id if _mixed([grades[query].get(page, 0) for page in ranked[query]])]
    draw.shuffle(chosen)
    lists: dict[RerankDirection, list[RankedList]] = {}
    for direction in directions:
        made: list[RankedList] = []
        if direction == "text_to_image":
            for query in chosen:
                made.append(_pages(by_id[query], ranked[query], grades[query], side))
        else:
            rated = _by_page(ranked, run)
            for page in dict.fromkeys(page for query in chosen for page in ranked[query] if grades[query].get(page, 0)):
                if _mixed([grades[query].get(page, 0) for query in rated[page]]):
                    made.append(_queries(page, [by_id[query] for query in rated[page]], grades, side))
        lists[direction] = _within(made, room)
    return RerankSet({name: found for name, found in lists.items() if found}, pictures)


def labelled_shortlists(labelled: RerankSet, pairs: int, *, seed: int) -> RerankSet:
    """Lists of held-out pairs, which are labelled with grades, as shortlists of at most about so many pairs together.

    Whoever labelled them may have begun with the answer: their order is drawn.
    """
    draw = random.Random(seed)
    lists: dict[RerankDirection, list[RankedList]] = {}
    for direction, found in labelled.lists.items():
        made = []
        for each in found:
            if _mixed([round(label) for label in each.labels]):
                order = draw.sample(range(len(each.labels)), len(each.labels))[:DEPTH]
                labels = tuple(each.labels[place] for place in order)
                made.append(RankedList(each.asked, tuple(each.candidates[place] for place in order), labels))
        lists[direction] = _within([each for each in made if any(each.labels)], pairs // len(labelled.lists))
    return RerankSet({name: found for name, found in lists.items() if found}, labelled.pictures)


def _pages(query: Query, ranked: Sequence[str], grades: Mapping[str, int], side: PageSide) -> RankedList:
    shown: list[Input] = [side.shown(page, query, True) for page in ranked]
    return RankedList(query.text, tuple(shown), tuple(float(grades.get(page, 0)) for page in ranked))


def _queries(page: str, queries: Sequence[Query], grades: Grades, side: PageSide) -> RankedList:
    labels = tuple(float(grades[query.id].get(page, 0)) for query in queries)
    # A passage is chosen for the query that rates the page highest, whether it is an answer to that one or not.
    return RankedList(side.shown(page, queries[0], True), tuple(query.text for query in queries), labels)


def _by_page(ranked: Mapping[str, Sequence[str]], run: Run) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for query, pages in ranked.items():
        for page in pages:
            found.setdefault(page, []).append(query)
    return {
        page: sorted(queries, key=lambda query: (-run[query][page], query))[:DEPTH] for page, queries in found.items()
    }


def _first(scores: Mapping[str, float]) -> list[str]:
    return sorted(scores, key=lambda page: (-scores[page], page))[:DEPTH]


def _mixed(grades: Sequence[int]) -> bool:
    return any(grades) and not all(grades)


def _within(lists: Sequence[RankedList], pairs: int) -> list[RankedList]:
    kept: list[RankedList] = []
    for each in lists:
        if pairs <= 0:
            break
        kept.append(each)
        pairs -= len(each.candidates)
    return kept
