"""`pagetune data`: datasets of page images, looked at and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pagetune.cli.common import (
    JsonOption,
    OverrideArgument,
    RecipeOption,
    one_line_errors,
    print_json,
    sort_arguments,
)

if TYPE_CHECKING:
    from pagetune.examples.visual import ImageEvalSet, ImageTrainSet
    from pagetune.recipe import Recipe

data = typer.Typer(name="data", help="Datasets of page images: check them, write them.", no_args_is_help=True)

PatchOption = Annotated[
    int, typer.Option("--patch", min=1, help="Pixels of the side of the square that becomes one token.")
]


@data.command()
@one_line_errors
def check(
    overrides: OverrideArgument = None,
    recipe: RecipeOption = None,
    sheet: Annotated[
        Path, typer.Option("--sheet", metavar="FILE", help="Where the contact sheet of examples is written (PNG).")
    ] = Path("contact-sheet.png"),
    count: Annotated[
        int, typer.Option("--examples", "-n", min=0, help="Examples of each set on the sheet; 0: no sheet.")
    ] = 5,
    patch: PatchOption = 32,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where a query or an answer stands on both sides.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Counts, sizes, tokens, duplicates and leakage of dataset.train and dataset.eval, and a sheet of examples."""
    from pagetune.examples.check import MAX_PIXELS, MIN_PIXELS, check_sets, leaks, report_lines
    from pagetune.examples.contact_sheet import sheet_rows, write_sheet

    settings = _recipe(recipe, overrides)
    train, evaluation = _sets(settings)
    asked = settings.model.max_pixels
    low, high = settings.model.min_pixels or MIN_PIXELS, asked if isinstance(asked, int) else MAX_PIXELS
    report = check_sets(train, evaluation, patch, min(low, high), high)
    if count:
        write_sheet(sheet_rows(train, evaluation, count), sheet)
        report["sheet"] = str(sheet)
    if as_json:
        print_json(report)
    else:
        for line in report_lines(report):
            typer.echo(line)
        if count:
            typer.echo(f"examples: {sheet}")
    if strict and leaks(report):
        raise typer.Exit(1)


@data.command()
@one_line_errors
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder to write into.", show_default=False)],
    overrides: OverrideArgument = None,
    recipe: RecipeOption = None,
    form: Annotated[
        Literal["all", "triplets", "beir"],
        typer.Option(help="Rows of query, image and negatives; corpus, queries and qrels; or both."),
    ] = "all",
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            "-w",
            help="Of this workspace: its recipe, unless one is given, and what was decided in its reviews.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write dataset.train and dataset.eval as parquet with a dataset card, ready for the Hub.

    With a workspace, the judgements of dataset.eval are written as pagetune review left them, each decision with who,
    when and over which models (the columns by, at and models).
    """
    from dataclasses import replace

    from pagetune.examples.check import check_sets
    from pagetune.examples.export import export_sets
    from pagetune.reviews import judge_again, judged_by
    from pagetune.workspace import Workspace

    opened = Workspace(workspace).open() if workspace is not None else None
    train, evaluation = _sets(_recipe(recipe, overrides, opened.recipe_file if opened is not None else None))
    decided = {}
    if opened is not None and evaluation is not None:
        about = opened, evaluation.qrels, evaluation.queries, evaluation.page_ids
        decided = judged_by(*about)
        evaluation = replace(evaluation, qrels=judge_again(*about)[0])
    written = export_sets(train, evaluation, folder, form, check_sets(train, evaluation), decided)
    if as_json:
        print_json({"folder": str(folder), "files": [str(path) for path in written], "decided": len(decided)})
        return
    for path in written:
        typer.echo(f"wrote {folder / path}")
    if decided:
        typer.echo(f"{len(decided)} judgements were decided in the reviews of {workspace}")


def _recipe(recipe: str | None, overrides: list[str] | None, saved: Path | None = None) -> Recipe:
    from pagetune.errors import RecipeError
    from pagetune.recipe import load_recipe

    paths, keys, named = sort_arguments(overrides or [])
    if paths:
        raise RecipeError([f"{str(paths[0])!r} is not of the form section.key=value"])
    source: str | Path | None = recipe or named
    if source is None and saved is not None and saved.exists():
        source = saved
    return load_recipe(source, keys)


def _sets(settings: Recipe) -> tuple[ImageTrainSet | None, ImageEvalSet | None]:
    from pagetune.errors import DataError
    from pagetune.examples.loading import load_eval_set, load_train_set

    wanted = settings.dataset
    if wanted.train is None and wanted.eval is None:
        raise DataError("there is no dataset: set dataset.train or dataset.eval to a Hub id, a file or a folder")
    train = load_train_set(wanted) if wanted.train is not None else None
    return train, load_eval_set(wanted) if wanted.eval is not None else None
