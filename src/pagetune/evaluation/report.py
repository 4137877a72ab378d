"""The report that users show to others: one HTML file that needs nothing else, on screen, in the dark and on paper."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.evaluation import charts
from pagetune.evaluation.evaluate import BASE, FUSED, LEXICAL, SYSTEMS, TUNED, EvaluationReport
from pagetune.evaluation.metrics import MAIN_METRIC, METRICS
from pagetune.evaluation.ranking import ranking
from pagetune.records import Document, Query

if TYPE_CHECKING:
    from PIL.Image import Image

EXAMPLES = 4
"""Wins shown, and losses."""
_THUMBNAIL = 260
"""Pixels of the longer side of an example's page."""
_DOCUMENTS = 40
"""Documents listed by name."""


@dataclass(frozen=True, eq=False)
class Story:
    """What the report tells besides the figures. Whatever is left out, the report does without."""

    title: str = ""
    """Empty: the names of the first documents."""
    documents: Sequence[Document] = ()
    """All that were offered, read or not."""
    facts: Mapping[str, int | str] = field(default_factory=dict)
    """Counts of reading, such as {"pages read by OCR": 12}, shown as they are."""
    written: Mapping[str, int] = field(default_factory=dict)
    """Queries by kind, before the splits."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Drafts of queries by the reason for which they were dropped."""
    splits: Mapping[str, int] = field(default_factory=dict)
    """Queries by split."""
    curve: Sequence[Mapping[str, float]] = ()
    """`FitReport.history`: records with `step` and `loss` or `ndcg`."""
    kept_step: int | None = None
    training: Mapping[str, int | str] = field(default_factory=dict)
    """Facts of the training, such as {"examples": 3200, "steps": 100}."""
    recipe: str = ""
    """The resolved recipe, as YAML."""
    machine: Mapping[str, str] | None = None
    """None: this machine, as `describe_machine` sees it."""
    page_image: Callable[[str], Image] | None = None
    """Page id -> its picture, for the examples."""


def render_report(report: EvaluationReport, story: Story) -> str:
    """The whole HTML page as text."""
    from jinja2 import Environment, FileSystemLoader

    from pagetune.evaluation.machine import describe_machine

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = lambda value: f"{value:+.3f}".replace("-", "−")
    environment.filters["counted"] = lambda value: f"{value:,}" if isinstance(value, int) else str(value)
    changes = _changes(report)
    pictures = _Pictures(story.page_image)
    return environment.get_template("report.html.j2").render(
        report=report,
        story=story,
        title=story.title or _title(story.documents),
        systems=SYSTEMS,
        names={"base": BASE, "tuned": TUNED, "lexical": LEXICAL, "fused": FUSED},
        metrics=tuple(METRICS),
        main=MAIN_METRIC,
        comparisons=report.comparisons,
        best=_best(report),
        charts=_charts(report, story),
        wins=[_example(report, query, change, pictures) for change, query in changes[:EXAMPLES] if change > 0],
        losses=[
            _example(report, query, change, pictures) for change, query in changes[: -EXAMPLES - 1 : -1] if change < 0
        ],
        documents=_documents(story.documents),
        machine=describe_machine() if story.machine is None else story.machine,
    )


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its heading; where there is nothing to draw, the reason instead."""

    title: str
    svg: str | None
    note: str


def _charts(report: EvaluationReport, story: Story) -> list[Chart]:
    gain, kinds = report.gain, report.kinds
    same = gain.queries - gain.better - gain.worse
    percent = f"{gain.confidence:.0%}"
    drawn = (
        ("Every system", charts.systems_chart(report), f"Lines: {percent} bootstrap intervals of the mean.", ""),
        (
            "Query by query",
            charts.changes_chart(report),
            f"Tuned against base: {gain.better} queries better, {same} the same, {gain.worse} worse.",
            "Not drawn: no query's score changed.",
        ),
        (
            "By kind of query",
            charts.kinds_chart(report),
            "In brackets: the number of queries of the kind. Few queries, wide chance.",
            f"Not drawn: all queries are of one kind, {next(iter(kinds))}.",
        ),
        (
            "By Matryoshka dimension",
            charts.dimensions_chart(report),
            f"The same vectors cut off after so many numbers. Bands: {percent} intervals.",
            f"Not drawn: only one dimension, {next(iter(report.by_dimension))}, was judged.",
        ),
        (
            "Training",
            charts.training_chart(story.curve, story.kept_step),
            "The validation queries are neither trained on nor judged here."
            + (" Ringed: the checkpoint that was kept." if story.kept_step is not None else ""),
            "Not drawn: no training curve was recorded.",
        ),
    )
    return [Chart(title, svg, note if svg else reason) for title, svg, note, reason in drawn]


def _best(report: EvaluationReport) -> dict[str, float]:
    return {metric: max(result.metrics[metric] for result in report.systems.values()) for metric in METRICS}


def _changes(report: EvaluationReport) -> list[tuple[float, Query]]:
    """Every query with its change in NDCG@10 from base to tuned, the greatest gain first."""
    values = (
        report.systems[TUNED].scores.values[MAIN_METRIC] - report.systems[BASE].scores.values[MAIN_METRIC]
    ).tolist()
    return sorted(zip(values, report.queries, strict=True), key=lambda pair: (-pair[0], pair[1].id))


@dataclass(frozen=True, slots=True)
class Example:
    """A query whose answer got better or worse, for the eye."""

    query: Query
    change: float
    page: str
    before: str
    after: str
    lexical: str
    picture: str | None
    first: str | None
    """The page that tuned puts first, where that is another."""
    first_picture: str | None


def _example(report: EvaluationReport, query: Query, change: float, pictures: _Pictures) -> Example:
    grades = report.qrels[query.id]
    page = min(grades, key=lambda name: (-grades[name], name != query.page, name))
    first = next(iter(ranking(report.systems[TUNED].run.get(query.id, {}))), None)
    other = first if first is not None and not grades.get(first) else None

    def rank(system: str) -> str:
        place = report.rank_of(system, query.id)
        return f"not in the first {report.settings.depth}" if place is None else str(place)

    return Example(
        query,
        change,
        _page_name(page),
        rank(BASE),
        rank(TUNED),
        rank(LEXICAL),
        pictures.data_url(page),
        None if other is None else _page_name(other),
        None if other is None else pictures.data_url(other),
    )


class _Pictures:
    """Page images as small JPEGs inside the HTML."""

    def __init__(self, source: Callable[[str], Image] | None) -> None:
        self.source = source

    def data_url(self, page: str) -> str | None:
        """None where there is no picture of the page: the report does not fail for a thumbnail."""
        if self.source is None:
            return None
        try:
            picture = self.source(page).convert("RGB")
        except Exception:
            return None
        picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=72, optimize=True)
        return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _page_name(page: str) -> str:
    """`memoir-0012` as "memoir, page 12"; a page id of another form as it is."""
    document, dash, number = page.rpartition("-")
    return f"{document}, page {int(number)}" if dash and number.isdecimal() else page


def _title(documents: Sequence[Document]) -> str:
    names = [document.id for document in documents if document.status == "read"]
    if not names:
        return "Retrieval report"
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:3])} and {len(names) - 3} more"


def _documents(documents: Sequence[Document]) -> dict[str, Any]:
    read = [document for document in documents if document.status == "read"]
    return {
        "read": read[:_DOCUMENTS],
        "more": max(0, len(read) - _DOCUMENTS),
        "count": len(read),
        "pages": sum(document.pages for document in read),
        "left_out": [
            (Path(document.path).name, document.reason or document.status)
            for document in documents
            if document.status != "read"
        ],
    }
