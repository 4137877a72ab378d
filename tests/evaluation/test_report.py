"""The report: what the browser is given, pictures under a budget, conditions, written again from what was kept."""

from __future__ import annotations

import io
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pytest
from PIL import Image

from pagetune.errors import DataError
from pagetune.evaluation.evaluate import Conditions, EvaluationReport, evaluate_systems
from pagetune.evaluation.explorer import Explorer
from pagetune.evaluation.heatmaps import Heatmap, Heatmaps
from pagetune.evaluation.markdown import as_markdown
from pagetune.evaluation.output import load_run, write_report, write_run
from pagetune.evaluation.per_query import changes, gains, losses
from pagetune.evaluation.report import Story, render_report
from pagetune.evaluation.retrieval import Encoded
from pagetune.evaluation.thumbnails import LARGE, SIDES, make_thumbnails, written
from pagetune.models.encoding import PageVectors
from pagetune.recipe import EvaluateRecipe
from pagetune.records import Document, Query


def embedded(page: str, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def noisy(page: str) -> Image.Image:
    """A page whose picture takes many bytes."""
    draw = np.random.default_rng(zlib.crc32(page.encode()))
    return Image.fromarray(draw.integers(0, 255, (400, 300, 3), dtype=np.uint8).astype(np.uint8))


def small(conditions: Conditions | None = None, text: str = "a question") -> EvaluationReport:
    """Two queries over three pages, the dense way alone."""
    pages = PageVectors(("a b", "c%20", "d"), np.eye(3, dtype=np.float32), np.arange(3))
    queries = [Query("q 1", text, "query", "", "d"), Query("q2", "another", "query", "", "a b")]  # type: ignore[arg-type]
    base, tuned = np.eye(3, dtype=np.float32)[[0, 0]], np.eye(3, dtype=np.float32)[[2, 1]]
    return evaluate_systems(
        queries,
        {"q 1": {"d": 1}, "q2": {"a b": 2, "c%20": 1}},
        base=Encoded(base, pages),
        tuned=Encoded(tuned, pages),
        lexical=None,
        recipe=EvaluateRecipe(resamples=100),
        conditions=conditions or Conditions("a set", masked=False, words="nobody read the pages"),
    )


def test_every_query_is_in_the_data_the_largest_change_first(report: EvaluationReport) -> None:
    data = embedded(render_report(report, Story()), "data")
    assert len(data["rows"]) == len(report.queries)
    sizes = [abs(row[5]) for row in data["rows"]]
    assert sizes == sorted(sizes, reverse=True)
    assert [row[0] for row in data["rows"]] != [query.id for query in report.queries]
    query, text, _, kind, document, _, scores, ranks, judged, base, tuned = data["rows"][0]
    found = next(one for one in changes(report) if one.query.id == query)
    assert text == found.query.text
    assert data["kinds"][kind] == found.query.kind
    assert data["documents"][document] == "memoir"
    assert data["systems"] == list(report.systems)
    assert ranks == [rank or 0 for rank in found.ranks.values()]
    assert scores == [round(score, 4) for score in found.scores.values()]
    names = [", ".join(page) for page in data["pages"]]
    assert names[judged[0][0]] == f"memoir, page {int(found.page.rpartition('-')[2])}"
    assert (len(base), len(tuned)) == (5, 5)


def test_each_picture_is_there_once(report: EvaluationReport) -> None:
    page = render_report(report, Story(page_image=noisy))
    pictures, data = embedded(page, "pictures"), embedded(page, "data")
    shown = {place for row in data["rows"] for place in (*row[9], *row[10], *(page for page, _ in row[8]))}
    assert set(pictures["pages"]) == {str(place) for place in shown}
    assert pictures["wanted"] == len(shown)
    some = next(iter(pictures["pages"].values()))
    assert page.count(some) == 1


def test_what_users_write_cannot_end_the_data() -> None:
    page = render_report(small(text="</script><script>alert(1)</script> <!-- \u2028"), Story())
    assert "<script>alert" not in page
    assert "\u2028" not in embedded_text(page)
    assert embedded(page, "data")["rows"][0][1].startswith(("</script>", "another"))


def embedded_text(page: str) -> str:
    return page[page.index('id="data"') : page.index('id="pictures"')]


def test_pictures_keep_to_the_budget_the_largest_changes_first(report: EvaluationReport) -> None:
    without = len(render_report(report, Story()).encode())
    budget = without + 300_000
    page = render_report(report, Story(page_image=noisy), budget)
    assert len(page.encode()) <= budget
    held, wanted = len(embedded(page, "pictures")["pages"]), embedded(page, "pictures")["wanted"]
    assert 0 < held < wanted


def test_pictures_are_as_large_as_all_fit() -> None:
    pages = [f"p{number}" for number in range(40)]
    image = lambda page: noisy(page).resize((1200, 900))  # noqa: E731
    sides = [make_thumbnails(pages, image, budget).side for budget in (100_000_000, 4_000_000, 100_000)]
    assert sides[0] == SIDES[0]
    assert sides == sorted(sides, reverse=True)
    assert sides[-1] == SIDES[-1]


def test_pages_to_be_read_come_first_and_large() -> None:
    pages = [f"p{number}" for number in range(9)]
    found = make_thumbnails(pages, lambda page: Image.new("RGB", (1200, 900)), 1_000_000, large=["p7"])
    assert list(found.pictures) == ["p7", *(page for page in pages if page != "p7")]
    sizes = [max(Image.open(io.BytesIO(content)).size) for content in found.pictures.values()]
    assert sizes == [LARGE] + [SIDES[0]] * 8
    assert sum(map(written, found.pictures.values())) <= 1_000_000


def test_broken_pages_are_counted_and_left_out() -> None:
    def image(page: str) -> Image.Image:
        if page == "bad":
            raise OSError("gone")
        return Image.new("RGB", (30, 40))

    found = make_thumbnails(["good", "bad"], image, 1_000_000)
    assert (list(found.pictures), found.unreadable, found.wanted) == (["good"], 1, 2)


def test_a_table_of_too_many_queries_keeps_those_that_changed_most(
    report: EvaluationReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pagetune.evaluation.explorer.ROWS_BYTES", 3000)
    explorer = Explorer(report, changes(report), Heatmaps())
    assert 0 < len(explorer.changes) < len(report.queries)
    assert explorer.left_out == len(report.queries) - len(explorer.changes)
    assert f"{explorer.left_out} more queries" in render_report(report, Story())


def test_gains_and_losses_are_from_both_ends(reports: Callable[..., EvaluationReport]) -> None:
    found = changes(reports(tuned_noise=1.5))
    assert [one.change for one in gains(found)] == sorted((one.change for one in found), reverse=True)[:4]
    assert [one.change for one in losses(found)] == sorted(one.change for one in found)[:4]
    assert {one.outcome for one in gains(found)} == {"better"}
    assert {one.outcome for one in losses(found)} == {"worse"}


def test_without_words_there_are_two_systems_and_the_reason() -> None:
    found = small()
    assert list(found.systems) == ["base", "tuned"]
    assert list(found.comparisons) == ["tuned − base"]
    page = render_report(found, Story(title="a set"))
    assert "Without BM25: nobody read the pages." in page
    assert "Masked." not in page
    assert "NDCG@10, fused" not in page
    for text in (page, as_markdown(found, Story(title="a set"))):
        assert "a set" in text
        assert "held-out" not in text.replace(found.verdict, "")


def test_a_dataset_s_page_ids_are_not_taken_apart(report: EvaluationReport) -> None:
    explorer = Explorer(report, changes(report), Heatmaps())
    assert explorer.name("memoir-0012") == "memoir, page 12"
    assert explorer.name("odd") == "odd"
    other = replace(report, conditions=Conditions("vidore", masked=False))
    assert Explorer(other, changes(report), Heatmaps()).name("memoir-0012") == "memoir-0012"


def test_late_interaction_says_how_a_page_is_scored() -> None:
    pages = PageVectors(("a", "b"), np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1]))
    asked = [np.eye(4, dtype=np.float32)[:2], np.eye(4, dtype=np.float32)[2:]]
    queries = [Query(name, name, "query", "", page) for name, page in (("q1", "a"), ("q2", "b"))]  # type: ignore[arg-type]
    late = evaluate_systems(
        queries,
        {"q1": {"a": 1}, "q2": {"b": 1}},
        base=Encoded(asked, pages),
        tuned=Encoded(asked, pages),
        lexical=None,
        recipe=EvaluateRecipe(resamples=100),
        dimensions=(2,),
        conditions=Conditions("a set", masked=False),
    )
    assert list(late.by_dimension) == [4]
    assert late.conditions.late
    page = render_report(late, Story(heatmaps=Heatmaps(note="the model cuts a page into tiles.")))
    assert "by the sum, over the tokens of the query" in page
    assert "Without maps of where the model looks: the model cuts a page into tiles." in page


