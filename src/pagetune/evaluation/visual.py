"""Judging a model on page images: every page and query encoded once, ranked at every Matryoshka dimension."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.evaluation.metrics import QueryScores, score_run
from pagetune.evaluation.ranking import Run
from pagetune.evaluation.retrieval import rank_pages
from pagetune.models.pictures import encode_texts
from pagetune.progress import SILENT, Progress
from pagetune.recipe import ModelRecipe

if TYPE_CHECKING:
    from pagetune.examples.visual import JudgedImages


@dataclass(frozen=True, slots=True, eq=False)
class ModelScores:
    """One model on one evaluation set. `by_dimension`: the scores of every query, widest dimension first."""

    by_dimension: Mapping[int, QueryScores]
    run: Run
    """At the full dimension."""
    vectors_per_page: float
    bytes_per_page: float
    """At the full dimension, in float32."""
    seconds_pages: float
    """0 where every page came from the cache."""
    seconds_queries: float

    @property
    def full(self) -> QueryScores:
        """The scores at the model's own dimension."""
        return next(iter(self.by_dimension.values()))


def judge_model(
    model: Any,
    chosen: JudgedImages,
    dimensions: Sequence[int] = (),
    *,
    recipe: ModelRecipe | None = None,
    depth: int = 100,
    cache: Path | None = None,
    progress: Progress = SILENT,
) -> ModelScores:
    """Encode, rank and score. `dimensions`: Matryoshka dimensions besides the full one; a late-interaction model has
    its own only. Cosine, or the sum over a query's tokens of each one's best cosine (MaxSim). Pages that the set
    excludes are in no answer. `recipe` says how pages are encoded."""
    from pagetune.training.page_encoding import PageImages, encode_pictures

    began = time.monotonic()
    pages = encode_pictures(model, PageImages.of(chosen), recipe, cache=cache, progress=progress)
    middle = time.monotonic()
    queries = encode_texts(model, list(chosen.queries.values()))
    ended = time.monotonic()
    full = pages.vectors.shape[1]
    several = len(pages.vectors) > len(pages.ids) or any(len(query) > 1 for query in queries)
    sizes = [full] if several else [full, *sorted({d for d in dimensions if d < full}, reverse=True)]
    asked, out = list(chosen.queries), chosen.excluded
    runs = {size: rank_pages(asked, queries, pages, dimension=size, depth=depth, exclude=out) for size in sizes}
    return ModelScores(
        {size: score_run(run, chosen.qrels, out) for size, run in runs.items()},
        runs[full],
        len(pages.vectors) / max(1, len(pages.ids)),
        4 * full * len(pages.vectors) / max(1, len(pages.ids)),
        middle - began,
        ended - middle,
    )
