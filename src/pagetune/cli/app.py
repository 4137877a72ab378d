"""The command line: one verb a stage, `run` for all of them.

Nothing heavy is imported here: `pagetune --help` answers before torch would have begun to load.
"""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from pagetune.cli.compare import compare
from pagetune.cli.data import data
from pagetune.cli.demo import demo
from pagetune.cli.evaluate import evaluate
from pagetune.cli.fit import fit
from pagetune.cli.grid import grid
from pagetune.cli.plan import plan
from pagetune.cli.read import read
from pagetune.cli.report import report
from pagetune.cli.review import review
from pagetune.cli.run import run
from pagetune.cli.search import search
from pagetune.cli.stages import index, mine, queries

app = typer.Typer(
    name="pagetune",
    help="A folder of documents in, a finetuned and honestly measured page retriever out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (run, demo, read, queries, mine, plan, fit, evaluate, report, review, grid, index, search, compare):
    app.command()(verb)
app.add_typer(data)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"pagetune {version('pagetune')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A folder of documents in, a finetuned and honestly measured page retriever out."""


def main() -> None:
    """The `pagetune` command."""
    # Where it is installed, it warns as soon as it is imported, which peft does, of a kernel that is never used here.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    app()
