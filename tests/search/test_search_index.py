from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pagetune.errors import SearchError
from pagetune.evaluation.retrieval import rank_pages
from pagetune.models.encoding import PageVectors
from pagetune.models.scoring import truncate
from pagetune.recipe import IndexRecipe
from pagetune.records import Page
from pagetune.search.building import build_index
from pagetune.search.index import SearchIndex


def made_pages(count: int) -> list[Page]:
    """Pages of two documents; every text has a word of its own."""
    return [
        Page(
            id=f"{document}-{number:04d}",
            document=document,
            number=number,
            width=100,
            height=200,
            words=("it's", "page", f"word{position}"),
            boxes=np.zeros((3, 4), np.float32),
            sizes=np.ones(3, np.float32),
            lines=np.zeros(3, np.int32),
        )
        for position in range(count)
        for document, number in [("memoir" if position % 2 else "o'brien", position // 2 + 1)]
    ]


def made_vectors(pages: list[Page], passages: int = 3, dim: int = 32, seed: int = 0) -> PageVectors:
    """Passages around 12 centres, so that an approximate index has something to hold on to."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(pages)), passages)
    centres = rng.standard_normal((12, dim))
    points = centres[rng.integers(0, 12, len(owner))] + rng.normal(0, 0.7, (len(owner), dim))
    return PageVectors(tuple(page.id for page in pages), truncate(points.astype(np.float32), None), owner)


@pytest.mark.parametrize("ann_from", [10_000, 256])
def test_nearest_pages_are_those_of_exact_search(tmp_path: Path, ann_from: int) -> None:
    pages = made_pages(200)
    vectors = made_vectors(pages)
    recipe = IndexRecipe(dimension=16, ann_from=ann_from)
    info = build_index(tmp_path / "index", vectors, pages, recipe)
    assert info.approximate is (ann_from == 256)
    assert (info.pages, info.passages, info.dimension) == (200, 600, 16)
    index = SearchIndex(tmp_path / "index")
    queries = made_vectors(pages, passages=1, seed=1).vectors[:20]
    exact = rank_pages([str(n) for n in range(20)], queries, vectors, dimension=16, depth=10)
    for number, query in enumerate(queries):
        found = index.nearest(query, 10)
        assert len(set(found) & set(exact[str(number)])) >= 9
        for page, (score, passage) in found.items():
            rows = np.flatnonzero(vectors.owner == vectors.ids.index(page))
            products = truncate(vectors.vectors[rows], 16) @ truncate(query[None], 16)[0]
            assert products[passage] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("ann_from", [10_000, 256])
def test_late_interaction_finds_what_maxsim_finds(tmp_path: Path, ann_from: int) -> None:
    pages = made_pages(200)
    vectors = made_vectors(pages, passages=40)
    recipe = IndexRecipe(dimension=16, ann_from=ann_from)
    info = build_index(tmp_path / "index", vectors, pages, recipe, late=True)
    assert info.approximate is (ann_from == 256)
    assert (info.pages, info.passages, info.dimension, info.bytes_per_page) == (200, 8000, 32, 4 * 32 * 40)
    index = SearchIndex(tmp_path / "index")
    queries = [made_vectors(pages[:1], passages=5, seed=seed).vectors for seed in range(1, 9)]
    exact = rank_pages([str(n) for n in range(8)], queries, vectors, depth=10)
    for number, query in enumerate(queries):
        found = index.nearest(query, 10)
        assert len(set(found) & set(exact[str(number)])) >= 9
        assert list(found.values()) == sorted(found.values(), reverse=True)
        assert all(
            score == pytest.approx(exact[str(number)].get(page, score), abs=1e-3) for page, (score, _) in found.items()
        )
        assert {page.partition("-")[0] for page in index.nearest(query, 5, ["memoir"])} == {"memoir"}
    build_index(tmp_path / "dense", made_vectors(pages), pages, recipe)
    with pytest.raises(SearchError, match=r"5 vector\(s\) of 32"):
        SearchIndex(tmp_path / "dense").nearest(queries[0], 3)


def test_a_page_comes_once_though_its_passages_fill_the_first_places(tmp_path: Path) -> None:
    pages = made_pages(6)
    rng = np.random.default_rng(2)
    owner = np.array([0] * 40 + [1, 2, 3, 4, 5])
    points = rng.normal(0, 0.05, (45, 16))
    points[:40, 0] += 1.0
    points[40:, 1] += 1.0
    vectors = PageVectors(tuple(page.id for page in pages), truncate(points.astype(np.float32), None), owner)
    build_index(tmp_path / "index", vectors, pages, IndexRecipe(dimension=16))
    found = SearchIndex(tmp_path / "index").nearest(np.eye(16, dtype=np.float32)[0], 5)
    assert len(found) == 5
    assert next(iter(found)) == pages[0].id


@pytest.mark.parametrize("ann_from", [10_000, 256])
def test_filter_by_document_fills_the_answer_from_it(tmp_path: Path, ann_from: int) -> None:
    pages = made_pages(120)
    build_index(tmp_path / "index", made_vectors(pages), pages, IndexRecipe(dimension=16, ann_from=ann_from))
    index = SearchIndex(tmp_path / "index")
    found = index.nearest(made_vectors(pages, 1, seed=3).vectors[0], 15, ["o'brien"])
    assert len(found) == 15
    assert {index.documents[page] for page in found} == {"o'brien"}


def test_pages_are_stored_with_text_and_thumbnail(tmp_path: Path) -> None:
    pages = made_pages(4)
    pictures = [(pages[2].id, Image.new("RGB", (300, 600), "red")), (pages[0].id, Image.new("L", (50, 40)))]
    build_index(
        tmp_path / "index",
        made_vectors(pages),
        pages,
        IndexRecipe(dimension=16, thumbnail_side=64),
        thumbnails=pictures,
    )
    index = SearchIndex(tmp_path / "index")
    stored = index.pages([page.id for page in pages], thumbnails=True)
    assert stored[pages[0].id].document == "o'brien"
    assert stored[pages[0].id].text == pages[0].text()
    assert stored[pages[1].id].thumbnail is None
    assert Image.open(io.BytesIO(stored[pages[2].id].thumbnail or b"")).size == (32, 64)
    assert index.pages([]) == {}
    assert list(index.bm25.rank("word3", 5)) == [pages[3].id]


def test_building_again_replaces_the_index_and_a_failure_leaves_it(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    build_index(folder, made_vectors(made_pages(4)), made_pages(4), IndexRecipe(dimension=16))

    def failing() -> object:
        yield made_pages(6)[0].id, Image.new("RGB", (5, 5))
        raise RuntimeError("no picture")

    with pytest.raises(RuntimeError, match="no picture"):
        build_index(folder, made_vectors(made_pages(6)), made_pages(6), IndexRecipe(dimension=16), thumbnails=failing())  # type: ignore[arg-type]
    assert SearchIndex(folder).info.pages == 4
    build_index(folder, made_vectors(made_pages(6)), made_pages(6), IndexRecipe(dimension=16))
    assert SearchIndex(folder).info.pages == 6
    assert [entry.name for entry in tmp_path.iterdir()] == ["index"]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="pagetune index"):
        SearchIndex(tmp_path)
    with pytest.raises(SearchError, match="such as"):
        build_index(tmp_path / "index", made_vectors(made_pages(4)), made_pages(5), IndexRecipe())
    build_index(tmp_path / "index", made_vectors(made_pages(4)), made_pages(4), IndexRecipe(dimension=16))
    with pytest.raises(SearchError, match="8 dimensions, the index one a passage of 16"):
        SearchIndex(tmp_path / "index").nearest(np.ones(8, np.float32), 3)
    (tmp_path / "index" / "index.json").write_text('{"layout": 99}')
    with pytest.raises(SearchError, match="layout 99"):
        SearchIndex(tmp_path / "index")


def test_a_damaged_index_says_so(tmp_path: Path) -> None:
    pages = made_pages(4)
    build_index(tmp_path / "index", made_vectors(pages), pages, IndexRecipe(dimension=16))
    shutil.rmtree(tmp_path / "index" / "tables" / "pages.lance")
    with pytest.raises(SearchError, match="damaged"):
        SearchIndex(tmp_path / "index").pages([pages[0].id])
