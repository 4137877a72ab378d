"""What the user sees while work goes on: a bar on a terminal, a line now and then where output is a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from pagetune.progress import Progress, Task

LINE_EVERY = 10.0
"""Seconds between two lines about the same work where there is no terminal."""


def make_progress(quiet: bool = False) -> Progress:
    """Bars on a terminal, lines elsewhere, nothing when `quiet`. Everything goes to standard error."""
    from rich.console import Console

    from pagetune.progress import SILENT

    if quiet:
        return SILENT
    console = Console(stderr=True, highlight=False)
    return BarProgress(console) if console.is_terminal else LineProgress(console)


class BarProgress:
    """A bar with the rate and the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        """One bar, which goes when the work is done and leaves a line."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("[bold]{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}, {task.fields[rate]}/s"),
            TimeRemainingColumn(),
        )
        begun = time.monotonic()
        with Progress(*columns, console=self.console, transient=True) as bars:
            task = _Bar(bars, bars.add_task(name, total=total, unit=unit, rate="–"))
            yield task
        if task.done:  # Else it was all there from before.
            self.console.print(_done(name, task.done, unit, time.monotonic() - begun))

    def say(self, line: str) -> None:
        """One line above the bars."""
        self.console.print(line, markup=False)


class _Bar:
    def __init__(self, bars: Bars, task: TaskID) -> None:
        self.bars = bars
        self.id = task
        self.done = 0
        self.begun = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        rate = self.done / max(time.monotonic() - self.begun, 1e-3)
        self.bars.update(self.id, advance=steps, rate=f"{rate:.3g}")

    def expect(self, total: int) -> None:
        self.bars.update(self.id, total=total)


class LineProgress:
    """A line every LINE_EVERY seconds: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        """Lines while the work goes on, and one when it is done."""
        begun = time.monotonic()
        task = _Lines(self.console, name, total, unit)
        yield task
        if task.done:  # Else it was all there from before.
            self.console.print(_done(name, task.done, unit, time.monotonic() - begun))

    def say(self, line: str) -> None:
        """One line."""
        self.console.print(line, markup=False, soft_wrap=True)


class _Lines:
    def __init__(self, console: Console, name: str, total: int | None, unit: str) -> None:
        self.console, self.name, self.total, self.unit = console, name, total, unit
        self.done = 0
        self.begun = self.said = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        now = time.monotonic()
        if now - self.said < LINE_EVERY:
            return
        self.said = now
        rate = self.done / max(now - self.begun, 1e-3)
        left = f", {_clock((self.total - self.done) / rate)} left" if self.total and rate else ""
        of = f"/{self.total}" if self.total else ""
        self.console.print(f"  {self.name}: {self.done}{of} {self.unit}, {rate:.3g}/s{left}")

    def expect(self, total: int) -> None:
        self.total = total


def _done(name: str, done: int, unit: str, seconds: float) -> str:
    rate = f", {done / seconds:.3g}/s" if seconds > 0.5 else ""
    return f"  {name}: {done} {unit} in {_clock(seconds)}{rate}"


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