def test_what_was_kept_makes_the_same_report(report: EvaluationReport, tmp_path: Path) -> None:
    values = np.arange(2 * 3 * 2, dtype=np.uint8).reshape(2, 3, 2)
    query, page = report.queries[0].id, report.queries[0].page
    maps = Heatmaps((Heatmap(query, page, ("a", "b"), values, -0.5, 0.75, b"picture"),), "")
    read = Document("memoir", "/home/somebody/memoir.pdf", "", "pdf", 80)
    story = Story(
        documents=(read,), facts={"pages": 80}, curve=[{"step": 1, "ndcg": 0.5}], page_image=noisy, heatmaps=maps
    )
    folder = tmp_path / "evaluate"
    write_run(report, folder, story)
    first = {name: (folder / name).read_bytes() for name in ("report.html", "report.md")}
    assert b"somebody" not in (folder / "story.json").read_bytes()
    kept, told = load_run(folder)
    assert {name: result.run.keys() for name, result in kept.systems.items()} == {
        name: result.run.keys() for name, result in report.systems.items()
    }
    assert kept.qrels == report.qrels
    assert kept.verdict == report.verdict
    (found,) = told.heatmaps.maps
    assert (found.tokens, found.picture) == (("a", "b"), b"picture")
    assert np.array_equal(found.values, values)
    summary, again = report.summary(), kept.summary()
    # At the shorter dimensions only NDCG@10 is kept.
    for figures in (summary, again):
        figures.pop("by_dimension")
    assert again == summary
    write_report(kept, folder, replace(told, page_image=noisy))
    assert {name: (folder / name).read_bytes() for name in first} == first


