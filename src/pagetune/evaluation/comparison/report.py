"""The comparison for readers: compare.md, compare.html that needs nothing else, compare.json, the plots as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pagetune.evaluation.comparison.grid import KINDS, Grid, Row
from pagetune.evaluation.comparison.keeping import PER_QUERY, RUN
from pagetune.evaluation.comparison.plots import PLOTS, count_of, drawn
from pagetune.evaluation.comparison.wins import Contest
from pagetune.evaluation.heatmaps import Heatmaps
from pagetune.evaluation.markdown import changed
from pagetune.evaluation.metrics import GAIN, MAIN_METRIC, MEASURED
from pagetune.evaluation.per_query import gains, losses
from pagetune.evaluation.report import BYTES, shown_changes, template, with_pictures
from pagetune.evaluation.significance import FEWEST_QUERIES
from pagetune.evaluation.slices import Slice, Slices
from pagetune.evaluation.thumbnails import PageImage
from pagetune.progress import SILENT, Progress
from pagetune.workspace import write_atomically

TITLES = {"size": f"Parameters and {MAIN_METRIC}", "dimension": f"Dimension and {MAIN_METRIC}"}

SLICES = "The best against the second best, slice by slice"

WINS = "Where the best won and lost"

NOTES = {
    "size": "Lines: intervals. Filled: the best, and what it is not shown to be better than (*).",
    "dimension": "The same vectors cut off after so many numbers. Late interaction is judged at its own dimension.",
}


def write_comparison(
    grid: Grid,
    folder: Path,
    contest: Contest | str = "",
    page_image: PageImage | None = None,
    progress: Progress = SILENT,
) -> None:
    """Write everything; each file is there whole or not at all. `contest`: two models, or why there are none."""
    pictures = {name: drawn(grid, name, ("page", "svg", "png")) for name in PLOTS}
    for name, made in pictures.items():
        for kind in ("svg", "png"):
            if kind in made:
                write_atomically(folder / f"{name}.{kind}", made[kind])
            else:
                (folder / f"{name}.{kind}").unlink(missing_ok=True)
    write_atomically(folder / "compare.json", json.dumps(as_json(grid, contest), indent=1, ensure_ascii=False) + "\n")
    write_atomically(
        folder / "compare.md", as_markdown(grid, [name for name, made in pictures.items() if made], contest)
    )
    charts = {name: made["page"] for name, made in pictures.items() if made}
    write_atomically(folder / "compare.html", as_html(grid, charts, contest, page_image, progress=progress))


def as_json(grid: Grid, contest: Contest | str = "") -> dict[str, Any]:
    """The verdict, the rows from best to worst, the failures, and what the figures rest on."""
    settings = grid.settings
    return {
        "verdict": grid.verdict,
        **grid.facts,
        "settings": {
            "metric": MAIN_METRIC,
            "gain": GAIN,
            "depth": settings.depth,
            "confidence": settings.confidence,
            "resamples": settings.resamples,
            "seed": settings.seed,
            "draws_of_signs": grid.signs,
        },
        "rows": [_row_as_json(row) for row in grid.rows],
        "slices": grid.slices.to_json() if grid.slices is not None else None,
        "wins_and_losses": None if isinstance(contest, str) else contest.summary(),
        "failures": [{"model": failure.label, "reason": failure.reason} for failure in grid.failures],
    }


def _row_as_json(row: Row) -> dict[str, Any]:
    result, against = row.result, row.against_best
    return {
        "model": result.label,
        "kind": result.kind,
        "about": result.about,
        "metrics": {name: round(value, 6) for name, value in row.metrics.items()},
        "interval": [round(bound, 6) for bound in row.interval],
        "not_measurably_worse_than_best": row.starred,
        "below_best": round(against.difference, 6) if against else 0.0,
        "p": round(against.p, 6) if against else None,
        "holm": round(against.holm, 6) if against and against.holm is not None else None,
        "by_dimension": {str(size): round(value, 6) for size, value in result.by_dimension.items()},
        "parameters": result.parameters,
        "dimension": result.dimension,
        "vectors_per_page": result.vectors_per_page,
        "bytes_per_page": round(result.bytes_per_page, 1),
        "pages_per_second": round(result.pages_per_second, 4) if result.pages_per_second else None,
        "ms_per_query": round(result.ms_per_query, 4),
        "device": result.device,
        "run": f"{result.kept}{RUN}" if result.kept else None,
        "per_query": f"{result.kept}{PER_QUERY}" if result.kept else None,
    }


def cells(row: Row) -> dict[str, str]:
    """One line of the table, its cells by their headings; a dash where BM25 has no such thing."""
    result, (low, high) = row.result, row.interval
    shown = {name: f"{value:.3f}" for name, value in row.metrics.items() if name in MEASURED}
    width = f"{result.dimension:,}" if result.dimension else "–"
    if result.vectors_per_page is not None and result.vectors_per_page > 1:
        width = f"{result.vectors_per_page:,.0f} × {width}"
    return {
        MAIN_METRIC: shown.pop(MAIN_METRIC) + (" *" if row.starred else ""),
        "interval": f"{low:.3f}–{high:.3f}",
        **shown,
        "parameters": count_of(result.parameters) if result.parameters else "–",
        "dimension": width,
        "bytes/page": f"{result.bytes_per_page:,.0f}",
        "pages/s": f"{result.pages_per_second:.3g}" if result.pages_per_second else "–",
        "ms/query": f"{result.ms_per_query:.3g}",
    }


def headings(grid: Grid) -> tuple[str, ...]:
    """The columns after the model's name."""
    others = (name for name in grid.metrics if name != MAIN_METRIC)
    return (MAIN_METRIC, "interval", *others, "parameters", "dimension", "bytes/page", "pages/s", "ms/query")


