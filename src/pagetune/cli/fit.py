"""`pagetune fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pagetune.cli.common import (
    DEFAULT_WORKSPACE,
    DryRunOption,
    JsonOption,
    OverrideArgument,
    QuietOption,
    RecipeOption,
    WorkspaceOption,
    choose_recipe,
    one_line_errors,
    run_stage,
)


@one_line_errors
def fit(
    overrides: OverrideArgument = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    recipe: RecipeOption = None,
    documents: Annotated[
        Path | None,
        typer.Option("--documents", "-d", help="A workspace whose documents to train on, or a folder of documents."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="As model.name=…; with kind=reranker as rerank.name=….")
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Finetune the model, or with kind=reranker a reranker: on the workspace's documents, or on a dataset."""
    read: list[Path] = []
    if documents is not None and (documents / "documents.json").is_file():
        workspace = documents
    elif documents is not None:
        read = [documents]
    keys = list(overrides or [])
    if model is not None:
        # What is trained may be said by the recipe that is given, or by the workspace's own.
        trains = choose_recipe(workspace, recipe, keys).kind
        keys.append(f"{'rerank' if trains == 'reranker' else 'model'}.name={model}")
    run_stage("fit", workspace, recipe, keys, documents=read, dry_run=dry_run, as_json=as_json, quiet=quiet)
