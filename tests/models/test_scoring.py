import numpy as np
import pytest

from pagetune.models.scoring import score_pages, truncate


def unit(rng, rows: int, width: int = 16):
    return truncate(rng.normal(size=(rows, width)).astype(np.float32), None)


def test_with_one_vector_each_the_score_is_the_cosine_at_every_dimension():
    rng = np.random.default_rng(1)
    pages, queries = unit(rng, 9), unit(rng, 4)
    for dimension in (None, 8, 3):
        found = score_pages([query[None] for query in queries], pages, np.arange(9), dimension)
        np.testing.assert_allclose(found, truncate(queries, dimension) @ truncate(pages, dimension).T, atol=1e-6)


def test_with_many_vectors_it_is_the_sum_of_each_ones_nearest_as_the_library_has_it():
    import torch
    from sentence_transformers.util import maxsim

    rng = np.random.default_rng(2)
    counts = [3, 1, 5]
    pages, queries = unit(rng, sum(counts)), [unit(rng, 4), unit(rng, 2)]
    parts = np.split(pages, np.cumsum(counts)[:-1])
    expected = maxsim([torch.tensor(query) for query in queries], [torch.tensor(part) for part in parts])
    np.testing.assert_allclose(score_pages(queries, pages, np.repeat([0, 1, 2], counts)), expected.numpy(), atol=1e-5)


def test_no_pages_and_no_queries_are_empty():
    assert score_pages([], np.zeros((0, 4), np.float32), np.zeros(0, np.int64)).shape == (0, 0)


def test_a_dimension_that_the_vectors_do_not_have_is_refused():
    with pytest.raises(ValueError, match="dimension=5"):
        truncate(np.ones((1, 4), np.float32), 5)
