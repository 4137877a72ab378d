"""The head of the `light` reranker: how near each token of the query comes to some token of the passage.

Query and passage go through the transformer together, so that each token has seen the other side; then they are
compared as late interaction compares them (Khattab and Zaharia, 2020). A new classifier on top would start at chance
and needs more examples than a folder of documents gives; this head orders pages before it is trained.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from sentence_transformers.base.modules.module import Module
from torch import Tensor, nn
from torch.nn.functional import normalize

SCALE = 20.0
"""Log-odds to one of cosine, as in Sentence Transformers' ranking losses."""

EVEN = 0.75
"""The mean cosine at which a pair is as likely right as wrong, to begin with."""


class TokenMatch(Module):
    """A score a pair: the mean over one side's tokens of the highest cosine with a token of the other side.

    The side with fewer tokens is looked for in the other one: a query in a passage, whichever comes first. Its tokens
    count by learned weights, all alike at the start; what the first token of all knows is added, at the start nothing.

    Features in:  `token_embeddings` float [batch, tokens, width], `input_ids`, `attention_mask` [batch, tokens]; of
                  pairs that begin with a classification token and have the token `separator` after each side.
    Features out: `scores` float [batch, 1], log-odds.
    """

    config_keys = ["width", "separator"]  # noqa: RUF012 - the base class declares it so

    def __init__(self, width: int, separator: int) -> None:
        super().__init__()
        self.width, self.separator = width, separator
        self.weight = nn.Linear(width, 1)
        self.rest = nn.Linear(width, 1)
        self.scale = nn.Parameter(torch.tensor(SCALE))
        self.even = nn.Parameter(torch.tensor(EVEN))
        for layer in (self.weight, self.rest):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Add the scores."""
        tokens = features["token_embeddings"]
        first, second = self._sides(features["input_ids"], features["attention_mask"])
        shorter = (first.sum(1) <= second.sum(1))[:, None]
        asked, read = torch.where(shorter, first, second), torch.where(shorter, second, first)
        with torch.autocast(tokens.device.type, enabled=False):  # In bfloat16 two pages' cosines would often be equal.
            directions = normalize(tokens.float(), dim=-1)
            near = (directions @ directions.mT).masked_fill(~read[:, None], -1.0).amax(-1)
        drawn = self.weight(tokens).squeeze(-1).float().masked_fill(~asked, torch.finfo(torch.float32).min)
        # A side without a token has no weights to share out: it matches nothing.
        match = (drawn.softmax(-1) * asked * near).sum(-1, keepdim=True)
        features["scores"] = self.scale * (match - self.even) + self.rest(tokens[:, 0])
        return features

    def _sides(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """bool [batch, tokens] each: the tokens of the first text and of the second, without special tokens."""
        ends = ids == self.separator
        passed = ends.cumsum(1)
        inside = mask.bool() & ~ends
        first = inside & (passed == 0)
        first[:, 0] = False  # The classification token.
        return first, inside & (passed == 1)

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Its sizes and its weights."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        init_defaults: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As it was saved."""
        places: dict[str, Any] = {
            "subfolder": subfolder,
            "token": token,
            "cache_folder": cache_folder,
            "revision": revision,
            "local_files_only": local_files_only,
        }
        module = cls(**cls.load_config(model_name_or_path, **places))
        return cls.load_torch_weights(model_name_or_path, model=module, **places)
