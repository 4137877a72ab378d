"""`pagetune grid`: what fewer dimensions and bits would cost the tuned model, and save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pagetune.cli.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    OverrideArgument,
    QuietOption,
    WorkspaceOption,
    make_pipeline,
    one_line_errors,
    print_json,
)

if TYPE_CHECKING:
    from rich.table import Table

    from pagetune.evaluation.grid import DeploymentGrid


WHOLE = 200
"""Letters of a line where output is a file."""


@one_line_errors
def grid(
    overrides: OverrideArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    budget_bytes: Annotated[
        float | None, typer.Option("--budget-bytes", min=1, metavar="N", help="Bytes that a page's vectors may take.")
    ] = None,
    budget_ms: Annotated[
        float | None, typer.Option("--budget-ms", min=0, metavar="N", help="Milliseconds that a search may take.")
    ] = None,
    pool: Annotated[
        list[int] | None,
        typer.Option(
            "--pool", min=2, metavar="N", help="Late interaction: keep one token vector of N too. Repeatable."
        ),
    ] = None,
    rerank_depth: Annotated[
        list[int] | None,
        typer.Option(
            "--rerank-depth", min=1, metavar="N", help="Rerank the first N pages of every setting too. Repeatable."
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Judge the tuned model at every dimension, precision and rescoring, and say what to deploy."""
    from pagetune.deployment import POOLINGS, judge_deployment
    from pagetune.evaluation.grid_report import recommend, to_json, write_grid
    from pagetune.machine import describe_machine
    from pagetune.story import write_with_grid

    pipeline = make_pipeline(workspace, None, overrides, quiet=quiet)
    pipeline.workspace.open()
    with pipeline.workspace.lock():
        found = judge_deployment(pipeline.context, pool or POOLINGS, rerank_depth or ())
        advice = recommend(found, budget_bytes=budget_bytes, budget_ms=budget_ms)
        folder = pipeline.workspace.runs / "grid"
        judged = pipeline.judged()
        about = {"machine": describe_machine(), "judged": judged}
        write_grid(found, advice, folder, about)
    report = write_with_grid(pipeline.workspace, judged, pipeline.progress)
    if as_json:
        print_json(to_json(found, advice, about))
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, soft_wrap=True, width=WHOLE)
    console.print(front_table(found))
    console.print(f"\n[bold]{escape(advice.sentence)}[/bold]")
    console.print(f"\ngrid   {folder / 'grid.md'}", markup=False)
    if report is not None:
        console.print(f"report {report}", markup=False)


def front_table(found: DeploymentGrid) -> Table:
    """The reference, the settings that none beats in both NDCG@10 and bytes, the largest first, and of those that none
    beats in NDCG@10 and time the ones that are reranked."""
    from rich.table import Table

    from pagetune.evaluation.grid_report import size_of
    from pagetune.evaluation.metrics import GAIN

    main = f"NDCG@10\n({GAIN} gain)"
    table = Table("setting", main, "interval", "bytes/page", "1M pages", "ms/query", box=None, pad_edge=False)
    best = [cell for cell in reversed(found.front()) if cell != found.reference]
    reranked = [cell for cell in found.front("ms_per_query") if cell.setting.reranked]
    for cell in (found.reference, *best, *reranked):
        low, high = cell.interval
        size, ms = f"{cell.bytes_per_page:,.0f}", f"{cell.ms_per_query:.3g}"
        row = (f"{cell.ndcg:.3f}", f"{low:.3f}–{high:.3f}", size, size_of(cell.bytes_at_a_million), ms)
        table.add_row(cell.setting.name, *row)
    return table
