"""The best of a comparison against the first that was named: what is compared, shown, and shown in a browser."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from _browser import chromium, find_chromium
from _report_checks import HELPERS, check_opening, check_sorting
from pagetune.evaluation.comparison.grid import Grid, Result, make_grid
from pagetune.evaluation.comparison.keeping import RUN
from pagetune.evaluation.comparison.report import write_comparison
from pagetune.evaluation.comparison.wins import Contest, make_contest
from pagetune.evaluation.metrics import score_run
from pagetune.evaluation.ranking import Run, quoted, write_trec
from pagetune.recipe import EvaluateRecipe
from pagetune.records import Query

FACTS = {"set": "a-set", "queries": 40, "pages": 60, "judgements": 40, "machine": {"processor": "a machine"}}
PAGES = [f"page {number}" for number in range(60)]
QUERIES = [Query(f"q{n}", f"what is <b>{n}</b>?", "caption" if n % 2 else "outline", "", PAGES[n]) for n in range(40)]
QRELS = {query.id: {query.page: 2, PAGES[place + 20]: 1} for place, query in enumerate(QUERIES)}


def run_of(noise: float, seed: int) -> Run:
    rng = np.random.default_rng(seed)
    found = {}
    for query in QUERIES:
        scores = rng.normal(0, noise, len(PAGES))
        scores[PAGES.index(query.page)] += 1
        best = np.argsort(-scores)[:20]
        found[query.id] = {PAGES[place]: round(float(scores[place]), 4) for place in best}
    return found


def result(label: str, noise: float, **changes: Any) -> Result:
    run = run_of(noise, len(label))
    given: dict[str, Any] = {
        **{"label": label, "kind": "dense", "about": "a model of the tests", "scores": score_run(run, QRELS, {})},
        **{"by_dimension": {8: 0.5}, "parameters": 10, "dimension": 8, "vectors_per_page": 1.0, "bytes_per_page": 32.0},
        **{"pages_per_second": 1.0, "ms_per_query": 1.0, "device": "a processor", "run": run},
    }
    return Result(**{**given, **changes})


def grid_of(*results: Result) -> Grid:
    return make_grid(results, [], EvaluateRecipe(resamples=200), FACTS)


def contest_of(grid: Grid, first: str, folder: Path = Path()) -> Contest:
    found = make_contest(grid, QUERIES, QRELS, first, folder)
    assert isinstance(found, Contest)
    return found


RESULTS = (result("owner/first", 0.9), result("best | one", 0.2), result("BM25", 0.5), result("middle", 0.4))


def test_the_best_stands_against_the_first_that_was_named_or_the_second_best() -> None:
    found = contest_of(grid_of(*RESULTS), "owner/first")
    assert found.compared == ("first", "best | one")
    assert list(found.systems) == ["first", "best | one", "BM25", "middle"]
    assert found.reason == "best | one, the best, against first, the first of compare.models."
    assert contest_of(grid_of(*RESULTS), "best | one").compared == ("middle", "best | one")
    assert contest_of(grid_of(*RESULTS), "it failed").reason.endswith("against middle, the second best.")


def test_models_of_one_name_keep_their_owners() -> None:
    found = contest_of(grid_of(RESULTS[1], result("a/twin", 0.5), result("b/twin", 0.9)), "b/twin")
    assert list(found.systems) == ["b/twin", "best | one", "a/twin"]


def test_changes_are_from_the_one_to_the_other() -> None:
    found = contest_of(grid_of(*RESULTS), "owner/first")
    greatest = found.changes()[0]
    old, new = (found.systems[name].scores.of([greatest.query.id]).means()["NDCG@10"] for name in found.compared)
    assert greatest.change == pytest.approx(new - old)
    assert greatest.change > 0
    assert list(greatest.first) == list(found.compared)
    assert greatest.ranks["best | one"] == 1


def test_answers_are_read_where_they_are_kept_and_their_lack_is_said(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    kept = [replace(one, run={}, kept=f"models/{place}") for place, one in enumerate(RESULTS)]
    for one, was in zip(kept, RESULTS, strict=True):
        (tmp_path / f"{one.kept}{RUN}").write_text(write_trec(quoted(was.run), "x"))
    again = contest_of(grid_of(*kept), "owner/first", tmp_path)
    assert again.summary() == contest_of(grid_of(*RESULTS), "owner/first").summary()

    lost = grid_of(replace(RESULTS[0], run={}), *RESULTS[1:])
    said = make_contest(lost, QUERIES, QRELS, "owner/first", tmp_path)
    assert said == "owner/first was judged before answers were kept; remove its file in models/ to judge it anew"
    write_comparison(lost, tmp_path, said)
    assert f"Without wins and losses: {said}." in (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))["wins_and_losses"] is None
    (tmp_path / f"{kept[0].kept}{RUN}").write_text("not a run")
    said = make_contest(grid_of(*kept), QUERIES, QRELS, "owner/first", tmp_path)
    assert said == f"{kept[0].kept}{RUN} is damaged; remove {kept[0].kept}.json to judge owner/first anew"
    others = contest_of(grid_of(*kept), "middle", tmp_path)  # What only the table of queries lacks is a column there.
    assert list(others.systems) == ["middle", "best | one", "BM25"]
    assert "no second model" in str(make_contest(grid_of(RESULTS[0]), QUERIES, QRELS, "owner/first", tmp_path))


def page_image(page: str) -> Image.Image:
    image = Image.new("RGB", (300, 400), "white")
    ImageDraw.Draw(image).text((20, 20), page, fill="black")
    return image


def test_wins_and_losses_are_in_every_form_and_the_page_stays_in_its_size(tmp_path: Path) -> None:
    grid = grid_of(*RESULTS)
    contest = contest_of(grid, "owner/first")
    write_comparison(grid, tmp_path, contest, page_image)
    told = json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))["wins_and_losses"]
    assert told["compared"] == ["first", "best | one"]
    assert len(told["greatest_gains"]) == 4
    text = (tmp_path / "compare.md").read_text(encoding="utf-8")
    assert "### Greatest gains\n\n| change | query | right page | rank, first | rank, best \\| one |" in text
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "what is <b>" not in page
    assert page.count('class="card better"') == 4
    assert "data:image/webp;base64," in page
    assert not [part for part in ("src=", "<link", "@import", "url(http") if part in page.partition("<script")[0]]


@pytest.mark.integration
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed")
def test_the_comparison_works_in_a_browser(tmp_path: Path) -> None:
    grid = grid_of(*RESULTS)
    contest = contest_of(grid, "owner/first")
    write_comparison(grid, tmp_path, contest, page_image)
    file = tmp_path / "compare.html"
    with chromium() as browser:
        browser.look()
        browser.open(file)
        browser.run(HELPERS)
        assert browser.run("t.count()") == len(QUERIES)
        cards = len(contest.summary()["greatest_gains"]) + len(contest.summary()["greatest_losses"])
        assert len(browser.run("t.loaded('.card .thumb img')")) >= 11 * cards
        better = sum(one.change > 0 for one in contest.changes())
        browser.run("t.click('[data-outcome=better]')")
        assert browser.run("t.count()") == better
        browser.run("t.click('[data-outcome=\"\"]')")
        assert check_sorting(browser, {"queries": len(QUERIES)}) == 5
        check_opening(browser)
        browser.run("t.click('#theme')")
        assert browser.run("document.documentElement.dataset.theme") == "dark"
        for width in (390, 800):
            browser.look(width=width)
            assert browser.run("document.documentElement.scrollWidth") <= width
        assert not browser.errors
        assert set(browser.requests) == {file.resolve().as_uri()}
