"""A language-model head as a judge: the two tokens it answers with, and the direction between them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError
from pagetune.models.reranker_specs import RerankSpec
from pagetune.recipe import RerankRecipe

if TYPE_CHECKING:
    import torch

HEADS = ("lm_head.weight", "embed_out.weight")
"""How a language-model head's weight [tokens, width] ends in a checkpoint."""


def answer_ids(tokenizer: Any, recipe: RerankRecipe, name: str) -> tuple[int, int]:
    """The ids of the tokens for a page that answers and for one that does not. Raises ModelError."""
    true, false = (
        _single(tokenizer, text, key, name)
        for text, key in ((recipe.true_token, "true_token"), (recipe.false_token, "false_token"))
    )
    if true == false:
        raise ModelError(
            f"rerank.true_token={recipe.true_token!r} and false_token={recipe.false_token!r} are the same token of "
            f"{name}; choose two, such as 1 and 0"
        )
    return true, false


def _single(tokenizer: Any, text: str, key: str, name: str) -> int:
    ids = [] if tokenizer is None else tokenizer.encode(text, add_special_tokens=False)
    if len(ids) == 1 and ids[0] != tokenizer.unk_token_id:
        return int(ids[0])
    parts = "no token" if not ids else f"{len(ids)} tokens" if len(ids) > 1 else "an unknown token"
    raise ModelError(
        f"rerank.{key}={text!r} is {parts} of {name}, an answer is one; choose a word that its tokenizer keeps whole, "
        "such as 1 and 0 or yes and no"
    )


def answer_direction(model: Any, spec: RerankSpec, true: int, false: int) -> torch.Tensor:
    """What a hidden state [width] is multiplied with to give the log-odds of `true` against `false`, float32.

    The rows of the language-model head are read from the checkpoint, the head itself never is. A checkpoint without a
    head, or whose head is its embedding, gives the rows of the embedding.
    """
    head = head_tensor(spec)
    if head is None:
        weight = model.get_input_embeddings().weight
        rows = [weight[place].detach() for place in (true, false)]
    else:
        rows = _rows(*head, (true, false))
    difference: torch.Tensor = rows[0].float() - rows[1].float()
    return difference.cpu().clone()


def has_head(config: Any, spec: RerankSpec) -> bool:
    """Whether the checkpoint holds a language-model head; else one would be drawn at random without a word."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    if getattr(config, "tie_word_embeddings", False) or getattr(text, "tie_word_embeddings", False):
        return True
    return head_tensor(spec) is not None or not _tensors(spec)


def head_tensor(spec: RerankSpec) -> tuple[str, str] | None:
    """The file and name of the head's weight in a checkpoint, None where it has none of its own."""
    for name, file in _tensors(spec).items():
        if name.endswith(HEADS):
            return file, name
    return None


def _rows(file: str, name: str, places: tuple[int, ...]) -> list[torch.Tensor]:
    """Rows of a tensor in a file of weights, without the others."""
    if not file.endswith(".safetensors"):
        weight = _unpickled(file)[name]
        return [weight[place] for place in places]
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        part = opened.get_slice(name)
        return [part[place] for place in places]


def _unpickled(file: str) -> dict[str, torch.Tensor]:
    """PyTorch's own file of weights; mapped, so that only what is looked at is read."""
    import torch

    try:
        found: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # A file of the old kind cannot be mapped.
        found = torch.load(file, map_location="cpu", weights_only=True)
    return found


def _tensors(spec: RerankSpec) -> dict[str, str]:
    """Names of a checkpoint's tensors and the files that hold them; empty where there are no weights."""
    from transformers.utils.hub import cached_file

    def find(name: str) -> str | None:
        return cached_file(spec.name, name, **spec.hub(), _raise_exceptions_for_missing_entries=False)

    for whole in ("model.safetensors", "pytorch_model.bin"):
        index = find(f"{whole}.index.json")
        if index is None:
            single = find(whole)
            if single is None:
                continue
            return dict.fromkeys(_names(single), single)
        shards: dict[str, str] = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"]
        heads = {name: find(shard) for name, shard in shards.items() if name.endswith(HEADS)}
        return shards | {name: file for name, file in heads.items() if file is not None}
    return {}


def _names(file: str) -> list[str]:
    if not file.endswith(".safetensors"):
        return list(_unpickled(file))
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return list(opened.keys())
