"""`pagetune plan`: what fits on this machine, tried on the user's own pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pagetune.cli.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    OverrideArgument,
    QuietOption,
    RecipeOption,
    WorkspaceOption,
    make_pipeline,
    one_line_errors,
    print_json,
)

if TYPE_CHECKING:
    from rich.table import Table

    from pagetune.advice import Advice

WHOLE = 120
"""Letters of a line where output is a file."""


@one_line_errors
def plan(
    overrides: OverrideArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    recipe: RecipeOption = None,
    pixels: Annotated[
        list[int] | None,
        typer.Option("--pixels", min=1, metavar="N", help="Try pages of so many pixels at most. Repeatable."),
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", min=0.01, metavar="N", help="Hours that training may take.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE.yaml", help="Write the recipe with the advice taken.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Before training: try real steps on your own pages, and say which pixels, weights and memory fit this machine."""
    from pagetune.advice import advise
    from pagetune.errors import RecipeError
    from pagetune.workspace import write_atomically

    if write is not None and write.exists():
        raise RecipeError([f"--write {write}: it is there already; choose another name, or remove it"])
    found = advise(make_pipeline(workspace, recipe, overrides, quiet=quiet).context, pixels or (), hours)
    if as_json:
        print_json(found.summary())
    else:
        show(found)
    if write is not None:
        write_atomically(write, found.advised_recipe())
        if not as_json:
            typer.echo(f"\nrecipe   {write}")


def show(found: Advice) -> None:
    """The table, what it is of, the advice, and the keys to paste."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, soft_wrap=True, width=WHOLE)
    console.print(options_table(found))
    for line in told(found):
        console.print(line, markup=False)
    console.print(f"\n[bold]{found.sentence}[/bold]")
    if found.chosen is not None:
        console.print(f"\n  {' '.join(found.arguments)}", markup=False)


def options_table(found: Advice) -> Table:
    """A row a way to train, the fewest pixels first; the advised one is marked."""
    from rich.table import Table

    from pagetune.training.planning import told_bytes, told_hours

    table = Table(box=None, pad_edge=False)
    for heading in ("", "pixels", "trains", "tokens", "mini-batch", "batch", "pages/s", "time", "memory"):
        table.add_column(heading, no_wrap=True, justify="left" if heading in ("", "trains") else "right")
    for option in found.options:
        mark = "→" if option is found.chosen else ""
        size = "its own" if option.pixels is None else f"{option.pixels:,}"
        if not option.fits:
            needs = told_bytes(option.bytes) if option.bytes else ""
            table.add_row(mark, size, option.trains, *[""] * 4, "too much", needs)
            continue
        table.add_row(
            mark,
            size,
            option.trains,
            f"{option.tokens_a_page:,.0f}",
            f"{option.mini_batch_tokens:,}",
            f"{option.batch_size:,}",
            f"{option.pages_a_second:.3g}",
            told_hours(option.hours),
            told_bytes(option.bytes),
        )
    return table


def told(found: Advice) -> list[str]:
    """What the figures are of, a line each."""
    from pagetune.training.planning import told_bytes

    work = found.work
    judged = f", {work.evaluations} evaluations of {work.judged:,} pages" if work.judged else ""
    pages = "a page" if work.columns == 1 else f"{work.columns} pages"
    lines = [
        "",
        f"machine   {found.machine.name}, {told_bytes(found.machine.usable)} to plan with",
        f"model     {found.model}",
        f"pages     {found.material}",
        f"time      {work.steps:,} steps of {work.batch_size:,} rows, {pages} each{judged}",
        *(
            f"too much  {option.trains} on {option.size}: {option.why_not}"
            for option in found.options
            if not option.fits
        ),
        *(f"note      {note}" for note in found.notes),
    ]
    tried = found.chosen or next((option for option in found.options if option.fits), None)
    if tried is not None:
        memory = "a mini-batch as the GPU's allocator says" if found.machine.gpu else "a mini-batch as its graph holds"
        lines.append(f"measured  {tried.measured_on}")
        lines.append(
            f"memory    {', '.join(f'{name} {told_bytes(size)}' for name, size in tried.parts.items())}; {memory}"
        )
        if tried.held_up_by_pages:
            lines.append(
                "note      opening the pages is what takes the time: set fit.workers higher where there are cores"
            )
    return lines
