"""A process that prepares mini-batches, and the memory that it holds."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest

from pagetune.training.preparing import Job, Route
from pagetune.training.worker import TRIMMED, Worker

GLIBC = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "malloc_trim")

held: list[bytearray] = []


def resident() -> int:
    """MB of this process's own memory."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) // 1024


def fray(job: Job) -> Any:
    """The memory of the process; the first job leaves much of it free below a block that is in use."""
    found = resident()
    if not held:
        blocks = [bytearray(60_000) for _ in range(4_000)]
        held.append(blocks[-1])
        del blocks
        found = resident()
    return found


@pytest.mark.skipif(not GLIBC, reason="only glibc is told what to do with freed memory")
def test_a_worker_gives_freed_memory_back_now_and_then() -> None:
    worker = Worker(fray)
    try:
        job = Job((), Route(pictures=False))
        seen: Any = [worker.ask(job).result(60) for _ in range(TRIMMED)]
    finally:
        worker.end()
    assert max(seen[:-1]) - min(seen[:-1]) < 50
    assert seen[-1] < seen[0] - 150
