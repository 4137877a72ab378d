"""The loss: rank the answering passage above every other passage of the batch, at every Matryoshka dimension."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError, ModelError
from pagetune.recipe import FitRecipe

if TYPE_CHECKING:
    from torch import nn


DENSE_SCALE, LATE_SCALE = 20.0, 1.0
"""Inverse temperatures: a cosine lies between -1 and 1, MaxSim adds up as many of them as the query has tokens."""


def ranking_loss(model: Any, recipe: FitRecipe, *, cached: bool, rows: int | None = None) -> nn.Module:
    """Multiple-negatives ranking loss inside MatryoshkaLoss, both of Sentence Transformers.

    A late-interaction model is ranked by MaxSim, without Matryoshka: its tokens' vectors are narrow already. `cached`:
    through the gradient cache (Gao et al., 2021), which embeds recipe.mini_batch_size rows at a time, and twice; the
    loss itself is made of so many `rows` at a time (None: as many). Raises ModelError as `check_loss`.
    """
    from pagetune.models.inspect import is_late

    check_loss(model, recipe)
    rows = rows or recipe.mini_batch_size
    if is_late(model):
        return _late_loss(model, recipe, cached, rows)
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
        MatryoshkaLoss,
        MultipleNegativesRankingLoss,
    )

    inner: nn.Module
    options: dict[str, Any] = {
        "scale": recipe.scale or DENSE_SCALE,
        "directions": recipe.directions,
        "partition_mode": recipe.partition,
        "hardness_mode": recipe.hardness,
        "hardness_strength": recipe.hardness_strength,
        "gather_across_devices": recipe.gather_across_devices,
    }
    if cached:
        inner = CachedMultipleNegativesRankingLoss(model, mini_batch_size=rows, **options)
    else:
        inner = MultipleNegativesRankingLoss(model, **options)
    return MatryoshkaLoss(model, inner, matryoshka_dims=dimensions(model, recipe))


def check_loss(model: Any, recipe: FitRecipe, columns: Collection[str] = ("negative_0",)) -> None:
    """Refuse what the model's loss has not, before anything is computed: late interaction's only ranks pages for a
    query, and weighs all negatives alike. `columns`: what there is to train on. Raises ModelError, and DataError for
    hard negatives that are not there."""
    from pagetune.models.inspect import is_late

    if recipe.hardness == "hard_negatives" and "negative_0" not in columns:
        raise DataError(
            "fit.hardness=hard_negatives: the rows have no negative_0; give them one, or use in_batch_negatives"
        )
    if not is_late(model):
        return
    asked = {
        f"fit.directions={list(recipe.directions)}": recipe.directions != ("query_to_doc",),
        f"fit.partition={recipe.partition}": recipe.partition != "joint",
        f"fit.hardness={recipe.hardness}": recipe.hardness is not None,
    }
    if wrong := next((key for key, given in asked.items() if given), None):
        raise ModelError(
            f"{wrong}: the loss of late interaction does not have it; leave it out, or train a dense model"
        )


def _late_loss(model: Any, recipe: FitRecipe, cached: bool, rows: int) -> nn.Module:
    from sentence_transformers.multi_vector_encoder.losses import (
        CachedMultiVectorMultipleNegativesRankingLoss,
        MultiVectorMultipleNegativesRankingLoss,
    )

    options: dict[str, Any] = {
        "scale": recipe.scale or LATE_SCALE,
        "gather_across_devices": recipe.gather_across_devices,
    }
    if cached:
        return CachedMultiVectorMultipleNegativesRankingLoss(model, mini_batch_size=rows, **options)
    return MultiVectorMultipleNegativesRankingLoss(model, **options)


def dimensions(model: Any, recipe: FitRecipe) -> list[int]:
    """The recipe's dimensions that the model has, and always its own width, widest first."""
    width = model.get_embedding_dimension()
    if not width:
        raise ModelError("the model does not say how wide its vectors are; Matryoshka training needs to know")
    return [width, *(size for size in recipe.matryoshka if size < width)]
