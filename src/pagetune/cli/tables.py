"""The tables that the verbs print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

COLUMNS = ("NDCG@10", "MAP", "MRR@10", "Recall@1", "Recall@5", "Recall@10")
EXPONENTIAL = "NDCG@10 (exponential gain)"
SPARED = ("MAP", "Recall@5")
NARROW, WIDE = 80, 92
"""Letters of a line: of most screens, and of one that has room for every column."""


def show_evaluation(console: Console, evaluation: dict[str, Any]) -> None:
    """The systems, the dimensions where there are several, and the verdict."""
    console.print(systems_table(evaluation, console.width))
    if len(evaluation["by_dimension"]) > 1:
        console.print()
        console.print(dimensions_table(evaluation))
    conditions = evaluation.get("conditions", {})
    if "BM25" not in evaluation["systems"] and conditions.get("words"):
        console.print(f"\nwithout BM25: {conditions['words']}", markup=False)
    console.print(f"\n[bold]{evaluation['verdict']}[/bold]")
    if slices := (evaluation.get("slices") or {}).get("facets"):
        console.print(f"slices: {evaluation['slices']['verdict']}" if slices else "", markup=False)
    if guard := evaluation.get("guard"):
        console.print(guard["sentence"], markup=False, style="bold" if guard["outcome"] == "loss" else None)
    if suspects := evaluation.get("suspects"):
        pages = "1 page stands" if suspects == 1 else f"{suspects} pages stand"
        console.print(f"in doubt: {pages} above the judged one in every system; look: pagetune review", markup=False)


def systems_table(evaluation: dict[str, Any], width: int = NARROW) -> Table:
    """One row a system: its metrics, and the interval of NDCG@10.

    Where the two gains of NDCG differ both are there, by their names; a narrow screen goes without `SPARED` for it.
    """
    from rich.table import Table

    both = any(abs(_value(row, COLUMNS[0]) - _value(row, EXPONENTIAL)) > 1e-9 for row in evaluation["systems"].values())
    others = [name for name in COLUMNS[1:] if not (both and width < WIDE and name in SPARED)]
    headings = ["system", COLUMNS[0], f"{_confidence(evaluation)} interval", *(["exp. gain"] if both else []), *others]

    counts = f"{evaluation['queries']}{{}} queries, {evaluation['pages']} pages"
    conditions = evaluation.get("conditions", {})
    if conditions.get("masked", True):
        title = f"{counts.format(' held-out')}, headings masked; NDCG: linear gain"
    else:
        title = f"{conditions.get('collection') or 'a dataset'}: {counts.format('')}; NDCG: linear gain"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for name, row in evaluation["systems"].items():
        low, high = row["interval"]
        shown = [COLUMNS[0], *([EXPONENTIAL] if both else []), *others]
        values = [f"{_value(row, column):.3f}" for column in shown]
        table.add_row(name, values[0], f"{low:.3f}–{high:.3f}", *values[1:])
    return table


def _value(row: dict[str, Any], metric: str) -> float:
    """A metric of a system; the exponential gain of an evaluation that did not keep it is the linear one."""
    return float(row["metrics"].get(metric, row["metrics"][COLUMNS[0]]))


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
