"""`pagetune report`: the report of an evaluation, written again."""

from __future__ import annotations

from typing import Annotated

import typer

from pagetune.cli.common import DEFAULT_WORKSPACE, QuietOption, WorkspaceOption, one_line_errors, short


@one_line_errors
def report(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="With pictures of the pages.")] = True,
    quiet: QuietOption = False,
) -> None:
    """Write the evaluation's report again from what it kept: report.html and report.md, without a model."""
    from pagetune.cli.console import make_progress
    from pagetune.story import write_again
    from pagetune.workspace import Workspace

    written = write_again(Workspace(workspace), make_progress(quiet), pictures=pictures)
    typer.echo(f"report   {short(written)}")
    if show:
        import webbrowser

        webbrowser.open(written.resolve().as_uri())
