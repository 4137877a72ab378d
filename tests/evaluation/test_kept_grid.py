"""The deployment grid in the evaluation's report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pagetune.evaluation.evaluate import EvaluationReport
from pagetune.evaluation.grid import DeploymentGrid, deployment_grid
from pagetune.evaluation.grid_report import recommend, write_grid
from pagetune.evaluation.grid_reranking import Reranking
from pagetune.evaluation.kept_grid import load_grid
from pagetune.evaluation.markdown import as_markdown
from pagetune.evaluation.report import Story, render_report
from pagetune.models.encoding import PageVectors
from pagetune.models.scoring import truncate
from pagetune.recipe import EvaluateRecipe


def perfect(run: Mapping[str, Mapping[str, float]]) -> tuple[Any, float]:
    """A reranker that is always right."""
    return {query: {page: float(page[1:] == query[1:]) for page in pages} for query, pages in run.items()}, 2.0


@pytest.fixture(scope="module")
def found() -> DeploymentGrid:
    rng = np.random.default_rng(1)
    pages = PageVectors(tuple(f"p{n:02d}" for n in range(40)), truncate(rng.normal(size=(40, 32)), None), np.arange(40))
    return deployment_grid(
        [f"q{n:02d}" for n in range(40)],
        truncate(pages.vectors + rng.normal(0, 0.25, (40, 32)).astype(np.float32), None),
        pages,
        {f"q{n:02d}": {f"p{n:02d}": 1} for n in range(40)},
        dimensions=(16, 8),
        settings=EvaluateRecipe(resamples=100),
        timed=1,
        reranking=Reranking((10,), perfect, 1.0),
    )


@pytest.fixture
def folder(found: DeploymentGrid, tmp_path: Path) -> Path:
    write_grid(found, recommend(found), tmp_path, {"judged": "these"})
    return tmp_path


def test_the_grid_is_read_back_for_what_it_was_made_over_only(folder: Path, found: DeploymentGrid) -> None:
    kept = load_grid(folder, "these")
    assert kept is not None
    assert kept.sentence == recommend(found).sentence
    assert [cell.setting for cell in kept.grid.cells] == [cell.setting for cell in found.cells]
    assert kept.best[0].setting == found.reference.setting
    assert any(cell.setting.reranked for cell in kept.best)
    assert len({row[0] for row in kept.rows()}) == len(kept.best) < len(found.cells)
    assert load_grid(folder, "others") is None
    assert load_grid(folder, None) is None
    assert load_grid(folder / "nowhere", "these") is None


def test_the_notes_name_the_tolerance_that_was_asked_for(found: DeploymentGrid, tmp_path: Path) -> None:
    write_grid(found, recommend(found, tolerance=0.05), tmp_path, {"judged": "these"})
    kept = load_grid(tmp_path, "these")
    assert kept is not None
    assert any("the smallest within 5% of the best" in note for note in kept.notes)


@pytest.mark.parametrize("lost", ["judged", "tolerance", "cells", "fronts", "settings"])
def test_a_grid_of_another_pagetune_is_none(folder: Path, lost: str) -> None:
    told = json.loads((folder / "grid.json").read_text(encoding="utf-8"))
    (folder / "grid.json").write_text(json.dumps({name: value for name, value in told.items() if name != lost}))
    assert load_grid(folder, "these") is None
    (folder / "grid.json").write_text("[]")
    assert load_grid(folder, "these") is None


def test_the_report_has_its_advice_its_front_and_its_plot(folder: Path, report: EvaluationReport) -> None:
    kept = load_grid(folder, "these")
    assert kept is not None
    without, page = render_report(report, Story()), render_report(report, Story(grid=kept))
    assert page.count("<figure") == without.count("<figure") + 1
    assert "What to deploy" in page
    assert "What to deploy" not in without
    text = as_markdown(report, Story(grid=kept))
    assert f"## What to deploy\n\n**{kept.sentence}**" in text
    for row in kept.rows():
        assert row[0] in page
        assert f"| {row[0]} | {row[1]} |" in text
