"""The end of a fit: the model saved once it has passed the parity gate, with its card, and onto the Hub if asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pagetune.context import Context
    from pagetune.models.answers import Pair
    from pagetune.training.loop import FitReport


def finish_model(
    context: Context,
    model: Any,
    report: FitReport,
    pairs: Sequence[Pair],
    data: Mapping[str, Any],
    by_dimension: Callable[[Any], Mapping[int, float]] | None = None,
) -> dict[str, Any]:
    """Save the finetuned model into the workspace, once it has passed the parity gate; onto the Hub if asked.

    `pairs`: queries and the pages that answer them, to compare it on. `by_dimension` judges the model at every
    dimension, where the recipe lets that choose what it is truncated to.
    """
    from pagetune.machine import describe_machine
    from pagetune.models.card import CardFacts
    from pagetune.models.saving import ADAPTER, CARD, push, save_finished
    from pagetune.search.stored import through_index
    from pagetune.training.image_judging import choose_dimension
    from pagetune.workspace import folder_digest

    recipe, folder = context.recipe, context.workspace.model
    dimension: int | None = None
    judged: Mapping[int, float] = {}
    if recipe.fit.truncate_loss is not None and by_dimension is not None:
        judged = by_dimension(model)
        dimension = choose_dimension(judged, recipe.fit.truncate_loss)
        context.progress.say(f"fit: truncated to {dimension} dimensions, NDCG@10 {judged[dimension]:.3f}")
    machine = describe_machine()
    facts = CardFacts(
        data=data,
        datasets=tuple(name for name in (recipe.dataset.train,) if name and not Path(name).exists()),
        results=_results(report, judged, model),
        judged=f"{report.validation_queries} queries against {report.validation_pages} pages",
        training={"examples": report.examples, "batch": report.batch_size, "steps": report.kept_step},
        hardware=", ".join(machine[key] for key in ("processor", "memory") if key in machine),
    )
    parity = save_finished(
        model, folder, recipe, pairs, dimension=dimension, facts=facts, store=through_index(recipe.index)
    )
    # What it answers, not how its card puts that: another key beside training sets off no evaluation.
    summary: dict[str, Any] = {"content": folder_digest(folder, without=(CARD, ADAPTER)), **report.summary()}
    summary["parity"] = None if parity is None else parity.summary()
    if recipe.fit.push_to_hub:
        summary["pushed"] = push(folder, recipe.fit.push_to_hub)
    return summary


def _results(
    report: FitReport, judged: Mapping[int, float], model: Any
) -> dict[int, tuple[float | None, float | None]]:
    """NDCG@10 before and after, by dimension, as far as they were measured."""
    width = model.get_embedding_dimension() or 0
    found: dict[int, tuple[float | None, float | None]] = {size: (None, value) for size, value in judged.items()}
    if report.kept_ndcg is not None:
        found[width] = (report.base_ndcg, report.kept_ndcg)
    return found
