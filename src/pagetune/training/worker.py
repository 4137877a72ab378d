"""One process that prepares mini-batches: forked, replaced when it is killed, and ended with its parent."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress

import torch

from pagetune.machine import trim_memory
from pagetune.training.preparing import Features, Job, Prepare


class Worker:
    """A pool of one process: where it breaks it is known what it was doing, and the other workers go on."""

    def __init__(self, prepare: Prepare) -> None:
        # By fork, it has the processor and the dataset without copying them; no weight is touched there.
        self._pool = ProcessPoolExecutor(
            1,
            mp_context=torch.multiprocessing.get_context("fork"),
            initializer=_begin,
            initargs=(prepare, os.getpid()),
        )
        with _forking():
            self._pool.submit(os.getpid)  # Forked now.

    def ask(self, job: Job) -> Future[Features]:
        """Have it prepare a mini-batch, after those that it was asked for before. Raises BrokenProcessPool."""
        return self._pool.submit(_prepare, job)

    def end(self) -> None:
        """At once, whatever it is doing."""
        for process in list((self._pool._processes or {}).values()):
            process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)


def is_lost(future: Future[Features]) -> bool:
    """Whether there is no answer, and none will come from a worker that has ended."""
    return not future.done() or future.cancelled() or isinstance(future.exception(), BrokenProcessPool)


_PREPARE: Prepare | None = None

TRIMMED = 16
"""Jobs after which freed memory goes back to the system: between pages of many sizes and what outlives them the C
library's heap frays, by some 60 MB in the course of a batch of 128 triplets (600 x 600 pixels, a busy machine)."""

_jobs = itertools.count(1)


def _begin(prepare: Prepare, parent: int) -> None:
    global _PREPARE
    _PREPARE = prepare
    gc.freeze()  # The parent's garbage, for good.
    gc.enable()
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers.
    with suppress(OSError):
        os.nice(5)  # The model's own threads wait for each other: one that is held up holds up all.
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(1)


def _prepare(job: Job) -> Features:
    assert _PREPARE is not None
    if next(_jobs) % TRIMMED == 0:
        trim_memory()
    return _PREPARE(job)


@contextmanager
def _forking() -> Iterator[None]:
    """A process forked inside is told not to look for the threads that it has not inherited.

    The tokenizers library does without its own, and without a warning. No garbage is collected: what the parent has
    thrown away may wait for a lock, as the pool of an ended worker does, that one of its threads holds for ever here.
    """
    name, told, collects = "TOKENIZERS_PARALLELISM", "TOKENIZERS_PARALLELISM" in os.environ, gc.isenabled()
    os.environ.setdefault(name, "false")
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        if not told:
            del os.environ[name]
