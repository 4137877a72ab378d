"""Models that read, judged as the product uses them: a vector a passage, a page as near as its nearest passage."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pagetune.evaluation.metrics import score_run
from pagetune.evaluation.retrieval import rank_pages
from pagetune.evaluation.visual import ModelScores
from pagetune.models.encoding import encode_readings
from pagetune.models.pictures import encode_texts
from pagetune.progress import SILENT, Progress
from pagetune.recipe import ModelRecipe

if TYPE_CHECKING:
    from pagetune.examples.visual import JudgedImages


def judge_texts(
    model: Any,
    texts: Mapping[str, str],
    chosen: JudgedImages,
    settings: ModelRecipe,
    dimensions: Sequence[int] = (),
    *,
    depth: int = 100,
    cache: Path | None = None,
    progress: Progress = SILENT,
) -> ModelScores:
    """Encode what has been read on the pages (page id -> text), rank, score, at the model's own dimension and at each
    of `dimensions` below it."""
    began = time.monotonic()
    pages = encode_readings(model, texts, settings, cache, progress)
    middle = time.monotonic()
    queries = np.concatenate(encode_texts(model, list(chosen.queries.values())))
    ended = time.monotonic()
    full = queries.shape[1]
    sizes = [full, *sorted({size for size in dimensions if size < full}, reverse=True)]
    runs = {size: rank_pages(list(chosen.queries), queries, pages, dimension=size, depth=depth) for size in sizes}
    vectors_per_page = len(pages.vectors) / max(1, len(pages.ids))
    return ModelScores(
        by_dimension={size: score_run(run, chosen.qrels) for size, run in runs.items()},
        run=runs[full],
        vectors_per_page=vectors_per_page,
        bytes_per_page=4 * full * vectors_per_page,
        seconds_pages=middle - began,
        seconds_queries=ended - middle,
    )
