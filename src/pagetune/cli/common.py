"""What the verbs share: their common options, the split of arguments, errors as one line."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

if TYPE_CHECKING:
    from pagetune.pipeline import Pipeline
    from pagetune.recipe import Recipe

P = ParamSpec("P")
R = TypeVar("R")

WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", help="The folder that everything is kept in.", show_default=True)
]
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", "-r", help="A YAML file, or the name of a recipe inside Pagetune.")
]
OverrideArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Overrides of the recipe, such as fit.epochs=2.", show_default=False),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done or redone and why, and do nothing.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]

DEFAULT_WORKSPACE = Path("ws")
UNREAD = "unread"
"""The key of a summary that holds what `pagetune.pages.unread.group_unread` made."""
LONG_LIST = 5
"""Of a longer list the screen shows the beginning, of records nothing; --json has all."""


def one_line_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Pagetune's own errors become one line on standard error and exit code 1; Ctrl-C says how to go on."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from pagetune.errors import PagetuneError, RecipeError

        try:
            return function(*args, **kwargs)
        except RecipeError as error:
            for problem in error.problems:
                typer.echo(f"error: {problem}", err=True)
            raise typer.Exit(2) from None
        except PagetuneError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None
        except BrokenPipeError:
            # The reader of our output went away (`| head`): that is its right.
            sys.stderr.close()
            raise typer.Exit(0) from None
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            where = f": {error.filename}" if error.filename else ""
            typer.echo(f"error: {error.strerror}{where}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("stopped; the same command goes on from here", err=True)
            raise typer.Exit(130) from None

    return wrapped


def sort_arguments(arguments: Sequence[str]) -> tuple[list[Path], list[str], str | None]:
    """Part paths from `key=value` overrides; `recipe=NAME` names the recipe. A path that exists is a path."""
    paths: list[Path] = []
    overrides: list[str] = []
    recipe: str | None = None
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or Path(argument).exists():
            paths.append(Path(argument))
        elif key == "recipe":
            recipe = value
        else:
            overrides.append(argument)
    return paths, overrides, recipe


def make_pipeline(
    workspace: Path,
    recipe: str | None,
    overrides: Sequence[str] | None,
    documents: Sequence[Path] = (),
    quiet: bool = False,
) -> Pipeline:
    """The pipeline of a workspace, with the recipe that holds for it."""
    from pagetune.cli.console import make_progress
    from pagetune.machine import keep_freed_memory
    from pagetune.pipeline import Pipeline

    chosen = choose_recipe(workspace, recipe, overrides)
    keep_freed_memory()
    return Pipeline(workspace, chosen, documents=documents, progress=make_progress(quiet))


def choose_recipe(workspace: Path, recipe: str | None, overrides: Sequence[str] | None) -> Recipe:
    """The given recipe, else the workspace's own where it has one, then the overrides. Raises RecipeError."""
    from pagetune.errors import RecipeError
    from pagetune.recipe import load_recipe

    paths, keys, named = sort_arguments(overrides or [])
    if paths:
        raise RecipeError([f"{str(paths[0])!r} is not of the form section.key=value"])
    source: str | Path | None = recipe or named
    saved = workspace / "recipe.yaml"
    if source is None and saved.exists():
        source = saved
    return load_recipe(source, keys)


def run_stage(
    stage: str,
    workspace: Path,
    recipe: str | None,
    overrides: Sequence[str] | None,
    *,
    documents: Sequence[Path] = (),
    dry_run: bool = False,
    as_json: bool = False,
    quiet: bool = False,
) -> None:
    """Run one stage and what it needs, and print what it has to say."""
    from pagetune.pipeline import trained_by

    pipeline = make_pipeline(workspace, recipe, overrides, documents, quiet)
    stage = trained_by(stage, pipeline.recipe)
    if dry_run:
        print_plan(pipeline.plan(until=stage), as_json)
        return
    summary = pipeline.run(until=stage)[stage]
    if as_json:
        print_json(summary)
        return
    for key, value in summary.items():
        if key == UNREAD:
            for line in unread_lines(summary):
                typer.echo(f"{key}: {line}")
        elif not (isinstance(value, list | tuple) and len(value) > LONG_LIST):
            typer.echo(f"{key}: {_plain(value)}")
        elif not isinstance(value[0], dict):
            typer.echo(f"{key}: {_plain(value[:LONG_LIST])} and {len(value) - LONG_LIST} more (all with --json)")


def unread_lines(summary: Mapping[str, Any]) -> list[str]:
    """The pages that were not read, or not wholly, in a line for each reason; `summary`: that of the stage `read`."""
    from pagetune.pages.unread import unread_line

    return [unread_line(entry) for entry in summary.get(UNREAD, ())]


def print_plan(plan: Sequence[Any], as_json: bool = False) -> None:
    """The dry run's table: what each stage would do, and why."""
    if as_json:
        from dataclasses import asdict

        print_json([asdict(step) for step in plan])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("stage", "would", "because", box=None, pad_edge=False)
    for step in plan:
        table.add_row(step.stage, step.action, step.reason)
    Console(highlight=False, soft_wrap=True).print(table)


def short(path: Path) -> Path:
    """The path as seen from here, where it lies below."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    import json

    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        said = {key: inner for key, inner in value.items() if inner is not None}
        return ", ".join(f"{key} {_grouped(inner)}" for key, inner in said.items()) or "none"
    if isinstance(value, list | tuple):
        return ("; " if isinstance(next(iter(value), None), dict) else ", ").join(map(_plain, value)) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _grouped(value: Any) -> str:
    """In brackets what would run into its neighbours."""
    return f"({_plain(value)})" if isinstance(value, dict | list | tuple) and len(value) > 1 else _plain(value)
