"""Feeding the model: inputs travel as references, and become features in worker processes just before they are used.

A batch of references weighs next to nothing. `Feeder` opens, decodes and preprocesses one mini-batch after the other,
a bounded number ahead of the model, whatever the size of the batch.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from pagetune.errors import DataError
from pagetune.training.preparing import Features, Job, Prepare, Preparer, Reference, Route
from pagetune.training.transfers import Ahead, Stream, move
from pagetune.training.worker import Worker, is_lost

RESTARTS = 3
"""How often the same mini-batch may end its worker before it is given up."""

HELD = 2 << 30
"""Bytes of features that may be under way, whatever a mini-batch takes: they lie in the machine's shared memory."""


class Feeder:
    """Prepares mini-batches in `workers` processes, at most `ahead` of them more than there are workers, and of `held`
    bytes in all, as far as earlier ones foretell; with none, in this process when they are asked for. The processes are
    started at the first need, and end with this one.

    A worker that is killed, or takes longer than `timeout` seconds for a mini-batch, is replaced and asked again. Sent
    to another process of the same program and back (a DataLoader's), a feeder is the one that it was.
    """

    def __init__(
        self, prepare: Prepare, *, workers: int = 1, ahead: int = 2, held: int = HELD, timeout: float = 300.0
    ) -> None:
        self.prepare = prepare
        self.workers = workers if can_fork() else 0
        self.ahead, self.held = ahead, held
        self.timeout = timeout
        self.waited = 0.0
        """Seconds that the model has waited for features."""
        self.bytes_a_token: dict[Route, float] = {}
        """Of features, padding included: the most that was seen."""
        self._workers: list[Worker | None] = [None] * self.workers
        self._changing = threading.RLock()
        self._closed = False
        """A stream that is still open starts no workers then: nobody would end them."""
        self._number = next(_NUMBERS)
        _FEEDERS[self._number] = self

    def stream(self, jobs: Sequence[Job], device: torch.device) -> Stream:
        """The features of each job in order, on the device; workers begin at once. Raises DataError."""
        if not self.workers:
            return _Timed(self, self._here(jobs, device))
        with self._changing:
            self._closed = False
        prepared = _Prepared(self, jobs)
        return _Timed(self, prepared if device.type == "cpu" else Ahead(prepared, device))

    def close(self) -> None:
        """End the workers, and the streams that are still open; the next stream starts new ones."""
        with self._changing:  # A thread that brings mini-batches may be about to replace a worker.
            self._closed = True
            for place, worker in enumerate(self._workers):
                if worker is not None:
                    self._end(place, worker)

    def _here(self, jobs: Sequence[Job], device: torch.device) -> Generator[Features, None, None]:
        for job in jobs:
            yield move(self.prepare(job), device)

    def _begin(self, job: Job, place: int) -> _Begun:
        """Have the worker of that place prepare it, a new one where there is none. Raises _Closed."""
        with self._changing:
            if self._closed:
                raise _Closed
            worker = self._workers[place]
            if worker is not None:
                try:
                    return _Begun(job, place, worker, worker.ask(job))
                except BrokenProcessPool:  # It was killed while it had nothing to do.
                    self._end(place, worker)
            self._workers[place] = worker = Worker(self.prepare)
            return _Begun(job, place, worker, worker.ask(job))

    def _end(self, place: int, worker: Worker) -> None:
        """End a worker, unless another stream has replaced it already."""
        with self._changing:
            if self._workers[place] is worker:
                self._workers[place] = None
                worker.end()

    def __reduce__(self) -> tuple[Callable[[int], Feeder], tuple[int]]:
        return _feeder, (self._number,)

    def __enter__(self) -> Feeder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_NUMBERS = itertools.count()
_FEEDERS: weakref.WeakValueDictionary[int, Feeder] = weakref.WeakValueDictionary()


def _feeder(number: int) -> Feeder:
    return _FEEDERS[number]


@dataclass(frozen=True)
class _Begun:
    """A mini-batch that a worker was asked for, and the worker's place."""

    job: Job
    place: int
    worker: Worker
    future: Future[Features]


class _Closed(Exception):
    """The feeder was closed while a stream was open."""


class _Lost(Exception):
    """A worker has ended without an answer; says why."""


class _Timed(Stream):
    """A stream, and how long the model waits for it."""

    def __init__(self, feeder: Feeder, source: Stream) -> None:
        self._feeder, self._source = feeder, source

    def __next__(self) -> Features:
        began = time.monotonic()
        try:
            return next(self._source)
        finally:
            self._feeder.waited += time.monotonic() - began

    def close(self) -> None:
        self._source.close()


