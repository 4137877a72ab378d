"""Qwen3-VL-Embedding-2B's architecture at its published sizes, with random weights: nothing is downloaded.

The tokenizer and the processor are made on the spot, as the tiny checkpoints' are; the vocabulary is as wide as the
published one, so that the weights are as many. What is computed takes as long as with the published weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

PARAMETERS = 2128
"""Millions, of the published checkpoint without its language head, whose weights are the embedding's."""

DIMENSIONS = [2048, 1536, 1024, 512, 256, 128, 64]
"""Of the published experiment's Matryoshka loss."""

TEXT: dict[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 262144,
    "initializer_range": 0.02,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 5e6,
        "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
    },
}
VISION: dict[str, Any] = {
    "depth": 24,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_heads": 16,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "out_hidden_size": 2048,
    "num_position_embeddings": 2304,
    "deepstack_visual_indexes": [5, 11, 17],
    "initializer_range": 0.02,
}

SMALL_TEXT = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "vocab_size": 4096,
}
SMALL_TEXT_ROPE = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [12, 10, 10], "mrope_interleaved": True}
SMALL_VISION = {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 4,
    "out_hidden_size": 128,
    "num_position_embeddings": 576,
    "deepstack_visual_indexes": [0, 1],
}


def build(folder: Path, device: torch.device, *, tiny: bool = False) -> Any:
    """A SentenceTransformer in bfloat16: the transformer, its last token, length 1. `folder` takes small files."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import AutoModel, Qwen3VLConfig

    from _tiny import ANSWERING, tiny_qwen3_vl

    # A checkpoint of the same class for the processor; its own weights are put away.
    small = tiny_qwen3_vl(folder / "small", hidden=64, layers=1, heads=2, vision_hidden=64, vision_layers=1)
    loading: dict[str, Any] = {"model_kwargs": {"dtype": torch.bfloat16, "attn_implementation": "sdpa"}}
    transformer = Transformer(str(small), processing_kwargs=ANSWERING, **loading)
    marks = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    given = transformer.model.config
    config = Qwen3VLConfig(
        text_config=TEXT | (SMALL_TEXT | {"rope_parameters": SMALL_TEXT_ROPE} if tiny else {}),
        vision_config=VISION | (SMALL_VISION if tiny else {}),
        tie_word_embeddings=True,
        **{mark: getattr(given, mark) for mark in marks},
    )
    torch.manual_seed(0)
    with device:
        inner = AutoModel.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    transformer.model = inner
    width = config.text_config.hidden_size
    return SentenceTransformer(modules=[transformer, Pooling(width, "lasttoken"), Normalize()], device=str(device))


@dataclass(frozen=True)
class Work:
    """Floating-point operations of an input on its way through the model, forward: of each tower, apart."""

    text: float
    vision: float

    def __add__(self, other: Work) -> Work:
        return Work(self.text + other.text, self.vision + other.vision)

    def trained(self) -> float:
        """Forward, and backward twice as much: for the inputs of every product, and for its weights."""
        return 3 * (self.text + self.vision)

    def adapted(self) -> float:
        """The weights of the text tower frozen, of the backward pass half is left; the vision tower has none. The
        adapters' own products, a few percent, are not counted."""
        return 2 * self.text + self.vision


def work(model: Any, tokens: int, patches: int) -> Work:
    """Of one input: 2 a weight of every matrix and token, so 6 with the backward pass; attention 4 a width and pair of
    tokens, of which a causal one needs half. Norms, rotations and the embedding count as nothing."""
    inner = model[0].model
    text, vision = inner.config.text_config, inner.config.vision_config
    blocks = _weights(inner.visual.blocks) + _weights(inner.visual.patch_embed)
    mergers = _weights(inner.visual.merger) + _weights(inner.visual.deepstack_merger_list)
    merged = vision.spatial_merge_size**2
    heads = text.num_attention_heads * text.head_dim
    return Work(
        text=2 * tokens * _weights(inner.language_model.layers) + 2 * heads * tokens**2 * text.num_hidden_layers,
        vision=2 * patches * (blocks + mergers / merged) + 4 * vision.hidden_size * patches**2 * vision.depth,
    )


def _weights(module: Any) -> int:
    """Of the matrices; adapters are none of them."""
    return sum(each.numel() for name, each in module.named_parameters() if each.ndim > 1 and "lora_" not in name)


def put_adapters(model: Any, rank: int) -> int:
    """LoRA on every linear layer of the text tower, float32, as Pagetune puts it; returns the weights to train."""
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import cast_adapter_dtype

    from pagetune.models.quantised import linear_layers

    inner = model[0].model
    layers = linear_layers(inner, vision=False)
    for parameter in inner.parameters():
        parameter.requires_grad_(False)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers), inner, "default")
    cast_adapter_dtype(inner, "default")
    return sum(each.numel() for each in model.parameters() if each.requires_grad)
