"""`pagetune compare`: many models on one evaluation set, one table, two plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pagetune.cli.common import (
    JsonOption,
    OverrideArgument,
    QuietOption,
    RecipeOption,
    one_line_errors,
    print_json,
    sort_arguments,
)

if TYPE_CHECKING:
    from rich.table import Table

    from pagetune.evaluation.comparison.grid import Grid

SPARED = ("Recall@5", "MAP", "MRR@10", "Recall@10", "ms/query", "bytes/page", "Recall@1", "interval", "dimension")
"""Columns that a narrow screen goes without, the first of them first; the report has all."""

WHOLE = 200
"""Letters of a line where output is a file."""


@one_line_errors
def compare(
    overrides: OverrideArgument = None,
    recipe: RecipeOption = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the comparison is kept and goes on.")
    ] = Path("comparison"),
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed before.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Judge compare.models and BM25 on dataset.eval, each in its own process; a model that fails is a line."""
    from rich.console import Console
    from rich.markup import escape

    from pagetune.cli.console import make_progress
    from pagetune.errors import RecipeError
    from pagetune.evaluation.comparison.compare import compare_models
    from pagetune.evaluation.comparison.report import as_json as grid_as_json
    from pagetune.recipe import load_recipe

    paths, keys, named = sort_arguments(overrides or [])
    if paths:
        raise RecipeError([f"{str(paths[0])!r} is not of the form section.key=value"])
    done = compare_models(load_recipe(recipe or named, keys), output, make_progress(quiet), retry=retry)
    if as_json:
        print_json({**grid_as_json(done.grid), "ran": list(done.ran), "folder": str(output)})
        return
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, soft_wrap=True, width=WHOLE)
    console.print()
    if done.grid.rows:
        console.print(grid_table(done.grid, console.width if console.is_terminal else None))
    for failure in done.grid.failures:
        console.print(f"left out {failure.label}: {failure.reason}", markup=False)
    console.print(f"\n[bold]{escape(done.grid.verdict)}[/bold]")
    if done.grid.slices is not None:
        console.print(done.grid.slices.verdict, markup=False)
    if done.grid.failures:
        console.print("The same command tries what failed again with --retry.")
    console.print(f"\nreport   {output / 'compare.html'}", markup=False)


def grid_table(grid: Grid, width: int | None) -> Table:
    """A row a model, the best first; in so many columns of letters what fits, all of it where `width` is None."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    from pagetune.evaluation.comparison.report import cells, headings, named

    lines = [{"model": row.result.label, **cells(row)} for row in grid.rows]
    shown = ["model", *headings(grid)]
    titles = {heading: named(heading).replace(" (", "\n(") for heading in shown}
    wide = {
        heading: max(cell_len(text) for text in (*titles[heading].split("\n"), *(line[heading] for line in lines)))
        for heading in shown
    }
    for heading in SPARED:
        if width is not None and sum(wide[one] + 2 for one in shown) > width:
            shown.remove(heading)
    table = Table(box=None, pad_edge=False)
    for heading in shown:
        table.add_column(Text(titles[heading]), no_wrap=True, justify="left" if heading == "model" else "right")
    for line in lines:
        table.add_row(*(Text(line[heading]) for heading in shown))
    return table
