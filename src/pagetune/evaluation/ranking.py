"""Runs: what a system answers to each query, and the one order that every room sorts answers by.

A tie is broken by the page's id, so that the same scores always give the same ranking.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

Run = dict[str, dict[str, float]]
"""Query id -> page id -> score, higher is better."""

Cell = TypeVar("Cell", int, float)

_SORTED = 1 << 11
"""Pages up to which a whole row of scores is sorted."""

Qrels = Mapping[str, Mapping[str, int]]
"""Query id -> page id -> grade."""


def ranking(scores: Mapping[str, float]) -> list[str]:
    """The pages from best to worst, ties by page id."""
    # A sort that keeps the order of what ties, in reverse too.
    return sorted(sorted(scores), key=scores.__getitem__, reverse=True)


def best(
    scores: NDArray[np.floating], ids: Sequence[str], depth: int, excluded: Collection[str] = ()
) -> dict[str, float]:
    """The `depth` best of `ids` by `scores` [len(ids)], best first, without the excluded and without -inf scores."""
    wanted = min(depth + len(excluded), len(scores))
    if wanted <= 0:
        return {}
    # Everything that ties with the last wanted score stays in until the ids have decided.
    cut = np.partition(scores, len(scores) - wanted)[len(scores) - wanted]
    positions = np.flatnonzero((scores >= cut) & (scores > -np.inf))
    order = sorted(positions.tolist(), key=lambda position: (-scores[position], ids[position]))
    kept = [position for position in order if ids[position] not in excluded][:depth]
    return {ids[position]: float(scores[position]) for position in kept}


def best_places(
    scores: NDArray[np.floating],
    ids: Sequence[str],
    depth: int,
    excluded: Sequence[Collection[str]] = (),
    sorted_whole: int = _SORTED,
) -> list[NDArray[np.intp]]:
    """`best` of every row of `scores` [queries, len(ids)], as places in `ids`; `excluded` for each row, or for none.

    Rows of up to `sorted_whole` pages are sorted whole, which takes less time than to look for what to sort.
    """
    most = min(depth + max((len(out) for out in excluded), default=0), len(ids))
    if most <= 0 or not len(scores):
        return [np.zeros(0, dtype=np.intp)] * len(scores)
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.intp)
    if len(ids) <= sorted_whole:
        # All of a row at once; the order by id stays where scores tie.
        first = list(by_id[np.argsort(-scores[:, by_id], axis=1, kind="stable")[:, :most]])
    else:
        first = _cut(scores, by_id, most)
    found = []
    for row, places in enumerate(first):
        kept = places[scores[row, places] > -np.inf]
        if excluded and (out := excluded[row]):
            kept = kept[[ids[place] not in out for place in kept]]
        found.append(kept[:depth])
    return found


def _cut(scores: NDArray[np.floating], by_id: NDArray[np.intp], most: int) -> list[NDArray[np.intp]]:
    """The same of long rows, of which only what may be among the first is sorted."""
    rank = np.empty_like(by_id)
    rank[by_id] = np.arange(len(by_id))
    found = []
    for row in scores:
        # Everything that ties with the last wanted score stays in until the ids have decided.
        places = np.flatnonzero(row >= np.partition(row, len(row) - most)[len(row) - most])
        found.append(places[np.lexsort((rank[places], -row[places]))][:most])
    return found


def write_trec(run: Run, tag: str) -> str:
    """The run as TREC lines: query, Q0, page, rank, score, tag, separated by one space; queries in the run's order.

    Ties are written as `untied` has them: whoever judges the file gets the figures that we got.
    """
    for name in (tag, *run, *{page for scores in run.values() for page in scores}):
        if not name or any(character.isspace() for character in name):
            raise ValueError(f"a TREC run cannot hold the name {name!r}: use names without spaces")
    lines: list[str] = []
    for query, scores in run.items():
        for place, (page, score) in enumerate(untied(scores).items(), start=1):
            lines.append(f"{query} Q0 {page} {place} {score:.6f} {tag}")
    return "\n".join(lines) + ("\n" if lines else "")


def quoted(found: Mapping[str, Mapping[str, Cell]]) -> dict[str, dict[str, Cell]]:
    """A run, or judgements, with names that a TREC file can hold: a space or a percent sign as in an address (%20).

    `trec.read_quoted` reads such a run back.
    """

    def name(given: str) -> str:
        return re.sub(r"[\s%]", lambda match: quote(match[0], safe=""), given)

    return {name(query): {name(page): value for page, value in pages.items()} for query, pages in found.items()}


def untied(scores: Mapping[str, float]) -> dict[str, float]:
    """The pages from best to worst, scores to six digits, a tied one a little lower than the one above.

    trec_eval looks at the scores only, in single precision, and breaks ties its own way: of these it finds none.
    """
    found: dict[str, float] = {}
    last: float | None = None
    for page in ranking(scores):
        found[page] = last = _below(round(scores[page], 6), last)
    return found


def _below(score: float, last: float | None) -> float:
    """`score`, or what is just below `last` where single precision would not tell them apart."""
    if last is None or np.float32(score) < np.float32(last):
        return score
    # From 16 on a millionth is less than the step between two numbers of single precision.
    return round(last - max(1e-6, 1.5 * float(np.spacing(np.float32(abs(last))))), 6)


def place_of_best(answers: Sequence[str], grades: Mapping[str, int]) -> int | None:
    """The place, from 1, of the first page of the highest grade; None where the answers do not reach it."""
    highest = max(grades.values())
    return next((place for place, page in enumerate(answers, start=1) if grades.get(page) == highest), None)
