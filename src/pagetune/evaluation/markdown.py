"""The report as Markdown: what the HTML page says, without its pictures."""

from __future__ import annotations

from collections.abc import Sequence

from pagetune.evaluation.by_metric import SMALL_GAINS
from pagetune.evaluation.evaluate import BASE, LEXICAL, RERANKED, TUNED, EvaluationReport, witnesses
from pagetune.evaluation.guard import GuardReport
from pagetune.evaluation.kept_grid import HEADS
from pagetune.evaluation.metrics import EXPONENTIAL, GAIN, MAIN_METRIC, METRICS
from pagetune.evaluation.per_query import Change, changes, gains, losses
from pagetune.evaluation.report import Story, columns, storage_rows, told_queries
from pagetune.evaluation.significance import Comparison
from pagetune.evaluation.slices import Slices

DOUBTFUL = 10
"""Suspects that are listed."""
NEEDED = f"queries for a gain of {' / '.join(map(str, SMALL_GAINS))}"
"""The heading of a column."""


def as_markdown(report: EvaluationReport, story: Story) -> str:
    """The verdict, every table, the greatest gains and losses, and how the figures were made."""
    gain, found = report.gain, changes(report)
    parts = [f"# {story.heading}", f"**{report.verdict}**", "## The figures", _systems(report)]
    parts.append(
        f"Mean over {gain.queries:,} queries and {report.pages:,} pages, {report.conditions.about}; "
        f"{gain.confidence:.0%} bootstrap interval of {MAIN_METRIC}."
    )
    if LEXICAL not in report.systems:
        parts.append(f"Without BM25: {report.conditions.words or 'the words of the pages are not known'}.")
    parts += [f"## Differences in {MAIN_METRIC}", _differences(report)]
    parts.append(
        "Paired by query: bootstrap interval, two-sided randomisation test. "
        f"{TUNED} − {BASE} is the question that was asked; the others are corrected as one family (Holm). "
        "Effect: the difference over the spread of the differences query by query; 0.2 is called small, 0.5 medium. "
        "Queries for a gain: so many like these show a true change of that size four times in five."
    )
    if len(report.by_metric) > 1:
        parts += [f"## {TUNED} − {BASE} in every metric", _by_metric(report)]
        parts.append(
            f"{MAIN_METRIC} decides: it was chosen beforehand. The {len(report.by_metric) - 1} other metrics are one "
            "family, corrected by Holm."
        )
    if len(report.kinds) > 1:
        parts += ["## By kind of query", _kinds(report)]
    if report.slices is not None and report.slices.slices:
        parts += ["## Where it helped, and where not", report.slices.verdict, _slices(report.slices)]
    if report.guard is not None:
        parts += ["## Forgetting", f"**{report.guard.sentence}**", _guard(report.guard)]
    parts += ["## What a page takes", _storage(report), "Vectors of the tuned model in float32."]
    if story.grid is not None:
        heads = [f"{head} ({GAIN} gain)" if head == MAIN_METRIC else head for head in HEADS]
        parts += ["## What to deploy", f"**{story.grid.sentence}**", table(heads, story.grid.rows())]
        parts.append("The settings of `pagetune grid` that none beats; all of them, and the plot: runs/grid.")
    for title, shown in (("Greatest gains", gains(found)), ("Greatest losses", losses(found))):
        parts += [f"## {title}", changed(shown)] if shown else []
    parts += _doubtful(report)
    parts += ["## How the figures were made", _method(report)]
    if story.machine:
        parts += ["## The machine", ", ".join(f"{name} {value}" for name, value in story.machine.items())]
    return "\n\n".join(parts) + "\n"


def _systems(report: EvaluationReport) -> str:
    rows, shown = [], columns(report)
    for name, result in report.systems.items():
        low, high = result.interval
        values = [f"{result.metrics[metric]:.3f}" for metric in shown]
        rows.append([name, values[0], f"{low:.3f}–{high:.3f}", *values[1:]])
    main = f"{MAIN_METRIC} ({GAIN} gain)" if EXPONENTIAL in shown else MAIN_METRIC
    return table(["system", main, "interval", *shown[1:]], rows)


def _differences(report: EvaluationReport) -> str:
    rows = [
        [
            name,
            signed(c.difference),
            f"{signed(c.low)} to {signed(c.high)}",
            _p(c.p),
            _p(c.holm),
            _effect(c),
            f"{c.better} / {c.queries - c.better - c.worse} / {c.worse}",
            told_queries(c),
            c.outcome,
        ]
        for name, c in report.comparisons.items()
    ]
    heads = [
        "compared",
        "difference",
        "interval",
        "p",
        "p, Holm",
        "effect",
        "better / same / worse",
        NEEDED,
        "in words",
    ]
    return table(heads, rows, ("in words",))


