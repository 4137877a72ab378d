"""`auto` in the recipe: pixels and adapters chosen by the plan (`advice`) before the model is first needed.

The plan is made once for a workspace and noted there, so that a run which goes on trains the same; every stage, and
every fingerprint, sees the values that were chosen.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pagetune.changes import only
from pagetune.errors import ModelError
from pagetune.recipe import Recipe
from pagetune.workspace import Workspace, fingerprint, write_atomically

if TYPE_CHECKING:
    from pagetune.pipeline import Pipeline

OPEN: Mapping[str, Any] = {"model.max_pixels": None, "lora.rank": 0}
"""Keys that may be `auto`, and what stands for it while the plan is made: the model's own bound, all weights."""

DECIDES = ("model", "lora", "dataset", "fit.freeze_vision", "fit.gradient_checkpointing", "fit.bf16")
"""What the choice depends on: where another of these is given, it is made again."""

AT_REST = ("encode_batch", "encode_tokens", "token_pooling")
"""Of `model`, what training does not know."""


def left_open(recipe: Recipe) -> tuple[str, ...]:
    """The keys that are `auto`."""
    return tuple(key for key in OPEN if _value(recipe, key) == "auto")


def with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with these keys (`section.key`) set. Raises ValueError where they do not go together."""
    data = recipe.model_dump(mode="json")
    for key, value in values.items():
        section, name = key.split(".")
        data[section][name] = value
    return Recipe.model_validate(data)


def without_auto(recipe: Recipe) -> Recipe:
    """With what stands for `auto`."""
    return with_values(recipe, {key: OPEN[key] for key in left_open(recipe)})


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


def settle(pipeline: Pipeline) -> Recipe:
    """The pipeline's recipe with nothing left open: planned on its pages, said and noted, unless it has been.

    Raises ModelError where nothing fits this machine, or for a model that has no pixels, and what `advise` raises.
    """
    recipe = as_noted(pipeline.workspace, pipeline.recipe)
    keys = left_open(recipe)
    if not keys:
        return recipe
    from pagetune.advice import advise

    told = " and ".join(f"{key}=auto" for key in keys)
    pipeline.progress.say(f"plan: {told}: trying what fits this machine")
    try:
        found = advise(pipeline)
    except ModelError as error:
        raise ModelError(f"{told}: {error}") from error
    gc.collect()  # The model that was tried, before the next is loaded.
    if found.chosen is None:
        raise ModelError(f"{told}: {found.sentence}")
    values = {"model.max_pixels": found.chosen.pixels, "lora.rank": found.chosen.rank}
    values = {key: values[key] for key in keys}
    note = {"asked": _asked(recipe), "values": values, "advice": found.summary()}
    write_atomically(pipeline.workspace.plan_file, json.dumps(note, indent=1, ensure_ascii=False, default=str))
    pipeline.progress.say(f"plan: {found.sentence}")
    return with_values(recipe, values)


def _asked(recipe: Recipe) -> str:
    data = recipe.model_dump(mode="json")
    data["model"] = {key: value for key, value in data["model"].items() if key not in AT_REST}
    return fingerprint(only(data, DECIDES))


def _value(recipe: Recipe, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(recipe, section), name)
