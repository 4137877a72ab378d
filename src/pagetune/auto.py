"""`auto` in the recipe: pixels and adapters chosen by the plan (`advice`) before the model is first needed.

The plan is made once for a workspace and noted there, so that a run which goes on trains the same; every stage, and
every fingerprint, sees the values that were chosen.
"""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING

from pagetune.changes import only
from pagetune.errors import ModelError
from pagetune.recipe import Recipe, left_open, with_values
from pagetune.workspace import Workspace, fingerprint, write_atomically

if TYPE_CHECKING:
    from pagetune.context import Context

DECIDES = ("model", "lora", "dataset", "fit.freeze_vision", "fit.gradient_checkpointing", "fit.bf16")
"""What the choice depends on: where another of these is given, it is made again."""

AT_REST = ("encode_batch", "encode_tokens", "token_pooling")
"""Of `model`, what training does not know."""


def as_noted(workspace: Workspace, recipe: Recipe) -> Recipe:
    """The recipe with what the workspace's plan chose for it; as it is where there is nothing open, or no such plan."""
    keys = left_open(recipe)
    if not keys:
        return recipe
    try:
        noted = json.loads(workspace.plan_file.read_text(encoding="utf-8"))
        same = noted["asked"] == _asked(recipe)
        return with_values(recipe, {key: noted["values"][key] for key in keys}) if same else recipe
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        return recipe


def settle(context: Context) -> Recipe:
    """The recipe with nothing left open: planned on the pages, said and noted, unless it has been.

    Raises ModelError where nothing fits this machine, or for a model that has no pixels, and what `advise` raises.
    """
    recipe = as_noted(context.workspace, context.recipe)
    keys = left_open(recipe)
    if not keys:
        return recipe
    from pagetune.advice import advise

    told = " and ".join(f"{key}=auto" for key in keys)
    context.progress.say(f"plan: {told}: trying what fits this machine")
    try:
        found = advise(context)
    except ModelError as error:
        raise ModelError(f"{told}: {error}") from error
    gc.collect()  # The model that was tried, before the next is loaded.
    if found.chosen is None:
        raise ModelError(f"{told}: {found.sentence}")
    values = {"model.max_pixels": found.chosen.pixels, "lora.rank": found.chosen.rank}
    values = {key: values[key] for key in keys}
    note = {"asked": _asked(recipe), "values": values, "advice": found.summary()}
    write_atomically(context.workspace.plan_file, json.dumps(note, indent=1, ensure_ascii=False, default=str))
    context.progress.say(f"plan: {found.sentence}")
    return with_values(recipe, values)


def _asked(recipe: Recipe) -> str:
    data = recipe.model_dump(mode="json")
    data["model"] = {key: value for key, value in data["model"].items() if key not in AT_REST}
    return fingerprint(only(data, DECIDES))
