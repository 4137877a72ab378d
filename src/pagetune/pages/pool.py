"""Worker processes that open untrusted files: fed with requests, timed, and ended when they hang, crash or swell."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pagetune
from pagetune.pages import wire
from pagetune.pages.arena import Arena

Blob = bytearray | memoryview

RECYCLE_AFTER = 2000
"""Requests; then a worker is replaced, since what a library leaks on damaged files adds up."""


@dataclass(slots=True)
class Request:
    """One piece of work: `body` goes to the worker, `fresh` asks for a worker that has opened nothing yet.

    `decode` makes a value of an answer's message and raw parts. What it raises (ValueError, TypeError, LookupError) is
    the worker's fault, who is ended for it: somebody may have taken it over. It must copy what it keeps, since the
    worker writes over a picture's memory with the next request.
    """

    body: dict[str, Any]
    fresh: bool = False
    decode: Callable[[dict[str, Any], Sequence[Blob]], Any] | None = None


@dataclass(slots=True)
class Event:
    """An answer to a request. `kind`: one "answer" after another, then "done"; or how it failed, with the reason.

    "refused": the file is at fault; "memory", "crash", "time": the worker had to be ended, `used`: one that had opened
    other files before.
    """

    request: Request
    kind: Literal["answer", "done", "refused", "memory", "crash", "time"]
    message: dict[str, Any] = field(default_factory=dict)
    value: Any = None
    """What the request's `decode` made of the answer."""
    reason: str = ""
    used: bool = False

    @property
    def last(self) -> bool:
        return self.kind != "answer"


