"""Pages through a model without gradients, in mini-batches whose size is found on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pagetune.models.encoding import Matrix
from pagetune.models.pictures import forward_pages, split_pages
from pagetune.progress import SILENT, Progress
from pagetune.training.budget import MOST, WORTH
from pagetune.training.feeding import Features, Feeder, Job, Reference, Route
from pagetune.training.memory import forget_frames, free_bytes, is_out_of_memory, release
from pagetune.training.mini_batches import Budget, cut
from pagetune.training.transfers import Fetched

CPU_TOKENS = 8192
"""The most that goes through a model on a CPU together: it does not say what it takes, and more is no faster."""

Made = tuple[Sequence[Reference], list[Matrix]]
"""Pages, and the vectors of each."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A mini-batch that has gone through the model."""

    tokens: int
    seconds: float
    peak_bytes: int
    """Above what was there before; 0 on a CPU."""

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / max(self.seconds, 1e-9)


class Passes:
    """Call it with references to pages: it yields them with their vectors, the longest first.

    Without a `budget` the first pages go through the model in ones, twos, fours … until more at a time are no faster or
    take a quarter of a GPU's free memory: nothing is computed only to be measured. Where memory runs out it goes on
    with half of the budget; `budget` says which it is now.
    """

    def __init__(
        self, model: Any, feeder: Feeder, route: Route, budget: Budget | None = None, progress: Progress = SILENT
    ) -> None:
        self.model, self.feeder, self.route, self.budget = model, feeder, route, budget
        self.progress = progress
        self.settled = budget is not None
        """Whether the budget would be no other with more pages."""
        self._device = model._resolve_inference_device(None)  # Where a device map has left modules to be placed.

    def __call__(self, references: Sequence[Reference]) -> Iterator[Made]:
        """Raises DataError that names the page which cannot be opened, and what the device raises where one page alone
        is too much for it."""
        self.model.eval()
        waiting = sorted(references, key=lambda reference: -reference.length)
        if self.budget is None:
            waiting = yield from self._growing(waiting)
        while waiting:
            waiting = yield from self._streaming(waiting)

    def _growing(self, waiting: list[Reference]) -> Generator[Made, None, list[Reference]]:
        """Ones, twos, fours …; then the budget is known. Returns what is left."""
        free, best, since = free_bytes(self._device), Pace(waiting[0].length, 0.0, 0), 0
        items, warm = 1, False
        while waiting and since < 2 and items <= MOST and self._allows(items, waiting[0]):
            group = waiting[:items]
            try:
                made, pace = self._timed(group)
            except Exception as error:
                if items == 1 or not is_out_of_memory(error):
                    raise
                self._forget(error)
                break
            waiting = waiting[items:]
            yield group, made
            if not warm:  # The first of everything is slower.
                warm = True
                continue
            faster = not best.seconds or pace.speed > WORTH * best.speed
            best, since = (pace, 0) if faster else (best, since + 1)
            if pace.peak_bytes > free / 4:
                break
            items *= 2
        self.budget = Budget(tokens=best.tokens)
        self.settled = bool(waiting)  # Else it ended for want of pages.
        return waiting

    def _allows(self, items: int, longest: Reference) -> bool:
        return items == 1 or self._device.type == "cuda" or items * longest.length <= CPU_TOKENS

    def _timed(self, group: list[Reference]) -> tuple[list[Matrix], Pace]:
        cuda = self._device.type == "cuda"
        features = next(self.feeder.stream([self._job(group)], self._device))
        before = 0
        if cuda:
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            before = torch.cuda.memory_allocated(self._device)
        began = time.perf_counter()
        made = self._begun(features)()  # On the host: the device has ended.
        seconds = time.perf_counter() - began
        peak = torch.cuda.max_memory_allocated(self._device) - before if cuda else 0
        return made, Pace(len(group) * group[0].length, seconds, peak)

    def _streaming(self, waiting: list[Reference]) -> Generator[Made, None, list[Reference]]:
        """Within the budget, until memory runs out; returns what is left then."""
        assert self.budget is not None
        lengths = [reference.length for reference in waiting]
        groups = [[waiting[place] for place in group] for group in self._cut(lengths)]
        stream = self.feeder.stream([self._job(group) for group in groups], self._device)
        done = 0
        ahead: tuple[list[Reference], Callable[[], list[Matrix]]] | None = None
        broke: Exception | None = None
        try:
            for group in groups:
                try:
                    begun = self._begun(next(stream))
                except Exception as error:
                    broke = error
                # A GPU is at this one while what it made of the last is taken from the host, where it is by now.
                if ahead is not None:
                    yield ahead[0], ahead[1]()
                if broke is not None:
                    self._give_way(group, broke)
                    break
                ahead = group, begun
                done += len(group)
            else:
                assert ahead is not None
                yield ahead[0], ahead[1]()
        finally:
            stream.close()
        return waiting[done:]

    def _begun(self, features: Features) -> Callable[[], list[Matrix]]:
        """Pages on their way through the model and back to the host; the result waits for them."""
        fetched = Fetched(forward_pages(self.model, features))
        return lambda: split_pages(*fetched.here())

    def _cut(self, lengths: list[int]) -> list[list[int]]:
        assert self.budget is not None
        return cut(lengths, [0] * len(lengths), self.budget, in_order=True)

    def _job(self, group: Sequence[Reference]) -> Job:
        return Job(tuple(group), self.route)

    def _give_way(self, group: Sequence[Reference], error: Exception) -> None:
        """Half the budget where memory ran out and there are several pages to halve; else the error."""
        assert self.budget is not None
        lengths = [reference.length for reference in group]
        smaller = self.budget.halved(lengths, [range(len(group))], 0)
        if smaller is None or not is_out_of_memory(error):
            raise error
        self.budget = smaller
        self._forget(error)
        size = f"{smaller.tokens:,} tokens" if smaller.tokens else f"{smaller.items} pages"
        self.progress.say(f"encode: out of memory with {len(group)} pages together; on with {size}")

    def _forget(self, error: Exception) -> None:
        forget_frames(error)
        release(self._device)
