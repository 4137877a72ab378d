"""How a reranker scores a few pairs of a query and a document: log-odds, in its own precision, however padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pagetune.models.answers import FLOOR, exact_arithmetic
from pagetune.models.inspect import task_prompt
from pagetune.models.reranker_specs import DIRECTIONS
from pagetune.recipe import RerankDirection

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

RerankPair = tuple[Any, Any]
"""A query and a document, each a text or an image."""

Scores = NDArray[np.float32]
"""Log-odds [pairs]."""

BATCH = 8
"""Pairs that go through the model together."""


EXACT = 0.01
"""Share of the scores' spread that may differ in float32."""

HALF = 0.1
"""The same in bfloat16 or float16: on the same machine nothing differs, but another attention kernel adds in another
order."""

HALF_BATCHED = 0.25
"""In a batch of another shape every sum may round otherwise: 0.03 was measured behind 4 layers in bfloat16. A model
that looks at its padding is off by about the spread."""

HALF_MERGED = 0.5
"""Adapters merged into weights of half precision round each of them anew: in bfloat16 0.07 was measured behind 2
layers, 0.15 behind 8, 0.17 behind 24, whatever the adapter's size. `LOST` judges what survives."""


@dataclass(frozen=True, slots=True, eq=False)
class RememberedScores:
    """How a reranker scores as it was trained. `base`: without its adapters; None where it has none."""

    pairs: tuple[RerankPair, ...]
    scores: Scores
    base: Scores | None
    prompts: dict[RerankDirection, str | None]

    @property
    def spread(self) -> float:
        """Standard deviation of the scores: what a difference has to be small beside."""
        return float(max(np.std(self.scores), FLOOR * np.abs(self.scores).mean(), 1e-12))

    def apart(self, found: Scores, beside: Scores | None = None) -> float:
        """The largest difference of scores to these, or to those `beside`, as a share of the spread; infinite where
        they are no numbers."""
        worst = float(np.abs((self.scores if beside is None else beside) - found).max() / self.spread)
        return worst if np.isfinite(worst) else float("inf")


@dataclass(frozen=True, slots=True)
class RerankStep:
    """One comparison that held: the largest difference of two scores, and what is allowed, as shares of the spread."""

    name: str
    difference: float
    allowed: float


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One way to load the saved folder."""

    name: str
    load: Callable[[], CrossEncoder]
    folder: Path


def direction_of(pair: RerankPair) -> RerankDirection:
    """Which way a pair asks: an image in the query's place asks for texts."""
    return "text_to_image" if isinstance(pair[0], str) else "image_to_text"


def pair_scores(
    model: CrossEncoder,
    pairs: Sequence[RerankPair],
    batch_size: int = BATCH,
    *,
    side: str | None = None,
    prompts: dict[RerankDirection, str | None] | None = None,
) -> Scores:
    """The log-odds of pairs, each with its direction's prompt, in the weights' own precision.

    `side`: where the padding stands, left or right; None: where the model has it. `prompts`: others than its own.
    """
    given = {each: task_prompt(model, each) for each in DIRECTIONS} if prompts is None else prompts
    scores = np.full(len(pairs), np.nan, dtype=np.float32)
    training = model.training
    model.eval()
    with exact_arithmetic(model.device):
        for direction in DIRECTIONS:
            rows = [row for row, pair in enumerate(pairs) if direction_of(pair) == direction]
            for start in range(0, len(rows), batch_size):
                batch = rows[start : start + batch_size]
                scores[batch] = _forward(model, [pairs[row] for row in batch], given[direction] or "", side)
    model.train(training)
    return scores


def _forward(model: Any, pairs: Sequence[RerankPair], prompt: str, side: str | None) -> Scores:
    """The log-odds of one batch."""
    import torch
    from sentence_transformers.util import batch_to_device

    with torch.inference_mode():
        features = model.preprocess(list(pairs), prompt=prompt)
        if side is not None:
            features = padded(features, side)
        features = batch_to_device(features, model.device)
        scores = _read_last(model, features) if side == "right" else model(features)["scores"]
    return np.asarray(scores.reshape(-1).float().cpu().numpy(), dtype=np.float32)


def padded(features: dict[str, Any], side: str) -> dict[str, Any]:
    """The same batch with all its padding on the left, or on the right."""
    import torch

    mask = features.get("attention_mask")
    if not isinstance(mask, torch.Tensor):
        return features  # Packed without padding.
    width = mask.shape[1]
    places = torch.arange(width).expand_as(mask)
    real = mask.bool()
    # A stable sort moves what is real to one end and keeps its order.
    order = torch.argsort(~real if side == "right" else real, dim=1, stable=True)
    order = torch.gather(places, 1, order)
    return {
        key: torch.gather(value, 1, order) if isinstance(value, torch.Tensor) and value.shape == mask.shape else value
        for key, value in features.items()
    }


def _read_last(model: Any, features: dict[str, Any]) -> Any:
    """Scores of a batch that is padded on the right: each row is read at its own last token."""
    import torch
    from sentence_transformers.cross_encoder.modules import LogitScore

    mask = features.get("attention_mask")
    place = next((place for place, module in enumerate(model) if isinstance(module, LogitScore)), None)
    if place is None or mask is None:
        return model(features)["scores"]  # Pooling finds the last token itself.
    ends, rows = torch.unique(mask.sum(dim=1) - 1, return_inverse=True)
    features = dict(features) | {"logits_to_keep": ends}
    for module in list(model)[:place]:
        features = module(features)
    key = model[place].module_input_name
    features[key] = features[key][torch.arange(len(rows)), rows].unsqueeze(1)
    for module in list(model)[place:]:
        features = module(features)
    return features["scores"]
