"""The deployment grid for readers: what to deploy under a budget, as a sentence; the whole as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pagetune.evaluation.grid import Cell, DeploymentGrid
from pagetune.evaluation.metrics import GAIN, MAIN_METRIC
from pagetune.workspace import write_atomically

TOLERANCE = 0.01
"""Share of NDCG@10 that a recommendation may lose to save bytes."""


FEW_PAGES = 0.02
"""Share of the pages from which on a shortlist flatters what it rescores."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to deploy, and why. `cell` is None where nothing fits the budgets."""

    cell: Cell | None
    sentence: str
    tolerance: float = TOLERANCE
    """Share of the best NDCG@10 within the budgets that it was allowed to lose."""


def recommend(
    grid: DeploymentGrid,
    *,
    budget_bytes: float | None = None,
    budget_ms: float | None = None,
    tolerance: float = TOLERANCE,
) -> Recommendation:
    """The smallest setting within the budgets that loses no more than `tolerance` against the best within them; of
    equally small ones the fastest, and one that is reranked only where none comes as near without.

    `budget_bytes`: of a page's vectors, all copies; `budget_ms`: of a query's search, as measured.
    """
    fitting = [
        cell
        for cell in grid.cells
        if (budget_bytes is None or cell.bytes_per_page <= budget_bytes)
        and (budget_ms is None or cell.ms_per_query <= budget_ms)
    ]
    if not fitting:
        smallest = min(grid.cells, key=lambda cell: cell.bytes_per_page)
        fastest = min(grid.cells, key=lambda cell: cell.ms_per_query)
        return Recommendation(
            None,
            f"No setting fits {_budgets(budget_bytes, budget_ms)}: the smallest takes {smallest.bytes_per_page:,.0f} "
            f"bytes a page ({smallest.setting.name}), the fastest {fastest.ms_per_query:.3g} ms a query "
            f"({fastest.setting.name}).",
            tolerance,
        )
    most = max(cell.ndcg for cell in fitting)
    near = [cell for cell in fitting if cell.ndcg >= (1 - tolerance) * most]
    chosen = min(near, key=_preference)
    return Recommendation(chosen, _advice(chosen, grid, tolerance), tolerance)


def _preference(cell: Cell) -> tuple[bool, float, float, float]:
    return cell.setting.reranked > 0, cell.bytes_per_page, cell.ms_per_query, -cell.ndcg


