"""The process's side of the pipe: progress as JSON lines, and the time that pages took."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from pagetune.progress import Progress, Task
from pagetune.workspace import write_atomically


class PipeProgress:
    """Progress that another process shows."""

    def __init__(self, pipe: TextIO) -> None:
        self.pipe = pipe

    def send(self, **event: Any) -> None:
        """One line. Where nobody listens any more, nothing happens."""
        with suppress(OSError, ValueError):
            self.pipe.write(json.dumps(event) + "\n")
            self.pipe.flush()

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        """A piece of work over there."""
        self.send(task=name, total=total, unit=unit)
        yield _PipeTask(self)
        self.send(end=True)

    def say(self, line: str) -> None:
        """One line over there."""
        self.send(say=line)


class _PipeTask:
    def __init__(self, progress: PipeProgress) -> None:
        self.progress = progress

    def advance(self, steps: int = 1) -> None:
        self.progress.send(advance=steps)

    def expect(self, total: int) -> None:
        self.progress.send(expect=total)


class Meter:
    """Progress that counts how many pages went through in how many seconds, and goes on counting after a kill."""

    def __init__(self, progress: Progress, file: Path) -> None:
        self.progress, self.file = progress, file
        self.pages, self.seconds = 0, 0.0
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(file.read_text(encoding="utf-8"))
            self.pages, self.seconds = int(kept["pages"]), float(kept["seconds"])
        self._since = 0.0

    @property
    def rate(self) -> float | None:
        """Pages a second; None where no page went through."""
        return self.pages / self.seconds if self.pages and self.seconds > 0 else None

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        """A piece of work whose units are pages."""
        self._since = time.monotonic()
        with self.progress.task(name, total, unit) as task:
            yield _MeterTask(self, task)

    def say(self, line: str) -> None:
        """One line."""
        self.progress.say(line)

    def count(self, pages: int) -> None:
        """So many pages took the time since the last call."""
        now = time.monotonic()
        self.pages, self.seconds, self._since = self.pages + pages, self.seconds + now - self._since, now
        write_atomically(self.file, json.dumps({"pages": self.pages, "seconds": self.seconds}))


class _MeterTask:
    def __init__(self, meter: Meter, task: Task) -> None:
        self.meter, self.task = meter, task

    def advance(self, steps: int = 1) -> None:
        self.meter.count(steps)
        self.task.advance(steps)

    def expect(self, total: int) -> None:
        self.task.expect(total)
