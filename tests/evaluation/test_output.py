from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import ir_measures
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pagetune.evaluation.evaluate import EvaluationReport
from pagetune.evaluation.metrics import MEASURED
from pagetune.evaluation.output import TREC_FILES, write_run
from pagetune.evaluation.report import Story, render_report
from pagetune.records import Document

CURVE = [{"step": 0, "ndcg": 0.4}, {"step": 10, "loss": 1.5}, {"step": 10, "ndcg": 0.5}, {"step": 20, "loss": 1.0}]


def full_story() -> Story:
    read = Document(id="memoir", path="/home/somebody/memoir.pdf", digest="", format="pdf", pages=80)
    refused = Document("b", "/home/somebody/<b>.pdf", "", "pdf", 0, status="refused", reason="the file is encrypted")
    return Story(
        title="Manuals & <reports>",
        documents=(read, refused),
        facts={"pages": 80, "pages read by OCR": 2},
        written={"outline": 40},
        dropped={"too short": 7},
        splits={"train": 100, "test": 60},
        curve=CURVE,
        kept_step=10,
        recipe="fit:\n  epochs: 1.0\n",
        machine={"processor": "a machine of the tests"},
        page_image=lambda page: Image.new("RGB", (200, 300), "white"),
    )


@pytest.fixture(scope="module")
def folder(report: EvaluationReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "evaluate"
    write_run(report, place, full_story())
    return place


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_run_has_every_file_and_nothing_beside_it(folder: Path, report: EvaluationReport) -> None:
    expected = {"metrics.json", "per-query.parquet", "report.html", "report.md", "qrels.trec", "story.json"}
    expected |= {name for system, name in TREC_FILES.items() if system in report.systems}
    assert {path.name for path in folder.iterdir()} == expected
    assert [path.name for path in folder.parent.iterdir()] == ["evaluate"]


def test_the_figures_can_be_had_again_from_the_trec_run(folder: Path, report: EvaluationReport) -> None:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    for system in report.systems:
        name = TREC_FILES[system]
        lines = [line.split(" ") for line in (folder / name).read_text().splitlines()]
        assert {len(line) for line in lines} == {6}
        run = list(ir_measures.read_trec_run(str(folder / name)))
        judged = list(ir_measures.read_trec_qrels(str(folder / "qrels.trec")))
        found = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], judged, run)[ir_measures.nDCG @ 10]
        assert found == pytest.approx(metrics["systems"][system]["metrics"]["NDCG@10"], abs=1e-5)


def test_the_table_has_a_row_a_query(folder: Path, report: EvaluationReport) -> None:
    table = pq.read_table(folder / "per-query.parquet").to_pydict()
    assert table["query-id"] == [query.id for query in report.queries]
    assert table["tuned NDCG@10"] == report.systems["tuned"].scores.values["NDCG@10"].tolist()
    assert table["tuned rank"][0] == report.rank_of("tuned", report.queries[0].id)


def test_the_report_says_what_was_measured(page: str, report: EvaluationReport) -> None:
    assert report.verdict in page
    for text in (
        "linear gain",
        "Masked.",
        "the file is encrypted",
        "too short",
        "a machine of the tests",
        "epochs: 1.0",
    ):
        assert text in page
    assert "Not drawn" not in page
    assert page.count("<svg") == 5
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    assert len(captions) == 5
    assert all("NDCG@10 (linear gain)" in caption for caption in captions)
    assert "data:image/webp;base64," in page


def test_every_metric_is_compared_and_the_queries_that_a_gain_takes_are_told(
    page: str, folder: Path, report: EvaluationReport
) -> None:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics["by_metric"]) == list(MEASURED)
    main = metrics["by_metric"]["NDCG@10"]
    assert main == metrics["comparisons"]["tuned − base"]
    assert main["holm"] is None
    assert main["queries_for"] == {"0.01": report.gain.needed(0.01), "0.02": report.gain.needed(0.02)}
    others = [found for metric, found in metrics["by_metric"].items() if metric != "NDCG@10"]
    assert {found["family"] for found in others} == {len(MEASURED) - 1}
    assert all(found["holm"] >= found["p"] for found in others)
    assert "tuned − base in every metric" in page
    assert f"{report.gain.needed(0.01):,} / {report.gain.needed(0.02):,}" in page


def test_the_report_needs_nothing_else_and_tells_no_paths(page: str) -> None:
    assert "default-src 'none'" in page
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"|http-equiv', "", page)
    assert "http" not in without_names
    assert not re.search(r'(src|href)="(?!data:|#)', without_names)
    assert "/home/somebody" not in page


def test_what_users_write_is_escaped(page: str) -> None:
    assert "Manuals &amp; &lt;reports&gt;" in page
    assert "<reports>" not in page
    assert "&lt;b&gt;.pdf" in page


class _Tags(HTMLParser):
    void = ("meta", "link", "br", "img", "hr", "input", "path", "use")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids.extend(value for name, value in attrs if name == "id" and value)
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids.extend(value for name, value in attrs if name == "id" and value)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag


def test_every_tag_is_closed_and_every_id_is_one(page: str) -> None:
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    for target in re.findall(r'(?:href="|url\()#([\w-]+)', page):
        assert target in tags.ids


def test_plots_without_data_are_left_out_with_the_reason(reports: Callable[..., EvaluationReport]) -> None:
    few = reports(queries=5, kinds=("outline",), dimensions=(), document="a-very-long-name-" + "x" * 200)
    page = render_report(few, Story())
    assert page.count("<svg") == 2
    for reason in ("all queries are of one kind, outline", "only one dimension, 32", "no training curve"):
        assert reason in page
    assert "Too few queries" in page


def test_without_any_change_the_report_still_stands(reports: Callable[..., EvaluationReport]) -> None:
    same = reports(tuned_noise=0.0, queries=30)
    same.systems["base"].scores.values["NDCG@10"][:] = same.systems["tuned"].scores.values["NDCG@10"]  # type: ignore[index]
    page = render_report(same, Story(curve=[{"step": 1, "loss": 1.0}]))
    assert "no query&#39;s score changed" in page
    assert "No query was answered worse" in page


def test_without_a_title_the_report_is_called_after_its_documents(report: EvaluationReport) -> None:
    read = [Document(name, f"{name}.pdf", "", "pdf", 3) for name in "abcde"]
    assert "<h1>a, b, c and 2 more</h1>" in render_report(report, Story(documents=read))
    assert "<h1>Retrieval report</h1>" in render_report(report, Story())


def test_a_page_without_a_picture_does_not_stop_the_report(report: EvaluationReport) -> None:
    def broken(page: str) -> Image.Image:
        raise OSError("gone")

    assert "data:image" not in render_report(report, Story(page_image=broken))


def test_the_same_evaluation_gives_the_same_report(report: EvaluationReport) -> None:
    assert render_report(report, full_story()) == render_report(report, full_story())
