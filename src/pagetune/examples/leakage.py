"""Near-duplicate pages and queries, and the check that none stand on two sides of a split.

Two texts are near duplicates if the Jaccard similarity of their sets of word 5-grams reaches a threshold. The pairs
are found exactly, and without comparing every pair: with the grams in one order, rarest first, two sets that similar
share a gram among the first few of each (prefix filtering: Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and
Srikant 2007). Only such candidates are compared.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import LeakageError
from pagetune.layout.words import fold
from pagetune.records import Judgement, Page, Query, Split

_GRAM = 5
_PAIRS_NAMED = 3
_Grams = NDArray[np.uint64]


def near_duplicates(texts: Mapping[str, str], threshold: float) -> list[tuple[str, str, float]]:
    """All pairs of keys whose texts' 5-gram Jaccard similarity is at least `threshold`, with the similarity.

    A text of fewer than five words is one gram: it equals another or it does not. Texts without words match nothing.
    Of a group with equal grams, the first is paired with each of the others, and alone stands for them in all other
    pairs: enough to find every group, without its square in pairs.
    """
    grams = _grams(texts)
    alike: dict[bytes, list[str]] = defaultdict(list)
    for key, found in grams.items():
        if len(found):
            alike[found.tobytes()].append(key)
    pairs = [(group[0], other, 1.0) for group in alike.values() for other in group[1:]]
    distinct = {group[0]: grams[group[0]] for group in alike.values()}
    pairs.extend(_similar(distinct, threshold))
    return pairs


def duplicate_groups(texts: Mapping[str, str], threshold: float) -> dict[str, str]:
    """For each key the first key of its group of near duplicates; keys without one are left out."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    order = {key: place for place, key in enumerate(texts)}
    for first, second, _ in near_duplicates(texts, threshold):
        one, other = sorted((root(first), root(second)), key=order.__getitem__)
        parent[other] = one
    return {key: root(key) for key in parent}


def check_leakage(
    queries: Sequence[Query],
    judgements: Sequence[Judgement],
    pages: Sequence[Page],
    splits: Mapping[str, Split],
    near_duplicate: float = 0.9,
) -> None:
    """Raise LeakageError if a page, a near duplicate of it, or a query's words stand on two sides of the split.

    The pages compared are those that answer the queries (with any grade). The error names the first pairs.
    """
    page_side: dict[str, set[Split]] = defaultdict(set)
    for judgement in judgements:
        if judgement.query in splits:
            page_side[judgement.page].add(splits[judgement.query])
    leaks = [
        f"page {page!r} answers queries of {' and '.join(sorted(sides))}"
        for page, sides in sorted(page_side.items())
        if len(sides) > 1
    ]
    texts = {page.id: page.text() for page in pages if page.id in page_side}
    leaks.extend(_across(texts, page_side, near_duplicate, "page"))
    query_side: dict[str, set[Split]] = {query.id: {splits[query.id]} for query in queries if query.id in splits}
    asked = {query.id: query.text for query in queries if query.id in splits}
    leaks.extend(_across(asked, query_side, near_duplicate, "query"))
    if leaks:
        more = f" and {len(leaks) - _PAIRS_NAMED} more" if len(leaks) > _PAIRS_NAMED else ""
        raise LeakageError(f"{'; '.join(leaks[:_PAIRS_NAMED])}{more}: put them on one side, or leave their queries out")


def _across(texts: Mapping[str, str], sides: Mapping[str, set[Split]], threshold: float, noun: str) -> Iterator[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for key, first in duplicate_groups(texts, threshold).items():
        groups[first].append(key)
    for members in groups.values():
        by_side: dict[Split, str] = {}
        for key in members:
            for side in sides[key]:
                by_side.setdefault(side, key)
        for (one, first), (other, second) in combinations(sorted(by_side.items()), 2):
            if first != second:
                yield f"{noun} {first!r} ({one}) is nearly {noun} {second!r} ({other})"


def _grams(texts: Mapping[str, str]) -> dict[str, _Grams]:
    """The sorted, distinct 5-grams of each text, as 64-bit hashes of the numbers of their words."""
    numbers: dict[str, int] = {}
    grams = {}
    for key, text in texts.items():
        words = fold(text).split()
        coded = np.array([numbers.setdefault(word, len(numbers) + 1) for word in words], np.uint64)
        grams[key] = np.unique(_hash(coded))
    return grams


def _hash(coded: NDArray[np.uint64]) -> _Grams:
    length = min(_GRAM, len(coded))
    if not length:
        return np.zeros(0, np.uint64)
    # From a start of many bits: a small one could cancel out a word's number, and a short text would equal another.
    hashed = np.full(len(coded) - length + 1, length * 0xD6E8FEB86659FD93 % 2**64, np.uint64)
    for place in range(length):
        hashed = (hashed ^ coded[place : len(coded) - length + 1 + place]) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    return hashed


def _similar(grams: Mapping[str, _Grams], threshold: float) -> Iterator[tuple[str, str, float]]:
    keys = list(grams)
    if len(keys) < 2:
        return
    _, inverse, counts = np.unique(
        np.concatenate([grams[key] for key in keys]), return_inverse=True, return_counts=True
    )
    stops = np.cumsum([len(grams[key]) for key in keys])
    sharing: dict[int, list[int]] = defaultdict(list)
    for number, (start, stop) in enumerate(zip(np.r_[0, stops[:-1]], stops, strict=True)):
        own = inverse[start:stop]
        prefix = len(own) - math.ceil(threshold * len(own) - 1e-9) + 1
        rarest = own[np.lexsort((own, counts[own]))][:prefix]
        for gram in rarest[counts[rarest] > 1].tolist():
            sharing[gram].append(number)
    seen: set[tuple[int, int]] = set()
    for members in sharing.values():
        for pair in combinations(members, 2):
            if pair in seen:
                continue
            seen.add(pair)
            one, other = grams[keys[pair[0]]], grams[keys[pair[1]]]
            if min(len(one), len(other)) < threshold * max(len(one), len(other)):
                continue
            shared = len(np.intersect1d(one, other, assume_unique=True))
            similarity = shared / (len(one) + len(other) - shared)
            if similarity >= threshold:
                yield keys[pair[0]], keys[pair[1]], similarity
