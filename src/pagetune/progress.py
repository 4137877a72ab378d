"""How long work says where it is: one small protocol, silent unless the caller brings a console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One piece of work that is under way."""

    def advance(self, steps: int = 1) -> None:
        """So many more units are done."""

    def expect(self, total: int) -> None:
        """The number of units, once it is known."""


class Progress(Protocol):
    """Where long work reports to."""

    def task(self, name: str, total: int | None, unit: str) -> AbstractContextManager[Task]:
        """Begin a piece of work of `total` units (None: not known yet)."""

    def say(self, line: str) -> None:
        """One line that the user should read."""


class _SilentTask:
    def advance(self, steps: int = 1) -> None:
        pass

    def expect(self, total: int) -> None:
        pass


class Silent:
    """Says nothing."""

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        yield _SilentTask()

    def say(self, line: str) -> None:
        pass


SILENT = Silent()
