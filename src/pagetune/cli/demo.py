"""`pagetune demo`: the whole job on documents that it typesets itself."""

from __future__ import annotations

from pathlib import Path

import typer

from pagetune.cli.common import (
    DryRunOption,
    JsonOption,
    OverrideArgument,
    QuietOption,
    RecipeOption,
    WorkspaceOption,
    make_pipeline,
    one_line_errors,
    print_plan,
)
from pagetune.cli.run import run_and_show


@one_line_errors
def demo(
    overrides: OverrideArgument = None,
    workspace: WorkspaceOption = Path("demo-ws"),
    recipe: RecipeOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Typeset about 130 pages from data and texts on this machine, then run on them (at most 5 minutes on 2 cores)."""
    from pagetune.cli.console import make_progress
    from pagetune.demo import typeset_demo
    from pagetune.pipeline import NAMES, Step

    place = workspace.absolute()
    documents = place.with_name(place.name + "-documents")
    pipeline = make_pipeline(workspace, recipe or "demo", overrides, [documents], quiet)
    if dry_run:
        fresh = [Step(name, "run", "the demo's documents are not typeset yet") for name in NAMES]
        print_plan(pipeline.plan() if documents.exists() else fresh, as_json)
        return
    typeset_demo(documents, make_progress(quiet))
    run_and_show(pipeline, as_json)
    if not as_json:
        typer.echo("\nThe demo is small on purpose: a real folder takes longer and gains more.")
