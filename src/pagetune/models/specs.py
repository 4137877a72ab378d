"""From the recipe's `model` section to what the libraries are told: preset, precision, attention, pixel bounds."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pagetune.errors import ModelError
from pagetune.models.own_modules import read_json
from pagetune.recipe import ModelRecipe

if TYPE_CHECKING:
    import torch

Kind = Literal["dense", "late", "router"]


@dataclass(frozen=True, slots=True)
class Spec:
    """A model as it is to be loaded, nothing left open: `name` is `light`, a Hub id or a folder."""

    name: str
    kind: Kind
    image_model: str | None
    dtype: str
    attention: str | None
    min_pixels: int | None
    max_pixels: int | None
    query_prompt: str | None
    document_prompt: str | None
    trust_remote_code: bool
    revision: str | None
    device_map: str | dict[str, int | str] | None
    projection: int | None
    reason: str = ""
    """Why this model, where the recipe left the choice to us."""

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `SentenceTransformer` and `MultiVectorEncoder`."""
        return {
            "model_kwargs": self.model_arguments(),
            "prompts": self.prompts() or None,
            "trust_remote_code": self.trust_remote_code,
            "revision": self.revision,
            "local_files_only": Path(self.name).is_dir(),
        }

    def model_arguments(self) -> dict[str, Any]:
        """What the transformer is loaded with."""
        import torch

        given = {"dtype": getattr(torch, self.dtype), "attn_implementation": self.attention}
        return {key: value for key, value in (given | {"device_map": self.device_map}).items() if value is not None}

    def prompts(self) -> dict[str, str]:
        """The prompts that are not the checkpoint's own."""
        given = {"query": self.query_prompt, "document": self.document_prompt}
        return {key: value for key, value in given.items() if value is not None}


def resolve(recipe: ModelRecipe) -> Spec:
    """Fill in what the recipe leaves open from the preset, the folder and the machine. Raises ModelError."""
    from pagetune.models.presets import find_preset

    name, reason = recipe.name, ""
    if name == "auto":
        name, reason = _choose()
    preset = find_preset(name)
    if recipe.max_pixels == "auto":
        raise ModelError("model.max_pixels=auto is chosen before a fit (pagetune fit, run or plan); give a number here")
    device = default_device()
    own = preset.min_pixels if preset else None, preset.max_pixels if preset else None
    kind: Any = preset.kind if preset else kind_of(name)
    image_model = recipe.image_model or (preset.image_model if preset else None)
    dtype = _dtype(recipe.dtype, preset.dtype if preset else None, device)
    return Spec(
        name=preset.hub_id if preset and name != "light" else name,
        kind=kind if recipe.kind == "auto" else recipe.kind,
        image_model=image_model,
        dtype=dtype,
        attention=_attention(recipe.attention, dtype, device),
        min_pixels=recipe.min_pixels or own[0],
        max_pixels=recipe.max_pixels or own[1],
        query_prompt=_first(recipe.query_prompt, preset.query_prompt if preset else None),
        document_prompt=_first(recipe.document_prompt, preset.document_prompt if preset else None),
        trust_remote_code=recipe.trust_remote_code,
        revision=recipe.revision or (preset.revision if preset else None),
        device_map=recipe.device_map,
        projection=recipe.projection,
        reason=reason,
    )


def choice(recipe: ModelRecipe) -> str:
    """The sentence that says which model `auto` is here and why; empty where the recipe names one."""
    return resolve(recipe).reason if recipe.name == "auto" else ""


def default_device() -> torch.device:
    """Where a model is put when nobody says where, as Sentence Transformers chooses."""
    import torch
    from sentence_transformers.util import get_device_name

    return torch.device(get_device_name())


def _choose() -> tuple[str, str]:
    import torch

    from pagetune.models.presets import choose_auto

    memory = torch.cuda.get_device_properties(0).total_memory / 2**30 if torch.cuda.is_available() else None
    preset, reason = choose_auto(memory, _reachable)
    return preset.name, reason


def _reachable(name: str) -> bool:
    """Whether a model's files are in the cache, or its Hub answers."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.file_download import get_hf_file_metadata, hf_hub_url

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return True
    try:
        get_hf_file_metadata(hf_hub_url(name, "config.json"), timeout=5)
    except Exception:  # Whatever keeps us from it: offline mode, no network, no such model.
        return False
    return True


def kind_of(name: str) -> Kind:
    """Of a folder: what its configuration says it was saved as; of anything else: dense."""
    saved = _json(Path(name) / "config_sentence_transformers.json").get("model_type")
    heads = _json(Path(name) / "config.json").get("architectures") or [""]
    late = saved in ("MultiVectorEncoder", "ColBERT") or (saved is None and str(heads[0]).endswith("ForRetrieval"))
    return "late" if late else "dense"


def _dtype(asked: str, preset: str | None, device: torch.device) -> str:
    if asked != "auto":
        return asked
    # On a CPU the weights stay exact; where it multiplies bfloat16, autocast uses that.
    return preset or "float32" if device.type == "cuda" else "float32"


def _attention(asked: str, dtype: str, device: torch.device) -> str | None:
    flash = importlib.util.find_spec("flash_attn") is not None
    if asked == "flash_attention_2" and not flash:
        raise ModelError("model.attention=flash_attention_2 needs the package flash-attn; install it, or use sdpa")
    if asked != "auto":
        return asked
    if flash and device.type == "cuda" and dtype in ("bfloat16", "float16"):
        return "flash_attention_2"
    return None  # The library's own choice: sdpa, or eager for a model that has no other.


def _first(*values: str | None) -> str | None:
    return next((value for value in values if value is not None), None)


def _json(file: Path) -> dict[str, Any]:
    read = read_json(file)
    return read if isinstance(read, dict) else {}
