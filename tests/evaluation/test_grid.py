from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pagetune.errors import DataError
from pagetune.evaluation.grid import PAIRS, Cell, DeploymentGrid, Setting, deployment_grid
from pagetune.evaluation.grid_chart import draw_grid, short_name
from pagetune.evaluation.grid_report import recommend, size_of, to_json, to_markdown, write_grid
from pagetune.evaluation.grid_reranking import Reranking
from pagetune.evaluation.metrics import MAIN_METRIC, score_run
from pagetune.evaluation.ranking import Run
from pagetune.evaluation.reranking import LogOdds
from pagetune.evaluation.retrieval import rank_pages
from pagetune.models.encoding import PageVectors
from pagetune.models.scoring import truncate
from pagetune.recipe import EvaluateRecipe

FEW = EvaluateRecipe(resamples=200)
QUERIES, PAGES, WIDTH = 60, 150, 64
IDS = [f"q{number:03d}" for number in range(QUERIES)]


def collection(passages: int = 1, seed: int = 5) -> tuple[np.ndarray, PageVectors, dict[str, dict[str, int]]]:
    """Queries near their pages; the first numbers of a vector say more than the last."""
    rng = np.random.default_rng(seed)
    weight = np.linspace(1.6, 0.4, WIDTH).astype(np.float32)
    centres = rng.standard_normal((PAGES, WIDTH)).astype(np.float32) * weight
    owner = np.repeat(np.arange(PAGES), passages)
    vectors = truncate(centres[owner] + rng.normal(0, 0.3, (len(owner), WIDTH)).astype(np.float32), None)
    answers = rng.integers(0, PAGES, QUERIES)
    queries = truncate(centres[answers] + rng.normal(0, 1.2, (QUERIES, WIDTH)).astype(np.float32) * weight, None)
    pages = PageVectors(tuple(f"p{number:03d}" for number in range(PAGES)), vectors, owner)
    return queries, pages, {query: {f"p{answer:03d}": 1} for query, answer in zip(IDS, answers, strict=True)}


