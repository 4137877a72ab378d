"""The loss: rank the answering passage above every other passage of the batch, at every Matryoshka dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pagetune.errors import ModelError
from pagetune.recipe import FitRecipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn


def ranking_loss(model: SentenceTransformer, recipe: FitRecipe, batch_size: int) -> nn.Module:
    """Multiple-negatives ranking loss inside MatryoshkaLoss, both of Sentence Transformers.

    Batches above recipe.mini_batch_size go through the gradient cache (Gao et al. 2021), which holds the activations
    of one mini-batch at a time and embeds twice for it; smaller ones have nothing to save and go without.
    """
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
        MatryoshkaLoss,
        MultipleNegativesRankingLoss,
    )

    inner: nn.Module
    if batch_size > recipe.mini_batch_size:
        inner = CachedMultipleNegativesRankingLoss(model, scale=recipe.scale, mini_batch_size=recipe.mini_batch_size)
    else:
        inner = MultipleNegativesRankingLoss(model, scale=recipe.scale)
    return MatryoshkaLoss(model, inner, matryoshka_dims=dimensions(model, recipe))


def dimensions(model: SentenceTransformer, recipe: FitRecipe) -> list[int]:
    """The recipe's dimensions that the model has, and always its own width, widest first."""
    width = model.get_embedding_dimension()
    if not width:
        raise ModelError("the model does not say how wide its vectors are; Matryoshka training needs to know")
    return [width, *(size for size in recipe.matryoshka if size < width)]
