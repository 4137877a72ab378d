"""The tables that the verbs print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("NDCG@10", "MAP", "MRR@10", "Recall@1", "Recall@5", "Recall@10")


def systems_table(evaluation: dict[str, Any]) -> Table:
    """One row a system: its metrics, and the interval of NDCG@10."""
    from rich.table import Table

    title = f"{evaluation['queries']} held-out queries, {evaluation['pages']} pages, headings masked; NDCG: linear gain"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("system", COLUMNS[0], f"{_confidence(evaluation)} interval", *COLUMNS[1:]):
        table.add_column(heading, no_wrap=True)
    for name, row in evaluation["systems"].items():
        low, high = row["interval"]
        values = [f"{row['metrics'][column]:.3f}" for column in COLUMNS]
        table.add_row(name, values[0], f"{low:.3f}–{high:.3f}", *values[1:])
    return table


def _confidence(evaluation: dict[str, Any]) -> str:
    return f"{evaluation.get('settings', {}).get('confidence', 0.95):.0%}"


def dimensions_table(evaluation: dict[str, Any]) -> Table:
    """Base and tuned at each Matryoshka dimension, widest first: NDCG@10."""
    from rich.table import Table

    systems = evaluation["by_dimension"]
    table = Table("dimension", *systems, box=None, pad_edge=False)
    for size in next(iter(systems.values())):
        table.add_row(size, *(f"{found[size]:.3f}" if size in found else "" for found in systems.values()))
    return table
