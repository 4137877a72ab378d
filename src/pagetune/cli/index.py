"""`pagetune index`."""

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
def index(
    overrides: OverrideArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    recipe: RecipeOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Put the tuned model's page vectors into the search index."""
    run_stage("index", workspace, recipe, overrides, dry_run=dry_run, as_json=as_json, quiet=quiet)
