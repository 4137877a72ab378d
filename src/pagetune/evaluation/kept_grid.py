"""The deployment grid that `pagetune grid` kept, read back for the report of the evaluation that it belongs to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pagetune.evaluation.grid import Cell, DeploymentGrid, Setting
from pagetune.evaluation.grid_report import TOLERANCE, notes, size_of
from pagetune.evaluation.metrics import MAIN_METRIC
from pagetune.recipe import EvaluateRecipe

HEADS = ("setting", MAIN_METRIC, "interval", "loss", "bytes a page", "1 million pages", "ms a query")
"""Of the table of settings that none beats."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptGrid:
    """The grid, what it advises, and the settings that none beats."""

    grid: DeploymentGrid
    sentence: str
    best: tuple[Cell, ...]
    """The reference, the front by bytes, the largest first, and what of the front by time is reranked."""
    tolerance: float = TOLERANCE
    """How much less than the best the advice allows."""

    def rows(self) -> list[list[str]]:
        """The table of `best`, a row a setting, under `HEADS`."""
        return [
            [
                cell.setting.name,
                f"{cell.ndcg:.3f}",
                f"{cell.interval[0]:.3f}–{cell.interval[1]:.3f}",
                f"{cell.loss:+.3f}".replace("-", "−"),
                f"{cell.bytes_per_page:,.0f}",
                size_of(cell.bytes_at_a_million),
                f"{cell.ms_per_query:.3g}",
            ]
            for cell in self.best
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures mean."""
        return tuple(notes(self.grid, self.tolerance))


def load_grid(folder: Path, judged: str | None) -> KeptGrid | None:
    """The grid in `folder`, where it is one over what `judged` tells from others (`Pipeline.judged`); else None.

    One that cannot be read, or of a Pagetune that did not say what it was over, is none: `pagetune grid` makes another.
    """
    try:
        found = json.loads((folder / "grid.json").read_text(encoding="utf-8"))
        return _grid(found) if judged is not None and found.get("judged") == judged else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def _grid(found: Mapping[str, Any]) -> KeptGrid:
    named = {row["name"]: _cell(row) for row in found["cells"]}
    settings = EvaluateRecipe(**found["settings"])
    grid = DeploymentGrid(tuple(named.values()), found["queries"], found["pages"], settings, found["shortlist"])
    fronts = {cost: [named[name] for name in names] for cost, names in found["fronts"].items()}
    by_bytes = [cell for cell in reversed(fronts["storage"]) if not cell.setting.reranked]
    by_time = [cell for cell in fronts["latency"] if cell.setting.reranked]
    best = dict.fromkeys((grid.reference, *by_bytes, *by_time))
    return KeptGrid(grid, found["recommendation"], tuple(best), found["tolerance"])


def _cell(row: Mapping[str, Any]) -> Cell:
    setting = Setting(**{field.name: row[field.name] for field in fields(Setting) if field.name in row})
    figures = {field.name: row[field.name] for field in fields(Cell) if field.name in row}
    spans = {name: tuple(figures[name]) for name in ("interval", "loss_interval")}
    return Cell(**{**figures, **spans, "setting": setting})