def test_names_that_trec_cannot_hold_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "evaluate"
    write_run(small(), folder)
    assert "q%201 Q0 a%20b" in (folder / "base.trec").read_text(encoding="utf-8")
    assert "c%2520" in (folder / "base.trec").read_text(encoding="utf-8")
    kept, _ = load_run(folder)
    assert set(kept.systems["base"].run["q 1"]) == {"a b", "c%20", "d"}
    # A stranger's tool reads both files, and comes to our figure.
    judged, run = (
        list(read(str(folder / name)))
        for read, name in ((ir_measures.read_trec_qrels, "qrels.trec"), (ir_measures.read_trec_run, "run.trec"))
    )
    found = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], judged, run)[ir_measures.nDCG @ 10]
    assert found == pytest.approx(kept.systems["tuned"].metrics["NDCG@10"], abs=1e-6)
    assert 0.8 < found < 1


@pytest.mark.parametrize("damage", ["per-query.parquet", "run.trec", "story.json"])
def test_a_folder_that_is_not_whole_is_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "evaluate"
    with pytest.raises(DataError, match="holds no evaluation; run: pagetune evaluate"):
        load_run(folder)
    write_run(small(), folder)
    (folder / damage).unlink()
    with pytest.raises(DataError, match=r"run: pagetune evaluate|give a TREC file") as caught:
        load_run(folder)
    assert "\n" not in str(caught.value)


def test_markdown_has_every_table(report: EvaluationReport) -> None:
    text = as_markdown(report, Story(title="Manuals", machine={"processor": "a machine"}))
    assert text.startswith("# Manuals\n")
    assert f"**{report.verdict}**" in text
    for heading in ("The figures", "Differences in NDCG@10", "By kind of query", "What a page takes", "Greatest gains"):
        assert f"## {heading}" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| tuned ")}
    # The figures with both gains of NDCG; the differences.
    assert widths == {10}
    assert "## tuned − base in every metric" in text
    assert "queries for a gain of 0.01 / 0.02" in text
    assert "a machine" in text
