"""`pagetune fit`."""

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
def fit(
    overrides: OverrideArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    recipe: RecipeOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Finetune the model."""
    run_stage("fit", workspace, recipe, overrides, dry_run=dry_run, as_json=as_json, quiet=quiet)
