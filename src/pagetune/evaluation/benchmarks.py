"""What to load for an evaluation set by name; the names are those of `examples.published`."""

from __future__ import annotations

from pathlib import Path

from pagetune.examples.published import PUBLISHED, PublishedSet, resolve
from pagetune.recipe import DatasetRecipe

__all__ = ["PUBLISHED", "PublishedSet", "evaluation_set", "name_of"]


def evaluation_set(
    source: str, *, max_queries: int | None = None, columns: dict[str, str] | None = None
) -> DatasetRecipe:
    """What to load for a short name, or for a source of one's own (a Hub id, a file or a folder), as it is.

    Raises DataError for a name that begins as a short one does and is none.
    """
    return resolve(DatasetRecipe(eval=source, max_eval_queries=max_queries, columns=columns or {}))


def name_of(source: str) -> str:
    """A dataset for others to read: of a path the last part."""
    path = Path(source)
    return path.name if path.is_absolute() or path.exists() else source