class _Worker:
    """One child process and the socket to it."""

    def __init__(self, memory_mb: int) -> None:
        self.wire, theirs = socket.socketpair()
        # Only what the child needs: its own code must be found, and numeric libraries must not spread over the cores.
        environment = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = "1"
        package = str(Path(pagetune.__file__).parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, environment.get("PYTHONPATH", "")]))
        command = [sys.executable, "-P", "-m", "pagetune.pages.worker"]
        self.arena = Arena.create()
        shared = self.arena.handle if self.arena else -1
        handles = [theirs.fileno(), *([shared] if self.arena else [])]
        try:
            with theirs:
                self.process = subprocess.Popen(
                    [*command, str(theirs.fileno()), str(os.getpid()), str(memory_mb), str(shared)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=handles,
                    start_new_session=True,
                    env=environment,
                )
        except OSError:
            self.wire.close()
            if self.arena:
                self.arena.close()
            raise
        if self.arena:
            self.arena.close_handle()
        self.request: Request | None = None
        self.deadline = 0.0
        self.served = 0

    def receive(self) -> tuple[dict[str, Any], Any]:
        """The next message, and what the request makes of it. Raises BrokenWire, TimeoutError."""
        assert self.request is not None
        message, parts = wire.receive(self.wire)
        if self.request.decode is None or message.keys() & {"done", "refused", "memory", "failed"}:
            return message, None
        blobs: list[Blob] = [*parts]
        try:
            if "shared" in message:
                # Words are looked at where they lie, so they may not lie where the worker can change them.
                if self.arena is None or self.request.body["op"] != "render":
                    raise ValueError("there is no arena for it")
                at, size = message["shared"]
                blobs.append(self.arena.look(at, size))
            return message, self.request.decode(message, blobs)
        except (ValueError, TypeError, LookupError) as error:
            raise wire.BrokenWire(f"not an answer: {error}") from None

    def end(self) -> int:
        """Kill the process and all that it started; its exit code, negative for a signal."""
        with suppress(OSError):
            self.wire.close()
        if self.arena:
            self.arena.close()
        # If it is ending by itself, its own exit code is the one that tells why.
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(0.05 if self.process.poll() is None else None)
        code = self.process.poll()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return self.process.returncode if code is None else code


class WorkerPool:
    """`count` workers, started when first needed. Use as a context manager, or call `close`."""

    def __init__(self, count: int, *, memory_mb: int, timeout: float) -> None:
        self.count = max(1, count)
        self._memory_mb = memory_mb
        self._timeout = timeout
        self._workers: list[_Worker] = []
        self._owner = os.getpid()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        if self._owner != os.getpid():  # After a fork they are the parent's, not ours.
            return
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def events(self, queue: deque[Request]) -> Iterator[Event]:
        """Work off `queue` and yield what comes back, in the order of arrival.

        The caller may append to the queue between events. A worker that answers nothing for `timeout` seconds is
        ended. Leaving the iterator early ends the workers that are still busy. Not for two threads at once.
        """
        if self._owner != os.getpid():  # After a fork the old workers are the parent's.
            self._workers, self._owner = [], os.getpid()
        try:
            while True:
                self._assign(queue)
                busy = [worker for worker in self._workers if worker.request]
                if not busy:
                    return
                for worker in self._ready(busy):
                    yield self._read(worker)
        finally:
            for worker in [worker for worker in self._workers if worker.request]:
                self._drop(worker)

    def _assign(self, queue: deque[Request]) -> None:
        for place in range(self.count):
            if not queue:
                return
            if place == len(self._workers):
                self._workers.append(_Worker(self._memory_mb))
            worker = self._workers[place]
            if worker.request is not None:
                continue
            if worker.served and (queue[0].fresh or worker.served >= RECYCLE_AFTER):
                worker.end()
                worker = self._workers[place] = _Worker(self._memory_mb)
            worker.request = queue.popleft()
            worker.deadline = time.monotonic() + self._timeout
            # A worker that has died in the meantime is found out when its answer is read.
            with suppress(OSError):
                wire.send(worker.wire, worker.request.body)

    def _ready(self, busy: list[_Worker]) -> list[_Worker]:
        """The workers with an answer to read, or past their time; waits for the first."""
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                selector.register(worker.wire, selectors.EVENT_READ, worker)
            while True:
                patience = min(worker.deadline for worker in busy) - time.monotonic()
                ready = [key.data for key, _ in selector.select(max(0.0, patience))]
                if not ready:
                    ready = [worker for worker in busy if worker.deadline <= time.monotonic()]
                if ready:
                    return ready

    def _read(self, worker: _Worker) -> Event:
        request = worker.request
        assert request is not None
        used = worker.served > 0
        # Something is there to read, or the time is over: the rest of a begun message may take this much longer.
        worker.wire.settimeout(max(1.0, worker.deadline - time.monotonic()))
        if worker.deadline <= time.monotonic() and not _readable(worker.wire):
            self._drop(worker)
            return Event(request, "time", reason=f"took more than {self._timeout:g} s", used=used)
        try:
            message, value = worker.receive()
        except (wire.BrokenWire, TimeoutError):
            return Event(request, "crash", reason=self._cause(self._drop(worker)), used=used)
        worker.deadline = time.monotonic() + self._timeout
        if message.get("memory"):
            self._drop(worker)
            return Event(request, "memory", reason=f"needs more than {self._memory_mb} MiB of memory", used=used)
        if "done" in message or "refused" in message:
            worker.request = None
            worker.served += 1
            kind: Literal["done", "refused"] = "done" if "done" in message else "refused"
            return Event(request, kind, reason=str(message.get("refused", "")), used=used)
        return Event(request, "answer", message, value, used=used)

    def _cause(self, code: int) -> str:
        name = next((known.name for known in signal.Signals if known == -code), f"exit code {code}")
        # What C++ libraries do when they are refused memory.
        hint = f", as when its {self._memory_mb} MiB run out" if name in ("SIGABRT", "SIGTRAP", "SIGILL") else ""
        return f"crashed the reader ({name}{hint})"

    def _drop(self, worker: _Worker) -> int:
        if worker in self._workers:
            self._workers.remove(worker)
        return worker.end()


def worker_count(asked: int | None) -> int:
    """The number of workers: as asked, else one for each core that this process may use."""
    if asked:
        return asked
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _readable(channel: socket.socket) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        return bool(selector.select(0))
