"""Slices and suspects of a whole evaluation: found, kept, read back, told in every form of the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pagetune.evaluation.evaluate import EvaluationReport, look_closer, witnesses
from pagetune.evaluation.output import load_run, write_run
from pagetune.evaluation.report import Story

Facets = dict[str, dict[str, str]]


def facets_of(report: EvaluationReport) -> Facets:
    """Kinds of query as they are, a length that every fourth has, a document each but for the first hundred, and a
    language each, which says nothing."""
    ids = [query.id for query in report.queries]
    return {
        "kind of query": {query.id: query.kind for query in report.queries},
        "length": {name: "1–3 words" if place % 4 == 0 else "4–6 words" for place, name in enumerate(ids)},
        "document": {name: "the large one" if place < 100 else f"document {place}" for place, name in enumerate(ids)},
        "language": {name: f"language {place}" for place, name in enumerate(ids)},
    }


@pytest.fixture(scope="module")
def seen(reports: Callable[..., EvaluationReport]) -> EvaluationReport:
    made = reports(queries=250, tuned_noise=2.5)
    return look_closer(made, facets_of(made))


def test_slices_are_tested_together_and_small_ones_fall_together(seen: EvaluationReport) -> None:
    assert seen.slices is not None
    assert list(seen.slices.facets) == ["kind of query", "length", "document"]
    assert [len(one.queries) for one in seen.slices.facets["kind of query"]] == [84, 83, 83]
    large, others = seen.slices.facets["document"]
    assert (large.name, len(large.queries)) == ("the large one", 100)
    assert (others.name, len(others.queries)) == ("150 others", 150)
    assert {one.comparison.family for one in seen.slices.slices} == {7}


def test_what_is_made_of_others_is_no_witness(seen: EvaluationReport) -> None:
    assert witnesses(("base", "tuned", "BM25", "BM25+tuned", "reranked")) == ("base", "tuned", "BM25")
    assert seen.suspects
    for one in seen.suspects:
        assert set(one.ranks) == {"base", "tuned", "BM25"}
        assert one.page not in seen.qrels[one.query]
        assert all(rank < (one.judged_ranks[name] or 1000) for name, rank in one.ranks.items())


def test_all_of_it_is_kept_and_told(seen: EvaluationReport, tmp_path: Path) -> None:
    assert seen.suspects
    folder = tmp_path / "evaluate"
    write_run(seen, folder, Story(machine={"processor": "one"}))
    kept, _ = load_run(folder)
    assert kept.suspects == seen.suspects
    assert kept.slices is not None
    assert seen.slices is not None
    assert kept.slices.to_json() == seen.slices.to_json()
    assert [one.queries for one in kept.slices.slices] == [one.queries for one in seen.slices.slices]
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["suspects"] == len(seen.suspects)
    assert metrics["slices"]["facets"]["length"][0]["queries"] == 63
    page, text = ((folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    for told in (seen.slices.verdict, "Perhaps right, and counted as wrong", "pagetune review"):
        assert told in page
    for told in (seen.slices.verdict, "150 others", "Perhaps right, and counted as wrong", seen.suspects[0].page):
        assert told in text
    assert page.count('data-suspect="') == min(6, len(seen.suspects))


def test_a_report_without_them_says_nothing_of_them(report: EvaluationReport, tmp_path: Path) -> None:
    write_run(report, tmp_path / "evaluate", Story(machine={"processor": "one"}))
    page = (tmp_path / "evaluate" / "report.html").read_text(encoding="utf-8")
    assert 'id="slices"' not in page
    assert 'id="doubtful"' not in page
    assert not (tmp_path / "evaluate" / "suspects.json").exists()


def test_the_question_stays_as_it_is_and_the_other_comparisons_are_one_family(report: EvaluationReport) -> None:
    assert report.gain.holm is None
    others = [found for name, found in report.comparisons.items() if name != "tuned − base"]
    assert len(others) == 3
    assert {found.family for found in others} == {3}
    assert all(found.holm is not None and found.holm >= found.p for found in others)
    assert max(found.holm or 0 for found in others) > 0


def test_the_two_gains_stand_side_by_side_where_they_differ(
    report: EvaluationReport, reports: Callable[..., EvaluationReport], tmp_path: Path
) -> None:
    write_run(report, tmp_path / "graded", Story(machine={"processor": "one"}))
    text = (tmp_path / "graded" / "report.md").read_text(encoding="utf-8")
    assert "| system | NDCG@10 (linear gain) | interval | NDCG@10 (exponential gain) |" in text
    assert "<small>exponential gain</small>" in (tmp_path / "graded" / "report.html").read_text(encoding="utf-8")
    plain = reports(pages=1, queries=20, dimensions=())
    write_run(plain, tmp_path / "plain", Story(machine={"processor": "one"}))
    assert "| system | NDCG@10 | interval | MAP |" in (tmp_path / "plain" / "report.md").read_text(encoding="utf-8")
