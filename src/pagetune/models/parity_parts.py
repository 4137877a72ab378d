"""What two models that should be the same have otherwise: modules, how pictures and texts are prepared, weights.

A difference that is there and does not matter is not blamed, and two faults at once are both named (`find_causes`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pagetune.models.adapters import has_adapters

Answers = TypeVar("Answers")

UNMERGED = "unmerged adapter"

SAVE_AGAIN = "save the model again from memory (models.saving.save_finished)"
SHOWN = 3
"""Names given in a message."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that is otherwise: `name` for programs, `text` and `fix` for readers; `repair` makes the loaded model
    have it as the one in memory has."""

    name: str
    text: str
    fix: str
    repair: Callable[[], Any] = lambda: None


def attempt(answer: Callable[[], Answers]) -> Answers | None:
    """What the model answers; None where its modules do not fit together."""
    try:
        return answer()
    except Exception:
        return None


def find_causes(
    differences: Iterable[Cause],
    model: Any,
    answer: Callable[[], Answers],
    alike: Callable[[Answers, Answers], bool],
    right: Callable[[Answers], bool],
) -> list[Cause]:
    """Those of the differences that matter: each is put right in turn, until what `answer` gives is `right`.

    Where they do not explain it all, the last cause is `unknown`.
    """
    named: list[Cause] = []
    before = attempt(answer)
    for cause in differences:
        if cause.name == UNMERGED and has_adapters(model):
            return [*named, cause]  # Nothing merged is at hand to put it right with.
        try:
            cause.repair()
        except (AttributeError, KeyError, RuntimeError, ValueError):
            continue
        after = attempt(answer)
        # What moves the answers was otherwise, wherever it moves them: another fault may still hide the gain.
        if before is None or after is None or not alike(before, after):
            named.append(cause)
        before = after
        if after is not None and right(after):
            return named or [cause]
    text = "and something that has no name here" if named else "its prompts, pictures, modules and weights are alike"
    fix = "look at its tokenizer and its configuration files beside the base model's"
    return [*named, Cause("unknown", text, fix)]


def other_adapters(folder: Path, loaded: Any, model: Any, as_base: Callable[[], bool]) -> Iterator[Cause]:
    """Adapters that were not merged before the model was saved. `as_base`: whether it answers as without them."""
    if leftovers := _adapter_tensors(folder):
        text = f"{len(leftovers)} adapter tensors lie in the folder unmerged, such as {leftovers[0]}"
    elif as_base():
        text = "it answers as the base model does: its weights were saved without what the adapter learnt"
    else:
        return
    fix = "merge before saving (models.adapters.merge_adapters)"
    yield Cause(UNMERGED, text, fix, partial(_take_all_weights, model, loaded))


def leaves(model: Any) -> dict[str, Any]:
    """Every module that computes, by its place: a router's routes taken apart."""
    from sentence_transformers.base.modules import Router

    found: dict[str, Any] = {}
    for place, module in enumerate(model):
        if isinstance(module, Router):
            routes: dict[str, Any] = dict(module.sub_modules.items())
            for route, parts in routes.items():
                found |= {f"{place}.{route}.{number}": part for number, part in enumerate(parts)}
        else:
            found[str(place)] = module
    return found


def other_modules(model: Any, loaded: Any) -> Iterator[Cause]:
    """Modules that are missing, of another class or set otherwise: pooling, projections, normalisation."""
    from sentence_transformers.base.modules import Transformer

    wanted, has = leaves(model), leaves(loaded)
    kinds = [[type(module).__name__ for module in each.values()] for each in (wanted, has)]
    if kinds[0] != kinds[1]:
        missing = [kind for kind in kinds[0] if kinds[0].count(kind) > kinds[1].count(kind)]
        known = {"Normalize": "un-normalised vectors", "Dense": "missing projection", "Pooling": "pooling"}
        text = f"its modules are {', '.join(kinds[1])} instead of {', '.join(kinds[0])}"
        label = known.get(missing[0], "modules") if missing else "modules"
        yield Cause(label, text, SAVE_AGAIN, partial(_take_modules, model, loaded))
        return
    for place, module in wanted.items():
        mine, theirs = _settings(module), _settings(has[place])
        keys = [key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]
        if not keys:
            continue
        kind = type(module).__name__
        told = ", ".join(f"{key} {theirs.get(key)!r} instead of {mine.get(key)!r}" for key in sorted(keys)[:SHOWN])
        repair: Callable[[], None] = partial(_take_module, model, loaded, place)
        if isinstance(module, Transformer):
            repair = partial(_take_settings, module, has[place], keys)
        name = "pooling" if kind == "Pooling" else f"{kind} settings"
        yield Cause(name, f"its {kind} has {told}", SAVE_AGAIN, repair)


def other_pictures(model: Any, loaded: Any) -> Iterator[Cause]:
    """Pixel bounds and the rest of how a page is turned into numbers; the template that holds query and picture."""
    has = leaves(loaded)
    for place, module in leaves(model).items():
        mine, theirs = (getattr(each, "processor", None) for each in (module, has.get(place)))
        pictures = getattr(mine, "image_processor", None), getattr(theirs, "image_processor", None)
        if pictures[0] is not None and pictures[1] is not None:
            yield from _other_picture(*pictures)
        templates = [_template(each) for each in (mine, theirs)]
        if templates[0] != templates[1]:
            text = "its chat template is another one, which stands around every query and page"
            yield Cause("chat template", text, SAVE_AGAIN, partial(_take_template, mine, theirs))


