"""Feeding the model: inputs travel as references, and become features in worker processes just before they are used.

A batch of references weighs next to nothing. `Feeder` opens, decodes and preprocesses one mini-batch after the other,
a bounded number ahead of the model, whatever the size of the batch.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pagetune.errors import DataError
from pagetune.training.preparing import Features, Job, Prepare, Preparer, Reference, Route
from pagetune.training.worker import Worker, is_lost

RESTARTS = 3
"""How often the same mini-batch may end its worker before it is given up."""


class Stream(Iterator[Features], Protocol):
    """The features of one mini-batch after the other; `close` it where the rest is no longer wanted."""

    def close(self) -> None:
        """Nothing more is prepared."""


class Feeder:
    """Prepares mini-batches in `workers` processes, at most `ahead` of them more than there are workers; with none, in
    this process when they are asked for. The processes are started at the first need, and end with this one.

    A worker that is killed, or takes longer than `timeout` seconds for a mini-batch, is replaced and asked again. Sent
    to another process of the same program and back (a DataLoader's), a feeder is the one that it was.
    """

    def __init__(self, prepare: Prepare, *, workers: int = 1, ahead: int = 2, timeout: float = 300.0) -> None:
        self.prepare = prepare
        self.workers = workers if "fork" in multiprocessing.get_all_start_methods() else 0
        self.ahead = ahead
        self.timeout = timeout
        self.waited = 0.0
        """Seconds that the model has waited for features."""
        self._workers: list[Worker | None] = [None] * self.workers
        self._number = next(_NUMBERS)
        _FEEDERS[self._number] = self

    def stream(self, jobs: Sequence[Job], device: torch.device) -> Stream:
        """The features of each job in order, on the device; workers begin at once. Raises DataError."""
        return _Stream(self, jobs, device) if self.workers else self._here(jobs, device)

    def close(self) -> None:
        """End the workers."""
        for place, worker in enumerate(self._workers):
            if worker is not None:
                self._end(place, worker)

    def _here(self, jobs: Sequence[Job], device: torch.device) -> Generator[Features, None, None]:
        for job in jobs:
            began = time.monotonic()
            features = move(self.prepare(job), device)
            self.waited += time.monotonic() - began
            yield features

    def _begin(self, job: Job, place: int) -> _Begun:
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


class _Lost(Exception):
    """A worker has ended without an answer; says why."""


class _Stream(Stream):
    """Jobs on their way through the workers, each to the next in turn."""

    def __init__(self, feeder: Feeder, jobs: Sequence[Job], device: torch.device) -> None:
        self.feeder, self.device = feeder, device
        self.turn = itertools.cycle(range(feeder.workers))
        self.waiting = deque(jobs)
        self.begun: deque[_Begun] = deque()
        self._fill()

    def __next__(self) -> Features:
        if not self.begun:
            raise StopIteration
        began = time.monotonic()
        features = self._first()
        self.begun.popleft()
        self._fill()
        moved = move(features, self.device)
        self.feeder.waited += time.monotonic() - began
        return moved

    def close(self) -> None:
        """What workers are at they end, and nobody hears of it."""
        self.waiting.clear()
        self.begun.clear()

    def _fill(self) -> None:
        while self.waiting and len(self.begun) < self.feeder.workers + self.feeder.ahead:
            self.begun.append(self.feeder._begin(self.waiting.popleft(), next(self.turn)))

    def _first(self) -> Features:
        """What the first of those on their way has become."""
        losses = 0
        while True:
            begun = self.begun[0]
            try:
                return self._result(begun)
            except _Lost as lost:
                losses += 1
                if losses > RESTARTS:
                    raise self._given_up(begun, f"{lost}, {losses} times now") from lost
            # It alone: what else this worker was asked for waits for its turn, so that none is taken for another. (The
            # answer to one is lost too if the next ends the worker before it was fetched.)
            self.begun[0] = self.feeder._begin(begun.job, begun.place)

    def _result(self, begun: _Begun) -> Features:
        try:
            return begun.future.result(self.feeder.timeout)
        except (BrokenProcessPool, CancelledError, TimeoutError) as error:
            if not is_lost(begun.future):
                raise  # It is the answer.
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


def workers_beside(device: torch.device) -> int:
    """Processes to prepare in: beside a GPU a core each, up to eight; beside a model on the CPU one, and the model has
    the other cores."""
    return max(1, min(8, cores() - 1)) if device.type == "cuda" else 1


def cores() -> int:
    """Of this machine, as far as this process may use them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def move(features: Features, device: torch.device) -> Features:
    """The same features on the device; from pinned memory, without waiting for the copy, where it is a GPU."""
    cuda = device.type == "cuda"

    def moved(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.pin_memory().to(device, non_blocking=True) if cuda else value.to(device)

    return {name: moved(value) for name, value in features.items()}


__all__ = [
    "Features",
    "Feeder",
    "Job",
    "Prepare",
    "Preparer",
    "Reference",
    "Route",
    "Stream",
    "cores",
    "move",
    "workers_beside",
]
