"""Weights of four bits under adapters that are trained (QLoRA; Dettmers et al., 2023), and back again.

NF4 with double quantisation through bitsandbytes: 4.127 bits a weight. The linear layers of a transformer's blocks are
quantised, where nearly all its weights are; what the recipe leaves alone (the vision tower without lora.vision),
embeddings, norms, heads and projections stay as they are.

The layers are replaced one by one in the loaded model, where they lie, and not while it is loaded: that works for any
architecture and placement, leaves nothing in the model's configuration that would be saved with it, and takes no more
memory than the plain model. That one has to fit anyway: it is what a fit ends with, and what everything else encodes
with. Between the two, training has the room.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pagetune.errors import MissingExtra, ModelError
from pagetune.machine import hand_back_memory
from pagetune.models.quiet import quiet
from pagetune.recipe import LoraRecipe

MARK = "is_loaded_in_4bit"
"""By this attribute peft and transformers know such a model."""

VISION = r"(^|\.)(visual|vision_model|vision_tower|vision_encoder)\."
"""Matches the names of a vision tower's parameters in the known architectures."""

BLOCKS = r"\.\d+\."
"""Matches what lies inside one of the blocks that follow each other: no embedding, projection, pooler or head."""


def linear_layers(inner: Any, *, vision: bool) -> list[str]:
    """Names of the linear layers that can have adapters; `vision`: those of the vision tower too."""
    from torch import nn

    return [
        name
        for name, module in inner.named_modules()
        if isinstance(module, nn.Linear)
        and not name.endswith("lm_head")
        and (vision or not re.search(VISION, f"{name}."))
    ]


def quantise(inner: Any, recipe: LoraRecipe) -> int:
    """Replace a transformer's linear layers by ones of four bits that compute in the weights' own precision; returns
    how many there are. What is quantised already stays. Raises MissingExtra without bitsandbytes, ModelError where
    there is no such layer."""
    from torch import nn

    if _library() is None:
        raise MissingExtra("bitsandbytes", "qlora", f"lora.quantise={recipe.quantise}")
    for name in linear_layers(inner, vision=recipe.vision):
        layer = inner.get_submodule(name)
        # Of other classes the weights may be read past their `forward`.
        if type(layer) is nn.Linear and re.search(BLOCKS, name):
            inner.set_submodule(name, _in_four_bits(layer))
            if layer.weight.device.type == "cpu":
                del layer
                hand_back_memory()
    found = len(list(_four_bit_layers(inner)))
    if not found:
        raise ModelError(f"lora.quantise={recipe.quantise}: the model has no linear layers in blocks; leave it out")
    setattr(inner, MARK, True)
    return found


def dequantise(inner: Any) -> None:
    """Give plain layers, of the weights that training saw, for every one of four bits."""
    for name, layer in list(_four_bit_layers(inner)):
        inner.set_submodule(name, in_full(layer))
    if hasattr(inner, MARK):
        delattr(inner, MARK)


def in_full(layer: Any, delta: Any = None) -> Any:
    """The nn.Linear that computes what a layer of four bits does, `delta` (float32) added to its weights."""
    import torch

    with torch.no_grad():
        weight = _library().functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        if delta is not None:
            weight = (weight.float() + delta.float()).to(weight.dtype)
    with torch.device("meta"):
        made = torch.nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    made.weight, made.bias = torch.nn.Parameter(weight), layer.bias
    return made.train(layer.training)


def is_four_bit(module: Any) -> bool:
    """Whether a module is a linear layer whose weights are kept in four bits."""
    library = _library()
    return library is not None and isinstance(module, library.nn.Linear4bit)


def stored_bytes(model: Any) -> int:
    """Bytes that the weights take, as they are kept; statistics of quantised ones, under one in thirty, left out."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def _in_four_bits(layer: Any) -> Any:
    import torch

    library = _library().nn
    form: dict[str, Any] = {"compress_statistics": True, "quant_type": "nf4"}
    weight = layer.weight
    with torch.device("meta"):
        # In another precision than the rest it would answer otherwise than the plain layer that is saved in the end.
        made = library.Linear4bit(
            layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=weight.dtype, **form
        )
    made.weight = library.Params4bit(weight.data, requires_grad=False, **form).to(weight.device)
    made.quant_state = made.weight.quant_state
    made.bias = layer.bias
    # On a CPU with AVX512-BF16, bitsandbytes would turn the weights of a model that is evaluated into another order,
    # and compute in bfloat16 whatever the precision: it would be judged by other vectors than it is trained by.
    made.support_avx512bf16_for_cpu = False
    return made.train(layer.training)


def _four_bit_layers(inner: Any) -> Iterator[tuple[str, Any]]:
    return ((name, module) for name, module in inner.named_modules() if is_four_bit(module))


def _library() -> Any:
    """bitsandbytes, of which little is typed; None where it is not installed."""
    try:
        with quiet():
            import bitsandbytes
    except ImportError:
        return None
    return bitsandbytes
