"""Where a late-interaction model finds the words of a query on a page, for the queries that changed most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import PagetuneError
from pagetune.evaluation.evaluate import EvaluationReport
from pagetune.evaluation.per_query import Change, changes, gains, losses
from pagetune.evaluation.thumbnails import PageImage, encode

QUERIES = 6
"""Queries with a map, of the gains and of the losses."""
TOKENS = 48
"""Of a longer query the first ones."""
SIDE, QUALITY = 700, 50
"""Of the page under a map."""
FILE = "heatmaps.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """How near each token of a query is to each part of a page: uint8 [tokens, rows, columns].

    0 stands for the cosine `low`, 255 for `high`, the least and the greatest of this query on this page.
    """

    query: str
    page: str
    tokens: tuple[str, ...]
    values: NDArray[np.uint8]
    low: float
    high: float
    picture: bytes
    """The page as the model saw it, as thumbnails.TYPE."""


@dataclass(frozen=True, slots=True)
class Heatmaps:
    """The maps of a report, or why there are none; both empty where the model is not of late interaction."""

    maps: tuple[Heatmap, ...] = ()
    note: str = ""


def draw_heatmaps(model: Any, report: EvaluationReport, image: PageImage) -> Heatmaps:
    """Maps for the greatest gains and losses: of the page that answers, and of the one that tuned puts before it.

    `image` gives a page as the model is to see it. Pages and queries are encoded once more, one at a time, as their
    kept vectors may be pooled and do not tell their places.
    """
    from pagetune.models.heatmap import page_patches, query_tokens, similarity

    found = changes(report)
    shown = [*gains(found, QUERIES), *losses(found, QUERIES)]
    maps: list[Heatmap] = []
    patches: dict[str, Any] = {}
    pictures: dict[str, bytes] = {}
    try:
        for one in shown:
            tokens = query_tokens(model, one.query.text)
            for page in _pages(one):
                if page not in patches:
                    seen = image(page)
                    patches[page] = page_patches(model, seen)
                    pictures[page] = encode(seen, SIDE, QUALITY)
                near = similarity(tokens, patches[page])[:TOKENS]
                maps.append(_heatmap(one, page, tokens.texts[:TOKENS], near, pictures[page]))
    except PagetuneError as error:
        return Heatmaps(note=f"{error}.")
    return Heatmaps(tuple(maps), "" if maps else "no query's score changed.")


def _pages(one: Change) -> Iterable[str]:
    return (one.page,) if one.mistaken is None else (one.page, one.mistaken)


def _heatmap(one: Change, page: str, tokens: tuple[str, ...], near: NDArray[np.float32], picture: bytes) -> Heatmap:
    low, high = float(near.min()), float(near.max())
    scaled = np.round(255 * (near - low) / max(high - low, 1e-9)).astype(np.uint8)
    return Heatmap(one.query.id, page, tokens, scaled, round(low, 4), round(high, 4), picture)


def save_heatmaps(found: Heatmaps, folder: Path) -> None:
    """Write them into a run's folder, where there are any."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not found.maps:
        return
    rows = [
        {
            "query-id": one.query,
            "corpus-id": one.page,
            "tokens": list(one.tokens),
            "rows": one.values.shape[1],
            "columns": one.values.shape[2],
            "values": one.values.tobytes(),
            "low": one.low,
            "high": one.high,
            "picture": one.picture,
        }
        for one in found.maps
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / FILE)


def load_heatmaps(folder: Path, note: str = "") -> Heatmaps:
    """Read what `save_heatmaps` wrote."""
    import pyarrow.parquet as pq

    if not (folder / FILE).exists():
        return Heatmaps(note=note)
    maps = []
    for row in pq.read_table(folder / FILE).to_pylist():
        shape = len(row["tokens"]), row["rows"], row["columns"]
        values = np.frombuffer(row["values"], np.uint8).reshape(shape)
        tokens = tuple(row["tokens"])
        maps.append(Heatmap(row["query-id"], row["corpus-id"], tokens, values, row["low"], row["high"], row["picture"]))
    return Heatmaps(tuple(maps), note)
