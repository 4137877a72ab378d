"""The machine that it all runs on: what it is, without names that identify its owner, and its C library's memory."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

_LIBRARIES = ("pagetune", "sentence-transformers", "transformers", "torch", "bm25s", "ir-measures", "scipy", "lancedb")

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Their numbers in glibc's malloc.h."""


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, system, and the versions of what decides the figures."""
    import psutil

    found = {
        "processor": _processor(),
        "cores": str(os.cpu_count() or 1),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next tensor, for the rest of the process; elsewhere than glibc
    nothing happens.

    By default it hands large blocks back to the system and takes them anew, page by page, for every layer of every
    batch: a quarter of the time of encoding on a CPU.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Older versions refuse a threshold above 32 MiB; the second setting alone would freeze a low one.
    if mallopt is not None and (mallopt(_MMAP_THRESHOLD, 1 << 30) or mallopt(_MMAP_THRESHOLD, 32 << 20)):
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def hand_back_memory() -> None:
    """Have the C library give freed memory back to the system, what is free now and for the rest of the process;
    elsewhere than glibc nothing happens.

    The opposite of `keep_freed_memory`, for when memory is what is short: what lies freed between blocks that are in
    use would be kept, and be too small for the next large tensor.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_MMAP_THRESHOLD, 1 << 20)
        library.mallopt(_TRIM_THRESHOLD, 1 << 17)
        trim_memory()


def trim_memory() -> None:
    """Have the C library give back once what is free now; elsewhere than glibc nothing happens."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
