"""`pagetune read`."""

from __future__ import annotations

from typing import Annotated

import typer

from pagetune.cli.common import (
    DEFAULT_WORKSPACE,
    DryRunOption,
    JsonOption,
    QuietOption,
    RecipeOption,
    WorkspaceOption,
    one_line_errors,
    run_stage,
    sort_arguments,
)


@one_line_errors
def read(
    documents: Annotated[
        list[str] | None,
        typer.Argument(metavar="DOCUMENT_OR_KEY=VALUE", help="Files and folders, then overrides of the recipe."),
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    recipe: RecipeOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read documents into pages: words with positions, outlines, and what could not be read and why."""
    paths, overrides, named = sort_arguments(documents or [])
    run_stage(
        "read",
        workspace,
        recipe or named,
        overrides,
        documents=paths,
        dry_run=dry_run,
        as_json=as_json,
        quiet=quiet,
    )
