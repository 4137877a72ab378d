"""What is said while work goes on."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pagetune.cli.console import BarProgress, LineProgress


@pytest.mark.parametrize("kind", [BarProgress, LineProgress])
def test_work_ends_in_a_line_and_what_was_there_already_in_none(kind: Any) -> None:
    out = io.StringIO()
    progress = kind(Console(file=out, force_terminal=False))
    with progress.task("encode pages", 3, "pages") as task:
        task.advance(2)
        task.advance()
    with progress.task("draw pages", 0, "pages"):
        pass
    assert "encode pages: 3 pages in" in out.getvalue()
    assert "draw pages: 0" not in out.getvalue()
