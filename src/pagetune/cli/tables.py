"""The tables that the verbs print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

COLUMNS = ("NDCG@10", "MAP", "MRR@10", "Recall@1", "Recall@5", "Recall@10")


def show_evaluation(console: Console, evaluation: dict[str, Any]) -> None:
    """The systems, the dimensions where there are several, and the verdict."""
    console.print(systems_table(evaluation))
    if len(evaluation["by_dimension"]) > 1:
        console.print()
        console.print(dimensions_table(evaluation))
    conditions = evaluation.get("conditions", {})
    if "BM25" not in evaluation["systems"] and conditions.get("words"):
        console.print(f"\nwithout BM25: {conditions['words']}", markup=False)
    console.print(f"\n[bold]{evaluation['verdict']}[/bold]")


def systems_table(evaluation: dict[str, Any]) -> Table:
    """One row a system: its metrics, and the interval of NDCG@10."""
    from rich.table import Table

    counts = f"{evaluation['queries']}{{}} queries, {evaluation['pages']} pages"
    conditions = evaluation.get("conditions", {})
    if conditions.get("masked", True):
        title = f"{counts.format(' held-out')}, headings masked; NDCG: linear gain"
    else:
        title = f"{conditions.get('collection') or 'a dataset'}: {counts.format('')}; NDCG: linear gain"
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
    """The systems at each Matryoshka dimension, widest first: NDCG@10."""
    from rich.table import Table

    sizes = evaluation["by_dimension"]
    table = Table("dimension", *next(iter(sizes.values())), box=None, pad_edge=False)
    for size, systems in sizes.items():
        table.add_row(size, *(f"{row['metrics'][COLUMNS[0]]:.3f}" for row in systems.values()))
    return table
