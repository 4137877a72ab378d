"""What a reranker's name stands for: its architecture, whether it is a reranker already, precision, pixel bounds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from pagetune.errors import ModelError
from pagetune.models.inspect import Architecture
from pagetune.models.own_modules import read_json
from pagetune.models.presets import find_reranker
from pagetune.models.quiet import quiet
from pagetune.models.refused import why
from pagetune.models.specs import Spec, default_device, resolve
from pagetune.recipe import ModelRecipe, RerankDirection, RerankRecipe

GENERATING = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
"""How the classes of models with a language-model head are called."""

DIRECTIONS: tuple[RerankDirection, ...] = get_args(RerankDirection)


@dataclass(frozen=True, slots=True)
class RerankSpec:
    """A reranker as it is to be loaded. `saved`: it is one already, with modules, template and prompts of its own."""

    base: Spec
    architecture: Architecture
    saved: bool

    @property
    def name(self) -> str:
        """`light`, a Hub id or a folder."""
        return self.base.name

    @property
    def min_pixels(self) -> int | None:
        return self.base.min_pixels

    @property
    def max_pixels(self) -> int | None:
        return self.base.max_pixels

    def hub(self) -> dict[str, Any]:
        """Where a file of it is looked for."""
        return {"revision": self.base.revision, "local_files_only": Path(self.name).is_dir()}


def resolve_reranker(recipe: RerankRecipe, folder: Path | None = None) -> RerankSpec:
    """Fill in what the recipe leaves open from the preset, the checkpoint and the machine. Raises ModelError."""
    if folder is None and recipe.name == "auto":
        raise ModelError("rerank.name=auto is no reranker's name; give light, a preset, a folder or a Hub id")
    if folder is not None and not (folder / "modules.json").is_file():
        raise ModelError(f"{folder} holds no reranker (no modules.json); train one with: pagetune fit kind=reranker")
    preset = None if folder else find_reranker(recipe.name)
    name = str(folder) if folder else preset.hub_id if preset else recipe.name
    given: dict[str, Any] = recipe.model_dump(include={"dtype", "attention", "trust_remote_code"})
    if preset and recipe.dtype == "auto" and default_device().type == "cuda":
        given["dtype"] = preset.dtype
    given["revision"] = None if folder else recipe.revision or (preset.revision if preset else None)
    given["min_pixels"] = recipe.min_pixels or (preset.min_pixels if preset else None)
    given["max_pixels"] = recipe.max_pixels or (preset.max_pixels if preset else None)
    base = resolve(ModelRecipe(name=name, kind="dense", **given))
    if name == "light":
        own: Architecture | None = None
        default: Architecture = "text"
    else:
        own = own_architecture(base)
        if own is None and recipe.architecture == "auto" and folder is None:
            _refuse_unknown_answers(base)
        default = "logit" if own is None and sees_by(read_config(base)) else "text"
    architecture: Any = recipe.architecture
    if architecture == "auto":
        architecture = own or default
    elif own is not None and architecture != own and folder is None:
        raise ModelError(
            f"rerank.architecture={architecture}: {name} is a reranker already, of the architecture {own}; "
            f"set architecture={own}, or name the backbone that it was made from"
        )
    elif own is not None:
        architecture = own
    if name == "light" and architecture != "text":
        raise ModelError(
            f"rerank.architecture={architecture}: light reads text alone; name a vision-language model, or set text"
        )
    return RerankSpec(base, architecture, saved=own is not None)


def own_architecture(base: Spec) -> Architecture | None:
    """That of a checkpoint that is a reranker already, None for a backbone. Raises ModelError."""
    modules = _file(base, "modules.json")
    saved_as = (_file(base, "config_sentence_transformers.json") or {}).get("model_type")
    if isinstance(modules, list) and saved_as == "CrossEncoder":
        kinds = [str(entry.get("type", "")).rpartition(".")[2] for entry in modules]
        if "LogitScore" in kinds:
            return "logit"
        if "Pooling" in kinds and "Dense" not in kinds:
            raise ModelError(
                f"reranker {base.name!r} has the wrong head: {' and '.join(kinds)}, no Dense layer that gives scores; "
                "give a folder that a whole reranker was saved in"
            )
        return "pooled" if "Pooling" in kinds else "text"
    if saved_as not in (None, "CrossEncoder") or isinstance(modules, list):
        return None
    heads = getattr(read_config(base), "architectures", None) or [""]
    return "text" if str(heads[0]).endswith("ForSequenceClassification") else None


def _refuse_unknown_answers(base: Spec) -> None:
    """Refuse a published reranker whose own template, prompt and answers are not in its files: as a mere backbone it
    would get others, or a head of chance. Raises ModelError."""
    if "rerank" in Path(base.name).name.casefold():
        told = "by its name"
    elif _card(base).get("pipeline_tag") == "text-ranking":
        told = "by its card"
    else:
        return
    raise ModelError(
        f"reranker {base.name!r} is one already, {told}, but no modules.json of a CrossEncoder says how it answers; "
        "name a copy or a revision that Sentence Transformers loads as one, or set rerank.architecture (logit, pooled "
        "or text) to make a new reranker of it"
    )


def read_config(base: Spec) -> Any:
    """The checkpoint's configuration. Raises ModelError."""
    from transformers import AutoConfig

    try:
        with quiet():
            return AutoConfig.from_pretrained(
                base.name,
                revision=base.revision,
                trust_remote_code=base.trust_remote_code,
                local_files_only=Path(base.name).is_dir(),
            )
    except Exception as error:
        reason = why(base.name, error, trusted=base.trust_remote_code, revision=base.revision, section="rerank")
        raise ModelError(f"reranker {base.name!r} cannot be loaded: {reason}") from error


def sees_by(config: Any) -> bool:
    """Whether a configuration is that of a model that takes pictures."""
    return getattr(config, "vision_config", None) is not None


def generates(config: Any) -> bool:
    """Whether a checkpoint was saved with a language-model head."""
    heads = getattr(config, "architectures", None) or [""]
    return str(heads[0]).endswith(GENERATING)


def _card(base: Spec) -> dict[str, Any]:
    """What stands at the head of the model card."""
    from huggingface_hub import metadata_load

    found = _path(base, "README.md")
    try:
        return (metadata_load(found) if found else None) or {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}


def _file(base: Spec, name: str) -> Any:
    """A JSON file of the checkpoint, None where there is none."""
    found = _path(base, name)
    return None if found is None else read_json(Path(found))


def _path(base: Spec, name: str) -> str | None:
    """Where a file of the checkpoint lies on this machine, None where it has none."""
    from sentence_transformers.util import load_file_path

    try:
        with quiet():
            return load_file_path(base.name, name, revision=base.revision, local_files_only=Path(base.name).is_dir())
    except (OSError, ValueError):
        return None
