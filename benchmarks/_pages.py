"""Drawn pages in the published experiment's columns, at any size, for the engine's benchmarks."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from _drawn import Drawn, choose_pages, draw


def write_experiment(
    folder: Path, rows: int, queries: int, side: int | tuple[int, int], *, negatives: int = 4, suffix: str = "PNG"
) -> None:
    """Configurations train and eval: a row is a query, its page and `negatives` others, pages of `side` pixels."""
    train, held_out = choose_pages(rows, queries * (negatives + 1), seed=3)
    content = [[train[(place + step * 7) % rows] for step in range(negatives + 1)] for place in range(rows)]
    judged = [held_out[start : start + negatives + 1] for start in range(0, len(held_out), negatives + 1)]
    for config, groups in (("train", content), ("eval", judged)):
        (folder / config).mkdir(parents=True)
        columns: dict[str, list[Any]] = {"query": [pages[0].query for pages in groups]}
        names = ["image", *(f"negative_{number}" for number in range(negatives))]
        encoded: dict[Drawn, bytes] = {}
        for place, column in enumerate(names):
            columns[column] = [
                {"bytes": _encoded(pages[place], side, suffix, encoded), "path": None} for pages in groups
            ]
        pq.write_table(pa.table(columns), folder / config / "train-00000-of-00001.parquet")


def _encoded(page: Drawn, side: int | tuple[int, int], suffix: str, known: dict[Drawn, bytes]) -> bytes:
    if page not in known:
        size = (side, side) if isinstance(side, int) else side
        buffer = io.BytesIO()
        draw(page, 1).resize(size).save(buffer, suffix)
        known[page] = buffer.getvalue()
    return known[page]
