"""The loss: rank the answering passage above every other passage of the batch, at every Matryoshka dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError
from pagetune.recipe import FitRecipe

if TYPE_CHECKING:
    from torch import nn


DENSE_SCALE, LATE_SCALE = 20.0, 1.0
"""Inverse temperatures: a cosine lies between -1 and 1, MaxSim adds up as many of them as the query has tokens."""


def ranking_loss(model: Any, recipe: FitRecipe, *, cached: bool, rows: int | None = None) -> nn.Module:
    """Multiple-negatives ranking loss inside MatryoshkaLoss, both of Sentence Transformers.

    A late-interaction model is ranked by MaxSim, without Matryoshka: its tokens' vectors are narrow already. `cached`:
    through the gradient cache (Gao et al., 2021), which embeds recipe.mini_batch_size rows at a time, and twice; the
    loss itself is made of so many `rows` at a time (None: as many).
    """
    from pagetune.models.late_interaction import is_late

    rows = rows or recipe.mini_batch_size
    if is_late(model):
        return _late_loss(model, recipe, cached, rows)
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
        MatryoshkaLoss,
        MultipleNegativesRankingLoss,
    )

    inner: nn.Module
    scale = recipe.scale or DENSE_SCALE
    if cached:
        inner = CachedMultipleNegativesRankingLoss(model, scale=scale, mini_batch_size=rows)
    else:
        inner = MultipleNegativesRankingLoss(model, scale=scale)
    return MatryoshkaLoss(model, inner, matryoshka_dims=dimensions(model, recipe))


def _late_loss(model: Any, recipe: FitRecipe, cached: bool, rows: int) -> nn.Module:
    from sentence_transformers.multi_vector_encoder.losses import (
        CachedMultiVectorMultipleNegativesRankingLoss,
        MultiVectorMultipleNegativesRankingLoss,
    )

    scale = recipe.scale or LATE_SCALE
    if cached:
        return CachedMultiVectorMultipleNegativesRankingLoss(model, scale=scale, mini_batch_size=rows)
    return MultiVectorMultipleNegativesRankingLoss(model, scale=scale)


def dimensions(model: Any, recipe: FitRecipe) -> list[int]:
    """The recipe's dimensions that the model has, and always its own width, widest first."""
    width = model.get_embedding_dimension()
    if not width:
        raise ModelError("the model does not say how wide its vectors are; Matryoshka training needs to know")
    return [width, *(size for size in recipe.matryoshka if size < width)]
