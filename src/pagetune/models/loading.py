"""From the name of a model to the model: the embedded default `light`, or any Sentence Transformers model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError
from pagetune.models.late_interaction import load_late
from pagetune.models.light import choose_attention, load_light
from pagetune.models.own_modules import load_modules, names_own, read_json
from pagetune.models.pixels import bound_pixels
from pagetune.models.placement import is_placed
from pagetune.models.quiet import quiet
from pagetune.models.refused import why
from pagetune.models.router import build_router
from pagetune.models.specs import Spec, kind_of, resolve
from pagetune.recipe import ModelRecipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load_model(recipe: ModelRecipe, path: Path | None = None) -> Any:
    """The model that the recipe names, or the one saved in the folder `path`, ready to encode: a SentenceTransformer,
    or a MultiVectorEncoder where it is of late interaction.

    Raises ModelError for a model that cannot be loaded or is not the one expected, MissingExtra where `light`'s
    weights are not installed.
    """
    if recipe.name == "light" and recipe.kind != "router":
        return load_light(recipe) if path is None else load_folder(path)
    spec = resolve(recipe)
    if path is not None:
        model = load_folder(path, spec)
    elif spec.name == "light" and spec.kind != "router":
        model = load_light(recipe)
    elif spec.kind == "router":
        model = build_router(spec)
    elif spec.kind == "late":
        model = load_late(spec)
    elif (Path(spec.name) / "modules.json").is_file():
        model = load_folder(Path(spec.name), spec)
    else:
        model = _load_named(spec)
    settle(model, spec, asked=recipe.min_pixels is not None or recipe.max_pixels is not None)
    return model


def settle(model: Any, spec: Spec, *, asked: bool) -> None:
    """Bounds, prompts and padding as the spec has them, whatever the checkpoint brought along."""
    from pagetune.models.patches import multiply_patches

    multiply_patches(model)
    bound_pixels(model, spec.min_pixels, spec.max_pixels, required=asked)
    model.prompts.update(spec.prompts())
    kind = getattr(getattr(getattr(model[0], "model", None), "config", None), "model_type", "")
    if kind in ("siglip", "siglip2"):
        # SigLIP reads the last place of its text whatever stands there, and has been trained on texts filled up.
        longest = {"padding": "max_length", "max_length": 64, "truncation": True}
        model[0].processing_kwargs = {**model[0].processing_kwargs, "text": longest}


def save_model(model: SentenceTransformer, folder: Path) -> None:
    """Write a Sentence Transformers folder."""
    with quiet():
        model.save(str(folder))


def load_folder(path: Path, spec: Spec | None = None) -> Any:
    """The model in a Sentence Transformers folder, from the disk alone; raises ModelError where it is not one."""
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    modules = read_json(path / "modules.json")
    if not isinstance(modules, list):
        raise ModelError(f"{path} is not a Sentence Transformers folder (no modules.json); give one, or a model's name")
    arguments = (spec.arguments() if spec else {}) | {"local_files_only": True}
    try:
        with quiet():
            if names_own(modules):
                return _load_reading(path, modules)
            kind = MultiVectorEncoder if kind_of(str(path)) == "late" else SentenceTransformer
            return kind(str(path), **arguments)
    except ModelError:
        raise
    except Exception as error:
        trusted = spec is not None and spec.trust_remote_code
        raise ModelError(f"{path} cannot be loaded: {why(str(path), error, trusted=trusted)}") from error


def load_plain(kind: Any, folder: Path, *, trust: bool = False, device_map: Any = None) -> Any:
    """The model in a folder as somebody without Pagetune loads it, of the class `kind`; `device_map`: over those
    devices.

    But patches are multiplied: in half precision a convolution rounds otherwise, which moves a score by more than
    parity allows, and is no fault of what was saved.
    """
    from pagetune.models.patches import multiply_patches

    more: dict[str, Any] = {} if device_map is None else {"model_kwargs": {"device_map": device_map}}
    with quiet():
        model = kind(str(folder), local_files_only=True, trust_remote_code=trust, **more)
    multiply_patches(model)
    return model


@contextmanager
def parked(model: Any) -> Iterator[None]:
    """Leave a GPU's memory to the model that is loaded beside this one."""
    device = model.device
    moved = device.type == "cuda" and not is_placed(model)
    if moved:
        model.to("cpu")
    try:
        yield
    finally:
        if moved:
            model.to(device)


def _load_reading(path: Path, modules: list[dict[str, str]]) -> SentenceTransformer:
    """A model that reads pages."""
    from sentence_transformers import SentenceTransformer

    from pagetune.models.page_reader import PageReader

    loaded = load_modules(path, modules)
    for module in loaded:
        if isinstance(module, PageReader):
            choose_attention(module.transformer)
    config = read_json(path / "config_sentence_transformers.json") or {}
    kept = ("prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim")
    known = {key: config[key] for key in kept if key in config}
    return SentenceTransformer(modules=loaded, local_files_only=True, **known)


def _load_named(spec: Spec) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    try:
        with quiet():
            model = SentenceTransformer(spec.name, **spec.arguments())
    except Exception as error:
        reason = why(spec.name, error, trusted=spec.trust_remote_code, revision=spec.revision)
        raise ModelError(f"model {spec.name!r} cannot be loaded: {reason}") from error
    if not model.supports("text"):
        raise ModelError(
            f"model {spec.name!r} takes {model.modalities}, a search begins with a text; choose another model"
        )
    return model
