from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetune.evaluation.precision import PRECISIONS, Precision, search_ms, store
from pagetune.models.scoring import truncate


def unit(count: int, width: int, seed: int = 1) -> np.ndarray:
    return truncate(np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32), None)


@pytest.mark.parametrize(("precision", "size"), [("float32", 4 * 72), ("float16", 2 * 72), ("int8", 72), ("binary", 9)])
def test_a_vector_takes_the_bytes_of_its_precision(precision: Precision, size: int) -> None:
    assert store(unit(120, 72), precision).vector_bytes == size


@pytest.mark.parametrize(("precision", "error"), [("float32", 0.0), ("float16", 3e-4), ("int8", 0.5 / 255 * 1.1)])
def test_what_the_codes_stand_for_is_near_the_vectors(precision: Precision, error: float) -> None:
    vectors = unit(150, 64)
    found = store(vectors, precision).decoded()
    assert found.dtype == np.float32
    assert np.max(np.abs(found - vectors)) <= error * np.max(np.ptp(vectors, axis=0))


def test_int8_and_binary_are_what_sentence_transformers_makes_of_them() -> None:
    from sentence_transformers.util.quantization import quantize_embeddings

    vectors = unit(150, 64)
    ranges = np.vstack([vectors.min(axis=0), vectors.max(axis=0)])
    np.testing.assert_array_equal(store(vectors, "int8").codes, quantize_embeddings(vectors, "int8", ranges=ranges))
    np.testing.assert_array_equal(store(vectors, "binary").codes, quantize_embeddings(vectors, "ubinary"))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(PRECISIONS), st.integers(1, 70), st.integers(2, 40), st.integers(1, 5), st.integers(0, 10**6))
def test_the_scores_of_the_codes_are_those_of_what_they_stand_for(
    precision: Precision, width: int, count: int, tokens: int, seed: int
) -> None:
    stored, query = store(unit(count, width, seed), precision), unit(tokens, width, seed + 1)
    reduced = stored.reduced(query)
    np.testing.assert_allclose(stored.scores(reduced), reduced @ stored.decoded().T, atol=2e-5)


def test_a_dimension_without_a_range_is_no_division_by_zero() -> None:
    vectors = np.zeros((3, 8), np.float32)
    vectors[:, 0] = 1
    assert np.allclose(store(vectors, "int8").decoded()[:, 0], 1)


def test_a_search_takes_time_with_and_without_rescoring() -> None:
    vectors, owner = unit(60, 32), np.repeat(np.arange(20), 3)
    binary, queries = store(vectors, "binary"), [unit(4, 32, 7), unit(2, 32, 8)]
    assert search_ms(queries, binary, owner) > 0
    assert search_ms(queries, binary, owner, rescored=store(vectors, "int8"), shortlist=9) > 0
    assert search_ms([], binary, owner) == 0
