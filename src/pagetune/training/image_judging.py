"""Judging a model of page images, while it is trained and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from pagetune.models.adapters import has_adapters
from pagetune.models.encoding import PageVectors
from pagetune.models.inspect import is_late
from pagetune.models.pictures import encode_texts
from pagetune.models.scoring import Matrix, score_pages
from pagetune.recipe import Recipe
from pagetune.training.losses import dimensions
from pagetune.training.page_cache import kept_pages
from pagetune.training.page_encoding import PageImages, encode_pictures
from pagetune.training.validation import METRIC, judge_scores

if TYPE_CHECKING:
    from pagetune.examples.visual import JudgedImages


class ImageEvaluator(SentenceEvaluator):
    """Ranks the pages of an evaluation set and reports NDCG@10 at every dimension, each page encoded once.

    With `cache`, a folder, pages are kept there as the model scales them, and the vectors of the untrained and of the
    finished model, where evaluating them later finds them; `last` is the step that finishes it.
    """

    def __init__(
        self, chosen: JudgedImages, recipe: Recipe, cache: Path | None = None, last: int | None = None
    ) -> None:
        super().__init__()
        self.chosen, self.recipe, self.cache, self.last = chosen, recipe, cache, last
        self.primary_metric = METRIC

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """NDCG@10 of the model as it is now, and at each Matryoshka dimension."""
        pages, queries = self._encode(model, lasting=steps in (-1, self.last))
        sizes = [] if is_late(model) else dimensions(model, self.recipe.fit)[1:]
        found = {METRIC: float(self._judge(queries, pages, None).mean())}
        return found | {f"{METRIC}_{size}d": float(self._judge(queries, pages, size).mean()) for size in sizes}

    def identity(self) -> list[Any]:
        """What decides its figures besides the model."""
        return identity_of(self.chosen)

    @property
    def sizes(self) -> tuple[int, int]:
        """Queries, and pages that they are ranked over."""
        return len(self.chosen.queries), len(self.chosen.page_ids)

    def values(self, model: Any) -> NDArray[np.float64]:
        """float64 [queries]: each query's NDCG@10 with the model as it is now."""
        pages, queries = self._encode(model, lasting=True)
        return self._judge(queries, pages, None)

    def by_dimension(self, model: Any) -> dict[int, float]:
        """NDCG@10 at the model's own dimension and every Matryoshka dimension, widest first."""
        pages, queries = self._encode(model, lasting=True)
        return {size: float(self._judge(queries, pages, size).mean()) for size in dimensions(model, self.recipe.fit)}

    def _encode(self, model: Any, *, lasting: bool) -> tuple[PageVectors, list[Matrix]]:
        training = model.training
        with _as_it_will_be(model):
            try:
                model.eval()
                vectors, pixels = (None if self.cache is None else self.cache / name for name in ("vectors", "pixels"))
                pages = encode_pictures(
                    model,
                    PageImages.of(self.chosen),
                    self.recipe.model,
                    cache=vectors if lasting and not has_adapters(model) else None,
                    kept=kept_pages(pixels, model, self.recipe.fit.page_cache),
                )
                return pages, encode_texts(model, list(self.chosen.queries.values()))
            finally:
                model.train(training)

    def _judge(self, queries: list[Matrix], pages: PageVectors, size: int | None) -> NDArray[np.float64]:
        scores = score_pages(queries, pages.vectors, pages.owner, size)
        asked, out = self.chosen.queries, self.chosen.excluded
        grades = [self.chosen.qrels[query] for query in asked]
        return judge_scores(scores, pages.ids, grades, [out.get(query, ()) for query in asked])


@contextmanager
def _as_it_will_be(model: Any) -> Iterator[None]:
    """The model without the autocast that a trainer puts around its forward: it is judged as it will be used."""
    wrapped = model.__dict__.get("forward")
    own = model.__dict__.get("_original_forward")
    if wrapped is None or own is None:
        yield
        return
    model.forward = own
    try:
        yield
    finally:
        model.forward = wrapped


def identity_of(judged: JudgedImages) -> list[str]:
    """What decides how a model is judged on the set: checkpoints are kept under it. Those of a Pagetune that judged
    without heeding `excluded` are others."""
    return [judged.fingerprint, *(["excluded heeded"] if judged.excluded else [])]


def choose_dimension(by_dimension: Mapping[int, float], loss: float) -> int:
    """The smallest dimension whose NDCG@10 is at most `loss` below that of the full one."""
    full = by_dimension[max(by_dimension)]
    return min(size for size, value in by_dimension.items() if value >= full - loss - 1e-9)
