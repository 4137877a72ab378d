"""Feeding the model: inputs travel as references, and become features in worker processes just before they are used.

A batch of references weighs next to nothing. `Feeder` opens, decodes and preprocesses one mini-batch after the other,
a bounded number ahead of the model, whatever the size of the batch.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pagetune.errors import DataError

Features = dict[str, Any]

RESTARTS = 3
"""How often the same mini-batch may end its worker."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an input is, not what it holds.

    `place` is a text, a path, encoded bytes, or whatever else the feeder's `load` opens; `key` is equal for equal
    content; `name` says to a person which it is, such as "row 12, image".
    """

    place: Any
    key: str
    length: int
    """Tokens that the model will see."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """How inputs are preprocessed: those of one route may share a mini-batch."""

    task: str | None = None
    prompt: str | None = None
    pictures: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One mini-batch to prepare."""

    references: tuple[Reference, ...]
    route: Route


Prepare = Callable[[Job], Features]


@dataclass(frozen=True)
class Preparer:
    """From references to the features of a mini-batch: `load` opens a place, `preprocess` is the model's own."""

    preprocess: Callable[..., Features]
    load: Callable[[Any], Any]

    def __call__(self, job: Job) -> Features:
        """The features, on the host. Raises DataError that names the row which cannot be opened."""
        inputs = [self._open(reference) for reference in job.references] if job.route.pictures else self._texts(job)
        features = dict(self.preprocess(inputs, prompt=job.route.prompt, task=job.route.task))
        if job.route.task is not None:
            features["task"] = job.route.task
        return features

    def _texts(self, job: Job) -> list[Any]:
        return [reference.place for reference in job.references]

    def _open(self, reference: Reference) -> Any:
        try:
            return self.load(reference.place)
        except DataError:
            raise
        except Exception as error:
            line = " ".join(str(error).split())[:200]
            raise DataError(
                f"{reference.name or reference.key}: {type(error).__name__}: {line}; mend or remove it"
            ) from (error)


class Feeder:
    """Prepares mini-batches in `workers` processes, at most `ahead` of them more than there are workers; with none, in
    this process when they are asked for. The processes are started at the first need, and end with this one."""

    def __init__(self, prepare: Prepare, *, workers: int = 1, ahead: int = 2, timeout: float = 300.0) -> None:
        self.prepare = prepare
        self.workers = workers if "fork" in multiprocessing.get_all_start_methods() else 0
        self.ahead = ahead
        self.timeout = timeout
        self.waited = 0.0
        """Seconds that the model has waited for features."""
        self._pool: ProcessPoolExecutor | None = None

    def stream(self, jobs: Sequence[Job], device: torch.device) -> Iterator[Features]:
        """The features of each job in order, on the device; workers begin at once. Raises DataError."""
        if not self.workers:
            return self._here(jobs, device)
        return _Stream(self, jobs, device)

    def _here(self, jobs: Sequence[Job], device: torch.device) -> Iterator[Features]:
        for job in jobs:
            began = time.monotonic()
            features = move(self.prepare(job), device)
            self.waited += time.monotonic() - began
            yield features

    def submit(self, job: Job) -> Future[Features]:
        """Have a worker prepare it."""
        if self._pool is None:
            # By fork, the workers have the processor and the dataset without copying them; no weight is touched there.
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=torch.multiprocessing.get_context("fork"),
                initializer=_begin,
                initargs=(self.prepare, os.getpid()),
            )
        return self._pool.submit(_prepare, job)

    def restart(self) -> None:
        """End the workers; new ones start at the next need."""
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """End the workers."""
        self.restart()

    def __enter__(self) -> Feeder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Stream(Iterator[Features]):
    """Jobs on their way through the workers."""

    def __init__(self, feeder: Feeder, jobs: Sequence[Job], device: torch.device) -> None:
        self.feeder, self.device = feeder, device
        self.waiting = deque(jobs)
        self.begun: deque[tuple[Job, Future[Features]]] = deque()
        self.restarts = 0
        with suppress(BrokenProcessPool):
            self._submit()

    def __next__(self) -> Features:
        began = time.monotonic()
        while True:
            try:
                self._submit()
                if not self.begun:
                    raise StopIteration
                features = self.begun[0][1].result(timeout=self.feeder.timeout)
                break
            except (BrokenProcessPool, TimeoutError) as error:
                self._again(error)
        self.begun.popleft()
        self.restarts = 0
        with suppress(BrokenProcessPool):
            self._submit()
        moved = move(features, self.device)
        self.feeder.waited += time.monotonic() - began
        return moved

    def _submit(self) -> None:
        while self.waiting and len(self.begun) < self.feeder.workers + self.feeder.ahead:
            job = self.waiting[0]
            self.begun.append((job, self.feeder.submit(job)))
            self.waiting.popleft()

    def _again(self, error: Exception) -> None:
        """New workers for everything that was on its way."""
        self.restarts += 1
        self.waiting.extendleft(job for job, _ in reversed(self.begun))
        self.begun.clear()
        self.feeder.restart()
        if self.restarts > RESTARTS:
            job = self.waiting[0]
            named = ", ".join(reference.name or reference.key for reference in job.references[:3])
            why = f"took longer than {self.feeder.timeout:.0f} s" if isinstance(error, TimeoutError) else "was killed"
            raise DataError(
                f"{named}: the process that prepares them {why}, {self.restarts} times; look at these inputs, or "
                "whether memory and /dev/shm are full"
            ) from error


_PREPARE: Prepare | None = None


def _begin(prepare: Prepare, parent: int) -> None:
    global _PREPARE
    _PREPARE = prepare
    torch.set_num_threads(1)
    with suppress(OSError):
        os.nice(5)  # The model's own threads wait for each other: one that is held up holds up all.
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(1)


def _prepare(job: Job) -> Features:
    assert _PREPARE is not None
    return _PREPARE(job)


def move(features: Features, device: torch.device) -> Features:
    """The same features on the device; from pinned memory, without waiting for the copy, where it is a GPU."""
    cuda = device.type == "cuda"

    def moved(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.pin_memory().to(device, non_blocking=True) if cuda else value.to(device)

    return {name: moved(value) for name, value in features.items()}
