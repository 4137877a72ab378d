"""What a stage is given to work with: where, by which recipe, and whom to tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pagetune.progress import SILENT, Progress
from pagetune.recipe import Recipe
from pagetune.workspace import Workspace

Summary = dict[str, Any]
"""What came of a stage, as plain values. `content` is the digest of what it made."""


@dataclass(frozen=True, slots=True)
class Context:
    """A workspace, the recipe that holds in it, and where long work reports to."""

    workspace: Workspace
    recipe: Recipe
    progress: Progress = SILENT
    documents: tuple[Path, ...] = ()
    """The files and folders to read."""
    judged: str | None = None
    """What tells the queries, judgements, pages and model that are judged from any others (`changes.judged_stamp`)."""