class _Prepared(Stream):
    """Jobs on their way through the workers, each to the next in turn; what they become is on the host."""

    def __init__(self, feeder: Feeder, jobs: Sequence[Job]) -> None:
        self.feeder = feeder
        self.turn = itertools.cycle(range(feeder.workers))
        self.waiting = deque(jobs)
        self.begun: deque[_Begun] = deque()
        self.closed = False
        self._fill()

    def __next__(self) -> Features:
        try:
            begun = self.begun.popleft()
        except IndexError:
            raise StopIteration from None
        try:
            features = self._answer(begun)
        except _Closed:
            self.close()
            raise StopIteration from None
        if not self.closed:
            self._note(begun.job, features)
            with suppress(_Closed):
                self._fill()
        return features

    def close(self) -> None:
        """What workers are at they end, and nobody hears of it; what waits for them is not begun."""
        self.closed = True
        self.waiting.clear()
        with suppress(IndexError):  # A thread may be waiting for one of them, and take it.
            while True:
                self.begun.popleft().future.cancel()

    def _fill(self) -> None:
        feeder = self.feeder
        while self.waiting and len(self.begun) < feeder.workers + feeder.ahead:
            under_way = sum(self._expected(begun.job) for begun in self.begun)
            if self.begun and under_way + self._expected(self.waiting[0]) > feeder.held:
                break
            self.begun.append(feeder._begin(self.waiting.popleft(), next(self.turn)))

    def _expected(self, job: Job) -> float:
        """Bytes; 0 where nothing like it was seen."""
        return self.feeder.bytes_a_token.get(job.route, 0.0) * _tokens(job)

    def _note(self, job: Job, features: Features) -> None:
        found = sum(value.nbytes for value in features.values() if isinstance(value, Tensor)) / _tokens(job)
        self.feeder.bytes_a_token[job.route] = max(found, self.feeder.bytes_a_token.get(job.route, 0.0))

    def _answer(self, begun: _Begun) -> Features:
        """What it has become, of as many workers as it takes."""
        losses = 0
        while True:
            try:
                return self._result(begun)
            except _Lost as lost:
                if self.closed:
                    raise StopIteration from None
                losses += 1
                if losses > RESTARTS:
                    raise self._given_up(begun, f"{lost}, {losses} times now") from lost
            # It alone: what else this worker was asked for waits for its turn, so that none is taken for another. (The
            # answer to one is lost too if the next ends the worker before it was fetched.)
            begun = self.feeder._begin(begun.job, begun.place)

    def _result(self, begun: _Begun) -> Features:
        try:
            return begun.future.result(self.feeder.timeout)
        except (BrokenProcessPool, CancelledError, TimeoutError) as error:
            if not is_lost(begun.future):
                raise  # It is the answer.
            if begun.future.cancelled():  # The worker was ended already, or the stream closed.
                raise _Lost("is killed") from error
            late = isinstance(error, TimeoutError)
            self.feeder._end(begun.place, begun.worker)
            raise _Lost(f"takes longer than {self.feeder.timeout:g} s" if late else "is killed") from error

    def _given_up(self, begun: _Begun, why: str) -> DataError:
        """Names the input that ends a worker by itself; where each goes well alone, all of the mini-batch."""
        self.close()
        references = begun.job.references
        named = ", ".join(reference.told for reference in references)
        for reference in references if len(references) > 1 else ():
            try:
                self._result(self.feeder._begin(Job((reference,), begun.job.route), begun.place))
            except _Lost:
                named = reference.told
                break
        return DataError(
            f"{named}: the process that prepares this {why}; look at it, or whether memory and /dev/shm are full"
        )


def _tokens(job: Job) -> int:
    """Padding included."""
    return max(1, len(job.references) * max(reference.length for reference in job.references))


def can_fork() -> bool:
    """Whether a process may be forked that goes on computing: on macOS it may crash in the system's own libraries."""
    return "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"


def workers_beside(device: torch.device) -> int:
    """Processes to prepare in: beside a GPU a core each, up to eight; beside a model on the CPU one, and the model has
    the other cores."""
    return max(1, min(8, cores() - 1)) if device.type == "cuda" else 1


def cores() -> int:
    """Of this machine, as far as this process may use them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


__all__ = [
    "Features",
    "Feeder",
    "Job",
    "Prepare",
    "Preparer",
    "Reference",
    "Route",
    "Stream",
    "can_fork",
    "cores",
    "move",
    "workers_beside",
]
