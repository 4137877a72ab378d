"""Which queries train, which steer, which judge: whole documents apart, or sections of one document.

What would leak is put on one side first: documents that share many near-duplicate pages go together, and of queries
that still have a twin on the other side, the training one is left out. `check_leakage` then only fails if this file
is wrong, or if the splits came from somewhere else.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pagetune.errors import DataError
from pagetune.examples.leakage import check_leakage, duplicate_groups
from pagetune.recipe import SplitsRecipe
from pagetune.records import Judgement, Page, Query, Split

__all__ = ["check_leakage", "split_queries"]

_DOCUMENTS_FROM = 5  # by="auto": with so many documents with queries, whole documents are kept apart
_SHARED = 0.2  # documents with this share of near-duplicate pages are one
_BLOCKS = 16  # a document is cut into about so many blocks
_BLOCK_PAGES = (4, 40)  # of at least and at most so many pages
_ORDER: tuple[Split, ...] = ("test", "validation", "train")


def split_queries(
    queries: Sequence[Query],
    judgements: Sequence[Judgement],
    pages: Sequence[Page],
    recipe: SplitsRecipe,
    left_out: Counter[str] | None = None,
) -> dict[str, Split]:
    """A side for each query, balanced by pages; the same for the same input and seed.

    By document: whole documents. By section: blocks of successive pages, cut where no section's answers straddle, with
    a page between blocks of different sides that answers nothing. A query whose answers stand on two sides, on such a
    page, or have a near duplicate on another side is left out: it is not in what is returned, and `left_out`, if
    given, counts the reason.

    Raises DataError if there is too little to split, LeakageError if a leak is left (a fault of Pagetune).
    """
    reasons: Counter[str] = Counter() if left_out is None else left_out
    known = {page.id: page for page in pages}
    answers: dict[str, list[str]] = defaultdict(list)
    for judgement in judgements:
        if judgement.page not in known:
            raise DataError(
                f"judgement of query {judgement.query!r}: page {judgement.page!r} is unknown; read the documents again"
            )
        answers[judgement.query].append(judgement.page)
    asked = {known[page].document for own in answers.values() for page in own}
    by_document = recipe.by == "document" or (recipe.by == "auto" and len(asked) >= _DOCUMENTS_FROM)
    if by_document and len(asked) < 2:
        raise DataError(f"splits.by=document with {len(asked)} document(s) with queries; use splits.by=section")
    texts = {page.id: page.text() for page in pages if page.kind == "body"}
    twins = duplicate_groups(texts, recipe.near_duplicate)
    if by_document:
        side_of_page = _by_document([page for page in pages if page.document in asked], twins, recipe)
    else:
        side_of_page = _by_section(pages, answers, {query.id: query for query in queries}, recipe)
    splits = _sides(queries, answers, side_of_page, reasons)
    splits = _without_twins(queries, answers, splits, twins, recipe, reasons)
    _demand(splits, recipe)
    check_leakage(queries, judgements, pages, splits, recipe.near_duplicate)
    return splits


def _by_document(pages: Sequence[Page], twins: Mapping[str, str], recipe: SplitsRecipe) -> dict[str, Split]:
    weights: Counter[str] = Counter(page.document for page in pages if page.kind == "body")
    groups = _shared_documents(pages, twins, weights)
    totals: Counter[str] = Counter()
    for document, weight in weights.items():
        totals[groups[document]] += weight
    sides = _deal(dict(totals), recipe)
    return {page.id: sides[groups[page.document]] for page in pages if page.document in weights}


def _shared_documents(pages: Sequence[Page], twins: Mapping[str, str], weights: Mapping[str, int]) -> dict[str, str]:
    """The document that stands for each: documents that share many near-duplicate pages have the same one."""
    holders: dict[str, set[str]] = defaultdict(set)
    for page in pages:
        if page.id in twins and page.document in weights:
            holders[twins[page.id]].add(page.document)
    shared: Counter[tuple[str, str]] = Counter()
    for documents in holders.values():
        ordered = sorted(documents)
        for position, document in enumerate(ordered[:50]):
            shared.update((document, other) for other in ordered[position + 1 : 50])
    parent = {document: document for document in weights}

    def root(document: str) -> str:
        while parent[document] != document:
            document = parent[document]
        return document

    for (one, other), count in sorted(shared.items()):
        if count >= _SHARED * min(weights[one], weights[other]):
            first, second = sorted((root(one), root(other)))
            parent[second] = first
    return {document: root(document) for document in weights}


def _deal(weights: Mapping[str, int], recipe: SplitsRecipe) -> dict[str, Split]:
    """A side for each group, so that the sides' shares of the weight come near the recipe's.

    Groups are dealt in a seeded order; each goes to the side that lacks most, if it does not overshoot it by more than
    it lacks; training takes the rest. Every side that the recipe asks for gets at least one group if there are enough.
    """
    total = sum(weights.values())
    names = sorted(weights)
    random.Random(recipe.seed).shuffle(names)
    wanted = {"test": recipe.test * total, "validation": recipe.validation * total}
    sides: dict[str, Split] = {}
    for side in ("test", "validation"):
        lacking = wanted[side]
        free = [name for name in names if name not in sides]
        for name in free:
            if lacking <= 0 or len(names) - len(sides) <= 1:
                break
            if weights[name] <= 1.5 * lacking:
                sides[name] = "test" if side == "test" else "validation"
                lacking -= weights[name]
        if lacking == wanted[side] > 0 and len(free) > 1:
            smallest = min(free, key=lambda name: (weights[name], name))
            sides[smallest] = "test" if side == "test" else "validation"
    return {name: sides.get(name, "train") for name in names}


def _by_section(
    pages: Sequence[Page], answers: Mapping[str, Sequence[str]], queries: Mapping[str, Query], recipe: SplitsRecipe
) -> dict[str, Split]:
    documents: dict[str, list[Page]] = defaultdict(list)
    for page in pages:
        documents[page.document].append(page)
    ordered = {name: sorted(own, key=lambda page: page.number) for name, own in documents.items()}
    joined, sections = _joints(answers, queries, {page.id: page for page in pages})
    blocks: dict[str, list[Page]] = {}
    for name, own in sorted(ordered.items()):
        for number, block in enumerate(_blocks(own, joined, sections)):
            blocks[f"{name} {number:05d}"] = block
    weights = {name: sum(page.kind == "body" for page in block) for name, block in blocks.items()}
    sides = _deal({name: weight for name, weight in weights.items() if weight}, recipe)
    side_of_page: dict[str, Split] = {}
    before: tuple[Split, Page] | None = None
    for name, block in blocks.items():
        side = sides.get(name, "train")
        used = list(block)
        if before is not None and before[0] != side and before[1].document == used[0].document:
            # The gap: the page at the seam that belongs to training, which has most of them.
            if before[0] == "train":
                side_of_page.pop(before[1].id, None)
            else:
                used = used[1:]
        side_of_page.update({page.id: side for page in used})
        before = (side, block[-1])
    return side_of_page


def _joints(
    answers: Mapping[str, Sequence[str]], queries: Mapping[str, Query], known: Mapping[str, Page]
) -> tuple[set[str], dict[str, str]]:
    """The pages that no cut may be made before, as the same section's answers go on; each page's section."""
    joined: set[str] = set()
    sections: dict[str, str] = {}
    for query, own in answers.items():
        numbers = {known[page].number: page for page in own}
        if queries[query].section:
            for page in own:
                sections.setdefault(page, queries[query].section)
        joined.update(page for number, page in numbers.items() if number - 1 in numbers)
    return joined, sections


def _blocks(pages: Sequence[Page], joined: set[str], sections: Mapping[str, str]) -> list[list[Page]]:
    target = min(max(len(pages) // _BLOCKS, _BLOCK_PAGES[0]), _BLOCK_PAGES[1])
    blocks: list[list[Page]] = [[]]
    for page in pages:
        block = blocks[-1]
        if block and page.id not in joined:
            new_section = sections.get(page.id, "") != sections.get(block[-1].id, "")
            if len(block) >= target or (new_section and len(block) >= target / 2):
                blocks.append([])
        blocks[-1].append(page)
    return [block for block in blocks if block]


def _sides(
    queries: Iterable[Query],
    answers: Mapping[str, Sequence[str]],
    side_of_page: Mapping[str, Split],
    reasons: Counter[str],
) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for query in queries:
        own = answers.get(query.id, ())
        sides = {side_of_page[page] for page in own if page in side_of_page}
        if not own:
            reasons["no page answers it"] += 1
        elif any(page not in side_of_page for page in own):
            reasons["its page stands at a seam between two sides"] += 1
        elif len(sides) > 1:
            reasons["its pages stand on two sides"] += 1
        else:
            splits[query.id] = next(iter(sides))
    return splits


def _without_twins(
    queries: Sequence[Query],
    answers: Mapping[str, Sequence[str]],
    splits: dict[str, Split],
    twins: Mapping[str, str],
    recipe: SplitsRecipe,
    reasons: Counter[str],
) -> dict[str, Split]:
    """The splits without the queries whose page or words have a near duplicate on the side that goes first.

    Test goes before validation, validation before training: what is judged stays, what would have learned it goes.
    """
    alike = duplicate_groups({q.id: q.text for q in queries if q.id in splits}, recipe.near_duplicate)
    owner: dict[tuple[str, str], Split] = {}
    kept: dict[str, Split] = {}
    for side in _ORDER:
        mine: list[tuple[str, str]] = []
        for query in queries:
            if splits.get(query.id) != side:
                continue
            keys = [("page", twins[page]) for page in answers[query.id] if page in twins]
            if query.id in alike:
                keys.append(("query", alike[query.id]))
            if any(key in owner for key in keys):
                reasons["a near duplicate stands on another side"] += 1
                continue
            mine.extend(keys)
            kept[query.id] = side
        owner.update((key, side) for key in mine)
    return {query.id: kept[query.id] for query in queries if query.id in kept}


def _demand(splits: Mapping[str, Split], recipe: SplitsRecipe) -> None:
    counts = Counter(splits.values())
    needed: tuple[Split, ...] = ("train", "test", "validation") if recipe.validation else ("train", "test")
    for side in needed:
        if not counts[side]:
            raise DataError(
                f"no query is left for {side} (of {len(splits)} in all); give more documents, write more kinds of "
                f"query, or change splits.test={recipe.test}, splits.validation={recipe.validation}"
            )
