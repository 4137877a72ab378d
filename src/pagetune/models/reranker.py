"""From the recipe's `rerank` section to the reranker: a CrossEncoder that scores a query and a page together.

Three architectures. `logit`: the language-model head's log-odds of one token ("1") against another ("0") where the
answer begins. `pooled`: the same backbone without its head, the last token's vector through a Dense layer. `text`: a
sequence classifier over a query and a passage's words. A checkpoint that is a reranker already keeps its own modules,
chat template and prompts; any other one is a backbone that a reranker is built from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pagetune.errors import ModelError
from pagetune.models.inspect import sees
from pagetune.models.pixels import bound_pixels
from pagetune.models.reranker_build import build_reranker, load_saved
from pagetune.models.reranker_checks import check_answers, check_reranker
from pagetune.models.reranker_specs import DIRECTIONS, resolve_reranker
from pagetune.recipe import RerankRecipe

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


def load_reranker(recipe: RerankRecipe, folder: Path | None = None) -> CrossEncoder:
    """The reranker that was trained into `folder`, or else the one that the recipe names, ready to score or to train.

    A score before the activation function is the log-odds that the page answers the query. Raises ModelError with one
    line for a checkpoint that cannot be loaded, that has another head than it needs, whose input does not end where an
    answer begins, whose chat template loses the query or the page, or whose answers are more than one token;
    MissingExtra where `light`'s weights are not installed.
    """
    spec = resolve_reranker(recipe, folder)
    model = load_saved(spec) if spec.saved else build_reranker(spec, recipe)
    _settle(model, recipe, spec.min_pixels, spec.max_pixels, trained=folder is not None)
    check_reranker(model, spec, recipe)
    if spec.saved and folder is None:
        check_answers(model, spec, recipe)
    return model


def _settle(
    model: CrossEncoder, recipe: RerankRecipe, lowest: int | None, highest: int | None, *, trained: bool
) -> None:
    """Pixel bounds, prompts and length as the recipe has them, whatever the checkpoint brought along."""
    from pagetune.models.patches import multiply_patches

    multiply_patches(model)
    asked = recipe.min_pixels is not None or recipe.max_pixels is not None
    bound_pixels(model, lowest, highest, required=asked, section="rerank")
    model.prompts.update({str(direction): prompt for direction, prompt in recipe.prompts.items()})
    if model.default_prompt_name is None and model.prompts.get(DIRECTIONS[0]):
        # Whoever scores without naming a prompt asks the usual way: a query for a page.
        model.default_prompt_name = DIRECTIONS[0]
    if sees(model) or trained:
        return
    longest = getattr(model.config, "max_position_embeddings", None) or recipe.max_tokens
    if recipe.max_tokens > longest:
        if "max_tokens" in recipe.model_fields_set:
            raise ModelError(f"rerank.max_tokens={recipe.max_tokens} is above the model's {longest}; lower it")
        return
    model.max_seq_length = recipe.max_tokens
