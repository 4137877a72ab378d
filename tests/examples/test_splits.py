from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manuals import library, manual, page_of, prose

from pagetune.errors import DataError, LeakageError
from pagetune.examples.leakage import check_leakage, duplicate_groups, near_duplicates
from pagetune.examples.queries import WrittenQueries, write_queries
from pagetune.examples.splits import split_queries
from pagetune.layout.words import fold
from pagetune.recipe import QueriesRecipe, SplitsRecipe
from pagetune.records import Judgement, Page, Query, Split


def written(count: int = 6, pages: int = 12) -> tuple[WrittenQueries, list[Page]]:
    documents, made = library(count, pages)
    return write_queries(documents, made, QueriesRecipe()), made


def sides_of(splits: dict[str, Split], queries: WrittenQueries, of: str) -> dict[str, set[Split]]:
    sides: dict[str, set[Split]] = {}
    for query in queries.queries:
        if query.id in splits:
            sides.setdefault(getattr(query, of), set()).add(splits[query.id])
    return sides


def test_by_document_each_document_is_on_one_side() -> None:
    queries, pages = written()
    splits = split_queries(queries.queries, queries.judgements, pages, SplitsRecipe())
    assert all(len(sides) == 1 for sides in sides_of(splits, queries, "document").values())
    assert set(splits.values()) == {"train", "validation", "test"}
    assert splits == split_queries(queries.queries, queries.judgements, pages, SplitsRecipe())
    assert splits != split_queries(queries.queries, queries.judgements, pages, SplitsRecipe(seed=5))


def test_by_section_no_page_and_no_neighbour_is_on_two_sides() -> None:
    queries, pages = written(1, 80)
    left_out: Counter[str] = Counter()
    splits = split_queries(queries.queries, queries.judgements, pages, SplitsRecipe(), left_out)
    side_of: dict[int, Split] = {}
    for judgement in queries.judgements:
        if judgement.query in splits:
            number = int(judgement.page[-4:])
            assert side_of.setdefault(number, splits[judgement.query]) == splits[judgement.query]
    assert all(side_of[n] == side_of[n + 1] for n in side_of if n + 1 in side_of)
    counts = Counter(side_of.values())
    assert 0.1 <= counts["test"] / 80 <= 0.3
    assert counts["validation"] >= 2
    assert left_out["its page stands at a seam between two sides"] > 0
    assert len(splits) + sum(left_out.values()) == len(queries.queries)


def test_documents_that_are_nearly_the_same_go_together() -> None:
    documents, pages = library(6)
    copy = [replace(page, id=page.id.replace("alpha", "omega"), document="omega") for page in pages[:12]]
    alone = write_queries(documents, pages, QueriesRecipe()).queries
    twin = [
        replace(q, id=f"omega {q.id}", document="omega", text=f"other {q.text}") for q in alone if q.document == "alpha"
    ]
    judgements = [Judgement(q.id, q.page, 2) for q in alone if q.kind != "index"]
    judgements += [Judgement(q.id, q.page.replace("alpha", "omega"), 2) for q in twin]
    for seed in range(4):
        splits = split_queries([*alone, *twin], judgements, [*pages, *copy], SplitsRecipe(seed=seed))
        assert len({side for name, side in splits.items() if name.startswith(("alpha", "omega"))}) == 1


def test_queries_with_a_twin_on_the_other_side_are_left_out_of_training() -> None:
    queries, pages = written()
    before: Counter[str] = Counter()
    splits = split_queries(queries.queries, queries.judgements, pages, SplitsRecipe(), before)
    judged = next(q for q in queries.queries if splits.get(q.id) == "test" and len(q.text.split()) > 4)
    trained = next(q for q in queries.queries if splits.get(q.id) == "train")
    same = [replace(q, text=judged.text) if q.id == trained.id else q for q in queries.queries]
    left_out: Counter[str] = Counter()
    again = split_queries(same, queries.judgements, pages, SplitsRecipe(), left_out)
    assert trained.id not in again
    assert again[judged.id] == "test"
    assert left_out - before == {"a near duplicate stands on another side": 1}


def test_too_little_to_split_says_so() -> None:
    document, pages = manual(pages=3)
    queries = write_queries([document], pages, QueriesRecipe(kinds=("caption",)))
    with pytest.raises(DataError, match="no query is left for"):
        split_queries(queries.queries, queries.judgements, pages, SplitsRecipe())
    with pytest.raises(DataError, match=r"use splits\.by=section"):
        split_queries(queries.queries, queries.judgements, pages, SplitsRecipe(by="document"))


def test_the_check_names_leaking_pages_and_queries() -> None:
    first, second = page_of(prose(1), 1), page_of(prose(2), 2)
    copy = replace(first, id="other-0001", document="other")
    queries = [
        Query("q1", "closing the main valve", "outline", "manual", first.id),
        Query("q2", "oil", "outline", "other", copy.id),
    ]
    splits: dict[str, Split] = {"q1": "train", "q2": "test"}
    good = [Judgement("q1", first.id, 2), Judgement("q2", second.id, 2)]
    check_leakage(queries, good, [first, second, copy], splits)
    with pytest.raises(LeakageError, match=r"page 'other-0001' \(test\) is nearly page 'manual-0001' \(train\)"):
        check_leakage(queries, [good[0], Judgement("q2", copy.id, 2)], [first, second, copy], splits)
    with pytest.raises(LeakageError, match="page 'manual-0001' answers queries of test and train"):
        check_leakage(queries, [good[0], Judgement("q2", first.id, 2)], [first, second, copy], splits)
    twins = [queries[0], replace(queries[1], text="Closing the main valve!")]
    with pytest.raises(LeakageError, match="query 'q2'"):
        check_leakage(twins, good, [first, second, copy], splits)


def grams(text: str) -> set[tuple[str, ...]]:
    words = fold(text).split()
    size = min(5, len(words))
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)} if words else set()


def test_short_texts_of_other_words_are_not_near_duplicates() -> None:
    texts = {f"t{number}": f"{'w' * (number % 7 + 1)}{number}" for number in range(40)}
    texts |= {f"pair {number}": f"w{number} x{number}" for number in range(40)}
    assert near_duplicates(texts | {"a": "c d a", "b": "b", "c": "d e"}, 0.3) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdefg"), max_size=14).map(" ".join), min_size=2, max_size=9),
    st.sampled_from([0.3, 0.5, 0.8, 0.9, 1.0]),
)
def test_near_duplicates_are_those_that_comparing_all_pairs_finds(texts: list[str], threshold: float) -> None:
    named = {f"t{place}": text for place, text in enumerate(texts)}
    sets = {key: grams(text) for key, text in named.items()}
    found = {frozenset(pair[:2]) for pair in near_duplicates(named, threshold)}
    for one, mine in sets.items():
        for other, yours in sets.items():
            if one >= other or not mine or not yours or mine == yours:
                continue
            similar = len(mine & yours) / len(mine | yours) >= threshold
            first = {next(k for k in sets if sets[k] == own) for own in (mine, yours)}
            assert (frozenset(first) in found) == similar
    groups = duplicate_groups(named, threshold)
    for one, mine in sets.items():
        for other, yours in sets.items():
            if one != other and mine and mine == yours:
                assert groups[one] == groups[other]


def test_a_thousand_copies_of_a_page_are_no_square_of_work() -> None:
    copies = {f"p{number}": "the same boilerplate on every single page of it all" for number in range(1000)}
    assert len(near_duplicates(copies, 0.9)) == 999
    assert set(duplicate_groups(copies, 0.9).values()) == {"p0"}