def named(heading: str) -> str:
    """The heading as readers see it: no NDCG without the name of its gain."""
    return f"{MAIN_METRIC} ({GAIN} gain)" if heading == MAIN_METRIC else heading


def notes(grid: Grid) -> list[str]:
    """What the figures mean and what they rest on, a sentence or two each."""
    settings, facts = grid.settings, grid.facts
    pairs = len(grid.rows) * (len(grid.rows) - 1) // 2
    devices = sorted({row.result.device for row in grid.rows})
    lines = [
        f"{facts['set']}: {facts['queries']:,} queries, {facts['pages']:,} pages, {facts['judgements']:,} judgements. "
        f"{MAIN_METRIC} has the {GAIN} gain (trec_eval's); runs are {settings.depth} pages deep.",
        f"interval: {settings.confidence:.0%}, bootstrap of the mean, {settings.resamples:,} resamples.",
        "*: the paired tests (bootstrap and randomisation, query by query) do not show the best to be better. "
        f"As the best was chosen by the same figures, p is corrected over all {pairs:,} pairs of models (Holm)"
        + (f", each tested with {grid.signs:,} draws of signs." if grid.signs else "."),
        "dimension: of a page's vector, or vectors × dimension. bytes/page: of the vectors in float32; of BM25, of its "
        "saved index. parameters: of the network, without what OCR has.",
        "pages/s: from the decoded page image to its vectors, after one page that is not counted; of BM25 and of a "
        "model that reads, OCR included unless the text was given. ms/query: encoding, 32 queries at a time; of BM25, "
        "the search.",
    ]
    if devices:
        lines.append(f"Times are of: {'; '.join(devices)}.")
    return lines


def as_markdown(grid: Grid, plots: list[str], contest: Contest | str = "") -> str:
    """The whole comparison as Markdown; `plots` lie beside it as NAME.png."""
    parts = ["# Comparison", grid.verdict]
    if grid.rows:
        heads = headings(grid)
        lines = [[row.result.label, *(cells(row)[heading] for heading in heads)] for row in grid.rows]
        parts.append(_table(["model", *map(named, heads)], lines))
    if grid.failures:
        failed = [[failure.label, failure.reason] for failure in grid.failures]
        parts += ["## Left out", _table(["model", "reason"], failed, align="---")]
    if shorter := _dimension_rows(grid):
        parts += [f"## {named(MAIN_METRIC)} by dimension", _table(_dimension_headings(grid), shorter)]
    parts += [f"![{TITLES[name]}]({name}.png)\n\n{NOTES[name]}" for name in plots]
    if grid.slices is not None:
        parts += [f"## {SLICES}", grid.slices.verdict, _slice_table(grid.slices), slice_note(grid.slices)]
    parts += _won_and_lost(contest)
    about = [f"- {row.result.label}: {KINDS[row.result.kind]}; {row.result.about}" for row in grid.rows]
    parts += ["## How the figures were made", "\n".join(f"- {line}" for line in notes(grid))]
    parts += ["## The models", "\n".join(about)] if about else []
    parts += ["## The machine", ", ".join(f"{name} {value}" for name, value in _machine(grid).items())]
    return "\n\n".join(parts) + "\n"


