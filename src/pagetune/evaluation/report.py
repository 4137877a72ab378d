"""The report that users show to others: one HTML file that needs nothing else, on screen, in the dark and on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.evaluation import charts
from pagetune.evaluation.by_metric import SMALL_GAINS, graded, queries_for
from pagetune.evaluation.evaluate import BASE, FUSED, LEXICAL, RERANKED, TUNED, EvaluationReport, witnesses
from pagetune.evaluation.explorer import Explorer
from pagetune.evaluation.heatmaps import Heatmaps
from pagetune.evaluation.kept_grid import HEADS, KeptGrid
from pagetune.evaluation.metrics import EXPONENTIAL, GAIN, MAIN_METRIC, MEASURED, METRICS
from pagetune.evaluation.per_query import Judged, changes, gains, losses
from pagetune.evaluation.significance import Comparison
from pagetune.evaluation.thumbnails import PageImage, make_thumbnails
from pagetune.progress import SILENT, Progress
from pagetune.records import Document

if TYPE_CHECKING:
    from jinja2 import Template

BYTES = 14_000_000
"""Of the whole file: what still goes by mail and opens at once."""

_PICTURES = "@@ the pictures of the pages @@"
"""Where they stand in the page, until it is known how much room is left for them."""
LISTED = 40
"""Suspects that are named; the first of them are pictured."""
NAMED = f"{MAIN_METRIC} ({GAIN} gain)"
"""The metric as a caption says it."""
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
    page_image: PageImage | None = None
    """Page id -> its picture, for the eye."""
    heatmaps: Heatmaps = field(default_factory=Heatmaps)
    """Where a late-interaction model found the words of some queries."""
    grid: KeptGrid | None = None
    """What `pagetune grid` found of the same model, queries and pages."""

    @property
    def heading(self) -> str:
        """The title, or what stands for it."""
        return self.title or _title(self.documents)


def render_report(report: EvaluationReport, story: Story, budget: int = BYTES, progress: Progress = SILENT) -> str:
    """The whole HTML page as text, of about `budget` bytes: pages get pictures as long as there is room."""
    from pagetune.evaluation.grid_chart import draw_grid
    from pagetune.machine import describe_machine

    shown = shown_changes(report, story.heatmaps)
    page = template("report.html.j2").render(
        **shown,
        report=report,
        conditions=report.conditions,
        story=story,
        title=story.heading,
        systems=tuple(report.systems),
        names={"base": BASE, "tuned": TUNED, "lexical": LEXICAL, "fused": FUSED, "reranked": RERANKED},
        metrics=columns(report),
        plain_metrics=tuple(METRICS),
        gains={MAIN_METRIC: GAIN, EXPONENTIAL: "exponential"} if EXPONENTIAL in columns(report) else {},
        comparisons=report.comparisons,
        by_metric=report.by_metric,
        small_gains=SMALL_GAINS,
        best=_best(report),
        storage=storage_rows(report),
        charts=_charts(report, story),
        grid=story.grid,
        grid_heads=HEADS,
        grid_plot=draw_grid(story.grid.grid)["page"] if story.grid is not None else "",
        slices=report.slices,
        reach=_reach(report),
        suspects=report.suspects,
        listed=LISTED,
        witnesses=witnesses(tuple(report.systems)),
        documents=_documents(story.documents),
        machine=describe_machine() if story.machine is None else story.machine,
    )
    return with_pictures(page, shown["explorer"], story.page_image, budget, progress)


def template(name: str) -> Template:
    """One of `templates/`, with the filters that they share."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = lambda value: f"{value:+.3f}".replace("-", "−")
    environment.filters["chance"] = lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}"
    environment.filters["counted"] = lambda value: f"{value:,}" if isinstance(value, int) else str(value)
    environment.filters["effect"] = lambda effect: "–" if effect is None else f"{effect:+.2f}".replace("-", "−")
    environment.filters["needed"] = told_queries
    return environment.get_template(name)