def _advice(cell: Cell, grid: DeploymentGrid, tolerance: float) -> str:
    full = grid.reference
    costs = (
        f"{cell.bytes_per_page:,.0f} bytes a page, {size_of(cell.bytes_at_a_million)} at 1 million pages, "
        f"{cell.ms_per_query:.3g} ms a query over {grid.pages:,} pages in numpy"
    )
    if cell == full:
        return f"Keep {cell.setting.name}: nothing smaller that fits comes as near as {_percent(tolerance)} ({costs})."
    low, high = cell.loss_interval
    lost = f"{cell.loss / full.ndcg:.1%}" if full.ndcg and cell.loss > 0 else "nothing"
    unsure = ", not measurable" if cell.loss > 0 and low <= 0 else ""
    change = f"{full.ndcg:.3f} → {cell.ndcg:.3f}, {grid.settings.confidence:.0%} interval {-high:+.3f} to {-low:+.3f}"
    costs += _shortlisted(cell, grid)
    return (
        f"{cell.setting.name}: {lost} of {MAIN_METRIC} for {_share(cell.bytes_per_page, full.bytes_per_page)} "
        f"({change.replace('-', '−')}{unsure}, {grid.queries} queries; {costs})."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _shortlisted(cell: Cell, grid: DeploymentGrid) -> str:
    """What rescoring of a small collection hides: among many more pages the answer may not be on the shortlist."""
    share = grid.shortlist / grid.pages
    if cell.setting.rescoring == "none" or share <= FEW_PAGES:
        return ""
    return f"; its shortlist is {min(1.0, share):.0%} of these pages: over many more it finds less"


def _share(part: float, whole: float) -> str:
    if whole >= 1.5 * part:
        ratio = whole / part
        return f"1/{ratio:.0f} of the bytes" if abs(ratio - round(ratio)) < 0.05 else f"1/{ratio:.1f} of the bytes"
    return f"{part / whole:.0%} of the bytes"


def _budgets(budget_bytes: float | None, budget_ms: float | None) -> str:
    told = [f"{budget_bytes:,.0f} bytes a page"] if budget_bytes is not None else []
    told += [f"{budget_ms:g} ms a query"] if budget_ms is not None else []
    return " and ".join(told)


def size_of(count: float) -> str:
    """Bytes as people say them: 512 MB, 2 GB."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= 0.9995 * size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"


def to_json(grid: DeploymentGrid, advice: Recommendation, about: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything, for JSON; `about` is what else is known, such as the machine."""
    fronts = {
        "storage": [cell.setting.name for cell in grid.front()],
        "latency": [cell.setting.name for cell in grid.front("ms_per_query")],
    }
    settings = grid.settings
    return {
        "recommendation": advice.sentence,
        "recommended": _cell_as_json(advice.cell) if advice.cell else None,
        "tolerance": advice.tolerance,
        "metric": MAIN_METRIC,
        "gain": GAIN,
        "queries": grid.queries,
        "pages": grid.pages,
        "shortlist": grid.shortlist,
        "settings": {"confidence": settings.confidence, "resamples": settings.resamples, "seed": settings.seed},
        "fronts": fronts,
        "cells": [_cell_as_json(cell) for cell in grid.cells],
        **(about or {}),
    }


def _cell_as_json(cell: Cell) -> dict[str, Any]:
    setting = cell.setting
    return {
        "name": setting.name,
        "dimension": setting.dimension,
        "precision": setting.precision,
        "rescoring": setting.rescoring,
        "pooling": setting.pooling,
        "reranked": setting.reranked,
        "ndcg": round(cell.ndcg, 6),
        "interval": [round(bound, 6) for bound in cell.interval],
        "loss": round(cell.loss, 6),
        "loss_interval": [round(bound, 6) for bound in cell.loss_interval],
        "vectors_per_page": round(cell.vectors_per_page, 2),
        "bytes_per_page": round(cell.bytes_per_page, 1),
        "searched_bytes_per_page": round(cell.searched_bytes_per_page, 1),
        "bytes_at_a_million_pages": round(cell.bytes_at_a_million),
        "ms_per_query": round(cell.ms_per_query, 4),
    }


def to_markdown(grid: DeploymentGrid, advice: Recommendation, chart: str | None = None) -> str:
    """The whole grid as Markdown; `chart` is the file name of the plot beside it."""
    pooled = any(cell.setting.pooling > 1 for cell in grid.cells)
    reranked = any(cell.setting.reranked for cell in grid.cells)
    heads = ["dimension", "precision", "rescored with", *(["1 token of"] if pooled else [])]
    heads += ["reranked"] if reranked else []
    heads += [MAIN_METRIC, "interval", "loss", "bytes/page", "1M pages", "ms/query", "front"]
    fronts = {"bytes": set(grid.front()), "ms": set(grid.front("ms_per_query"))}
    rows = [heads, ["---:", "---", "---", *["---:"] * (pooled + reranked), "---:", *["---:"] * 5, "---"]]
    for cell in grid.cells:
        setting, (low, high) = cell.setting, cell.interval
        row = [str(setting.dimension), setting.precision, "" if setting.rescoring == "none" else setting.rescoring]
        row += [str(setting.pooling)] if pooled else []
        row += [str(setting.reranked or "")] if reranked else []
        row += [f"{cell.ndcg:.3f}", f"{low:.3f}–{high:.3f}", f"{cell.loss:+.3f}", f"{cell.bytes_per_page:,.0f}"]
        row += [size_of(cell.bytes_at_a_million), f"{cell.ms_per_query:.3g}"]
        row += [", ".join(name for name, front in fronts.items() if cell in front)]
        rows.append(row)
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    parts = ["# Deployment grid", f"**{advice.sentence}**"]
    parts += [f"![{MAIN_METRIC} by bytes a page, and by milliseconds a query]({chart})"] if chart else []
    return "\n\n".join([*parts, table, "\n".join(f"- {line}" for line in notes(grid, advice.tolerance))]) + "\n"


def notes(grid: DeploymentGrid, tolerance: float = TOLERANCE) -> Sequence[str]:
    """What the figures mean, a sentence or two each."""
    settings = grid.settings
    reranked = (
        "reranked: so many pages of an answer are scored again, query and page together; ms/query has the time of as "
        "many pairs on this machine. A reranker takes no bytes of the vectors: by bytes only settings without one are "
        "compared, and one is recommended only where nothing else comes as near.",
    )
    return (
        *(reranked if any(cell.setting.reranked for cell in grid.cells) else ()),
        f"{grid.queries:,} queries over {grid.pages:,} pages, one encoding; {MAIN_METRIC} has the {GAIN} gain "
        f"(trec_eval's). interval: {settings.confidence:.0%}, bootstrap over queries.",
        "loss: against the full dimension in float32, on the same queries. Recommended is the smallest within "
        f"{_percent(tolerance)} of the best that fits, of equally small ones the fastest; chosen among many on "
        "the queries that judge it, it looks a little better than it is.",
        f"rescored with: the first {grid.shortlist} pages are scored again, by the float32 query against the same "
        "codes (query) or against a second copy of the vectors (int8, float32), which counts in bytes/page.",
        "bytes/page, 1M pages: of the vectors; a table adds its own: LanceDB with its approximate index took 1.5 times "
        "the bytes of 100,000 float32 vectors of 256 dimensions (benchmarks/search_latency.py). int8: the "
        "range of each dimension over these pages, in 256 steps.",
        "ms/query: exact search by numpy on this machine, after encoding, one query at a time. It grows with the "
        "pages; numpy has no product of float16 or int8, so that an engine which has is faster there.",
        "front: no other setting has more NDCG@10 for as few bytes, or in as few ms.",
    )


def write_grid(
    grid: DeploymentGrid, advice: Recommendation, folder: Path, about: Mapping[str, Any] | None = None
) -> None:
    """grid.json, grid.md, and the plot as grid.svg and grid.png; each is there whole or not at all."""
    import json

    from pagetune.evaluation.grid_chart import draw_grid

    for kind, drawn in draw_grid(grid, ("svg", "png")).items():
        write_atomically(folder / f"grid.{kind}", drawn)
    found = json.dumps(to_json(grid, advice, about), indent=1, ensure_ascii=False)
    write_atomically(folder / "grid.json", found + "\n")
    write_atomically(folder / "grid.md", to_markdown(grid, advice, "grid.png"))
