"""Low-rank adapters through peft: put on, and merged into the weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pagetune.errors import MissingExtra, ModelError
from pagetune.models.quantised import VISION, dequantise, in_full, is_four_bit, linear_layers, quantise
from pagetune.models.quiet import drawn_from, quiet
from pagetune.recipe import LoraRecipe

ADAPTER = "default"


def add_adapters(model: Any, recipe: LoraRecipe, seed: int = 17) -> int:
    """Put adapters on the model's transformer, everything else frozen but new projections; returns the number of
    weights that are left to train. The adapters are float32 whatever the model is: in bfloat16 most steps of a usual
    learning rate would be rounded away. With lora.quantise the layers are quantised first; norms and whatever else is
    frozen keep the model's precision, in which the norms compute in float32 as they are, so that the merged model
    computes as the trained one did. Raises MissingExtra without peft (bitsandbytes), ModelError where there can be
    none."""
    try:
        with quiet():
            from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtra("peft", "lora", "LoRA") from None
    from peft.tuners.tuners_utils import cast_adapter_dtype
    from sentence_transformers.base.modules import Transformer

    if not isinstance(model[0], Transformer):
        raise ModelError(f"lora.rank={recipe.rank}: a model that begins with {type(model[0]).__name__} has no adapters")
    inner = model[0].model
    if recipe.quantise != "none":
        quantise(inner, recipe)
    layers = linear_layers(inner, vision=recipe.vision)
    targets = (
        layers if recipe.targets == "all-linear" else [name for name in layers if _is_one_of(name, recipe.targets)]
    )
    if not targets:
        known = sorted({name.rpartition(".")[2] for name in layers})
        raise ModelError(f"lora.targets={recipe.targets}: no linear layer is called so; there are {', '.join(known)}")
    config = LoraConfig(
        r=recipe.chosen_rank,
        lora_alpha=recipe.alpha or 2 * recipe.chosen_rank,
        lora_dropout=recipe.dropout,
        target_modules=targets,
    )
    for parameter in inner.parameters():
        parameter.requires_grad_(False)
    # Straight into the layers: the models' own `add_adapter` asks for a peft that is newer than any there is.
    with drawn_from(seed):
        inject_adapter_in_model(config, inner, ADAPTER)
    cast_adapter_dtype(inner, ADAPTER)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def merge_adapters(model: Any) -> int:
    """Add the adapters into the weights that they adapt and take them off; returns how many layers had one.

    A quantised model becomes a plain one of its own precision. What its adapters are added to are the weights that
    training saw, dequantised, not those that they were quantised from: the adapters have learnt beside the rounding,
    and make up for a part of it. On other weights they would answer as nobody has trained or judged them.
    """
    layers = list(_adapted(model))
    inner: Any = getattr(model[0], "model", None)
    for name, module in layers:
        base = module.get_base_layer()
        if is_four_bit(base):
            base = in_full(base, module.get_delta_weight(ADAPTER))
        else:
            module.merge()
        inner.set_submodule(name, base)
    if inner is not None:
        dequantise(inner)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return len(layers)


def has_adapters(model: Any) -> bool:
    """Whether adapters lie beside the weights, not merged."""
    return next(_adapted(model), None) is not None


@contextmanager
def adapters_off(model: Any) -> Iterator[None]:
    """The model as it was before its adapters, which are back on afterwards."""
    layers = [module for _, module in _adapted(model)]
    for module in layers:
        module.enable_adapters(False)
    try:
        yield
    finally:
        for module in layers:
            module.enable_adapters(True)


def save_adapter(model: Any, recipe: LoraRecipe, base: str, folder: Path) -> None:
    """Write the adapter alone, as peft reads it: onto the same base model, `PeftModel.from_pretrained`."""
    from peft import LoraConfig, get_peft_model_state_dict
    from safetensors.torch import save_file

    inner = model[0].model
    state = get_peft_model_state_dict(inner, adapter_name=ADAPTER)
    names = [name for name, _ in _adapted(model)]
    folder.mkdir(parents=True, exist_ok=True)
    LoraConfig(
        r=recipe.chosen_rank,
        lora_alpha=recipe.alpha or 2 * recipe.chosen_rank,
        lora_dropout=recipe.dropout,
        target_modules=names,
        base_model_name_or_path=base,
        inference_mode=True,
    ).save_pretrained(str(folder))
    tensors = {f"base_model.model.{name}": tensor.contiguous().cpu() for name, tensor in state.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def save_trained(model: Any, file: Path) -> None:
    """Write the weights that are trained, adapters and projections, and no others."""
    from safetensors.torch import save_file

    trained = {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
    save_file({name: tensor.contiguous().cpu() for name, tensor in trained.items()}, file)


def load_trained(model: Any, file: Path) -> None:
    """Read what `save_trained` wrote into the same model with the same adapters."""
    from safetensors.torch import load_file

    found = load_file(file)
    wanted = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if wanted != found.keys():
        odd = sorted(wanted ^ found.keys())
        raise ModelError(f"{file} holds other adapters than the recipe makes ({len(odd)} names, such as {odd[0]})")
    model.load_state_dict(found, strict=False)


def _adapted(model: Any) -> Iterator[tuple[str, Any]]:
    try:
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError:
        return
    inner = getattr(model[0], "model", None)
    if inner is not None:
        yield from ((name, module) for name, module in inner.named_modules() if isinstance(module, BaseTunerLayer))


def _is_one_of(name: str, targets: Sequence[str]) -> bool:
    return any(name == target or name.endswith(f".{target}") for target in targets)


def freeze_vision(model: Any) -> int:
    """Leave the vision tower as it is; returns the number of weights frozen. Raises ModelError where it has none."""
    frozen = 0
    for name, parameter in model.named_parameters():
        if re.search(VISION, name):
            parameter.requires_grad_(False)
            frozen += parameter.numel()
    if not frozen:
        raise ModelError("fit.freeze_vision=true: no vision tower was found in the model; leave it out")
    return frozen