def _won_and_lost(contest: Contest | str) -> list[str]:
    """The queries that the two models answer most differently."""
    if isinstance(contest, str):
        return []
    found = contest.changes()
    parts = [f"## {WINS}", contest.reason]
    for title, shown in (("Greatest gains", gains(found)), ("Greatest losses", losses(found))):
        parts += [f"### {title}", changed(shown)] if shown else []
    return parts


def as_html(
    grid: Grid,
    charts: Mapping[str, str],
    contest: Contest | str = "",
    page_image: PageImage | None = None,
    budget: int = BYTES,
    progress: Progress = SILENT,
) -> str:
    """One page of about `budget` bytes that needs nothing else; `charts` are SVG by plot."""
    shown = {} if isinstance(contest, str) else shown_changes(contest, Heatmaps())
    page = template("compare.html.j2").render(
        **shown,
        contest=contest,
        grid=grid,
        facts=grid.facts,
        named_main=named(MAIN_METRIC),
        headings=headings(grid),
        named=named,
        rows=[(row, cells(row)) for row in grid.rows],
        best=_best(grid),
        dimensions=_dimension_headings(grid),
        by_dimension=_dimension_rows(grid),
        charts=[(TITLES[name], svg, NOTES[name]) for name, svg in charts.items()],
        slices=grid.slices,
        slices_title=SLICES,
        slice_headings=slice_headings(grid.slices) if grid.slices else [],
        slice_cells=slice_cells,
        slice_note=slice_note(grid.slices) if grid.slices else "",
        notes=notes(grid),
        kinds=KINDS,
        machine=_machine(grid),
    )
    return with_pictures(page, shown["explorer"], page_image, budget, progress) if shown else page


def _slice_table(slices: Slices) -> str:
    rows = [[one.facet, *slice_cells(one)] for one in slices.slices]
    return _table(["slice by", *slice_headings(slices)], rows)


def slice_headings(slices: Slices) -> list[str]:
    """The columns of the slices, the two models by their names."""
    return ["slice", "queries", slices.old, slices.new, "difference", "interval", "p, Holm", "in words"]


def slice_cells(one: Slice) -> list[str]:
    """One line of the slices' table."""
    c = one.comparison
    between = f"{c.low:+.3f} to {c.high:+.3f}"
    words = one.warning or {"gain": "better", "loss": "worse"}.get(one.outcome, "not measurable")
    figures = [f"{c.old_mean:.3f}", f"{c.new_mean:.3f}", f"{c.difference:+.3f}", between]
    return [one.name, str(c.queries), *figures, "–" if c.holm is None else f"{c.holm:.3f}", words]


def slice_note(slices: Slices) -> str:
    """What to mind."""
    return (
        f"{slices.metric} ({GAIN} gain) of the two best models, which were chosen by these very queries: where to "
        f"look, not a proof. All {slices.tested} slices of at least {FEWEST_QUERIES} queries are tested together "
        "(Holm)."
    )


def _best(grid: Grid) -> dict[str, float]:
    return {name: max((row.metrics[name] for row in grid.rows), default=0.0) for name in grid.metrics}


def _dimension_headings(grid: Grid) -> list[str]:
    return ["model", "own", *map(str, grid.shorter)]


def _dimension_rows(grid: Grid) -> list[list[str]]:
    """The models that were judged at several dimensions: NDCG@10 at their own, then at the shorter ones."""
    found = []
    for row in grid.rows:
        values = row.result.by_dimension
        if len(values) > 1:
            own = f"{row.metrics[MAIN_METRIC]:.3f} ({row.result.dimension})"
            shorter = [f"{values[size]:.3f}" if size in values else "" for size in grid.shorter]
            found.append([row.result.label, own, *shorter])
    return found


def _machine(grid: Grid) -> dict[str, str]:
    machine: dict[str, str] = grid.facts.get("machine", {})
    return machine


def _table(headings: list[str], rows: list[list[str]], align: str = "---:") -> str:
    def line(values: list[str]) -> str:
        return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"

    rule = "| --- |" + f" {align} |" * (len(headings) - 1)
    return "\n".join([line(headings), rule, *map(line, rows)])
