"""A trained reranker into a folder that scores as it was trained to, or into no folder at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pagetune.models.adapters import has_adapters, merge_adapters, save_adapter
from pagetune.models.quiet import quiet
from pagetune.models.rerank_answers import RerankPair
from pagetune.models.rerank_parity import RerankParityReport, check_rerank_parity, remember_scores
from pagetune.models.reranker_card import RerankFacts, reranker_card
from pagetune.models.saving import ADAPTER, CARD
from pagetune.recipe import Recipe
from pagetune.workspace import replace_folder

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


def save_reranker(
    model: CrossEncoder,
    folder: Path,
    recipe: Recipe,
    pairs: Sequence[RerankPair],
    *,
    facts: RerankFacts | None = None,
) -> RerankParityReport:
    """Merge, save, compare: `folder` is replaced by a reranker that passed the parity gate, or stays as it is.

    `pairs`: queries and documents of the directions that were trained, some that fit and some that do not, of which
    the first 16 are compared. With lora.keep_adapter the adapter lies in `adapter/` besides. The model is left merged.
    Returns what was compared. Raises ParityError, ModelError.
    """
    trained = remember_scores(model, pairs)
    adapter = has_adapters(model) and recipe.lora.keep_adapter
    with replace_folder(folder) as fresh:
        if adapter:
            save_adapter(model, recipe.lora, recipe.rerank.name, fresh / ADAPTER)
        merge_adapters(model)
        _write(model, fresh)
        report = check_rerank_parity(model, trained.pairs, fresh, recipe=recipe.rerank, trained=trained)
        card = reranker_card(model, recipe, facts or RerankFacts(), report, adapter=adapter)
        (fresh / CARD).write_text(card, encoding="utf-8")
    return report


def _write(model: CrossEncoder, folder: Path) -> None:
    with quiet():
        model.save_pretrained(str(folder), create_model_card=False)
