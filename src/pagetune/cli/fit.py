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
    named = "rerank.name" if "kind=reranker" in (overrides or []) else "model.name"
    keys = [*(overrides or []), *([f"{named}={model}"] if model else [])]
    run_stage("fit", workspace, recipe, keys, documents=read, dry_run=dry_run, as_json=as_json, quiet=quiet)
