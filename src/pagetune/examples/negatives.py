"""Hard negatives: pages that seem to answer a query and do not, out of the whole collection.

Candidates are the best pages of the base model and of BM25. A candidate that the base model rates nearly as high as
the answer, or higher, is as likely an answer that nobody judged: it is dropped (the positive-relative margin of
Moreira et al. 2024, "NV-Retriever", TopK-PercPos).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pagetune.examples.leakage import duplicate_groups
from pagetune.recipe import MineRecipe
from pagetune.records import Example, Page, Query

Run = Mapping[str, Mapping[str, float]]
"""Query id -> page id -> score."""

_NEARLY_THE_SAME = 0.8  # Jaccard similarity of word 5-grams: the page says what the answer says
_FUSION = 60  # the constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)


def mine_negatives(
    queries: Sequence[Query],
    qrels: Mapping[str, Mapping[str, int]],
    pages: Sequence[Page],
    dense: Run,
    lexical: Run,
    recipe: MineRecipe,
) -> list[Example]:
    """One example for each query and each page with its highest grade, with up to `recipe.negatives` negatives.

    `dense` and `lexical` are the rankings of the base model and of BM25 over the same pages (scores of any scale, the
    higher the better). The candidates are the first `recipe.candidates` of each, in the order of their fused ranks
    without the first `recipe.skip`. Never a negative: a page with any grade for the query (its section goes on there),
    an exact or near duplicate of such a page, a page that is not body, and a page that scores above the margin's share
    of the answer's score: in `dense` if it has a score there, in `lexical` otherwise. Where the model does not find
    the answer at all, nothing of its ranking can be trusted to be wrong, and only BM25's is used.

    Pure and deterministic. A query that no negative survives for has an example without any: lengths are ragged.
    Queries without an answer in `qrels` have no example.
    """
    usable = {page.id for page in pages if page.kind == "body" and page.duplicate_of is None}
    twins = twins_of(pages)
    examples = []
    for query in queries:
        graded = qrels.get(query.id, {})
        if not graded:
            continue
        best = max(graded.values())
        refused = set(graded) | {member for page in graded for member in twins.get(page, ())}
        near, far = dense.get(query.id, {}), lexical.get(query.id, {})
        order = [page for page in _fused(near, far, recipe.candidates)[recipe.skip :] if page in usable - refused]
        for positive in sorted(page for page, grade in graded.items() if grade == best):
            chosen = [page for page in order if _is_below(page, positive, near, far, recipe.margin)]
            examples.append(Example(query.id, positive, tuple(chosen[: recipe.negatives])))
    return examples


def twins_of(pages: Sequence[Page]) -> dict[str, frozenset[str]]:
    """For each page that has any: the pages that say the same, or nearly; itself among them."""
    groups = duplicate_groups({page.id: page.text() for page in pages if page.kind == "body"}, _NEARLY_THE_SAME)
    first = {page.id: groups.get(page.duplicate_of or page.id, page.duplicate_of or page.id) for page in pages}
    members: dict[str, set[str]] = {}
    for page, head in first.items():
        members.setdefault(head, set()).add(page)
    return {page: frozenset(members[head]) for page, head in first.items() if len(members[head]) > 1}


def _fused(near: Mapping[str, float], far: Mapping[str, float], depth: int) -> list[str]:
    """The first pages of both rankings, ordered by reciprocal rank fusion; ties by id."""
    scores: dict[str, float] = {}
    for ranking in (near, far):
        ranked = sorted(ranking, key=lambda page: (-ranking[page], page))[:depth]
        for rank, page in enumerate(ranked):
            scores[page] = scores.get(page, 0.0) + 1.0 / (_FUSION + rank)
    return sorted(scores, key=lambda page: (-scores[page], page))


def _is_below(page: str, positive: str, near: Mapping[str, float], far: Mapping[str, float], margin: float) -> bool:
    """Does the page score clearly less than the answer?"""
    ranking = near if page in near else far
    if positive not in ranking:
        # BM25 leaves out what shares no word; the model, what lies below its depth and so below this page.
        return ranking is far
    answer = ranking[positive]
    return ranking[page] <= answer - (1 - margin) * abs(answer)