def other_weights(model: Any, loaded: Any) -> list[Cause]:
    """Weights that are not the trained ones: rounded, a projection's, or any."""
    import torch

    wanted, has = model.state_dict(), loaded.state_dict()
    names = [name for name in wanted if name in has and not _same(wanted[name], has[name])]
    if not names:
        return []
    rounded = next((kind for kind in (torch.bfloat16, torch.float16) if _are_rounded(wanted, has, names, kind)), None)
    if rounded is not None:
        kind = _dtype(loaded) if loaded.dtype != model.dtype else str(rounded).removeprefix("torch.")
        text = f"its weights are {kind}, {_dtype(model)} were trained"
        fix = f"load it with model.dtype={_dtype(model)}, and save it so"
        return [Cause("other precision", text, fix, partial(_take_weights, model, loaded, names))]
    projections = tuple(f"{place}." for place, module in _named_leaves(model) if type(module).__name__ == "Dense")
    found: list[Cause] = []
    groups = (
        ("stale projection", "its projections", [name for name in names if name.startswith(projections)]),
        ("other weights", "its weights", [name for name in names if not name.startswith(projections)]),
    )
    for name, whose, chosen in groups:
        if chosen:
            text = f"of {whose} {len(chosen)} tensors are not the trained ones: {', '.join(chosen[:SHOWN])}"
            found.append(Cause(name, text, SAVE_AGAIN, partial(_take_weights, model, loaded, chosen)))
    return found


def _other_picture(mine: Any, theirs: Any) -> Iterator[Cause]:
    wanted, has = mine.to_dict(), theirs.to_dict()
    keys = [key for key in wanted.keys() & has.keys() if _plain(wanted[key]) != _plain(has[key])]
    for key in sorted(keys):
        name = "pixel bounds" if key == "size" else "picture settings"
        text = f"its pages are scaled to {key} {_plain(has[key])} instead of {_plain(wanted[key])}"
        fix = "set model.min_pixels and model.max_pixels in the recipe" if key == "size" else SAVE_AGAIN
        yield Cause(name, text, fix, partial(setattr, theirs, key, copy.deepcopy(getattr(mine, key))))


def _settings(module: Any) -> dict[str, Any]:
    settings = dict(module.get_config_dict()) if hasattr(module, "get_config_dict") else {}
    if hasattr(module, "max_seq_length"):
        settings["max_seq_length"] = module.max_seq_length
    return {key: _plain(value) for key, value in settings.items()}


def _plain(value: Any) -> Any:
    """Settings as JSON would say them: a tuple is a list, a size is its numbers that are set."""
    if hasattr(value, "items"):
        return {str(key): _plain(each) for key, each in value.items() if each is not None}
    return [_plain(each) for each in value] if isinstance(value, (tuple, list)) else value


def _template(processor: Any) -> str | None:
    return getattr(processor, "chat_template", None) or getattr(
        getattr(processor, "tokenizer", None), "chat_template", None
    )


def _take_template(mine: Any, theirs: Any) -> None:
    theirs.chat_template = _template(mine)


def _take_settings(mine: Any, theirs: Any, keys: Sequence[str]) -> None:
    for key in keys:
        setattr(theirs, key, copy.deepcopy(getattr(mine, key)))


def _take_modules(model: Any, loaded: Any) -> None:
    """Copies of all modules behind the first, which is the one that is large; a router's routes whole."""
    from sentence_transformers.base.modules import Router

    device = loaded.device
    for name in list(loaded._modules)[1:]:
        del loaded._modules[name]
    for name, module in list(model._modules.items())[1:]:
        loaded._modules[name] = copy.deepcopy(module).to(device)
    if isinstance(model[0], Router):
        loaded._modules[next(iter(loaded._modules))] = copy.deepcopy(model[0]).to(device)


def _take_module(model: Any, loaded: Any, place: str) -> None:
    """A copy of one module, by its place among the leaves."""
    top, _, inner = place.partition(".")
    name = list(loaded._modules)[int(top)]
    fresh = copy.deepcopy(leaves(model)[place]).to(loaded.device)
    if inner:
        route, _, number = inner.rpartition(".")
        loaded._modules[name].sub_modules[route][int(number)] = fresh
    else:
        loaded._modules[name] = fresh


def _named_leaves(model: Any) -> Iterator[tuple[str, Any]]:
    """Modules by the names that their parameters begin with."""
    known = {id(module) for module in leaves(model).values()}
    return ((name, module) for name, module in model.named_modules() if id(module) in known)


def _take_all_weights(model: Any, loaded: Any) -> None:
    for cause in other_weights(model, loaded):
        cause.repair()


def _take_weights(model: Any, loaded: Any, names: Sequence[str]) -> None:
    import torch

    trained = model.state_dict()
    loaded.to(dtype=model.dtype)
    has = loaded.state_dict()
    with torch.no_grad():
        for name in names:
            has[name].copy_(trained[name])


def _adapter_tensors(folder: Path) -> list[str]:
    """Names of adapters' tensors, or of weights that still wait for one, in a saved model's own files."""
    from safetensors import safe_open

    found: list[str] = []
    for file in sorted(folder.rglob("*.safetensors")):
        if file.parent.name == "adapter":
            continue  # The copy that was asked for.
        with safe_open(file, "pt") as tensors:
            found += [name for name in tensors.keys() if "lora_" in name or ".base_layer." in name]  # noqa: SIM118
    return found


def _same(one: Any, other: Any) -> bool:
    import torch

    if one.is_meta or other.is_meta:
        return True
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one.cpu(), other.cpu())


def _are_rounded(wanted: dict[str, Any], has: dict[str, Any], names: Sequence[str], kind: Any) -> bool:
    import torch

    return all(
        wanted[name].shape == has[name].shape
        and torch.equal(wanted[name].cpu().to(kind).float(), has[name].cpu().float())
        for name in names
    )


def _dtype(model: Any) -> str:
    return str(model.dtype).removeprefix("torch.")