def _by_metric(report: EvaluationReport) -> str:
    rows = []
    for metric, c in report.by_metric.items():
        named = f"{metric} ({GAIN} gain)" if metric == MAIN_METRIC and EXPONENTIAL in report.by_metric else metric
        rows.append([named, f"{c.old_mean:.3f}", f"{c.new_mean:.3f}", signed(c.difference)])
        rows[-1] += [
            f"{signed(c.low)} to {signed(c.high)}",
            _p(c.p),
            _p(c.holm),
            _effect(c),
            told_queries(c),
            c.outcome,
        ]
    heads = ["metric", BASE, TUNED, "difference", "interval", "p", "p, Holm", "effect", NEEDED, "in words"]
    return table(heads, rows, ("in words",))


def _effect(c: Comparison) -> str:
    return "–" if c.effect is None else f"{c.effect:+.2f}".replace("-", "−")


def _p(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _slices(slices: Slices) -> str:
    rows = []
    for one in slices.slices:
        c = one.comparison
        rows.append([one.facet, one.name, str(c.queries), f"{c.old_mean:.3f}", f"{c.new_mean:.3f}"])
        rows[-1] += [
            signed(c.difference),
            f"{signed(c.low)} to {signed(c.high)}",
            _p(c.holm),
            one.warning or one.outcome,
        ]
    heads = ["slice by", "slice", "queries", slices.old, slices.new, "difference", "interval", "p, Holm", "in words"]
    return table(heads, rows, ("slice", "in words"))


def _doubtful(report: EvaluationReport) -> list[str]:
    if not report.suspects:
        return []
    shown = [
        [one.text, one.page, one.judged, ", ".join(f"{name} {rank}" for name, rank in one.ranks.items())]
        for one in report.suspects[:DOUBTFUL]
    ]
    more = len(report.suspects) - len(shown)
    return [
        "## Perhaps right, and counted as wrong",
        f"Above the judged page in every one of {', '.join(witnesses(tuple(report.systems)))}, and judged by nobody: "
        f"{len(report.suspects):,} pages. `pagetune review` shows them, to confirm or to reject.",
        table(["query", "page in doubt", "judged page", "rank in"], shown, ("page in doubt", "judged page", "rank in")),
        *([f"and {more:,} more in suspects.json"] if more else []),
    ]


def _kinds(report: EvaluationReport) -> str:
    rows = []
    for kind, ids in report.kinds.items():
        means = {name: result.scores.of(ids).means()[MAIN_METRIC] for name, result in report.systems.items()}
        change = means[TUNED] - means[BASE]
        rows.append([kind, str(len(ids)), *(f"{mean:.3f}" for mean in means.values()), signed(change)])
    return table(["kind", "queries", *report.systems, f"{TUNED} − {BASE}"], rows)


def _guard(guard: GuardReport) -> str:
    """Base and tuned on the general set."""
    rows = [
        [name, *(f"{found[metric]:.3f}" if metric in found else "–" for metric in METRICS)]
        for name, found in guard.metrics.items()
    ]
    heads = [f"{metric} ({GAIN} gain)" if metric == MAIN_METRIC else metric for metric in METRICS]
    return table([f"on {guard.name}", *heads], rows)


def _storage(report: EvaluationReport) -> str:
    found = storage_rows(report)
    rows = [
        [
            f"{row['dimension']:,}",
            f"{row['vectors']:,.2f}".removesuffix(".00"),
            f"{row['bytes']:,}",
            f"{row['gigabytes']:,.2f}",
            *(f"{result.metrics[MAIN_METRIC]:.3f}" for result in row["results"].values()),
        ]
        for row in found
    ]
    return table(["dimension", "vectors a page", "bytes a page", "GB for a million pages", *found[0]["results"]], rows)


def changed(shown: Sequence[Change]) -> str:
    """Queries with their change, their page and its rank in every system."""

    def place(rank: int | None) -> str:
        return "–" if rank is None else str(rank)

    rows = [
        [signed(one.change), one.query.text, one.page, *(place(rank) for rank in one.ranks.values())] for one in shown
    ]
    return table(
        ["change", "query", "right page", *(f"rank, {name}" for name in shown[0].ranks)], rows, ("query", "right page")
    )


def _method(report: EvaluationReport) -> str:
    settings = report.settings
    told = [f"{RERANKED}: {report.conditions.reranked}."] if report.conditions.reranked else []
    if report.conditions.excluded:
        told.append(
            f"Left out of the answers of single queries, as the set says: {report.conditions.excluded:,} pages."
        )
    lines = [
        *told,
        f"{MAIN_METRIC} has the {GAIN} gain (trec_eval's); runs are {settings.depth} pages deep, ties go by page id.",
        f"{settings.resamples:,} resamples, seed {settings.seed}. A gain is claimed only where the interval leaves out "
        f"0 and p is below {round(1 - settings.confidence, 4):g}.",
        "Every query, with its ranks in every system: per-query.parquet. Every figure: metrics.json. The pages: "
        "report.html.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def signed(value: float) -> str:
    """With its sign, to three digits."""
    return f"{value:+.3f}".replace("-", "−")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str] = ()) -> str:
    """A Markdown table; the first column and those of `left` to the left."""

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(value.split()).replace("|", "\\|") for value in values) + " |"

    rule = ["---" if heading in (headings[0], *left) else "---:" for heading in headings]
    return "\n".join([line(headings), line(rule), *map(line, rows)])
