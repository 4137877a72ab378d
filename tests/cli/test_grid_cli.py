"""`pagetune grid`: what it prints and leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pagetune.cli.app import app
from pagetune.evaluation.grid import deployment_grid
from pagetune.models.encoding import PageVectors
from pagetune.models.scoring import truncate
from pagetune.recipe import EvaluateRecipe, Recipe
from pagetune.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose tuned model is 40 random pages."""
    rng = np.random.default_rng(1)
    pages = PageVectors(tuple(f"p{n:02d}" for n in range(40)), truncate(rng.normal(size=(40, 32)), None), np.arange(40))
    queries = truncate(pages.vectors + rng.normal(0, 0.1, (40, 32)).astype(np.float32), None)
    found = deployment_grid(
        [f"q{n:02d}" for n in range(40)],
        queries,
        pages,
        {f"q{n:02d}": {f"p{n:02d}": 1} for n in range(40)},
        dimensions=(16,),
        settings=EvaluateRecipe(resamples=100),
        timed=1,
    )
    monkeypatch.setattr("pagetune.deployment.judge_deployment", lambda context, poolings, depths: found)
    folder = tmp_path / "ws"
    Workspace(folder).create()
    (folder / "recipe.yaml").write_text(Recipe().to_yaml())
    return folder


def test_the_grid_says_what_to_deploy_and_leaves_its_files(workspace: Path) -> None:
    done = CliRunner().invoke(app, ["grid", "-w", str(workspace)])
    assert done.exit_code == 0, done.output
    assert "32 dimensions, float32" in done.stdout
    assert " of the bytes (" in done.stdout
    found = json.loads((workspace / "runs" / "grid" / "grid.json").read_text())
    assert found["recommendation"] in done.stdout.replace("\n", " ")
    assert "processor" in found["machine"]
    assert {path.name for path in (workspace / "runs" / "grid").iterdir()} == {
        "grid.json",
        "grid.md",
        "grid.png",
        "grid.svg",
    }


def test_a_budget_decides_and_json_has_everything(workspace: Path) -> None:
    done = CliRunner().invoke(app, ["grid", "-w", str(workspace), "--budget-bytes", "4", "--json"])
    found = json.loads(done.stdout)
    assert found["recommended"]["bytes_per_page"] <= 4
    assert len(found["cells"]) == 16
    none = CliRunner().invoke(app, ["grid", "-w", str(workspace), "--budget-bytes", "1"])
    assert none.exit_code == 0
    assert "No setting fits 1 bytes a page" in none.stdout


def test_no_workspace_and_no_model_are_one_line(tmp_path: Path) -> None:
    missing = CliRunner().invoke(app, ["grid", "-w", str(tmp_path / "none")])
    assert missing.exit_code == 1
    assert "is not a workspace" in missing.stderr
    Workspace(tmp_path / "ws").create()
    untuned = CliRunner().invoke(app, ["grid", "-w", str(tmp_path / "ws")])
    assert untuned.exit_code == 1
    assert "there is no tuned model yet; run: pagetune fit kind=retriever -w" in untuned.stderr
    assert untuned.stderr.count("\n") == 1
