"""The benchmark that waits for a GPU: what can be seen of it without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_throughput.py"
WITHOUT = """
import sys
sys.modules["pydantic"] = None
import pagetune.training.gradient_cache, pagetune.training.page_encoding, pagetune.training.references
"""


def ran(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Its output and how it ended."""
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def test_what_it_measures_is_imported_where_recipes_cannot_be_read() -> None:
    found = ran("-c", WITHOUT)
    assert found.returncode == 0, found.stderr


def test_encoding_is_compared_with_the_product_itself() -> None:
    found = ran(str(SCRIPT), "encode", PAGETUNE_TINY="1")
    assert found.returncode == 0, found.stderr
    assert "encode, Pagetune, 30 pages, 2 workers" in found.stdout
    assert "cosine of 1.0000" in found.stdout
    assert found.stdout.splitlines()[-1].startswith("tiny, nothing is claimed")
    assert "times one page at a time" in found.stdout
    assert "OPEN" not in found.stdout


def test_when_its_time_is_up_what_is_missing_is_open() -> None:
    found = ran(str(SCRIPT), "full", PAGETUNE_TINY="1", PAGETUNE_SECONDS="0")
    assert found.returncode == 0, found.stderr
    assert "s are over: on with what has been measured" in found.stdout
    assert "all weights, upstream, 1 at a time" in found.stdout
    assert "all weights, upstream, 2 at a time" not in found.stdout
    assert "the best mini-batch (unknown of 1), claim 1.5: OPEN, not measured" in found.stdout.splitlines()[-1]
    assert "times one page at a time (1 workers), claim 5: " in found.stdout.splitlines()[-1]


def test_an_unknown_part_is_named() -> None:
    found = ran(str(SCRIPT), "ful", PAGETUNE_TINY="1")
    assert found.returncode == 2
    assert found.stdout == "ful: no part of this; give some of full, lora, encode\n"
