"""`pagetune mine`."""

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
def mine(
    overrides: OverrideArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    recipe: RecipeOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find hard negatives in the whole page collection."""
    run_stage("mine", workspace, recipe, overrides, dry_run=dry_run, as_json=as_json, quiet=quiet)
