"""`pagetune run`: every stage in order, ending in a table, a verdict and a report."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pagetune.cli.common import (
    DEFAULT_WORKSPACE,
    DryRunOption,
    JsonOption,
    QuietOption,
    RecipeOption,
    WorkspaceOption,
    make_pipeline,
    one_line_errors,
    print_json,
    print_plan,
    short,
    sort_arguments,
    unread_lines,
)
from pagetune.cli.gating import Threshold, Verdict, leave

if TYPE_CHECKING:
    from pagetune.pipeline import Pipeline


@one_line_errors
def run(
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
    """Read, write queries, mine, fit, evaluate and index: a folder of documents in, a tuned retriever out."""
    paths, overrides, named = sort_arguments(documents or [])
    pipeline = make_pipeline(workspace, recipe or named, overrides, paths, quiet)
    if dry_run:
        print_plan(pipeline.plan(), as_json)
        return
    run_and_show(pipeline, as_json)


def run_and_show(pipeline: Pipeline, as_json: bool) -> None:
    """Run every stage; print the table of systems, the verdict, and where everything is. With evaluate.fail_under the
    exit code is 1 where the gate closes."""
    threshold = Threshold.of(pipeline)
    summaries = pipeline.run()
    gate = threshold.verdict()
    if as_json:
        if gate is not None:
            summaries["evaluate"] = summaries["evaluate"] | {"gate": gate.to_json()}
        print_json(summaries)
    else:
        _show(pipeline, summaries, gate)
    leave(gate)


def _show(pipeline: Pipeline, summaries: dict[str, Any], gate: Verdict | None) -> None:
    from rich.console import Console

    from pagetune.cli.tables import show_evaluation

    console = Console(highlight=False, soft_wrap=True)
    root = short(pipeline.workspace.root)
    evaluation = summaries.get("evaluate")
    console.print()
    if evaluation is not None:
        show_evaluation(console, evaluation)
        console.print(f"\nreport   {short(pipeline.workspace.root / evaluation['report'])}", markup=False)
    for line in unread_lines(summaries.get("read", {})):
        console.print(f"unread   {line}", markup=False)
    console.print(f"model    {root / 'model'}", markup=False)
    if not pipeline.recipe.dataset.train:
        console.print(f'search   pagetune search "YOUR QUESTION" --workspace {shlex.quote(str(root))}', markup=False)
    if gate is not None:
        gate.show(console)
