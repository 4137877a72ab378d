"""The benchmarks' typesetter and damaged files serve the tests too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pagetune.pages.reading import ReadingReport, read_documents
from pagetune.recipe import ReadRecipe
from pagetune.workspace import Workspace

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def read(tmp_path):
    """Read paths into a workspace; keyword arguments are keys of the recipe."""

    def run(*paths: Path, workspace: str = "ws", **keys) -> tuple[ReadingReport, Workspace]:
        place = Workspace(tmp_path / workspace).create()
        return read_documents(list(paths), place, ReadRecipe(**{"ocr": "never", "workers": 1} | keys)), place

    return run