def shown_changes(report: Judged, heatmaps: Heatmaps) -> dict[str, Any]:
    """What the templates of wins, losses and every query (changes.html.j2, every.html.j2, shown.html.j2) ask for."""
    found = changes(report)
    explorer = Explorer(report, found, heatmaps)
    old, new = report.compared
    others = [name for name in report.systems if name == LEXICAL and name not in report.compared]
    return {
        "explorer": explorer,
        "old": old,
        "new": new,
        "others": others,
        "ranked": tuple(report.systems),
        "depth": report.settings.depth,
        "main": MAIN_METRIC,
        "lesser": graded(report.qrels),
        "heatmaps": heatmaps,
        "wins": gains(found),
        "losses": losses(found),
        "data": explorer.data(),
        "pictures": _PICTURES,
    }


def with_pictures(
    page: str, explorer: Explorer, page_image: PageImage | None, budget: int, progress: Progress = SILENT
) -> str:
    """The page that a template gave, with pictures of pages as long as there is room in `budget` bytes."""
    room = budget - len(page.encode())
    thumbnails = make_thumbnails(explorer.wanted, page_image, room, explorer.read, progress)
    before, _, after = page.rpartition(_PICTURES)
    return f"{before}{explorer.pictures(thumbnails)}{after}"


def told_queries(comparison: Comparison) -> str:
    """How many queries would show each of the small gains, as a cell of a table."""
    return " / ".join("–" if count is None else f"{count:,}" for count in queries_for(comparison).values())


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
        (
            "Every system",
            charts.systems_chart(report),
            f"{NAMED}. Lines: {percent} bootstrap intervals of the mean.",
            "",
        ),
        (
            "Query by query",
            charts.changes_chart(report),
            f"Tuned against base by {NAMED}: {gain.better} queries better, {same} the same, {gain.worse} worse.",
            "Not drawn: no query's score changed.",
        ),
        (
            "By kind of query",
            charts.kinds_chart(report),
            f"{NAMED}. In brackets: the number of queries of the kind. Few queries, wide chance.{_of_many(len(kinds))}",
            f"Not drawn: all queries are of one kind, {next(iter(kinds))}.",
        ),
        (
            "By Matryoshka dimension",
            charts.dimensions_chart(report),
            f"{NAMED}. The same vectors cut off after so many numbers. Bands: {percent} intervals.",
            f"Not drawn: only one dimension, {next(iter(report.by_dimension))}, was judged.",
        ),
        (
            "Training",
            charts.training_chart(story.curve, story.kept_step),
            f"{NAMED}. {_about_training(report)}"
            + (" Ringed: the checkpoint that was kept." if story.kept_step is not None else ""),
            "Not drawn: no training curve was recorded.",
        ),
    )
    return [Chart(title, svg, note if svg else reason) for title, svg, note, reason in drawn]


def _of_many(kinds: int) -> str:
    return f" The {charts.KINDS} most frequent of {kinds} kinds." if kinds > charts.KINDS else ""


def _about_training(report: EvaluationReport) -> str:
    if report.conditions.masked:
        return "The validation queries are neither trained on nor judged here."
    return "Validation is on the set that is judged here: it has a say in which checkpoint is kept."


def storage_rows(report: EvaluationReport) -> list[dict[str, Any]]:
    """What a page takes at each dimension, in float32, and what it is worth: widest first."""
    vectors = report.storage.get(TUNED, {}).get("vectors_per_page", 1.0)
    return [
        {
            "dimension": size,
            "vectors": vectors,
            "bytes": round(4 * size * vectors),
            "gigabytes": 4 * size * vectors * 1e6 / 1e9,
            "results": results,
        }
        for size, results in report.by_dimension.items()
    ]


def columns(report: EvaluationReport) -> tuple[str, ...]:
    """The metrics of the table: NDCG with both gains where the judgements are such that they can differ."""
    both = graded(report.qrels) and all(EXPONENTIAL in result.scores.values for result in report.systems.values())
    return MEASURED if both else tuple(METRICS)


def _best(report: EvaluationReport) -> dict[str, float]:
    return {metric: max(result.metrics[metric] for result in report.systems.values()) for metric in columns(report)}


def _reach(report: EvaluationReport) -> float:
    """The farthest end of a slice's interval from 0: the scale that all of them are drawn on."""
    ends = [
        end
        for one in (report.slices.slices if report.slices is not None else ())
        if one.outcome != "too few queries"
        for end in (one.comparison.low, one.comparison.high)
    ]
    return max((abs(end) for end in ends), default=0.0) or 1.0


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
