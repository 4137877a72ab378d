"""The loss of a distillation: MarginMSE of Sentence Transformers, of vectors that are there already."""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.sentence_transformer.losses import MarginMSELoss, MatryoshkaLoss
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor, nn

from pagetune.recipe import FitRecipe
from pagetune.training.losses import DENSE_SCALE, dimensions


class CachedMarginMSELoss(CachedLossMixin, MarginMSELoss):
    """Upstream's loss as the gradient cache asks for it. The margins are of `scale` times the cosines, so that they
    span what a reranker's log-odds do."""

    gather_across_devices = False
    mini_batch_num_tokens: int | None = None

    def __init__(self, model: Any, *, scale: float, mini_batch_size: int) -> None:
        super().__init__(model, similarity_fct=lambda first, second: scale * pairwise_cos_sim(first, second))
        self.mini_batch_size = mini_batch_size
        self.scale = scale

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss of the columns query, positive, negative_1, …; `labels`: [rows, pages], the teacher's scores."""
        assert labels is not None, "margins are learned from labels"
        loss = self.compute_loss_from_embeddings([torch.cat(parts) for parts in reps], labels)
        if with_backward:
            loss.backward()
            return loss.detach()
        return loss

    def get_config_dict(self) -> dict[str, Any]:
        """For the model card."""
        return {"scale": self.scale, "similarity_fct": "cos_sim"}


def margin_loss(model: Any, recipe: FitRecipe) -> nn.Module:
    """MarginMSE inside MatryoshkaLoss: the teacher's margins at every dimension."""
    inner = CachedMarginMSELoss(model, scale=recipe.scale or DENSE_SCALE, mini_batch_size=recipe.mini_batch_size)
    return MatryoshkaLoss(model, inner, matryoshka_dims=dimensions(model, recipe))
