"""What the machine is said to be, and its C library's memory."""

from __future__ import annotations

import ctypes
import getpass
import platform
import subprocess
import sys

import pytest

from pagetune.machine import describe_machine

GLIBC = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "malloc_trim")

FREED = """
import sys
from pathlib import Path
from pagetune import machine

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) // 1024

if "keep" in sys.argv:
    machine.keep_freed_memory()
blocks = [bytearray(60_000) for _ in range(4_000)]
held = blocks[-1]
full = resident()
del blocks
before = resident()
getattr(machine, sys.argv[1])()
print(full, before, resident())
"""


def test_the_machine_is_described_without_its_owner() -> None:
    found = describe_machine()
    assert found["Python"] == platform.python_version()
    assert float(found["memory"].split()[0]) > 0
    said = " ".join(found.values())
    assert platform.node() not in said.split()
    assert getpass.getuser() not in said.split()


@pytest.mark.skipif(not GLIBC, reason="only glibc is told what to do with freed memory")
@pytest.mark.parametrize("call", [["trim_memory"], ["hand_back_memory"], ["trim_memory", "keep"]], ids=" after ".join)
def test_freed_memory_goes_back_when_it_is_asked_for(call: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", FREED, *call], capture_output=True, text=True, check=True)
    full, before, after = map(int, done.stdout.split())
    assert full > 200
    assert before > 150  # The block that is left lies above what was freed.
    assert after < before - 150
