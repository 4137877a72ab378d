"""`pagetune queries`."""

from __future__ import annotations

from pagetune.cli.common import (
    DEFAULT_WORKSPACE,
    DryRunOption,
    JsonOption,
    OverrideArgument,
    QuietOption,
    RecipeOption,
    WorkspaceOption,
    one_line_errors,
    run_stage,
)


@one_line_errors
def queries(
    overrides: OverrideArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    recipe: RecipeOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write queries from the documents' own structure, and split them."""
    run_stage("queries", workspace, recipe, overrides, dry_run=dry_run, as_json=as_json, quiet=quiet)
