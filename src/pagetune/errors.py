"""Everything that Pagetune raises on purpose.

    PagetuneError
    ├── RecipeError       a key or value of the recipe is not of the schema (lists every one)
    ├── WorkspaceError    the workspace is locked, of another version, or lacks a stage's output
    ├── ReadingError      a document cannot be read at all
    │   └── DocumentRefused   one file, with its reason; the rest goes on
    ├── DataError         queries, judgements or examples that do not fit together
    │   └── LeakageError  the same page or query stands on both sides of the split
    ├── ModelError        a model that cannot be loaded, or cannot take this input
    │   └── ParityError   a saved model answers otherwise than the trained one
    ├── MissingExtra      a library that an extra would have installed is not there
    └── SearchError       an index that is missing, or does not fit the model

Each message is one line: what was wrong, the value received, and what to do.
"""

from __future__ import annotations

from typing import Any


class PagetuneError(Exception):
    """The root of the tree: catch this to catch all of Pagetune's own errors."""


class RecipeError(PagetuneError):
    """The recipe does not fit its schema; `problems` holds a line for each fault."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class WorkspaceError(PagetuneError):
    """The workspace is locked, of another version, or lacks what a stage needs."""


class ReadingError(PagetuneError):
    """Nothing could be read."""


class DocumentRefused(ReadingError):
    """One document could not be read; the message is the reason."""


class DataError(PagetuneError):
    """Queries, judgements or examples do not fit together."""


class LeakageError(DataError):
    """A page or a query stands on both sides of the split."""


class ModelError(PagetuneError):
    """A model cannot be loaded, or cannot take the input it was given."""


class ParityError(ModelError):
    """A model does not answer as it did when it was trained.

    `step` is where (merged, saved, plain or index), `causes` the names of what explains it, `figures` how far it is.
    """

    def __init__(self, message: str, step: str, causes: tuple[str, ...], figures: dict[str, Any]) -> None:
        self.step = step
        self.causes = causes
        self.figures = figures
        super().__init__(message)


class MissingExtra(PagetuneError):
    """A library of an extra is missing; the message names the exact install command."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}, which is not installed: pip install 'pagetune[{extra}]'")


class SearchError(PagetuneError):
    """The index is missing or does not fit the model."""
