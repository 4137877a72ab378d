from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from manuals import page_of, prose

from pagetune.examples.negatives import mine_negatives
from pagetune.recipe import MineRecipe
from pagetune.records import Page, Query

QUERY = Query("q", "closing a valve", "outline", "manual", "manual-0001")
PAGES = [page_of(prose(number), number) for number in range(1, 9)]


def name(number: int) -> str:
    return f"manual-{number:04d}"


def mined(
    dense: dict[int, float],
    lexical: dict[int, float],
    pages: list[Page] = PAGES,
    qrels: dict[int, int] | None = None,
    **recipe: object,
) -> list[tuple[str, tuple[str, ...]]]:
    runs = [{"q": {name(number): score for number, score in run.items()}} for run in (dense, lexical)]
    graded = {"q": {name(number): grade for number, grade in (qrels or {1: 2}).items()}}
    settings = MineRecipe(**{"negatives": 8, **recipe})  # type: ignore[arg-type]
    return [(e.positive, e.negatives) for e in mine_negatives([QUERY], graded, pages, *runs, settings)]


def test_the_margin_keeps_out_what_scores_like_the_answer() -> None:
    dense = {1: 0.80, 2: 0.90, 3: 0.79, 4: 0.75, 5: 0.40}
    assert mined(dense, {}) == [(name(1), (name(4), name(5)))]
    assert mined(dense, {}, margin=0.9) == [(name(1), (name(5),))]
    assert mined({1: -0.2, 2: -0.19, 3: -0.3}, {}) == [(name(1), (name(3),))]


def test_lexical_candidates_that_the_model_does_not_rank_are_held_against_the_answers_bm25() -> None:
    assert mined({1: 0.8}, {1: 10, 2: 12, 3: 6}) == [(name(1), (name(3),))]
    assert mined({1: 0.8}, {2: 12}) == [(name(1), (name(2),))]


def test_an_answer_that_the_model_does_not_find_leaves_only_bm25s_pages() -> None:
    assert mined({2: 0.9, 3: 0.8}, {1: 9, 3: 5, 4: 6}) == [(name(1), (name(4),))]


def test_never_the_answers_their_duplicates_or_pages_that_are_not_body() -> None:
    pages = [
        *PAGES[:5],
        replace(PAGES[5], kind="index"),
        replace(PAGES[0], id=name(7), number=7, duplicate_of=name(1)),
        replace(PAGES[1], id=name(8), number=8),  # the text of page 2, on which the section goes on
    ]
    dense = {1: 0.9, **{number: 0.5 - number / 100 for number in range(2, 9)}}
    assert mined(dense, {}, pages, {1: 2, 2: 1}) == [(name(1), (name(3), name(4), name(5)))]


def test_each_best_answer_has_its_example_and_examples_may_be_bare() -> None:
    found = mined({1: 0.9, 2: 0.5, 3: 0.6}, {}, qrels={1: 2, 2: 2})
    assert found == [(name(1), (name(3),)), (name(2), ())]
    assert mined({}, {}) == [(name(1), ())]
    assert mine_negatives([QUERY], {}, PAGES, {}, {}, MineRecipe()) == []


def test_skip_and_number_of_negatives() -> None:
    dense = {1: 0.9, **{number: 0.6 - number / 100 for number in range(2, 9)}}
    assert mined(dense, {}, negatives=2) == [(name(1), (name(2), name(3)))]
    assert mined(dense, {}, negatives=2, skip=2) == [(name(1), (name(3), name(4)))]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(1, 8), st.floats(-1, 1), max_size=8),
    st.dictionaries(st.integers(1, 8), st.floats(0.1, 20), max_size=8),
    st.sampled_from([0.5, 0.9, 0.95, 1.0]),
)
def test_no_negative_is_an_answer_or_above_the_margin(
    dense: dict[int, float], lexical: dict[int, float], margin: float
) -> None:
    ((positive, negatives),) = mined(dense, lexical, margin=margin)
    assert positive not in negatives
    assert len(set(negatives)) == len(negatives)
    for negative in negatives:
        number = int(negative[-4:])
        if number in dense:
            assert dense[number] <= dense[1] - (1 - margin) * abs(dense[1])
