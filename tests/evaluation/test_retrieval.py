from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pagetune.evaluation.ranking import best, best_places, ranking, write_trec
from pagetune.evaluation.retrieval import fuse, rank_pages
from pagetune.models.scoring import truncate


@dataclass(frozen=True)
class Vectors:
    ids: tuple[str, ...]
    vectors: NDArray[np.float32]
    owner: NDArray[np.int64]


def random_pages(pages: int, passages: int, dim: int, seed: int = 3) -> Vectors:
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.repeat(np.arange(pages), passages)).astype(np.int64)
    vectors = truncate(rng.standard_normal((pages * passages, dim)).astype(np.float32), None)
    return Vectors(tuple(f"p-{page:04d}" for page in range(pages)), vectors, owner)


def test_a_page_is_as_near_as_its_nearest_passage() -> None:
    pages = random_pages(30, 4, 16)
    queries = truncate(np.random.default_rng(5).standard_normal((7, 16)).astype(np.float32), None)
    run = rank_pages([f"q{n}" for n in range(7)], queries, pages, depth=30)
    for number, query in enumerate(queries):
        expected = {
            page: max(float(query @ pages.vectors[row]) for row in np.flatnonzero(pages.owner == index))
            for index, page in enumerate(pages.ids)
        }
        found = run[f"q{number}"]
        assert list(found) == ranking(expected)
        assert found == pytest.approx(expected, abs=2e-6)


def test_truncation_renormalises_and_scores_with_the_first_numbers_only() -> None:
    pages = random_pages(20, 1, 16)
    query = pages.vectors[4:5].copy()
    query[:, 8:] = 99.0
    own = pages.ids[int(pages.owner[4])]
    assert rank_pages(["q"], query, pages, dimension=8)["q"][own] == pytest.approx(1.0)
    np.testing.assert_allclose(np.linalg.norm(truncate(pages.vectors, 4), axis=1), 1.0, rtol=1e-6)
    with pytest.raises(ValueError, match="dimension=17"):
        truncate(pages.vectors, 17)


def test_equal_pages_tie_and_are_ordered_by_id() -> None:
    vectors = np.tile(truncate(np.ones((1, 33), dtype=np.float32), None), (9, 1))
    pages = Vectors(tuple("ihgfedcba"), vectors, np.arange(9))
    assert list(rank_pages(["q"], vectors[:1], pages, depth=4)["q"]) == list("abcd")


def test_a_page_without_passages_and_excluded_pages_are_not_ranked() -> None:
    pages = Vectors(("empty", "a", "b", "c"), np.eye(3, dtype=np.float32), np.array([1, 2, 3]))
    run = rank_pages(["q"], np.array([[0.9, 0.3, 0.1]], dtype=np.float32), pages, exclude={"q": {"a"}})
    assert list(run["q"]) == ["b", "c"]
    none = Vectors(("empty",), np.zeros((0, 3), dtype=np.float32), np.zeros(0, dtype=np.int64))
    assert rank_pages(["q"], np.eye(3, dtype=np.float32)[:1], none) == {"q": {}}


def test_fusion_is_between_both_runs() -> None:
    dense = {"q": {"a": 0.9, "b": 0.8, "c": 0.1}}
    lexical = {"q": {"c": 12.0, "b": 11.0, "d": 2.0}}
    assert ranking(fuse(dense, lexical, 1.0)["q"])[:2] == ["a", "b"]
    assert ranking(fuse(dense, lexical, 0.0)["q"])[:2] == ["c", "b"]
    assert list(fuse(dense, lexical, 0.5, depth=1)["q"]) == ["b"]


def test_fusion_keeps_the_last_page_of_a_lexical_run_that_ended_early() -> None:
    dense = {"q": {"a": 0.9, "b": 0.8, "c": 0.1}}
    fused = fuse(dense, {"q": {"b": 5.0, "c": 4.9}}, 0.5)["q"]
    assert fused["c"] == pytest.approx(0.49)
    assert fuse(dense, {"q": {}}, 0.5)["q"] == fuse(dense, {}, 0.5)["q"]
    assert fuse({"q": {"a": 0.5}}, {"q": {"a": 2.0}}) == {"q": {"a": 1.0}}


scores = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.floats(-5, 5, width=32), min_size=1)


@given(scores, scores, st.floats(0, 1))
def test_fused_scores_stay_between_0_and_1_and_in_order(
    a: dict[str, float], b: dict[str, float], weight: float
) -> None:
    fused = fuse({"q": a}, {"q": b}, weight)["q"]
    assert set(fused) == set(a) | set(b)
    assert all(0 <= score <= 1 for score in fused.values()) or min(b.values()) < 0
    assert list(fused) == ranking(fused)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 12))
def test_best_agrees_with_a_full_sort(values: list[int], depth: int) -> None:
    ids = [f"p{number:02d}" for number in range(len(values))][::-1]
    whole = dict(zip(ids, map(float, values), strict=True))
    excluded = {ids[0]}
    expected = [page for page in ranking(whole) if page not in excluded][:depth]
    row = np.array(values, dtype=np.float32)
    assert list(best(row, ids, depth, excluded)) == expected
    # Row by row, and sorted whole or cut first, it is the same.
    for places in (best_places(row[None], ids, depth, [excluded]), best_places(row[None], ids, depth, [excluded], 0)):
        assert [ids[place] for place in places[0]] == expected


def test_a_trec_run_has_six_columns_and_falling_scores() -> None:
    text = write_trec({"q1": {"a": 0.5, "b": 0.75}, "q2": {}}, "tuned")
    assert text == "q1 Q0 b 1 0.750000 tuned\nq1 Q0 a 2 0.500000 tuned\n"
    tied = write_trec({"q1": {"b": 0.5, "a": 0.5, "c": 0.5}}, "t").split()
    assert [tied[2], tied[8], tied[14]] == ["a", "b", "c"]
    assert [tied[4], tied[10], tied[16]] == ["0.500000", "0.499999", "0.499998"]
    with pytest.raises(ValueError, match="without spaces"):
        write_trec({"q 1": {"a": 0.5}}, "tuned")


@given(st.lists(st.sampled_from([-3.0, 0.0, 0.1, 15.999999, 16.0, 16.000001, 33.3, 33.300001, 900.0]), max_size=40))
def test_trec_eval_which_reads_single_precision_sees_no_ties(scores: list[float]) -> None:
    run = {f"p{number:02d}": score for number, score in enumerate(scores)}
    lines = [line.split() for line in write_trec({"q": run}, "t").splitlines()]
    assert [line[2] for line in lines] == ranking(run)
    read = np.array([line[4] for line in lines], dtype=np.float32)
    assert np.all(np.diff(read) < 0)