def make_grid(**more: object) -> DeploymentGrid:
    queries, pages, qrels = collection()
    given = {"dimensions": (64, 32, 16, 8), "settings": FEW, "timed": 3, "shortlist": 20}
    return deployment_grid(IDS, queries, pages, qrels, **(given | more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def grid() -> DeploymentGrid:
    return make_grid()


def cell(grid: DeploymentGrid, *setting: object) -> Cell:
    return next(found for found in grid.cells if found.setting == Setting(*setting))  # type: ignore[arg-type]


def test_every_setting_stands_once_the_reference_first(grid: DeploymentGrid) -> None:
    assert [found.setting for found in grid.cells] == [
        Setting(size, precision, rescoring) for size in (64, 32, 16, 8) for precision, rescoring in PAIRS
    ]
    assert grid.reference.setting == Setting(64, "float32")
    assert (grid.reference.loss, grid.reference.loss_interval) == (0, (0, 0))


def test_the_depth_of_a_reranker_is_an_axis_and_every_pair_is_scored_once() -> None:
    queries, pages, qrels = collection()
    asked: list[Run] = []

    def score(run: Run) -> tuple[LogOdds, float]:
        """A reranker that knows the answer."""
        asked.append(run)
        return {query: {page: float(page in qrels[query]) for page in found} for query, found in run.items()}, 2.5

    known = {"dimensions": (64, 8), "settings": FEW, "timed": 3, "shortlist": 20, "precisions": ("binary",)}
    reranking = Reranking((5, 15), score, 1.0)
    found = deployment_grid(IDS, queries, pages, qrels, reranking=reranking, **known)  # type: ignore[arg-type]
    plain = deployment_grid(IDS, queries, pages, qrels, **known)  # type: ignore[arg-type]
    count = len(plain.cells)
    assert len(asked) == 1
    assert max(len(own) for own in asked[0].values()) < PAGES
    assert len(found.cells) == 3 * count
    for before, after in zip(plain.cells, found.cells[:count], strict=True):
        assert (before.setting, before.ndcg) == (after.setting, after.ndcg)
    smallest = Setting(8, "binary")
    alone, five, fifteen = (cell(found, 8, "binary", "none", 1, depth) for depth in (0, 5, 15))
    assert alone.setting == smallest
    assert alone.ndcg < five.ndcg < fifteen.ndcg
    assert fifteen.bytes_per_page == alone.bytes_per_page
    assert fifteen.ms_per_query - alone.ms_per_query == pytest.approx(15 * 2.5)
    # What is among the first 15 comes first, so that NDCG is the share of queries whose page is.
    run = rank_pages(IDS, queries, pages, dimension=64, depth=15)
    share = np.mean([next(iter(qrels[query])) in run[query] for query in IDS])
    assert cell(found, 64, "float32", "none", 1, 15).ndcg == pytest.approx(share)
    told = to_markdown(found, recommend(found))
    assert "| reranked |" in told
    assert "the first 15 reranked" in json.dumps(to_json(found, recommend(found)))
    assert "reranked" not in to_markdown(plain, recommend(plain))


def test_with_no_weight_a_reranker_changes_nothing() -> None:
    queries, pages, qrels = collection()
    known = {"dimensions": (16,), "settings": FEW, "timed": 3, "shortlist": 20}
    nothing = Reranking((10,), lambda run: ({query: dict.fromkeys(own, 0.0) for query, own in run.items()}, 0.0), 0.0)
    found = deployment_grid(IDS, queries, pages, qrels, reranking=nothing, **known)  # type: ignore[arg-type]
    half = len(found.cells) // 2
    for before, after in zip(found.cells[:half], found.cells[half:], strict=True):
        assert after.ndcg == pytest.approx(before.ndcg)


def test_float32_is_what_every_other_evaluation_says(grid: DeploymentGrid) -> None:
    queries, pages, qrels = collection()
    for size in (64, 32, 16, 8):
        scores = score_run(rank_pages(IDS, queries, pages, dimension=size, depth=10), qrels)
        assert cell(grid, size, "float32").ndcg == pytest.approx(scores.means()[MAIN_METRIC], abs=1e-12)


def test_fewer_bits_and_dimensions_lose_and_rescoring_brings_some_back(grid: DeploymentGrid) -> None:
    plain, again = cell(grid, 64, "binary"), cell(grid, 64, "binary", "query")
    assert plain.ndcg < again.ndcg <= cell(grid, 64, "binary", "float32").ndcg + 0.02
    assert cell(grid, 64, "float16").loss == pytest.approx(0, abs=0.01)
    assert cell(grid, 8, "float32").ndcg < grid.reference.ndcg
    lost = cell(grid, 8, "float32")
    assert lost.loss == pytest.approx(grid.reference.ndcg - lost.ndcg)
    assert lost.loss_interval[0] < lost.loss < lost.loss_interval[1]


def test_rescoring_the_whole_collection_is_the_finer_search() -> None:
    whole = make_grid(shortlist=PAGES)
    assert cell(whole, 32, "binary", "float32").ndcg == cell(whole, 32, "float32").ndcg
    assert cell(whole, 32, "binary", "int8").ndcg == cell(whole, 32, "int8").ndcg


def test_every_copy_counts_in_the_bytes(grid: DeploymentGrid) -> None:
    sizes = {pair: cell(grid, 64, *pair).bytes_per_page for pair in PAIRS}
    assert sizes == {
        ("float32", "none"): 256,
        ("float16", "none"): 128,
        ("int8", "none"): 64,
        ("int8", "float32"): 320,
        ("binary", "none"): 8,
        ("binary", "query"): 8,
        ("binary", "int8"): 72,
        ("binary", "float32"): 264,
    }
    assert cell(grid, 64, "binary", "int8").searched_bytes_per_page == 8
    assert grid.reference.bytes_at_a_million == 256_000_000


def test_a_page_of_several_passages_is_its_nearest_and_takes_the_bytes_of_all() -> None:
    queries, pages, qrels = collection(passages=3)
    found = deployment_grid(IDS, queries, pages, qrels, settings=FEW, timed=2, precisions=("int8",))
    assert {one.setting.precision for one in found.cells} == {"float32", "int8"}
    assert found.reference.bytes_per_page == 3 * 256
    scores = score_run(rank_pages(IDS, queries, pages, depth=10), qrels)
    assert found.reference.ndcg == pytest.approx(scores.means()[MAIN_METRIC], abs=1e-12)


def test_late_interaction_is_pooled_and_keeps_its_dimension() -> None:
    queries, pages, qrels = collection(passages=8)
    tokens = [np.stack([query, np.roll(query, 1)]) for query in queries]
    found = deployment_grid(IDS, tokens, pages, qrels, dimensions=(32,), poolings=(2, 4), settings=FEW, timed=2)
    assert {(one.setting.dimension, one.setting.pooling) for one in found.cells} == {(64, 1), (64, 2), (64, 4)}
    assert cell(found, 64, "float32", "none", 4).vectors_per_page < found.reference.vectors_per_page / 2
    assert found.reference.ndcg == pytest.approx(
        score_run(rank_pages(IDS, tokens, pages, depth=10), qrels).means()[MAIN_METRIC], abs=1e-12
    )
    assert cell(found, 64, "binary", "none", 2).setting.name == "64 dimensions, binary, 1 token vector of 2"


def test_excluded_pages_and_unjudged_queries_are_left_out() -> None:
    queries, pages, _ = collection()
    first = next(iter(rank_pages(IDS[:1], queries[:1], pages, depth=1)[IDS[0]]))
    judged = {IDS[0]: {first: 1}}
    hidden = deployment_grid(IDS, queries, pages, judged, exclude={IDS[0]: {first}}, settings=FEW, timed=1)
    assert (hidden.queries, hidden.reference.ndcg) == (1, 0)
    with pytest.raises(DataError, match="0 judged queries"):
        deployment_grid(IDS, queries, pages, {}, settings=FEW)


def test_nothing_beats_the_front_in_both(grid: DeploymentGrid) -> None:
    front = grid.front()
    assert [one.ndcg for one in front] == sorted(one.ndcg for one in front)
    for one in grid.cells:
        assert any(best.bytes_per_page <= one.bytes_per_page and best.ndcg >= one.ndcg for best in front)


def test_the_recommendation_is_the_smallest_that_loses_little(grid: DeploymentGrid) -> None:
    advice = recommend(grid)
    assert advice.cell is not None
    assert advice.cell.ndcg >= 0.99 * max(one.ndcg for one in grid.cells)
    assert advice.sentence.startswith(f"{advice.cell.setting.name}: ")
    assert " of the bytes (" in advice.sentence
    assert advice.sentence.count("\n") == 0
    small = recommend(grid, budget_bytes=16)
    assert small.cell is not None
    assert small.cell.bytes_per_page <= 16
    assert small.cell.ndcg >= 0.99 * max(one.ndcg for one in grid.cells if one.bytes_per_page <= 16)
    exact = recommend(grid, tolerance=0)
    assert exact.cell is not None
    assert exact.cell.ndcg == max(one.ndcg for one in grid.cells)


def test_a_shortlist_of_much_of_a_small_collection_is_told(grid: DeploymentGrid) -> None:
    best = max(grid.cells, key=lambda one: (one.setting.rescoring == "query", one.ndcg))
    advice = recommend(grid, budget_bytes=best.bytes_per_page, tolerance=0)
    assert advice.cell == best
    assert "its shortlist is 13% of these pages: over many more it finds less" in advice.sentence
    plain = recommend(make_grid(precisions=("int8",), dimensions=()), budget_bytes=64)
    assert "shortlist" not in plain.sentence


def test_a_budget_that_nothing_fits_says_what_would() -> None:
    found = make_grid(dimensions=(), precisions=("int8",))
    advice = recommend(found, budget_bytes=10, budget_ms=1e-9)
    assert advice.cell is None
    assert advice.sentence.startswith(
        "No setting fits 10 bytes a page and 1e-09 ms a query: the smallest takes 64 bytes"
    )
    assert to_json(found, advice)["recommended"] is None


def test_the_grid_as_files(grid: DeploymentGrid, tmp_path: Path) -> None:
    advice = recommend(grid)
    write_grid(grid, advice, tmp_path, {"model": "tuned"})
    found = json.loads((tmp_path / "grid.json").read_text())
    assert found == json.loads(json.dumps(to_json(grid, advice, {"model": "tuned"})))
    assert len(found["cells"]) == len(grid.cells)
    assert found["cells"][0]["bytes_at_a_million_pages"] == 256_000_000
    text = (tmp_path / "grid.md").read_text()
    assert text == to_markdown(grid, advice, "grid.png")
    assert text.count("\n| ") >= len(grid.cells) + 2
    assert (tmp_path / "grid.png").read_bytes()[1:4] == b"PNG"
    drawn = draw_grid(grid)
    assert drawn["page"].startswith("<svg")
    assert "var(--tuned)" in drawn["page"]
    assert draw_grid(grid) == drawn


def test_sizes_are_told_as_people_say_them() -> None:
    assert [size_of(count) for count in (512, 4096, 512e6, 2.048e9, 3e12)] == [
        "512 bytes",
        "4.1 kB",
        "512 MB",
        "2.05 GB",
        "3 TB",
    ]


def by_hand(*cells: tuple[Setting, float, float, float]) -> DeploymentGrid:
    """Settings with their NDCG@10, bytes a page and milliseconds a query."""
    made = [Cell(s, ndcg, (ndcg, ndcg), cells[0][1] - ndcg, (0.0, 0.0), 1, b, b, ms) for s, ndcg, b, ms in cells]
    return DeploymentGrid(tuple(made), 100, 10_000, FEW, 40)


RERANKED = by_hand(
    (Setting(64, "float32"), 0.800, 256, 2.0),
    (Setting(64, "binary"), 0.795, 8, 1.0),
    (Setting(64, "binary", "query"), 0.7951, 8, 1.4),
    (Setting(64, "binary", reranked=10), 0.7999, 8, 300.0),
    (Setting(64, "binary", reranked=40), 0.8001, 8, 1200.0),
)


def test_a_reranker_is_no_way_to_save_bytes() -> None:
    assert [one.setting for one in RERANKED.front()] == [
        Setting(64, "binary", "query"),
        Setting(64, "float32"),
    ]
    assert [one.setting.reranked for one in RERANKED.front("ms_per_query")] == [0, 0, 0, 40]


def test_within_the_tolerance_the_faster_setting_is_recommended() -> None:
    assert recommend(RERANKED).cell == RERANKED.cells[1]
    best = recommend(RERANKED, tolerance=0).cell
    assert best is not None
    assert best.setting.reranked == 40
    no_reranker = by_hand(*((c.setting, c.ndcg, c.bytes_per_page, c.ms_per_query) for c in RERANKED.cells[1:3]))
    assert recommend(no_reranker, tolerance=0).cell == no_reranker.cells[1]
    much = by_hand(
        (Setting(64, "float32"), 0.5, 256, 2.0),
        (Setting(64, "float32", reranked=10), 0.7, 256, 90.0),
        (Setting(64, "float32", reranked=40), 0.702, 256, 400.0),
    )
    chosen = recommend(much).cell
    assert chosen is not None
    assert chosen.setting.reranked == 10


def test_the_tolerance_that_is_told_is_the_one_that_was_used() -> None:
    alone = by_hand((Setting(64, "float32"), 0.8, 256, 2.0), (Setting(64, "binary"), 0.7, 8, 1.0))
    advice = recommend(alone, tolerance=0.025)
    assert "nothing smaller that fits comes as near as 2.5%" in advice.sentence
    assert "Recommended is the smallest within 2.5% of the best" in to_markdown(alone, advice)
    assert to_json(alone, advice)["tolerance"] == 0.025


def test_no_two_settings_have_one_name_in_the_plots() -> None:
    names = [short_name(one) for one in RERANKED.cells]
    assert len({*names}) == len(names)
    drawn = draw_grid(RERANKED)["page"]
    assert "64 binary, 40 reranked" in drawn
    assert "milliseconds a query" in drawn
    assert "bytes a page" in drawn
