"""`pagetune evaluate`: judge a workspace's models, or run files of any system; a gate for continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pagetune.cli.common import (
    DEFAULT_WORKSPACE,
    DryRunOption,
    JsonOption,
    OverrideArgument,
    QuietOption,
    RecipeOption,
    WorkspaceOption,
    make_pipeline,
    one_line_errors,
    print_json,
    print_plan,
    short,
    sort_arguments,
)
from pagetune.cli.gating import Threshold, Verdict, leave

if TYPE_CHECKING:
    from pagetune.evaluation.trec import FilesReport

RUN_FILES = "Run files of any system"


@one_line_errors
def evaluate(
    overrides: OverrideArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    recipe: RecipeOption = None,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Judge a reranker over the shortlists too (evaluate.rerank=true).")
    ] = False,
    fail_under: Annotated[
        str | None,
        typer.Option(
            "--fail-under",
            metavar="VALUE|RUN",
            help="For continuous integration: exit code 1 where tuned's NDCG@10 is measurably below VALUE (0 to 1), or "
            "below that of an earlier RUN (a metrics.json, or its folder). Over evaluate.fail_under.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="FILE", help="Judge this TREC run instead of a workspace.", rich_help_panel=RUN_FILES
        ),
    ] = None,
    qrels: Annotated[
        Path | None,
        typer.Option("--qrels", metavar="FILE", help="The TREC judgements of --run.", rich_help_panel=RUN_FILES),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against", metavar="FILE", help="Compare --run with this run, by query.", rich_help_panel=RUN_FILES
        ),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(
            "--exclude",
            metavar="FILE",
            help="Pages that count as not retrieved: lines of query, tab, page.",
            rich_help_panel=RUN_FILES,
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            "--markdown", metavar="FILE", help="Write the table of --run as Markdown too.", rich_help_panel=RUN_FILES
        ),
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Judge base, tuned, BM25 and their fusion on the held-out queries; or, with --run and --qrels, any system's files.

    With --fail-under the exit code is 1 where NDCG@10 has fallen, and fallen measurably: chance alone never fails a
    build.
    """
    files = {"--qrels": qrels, "--against": against, "--exclude": exclude, "--markdown": markdown}
    if run is None:
        _refuse(files, "goes with --run FILE")
    else:
        _refuse(
            {"--fail-under": fail_under, "--rerank": rerank, "--dry-run": dry_run},
            "goes with a workspace, not with --run",
        )
        _judge_files(run, qrels, against, exclude, markdown, recipe, overrides or [], as_json)
        return
    keys = [*(overrides or []), *(["evaluate.rerank=true"] if rerank else [])]
    pipeline = make_pipeline(workspace, recipe, keys, quiet=quiet)
    threshold = Threshold.of(pipeline, fail_under)
    if dry_run:
        print_plan(pipeline.plan(until="evaluate"), as_json)
        return
    summary = pipeline.run(until="evaluate")["evaluate"]
    gate = threshold.verdict()
    if as_json:
        print_json(summary if gate is None else summary | {"gate": gate.to_json()})
    else:
        _show(summary, pipeline.workspace.root, gate)
    leave(gate)


def _refuse(options: dict[str, Any], why: str) -> None:
    """Raises RecipeError for the first option that was given."""
    from pagetune.errors import RecipeError

    for name, value in options.items():
        if value:
            raise RecipeError([f"{name} {why}"])


def _show(summary: dict[str, Any], root: Path, gate: Verdict | None) -> None:
    from rich.console import Console

    from pagetune.cli.tables import show_evaluation

    console = Console(highlight=False, soft_wrap=True)
    show_evaluation(console, summary)
    console.print(f"\nreport   {short(root / summary['report'])}", markup=False)
    if gate is not None:
        gate.show(console)


def _judge_files(
    run: Path,
    qrels: Path | None,
    against: Path | None,
    exclude: Path | None,
    markdown: Path | None,
    recipe: str | None,
    overrides: list[str],
    as_json: bool,
) -> None:
    """Judge a run file; no workspace, no model."""
    from pagetune.errors import RecipeError
    from pagetune.evaluation.trec import evaluate_files
    from pagetune.recipe import load_recipe
    from pagetune.workspace import write_atomically

    if qrels is None:
        raise RecipeError([f"--run {run} is judged by nothing; give --qrels FILE"])
    paths, keys, named = sort_arguments(overrides)
    if paths:
        raise RecipeError([f"{str(paths[0])!r} is not of the form section.key=value"])
    found = evaluate_files(run, qrels, against, load_recipe(recipe or named, keys).evaluate, exclude=exclude)
    if markdown is not None:
        write_atomically(markdown, found.to_markdown())
    if as_json:
        print_json(found.to_json())
        return
    _show_files(found)


def _show_files(found: FilesReport) -> None:
    from rich.console import Console
    from rich.table import Table

    heads, *rows = found.rows()
    table = Table(box=None, pad_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(f"\n[bold]{found.verdict}[/bold]")
    for note in found.notes:
        console.print(note, markup=False)
