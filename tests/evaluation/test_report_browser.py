"""The report in a real browser: it opens without an error, filters and sorts, in both themes and narrow."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from _browser import chromium, find_chromium
from _report_checks import check_print, check_report
from pagetune.evaluation.evaluate import EvaluationReport
from pagetune.evaluation.false_negatives import Suspect, find_suspects
from pagetune.evaluation.heatmaps import Heatmap, Heatmaps
from pagetune.evaluation.output import write_run
from pagetune.evaluation.per_query import changes
from pagetune.evaluation.report import Story
from pagetune.evaluation.slices import slice_by
from pagetune.evaluation.thumbnails import encode

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed"),
]


def page_image(page: str) -> Image.Image:
    image = Image.new("RGB", (300, 400), "white")
    ImageDraw.Draw(image).text((20, 20), page, fill="black")
    return image


def heatmaps(report: EvaluationReport) -> Heatmaps:
    """A made-up map for the greatest gain."""
    one = changes(report)[0]
    values = np.random.default_rng(1).integers(0, 256, (3, 6, 5)).astype(np.uint8)
    picture = encode(page_image(one.page), 400)
    return Heatmaps((Heatmap(one.query.id, one.page, ("a", " b", "c"), values, -0.1, 0.9, picture),))


def found_out(report: EvaluationReport) -> EvaluationReport:
    """With slices by kind and by length, and with pages that nobody judged."""
    scores = [(name, report.systems[name].scores) for name in ("tuned", "base")]
    facets = {
        "kind of query": {query.id: query.kind for query in report.queries},
        "length": {query.id: "1–3 words" if place % 3 else "4–6 words" for place, query in enumerate(report.queries)},
    }
    texts = {query.id: query.text for query in report.queries}
    runs = {name: result.run for name, result in report.systems.items()}
    suspects = find_suspects(runs, report.qrels, texts)
    if not suspects:  # As the runs of the tests may have none.
        one = report.queries[0]
        other = next(page for page in runs["base"][one.id] if page not in report.qrels[one.id])
        suspects = (Suspect(one.id, one.text, other, one.page, dict.fromkeys(runs, 1), dict.fromkeys(runs, 2)),)
    return replace(report, slices=slice_by(facets, *scores, settings=report.settings), suspects=suspects)


def test_the_report_works_in_a_browser(reports: Callable[..., EvaluationReport], tmp_path: Path) -> None:
    report = found_out(reports(tuned_noise=1.0, queries=250))
    story = Story(title="Made up", page_image=page_image, heatmaps=heatmaps(report), machine={"processor": "one"})
    write_run(report, tmp_path / "evaluate", story)
    with chromium() as browser:
        found = check_report(browser, tmp_path / "evaluate" / "report.html")
        browser.pdf(tmp_path / "report.pdf")
    figures = json.loads((tmp_path / "evaluate" / "metrics.json").read_text(encoding="utf-8"))
    assert check_print(tmp_path / "report.pdf", figures) > 1
    assert found["queries"] == 250
    assert found["filters"] >= 5
    assert found["sorts"] == 5
    assert found["slices"] == sum(len(own) for own in figures["slices"]["facets"].values()) > 0
    assert found["heatmaps"] >= 1
    assert found["suspects"] == len(report.suspects) > 0
    assert found["pictures"] >= 11


def test_without_pictures_or_any_change_it_works_too(reports: Callable[..., EvaluationReport], tmp_path: Path) -> None:
    report = reports(tuned_noise=1.0, queries=5, kinds=("outline",), dimensions=())
    write_run(report, tmp_path / "evaluate", Story())
    with chromium() as browser:
        browser.look(width=390)
        browser.open(tmp_path / "evaluate" / "report.html")
        assert browser.run("document.querySelector('#count').textContent") == "5 queries"
        assert not browser.errors
