"""A trained model or reranker into a folder that answers as it was trained to, or into none; and onto the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError
from pagetune.models.adapters import has_adapters, merge_adapters, save_adapter
from pagetune.models.answers import Pair
from pagetune.models.card import CardFacts, model_card
from pagetune.models.inspect import is_late
from pagetune.models.parity import ParityReport, Store, check_parity, remember
from pagetune.models.quiet import quiet
from pagetune.models.rerank_answers import RerankPair
from pagetune.models.rerank_parity import RerankParityReport, check_rerank_parity, remember_scores
from pagetune.models.reranker_card import RerankFacts, reranker_card
from pagetune.recipe import Recipe
from pagetune.workspace import replace_folder

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

CARD = "README.md"
ADAPTER = "adapter"


def save_finished(
    model: Any,
    folder: Path,
    recipe: Recipe,
    pairs: Sequence[Pair],
    *,
    dimension: int | None = None,
    facts: CardFacts | None = None,
    store: Store | None = None,
) -> ParityReport | None:
    """Merge, truncate, save, compare: `folder` is replaced by a model that passed the parity gate, or stays as it is.

    `pairs`: queries and the pages that answer them, of which the first 32 are compared. `dimension`: what the saved
    model truncates to, such as `training.image_judging.choose_dimension` found for fit.truncate_loss; without it
    fit.truncate_dim, and without that what the model truncates to already. `store` leads the comparison through an
    index too (`search.stored.through_index`). With lora.keep_adapter the adapter lies in `adapter/` besides. The model
    is left merged. Returns what was compared, None with fit.parity=false. Raises ParityError, ModelError.
    """
    chosen = _dimension(model, dimension or recipe.fit.truncate_dim)
    trained = remember(model, pairs, recipe.model.encode_batch or 8) if recipe.fit.parity else None
    adapter = has_adapters(model) and recipe.lora.keep_adapter
    with replace_folder(folder) as fresh:
        if adapter:
            save_adapter(model, recipe.lora, recipe.model.name, fresh / ADAPTER)
        merge_adapters(model)
        if not is_late(model):
            model.truncate_dim = chosen
        _write(model, fresh)
        report = None
        if trained is not None:
            report = check_parity(
                model,
                trained.pairs,
                fresh,
                recipe=recipe.model,
                dimension=chosen,
                trained=trained,
                store=store,
                index_dimension=recipe.index.dimension,
            )
        card = model_card(model, recipe, facts or CardFacts(), report, adapter=adapter)
        (fresh / CARD).write_text(card, encoding="utf-8")
    return report


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


def push(folder: Path, repo_id: str, private: bool = True) -> str:
    """Put a saved model on the Hub under `repo_id`, made if it is not there; returns the address of the commit.

    Everything in the folder goes up and nothing else. Raises ModelError with one line where the Hub refuses or is not
    reached.
    """
    from huggingface_hub import HfApi

    if not (folder / "modules.json").is_file():
        raise ModelError(f"{folder} holds no saved model to push; train one with: pagetune fit")
    try:
        api = HfApi()
        made = api.create_repo(repo_id, private=private, exist_ok=True)
        return str(
            api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message="Finetuned with Pagetune")
        )
    except Exception as error:
        line = " ".join(str(error).split())[:200]
        raise ModelError(
            f"fit.push_to_hub={repo_id!r}: {line or type(error).__name__}; the model is saved in {folder}: "
            "log in with `hf auth login`, check the name, and push again"
        ) from error


def _dimension(model: Any, asked: int | None) -> int | None:
    """What the saved model truncates to; None: its own width."""
    if is_late(model):
        if asked is not None:
            raise ModelError(
                f"truncate_dim={asked}: a late-interaction model has one width, chosen by model.projection before "
                "training; leave out fit.truncate_dim and fit.truncate_loss"
            )
        return None
    inherited = model.truncate_dim
    with model.truncate_embeddings(None):
        width = model.get_embedding_dimension()
    wanted: int | None = asked if asked is not None else inherited
    if wanted is not None and width is not None and wanted > width:
        raise ModelError(
            f"fit.truncate_dim={wanted} is above the model's {width} dimensions; lower it, or leave it out"
        )
    return None if wanted == width else wanted


def _write(model: Any, folder: Path) -> None:
    with quiet():
        model.save_pretrained(str(folder), create_model_card=False)
