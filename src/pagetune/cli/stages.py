"""The verbs that run one stage and take nothing of their own: `queries`, `mine`, `index`."""

from __future__ import annotations

from collections.abc import Callable

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


def _verb(stage: str, about: str) -> Callable[..., None]:
    """The command of one stage; `about` is its help."""

    @one_line_errors
    def run(
        overrides: OverrideArgument = None,
        workspace: WorkspaceOption = DEFAULT_WORKSPACE,
        recipe: RecipeOption = None,
        dry_run: DryRunOption = False,
        as_json: JsonOption = False,
        quiet: QuietOption = False,
    ) -> None:
        run_stage(stage, workspace, recipe, overrides, dry_run=dry_run, as_json=as_json, quiet=quiet)

    run.__name__ = stage
    run.__doc__ = about
    return run


queries = _verb("queries", "Write queries from the documents' own structure, and split them.")
mine = _verb("mine", "Find hard negatives in the whole page collection.")
index = _verb("index", "Put the tuned model's page vectors into the search index.")
