"""What a fit on page images lets through the model at once: as the recipe has it, or measured on its longest page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from pagetune.models.inspect import is_late
from pagetune.progress import SILENT, Progress
from pagetune.recipe import FitRecipe
from pagetune.training.budget import Trial, left_for_graphs, measure, room
from pagetune.training.feeding import Prepare, Reference, Route
from pagetune.training.loop import as_trained
from pagetune.training.memory import forget_frames, is_out_of_memory, release
from pagetune.training.mini_batches import Budget
from pagetune.training.representations import Tokens, Vectors

Longest = Callable[[], tuple[Reference, Route]]
"""The page of the most tokens, and how it goes through the model."""


def find_budget(
    model: Any,
    recipe: FitRecipe,
    prepare: Prepare,
    longest: Longest,
    noted: dict[str, Any],
    progress: Progress = SILENT,
) -> Budget:
    """As the recipe has it; what is "auto" in it is measured once, and noted for a fit that goes on later."""
    if "budget" in noted:
        return Budget(**noted["budget"])
    keep = None if recipe.graph_memory == "auto" else round(recipe.graph_memory * 2**30)
    if recipe.mini_batch_tokens == "auto":
        found, trials = _measured(model, recipe, prepare, longest)
        budget = Budget(tokens=found.tokens, keep_bytes=found.keep_bytes if keep is None else keep)
        tried = ", ".join(f"{trial.items}: {trial.tokens / trial.seconds:,.0f}" for trial in trials)
        progress.say(
            f"fit: mini-batches of {budget.tokens:,} tokens, {trials[-1].items} of the longest pages "
            f"(tokens a second by pages: {tried}); graphs of {budget.keep_bytes / 2**30:.1f} GiB are kept"
        )
    else:
        items = recipe.mini_batch_size if recipe.mini_batch_tokens is None else None
        budget = Budget(tokens=recipe.mini_batch_tokens, items=items)
        left = _left_beside(model, recipe, prepare, longest, budget) if keep is None else keep
        budget = replace(budget, keep_bytes=left)
    noted["budget"] = asdict(budget)
    return budget


def _measured(
    model: Any, recipe: FitRecipe, prepare: Prepare, longest: Longest, items: int | None = None
) -> tuple[Budget, list[Trial]]:
    page, route = longest()
    kind = Tokens if is_late(model) else Vectors
    with as_trained(model, recipe):
        return measure(model, kind, prepare, [page], route, items=items)


def _left_beside(model: Any, recipe: FitRecipe, prepare: Prepare, longest: Longest, budget: Budget) -> int:
    """For graphs beside mini-batches of a budget that is given: on a GPU one is tried, on a CPU its part of the memory
    goes by the whole."""
    device = model.device
    if device.type != "cuda":
        return left_for_graphs(room(model), device)
    items = budget.items or max(1, (budget.tokens or 0) // longest()[0].length)
    try:
        return _measured(model, recipe, prepare, longest, items)[0].keep_bytes
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        forget_frames(error)
        release(device)
        return 0  # Where memory runs out in a step, its mini-batches get smaller.
