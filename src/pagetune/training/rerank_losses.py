"""A reranker's losses, all of Sentence Transformers: of scores that are there already, so that the pairs may go
through the model in whatever mini-batches fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import (
    BinaryCrossEntropyLoss,
    LambdaLoss,
    ListNetLoss,
    MarginMSELoss,
)
from torch import Tensor, nn

if TYPE_CHECKING:
    from pagetune.examples.rerank import RankedList

LossName = Literal["bce", "lambda", "listnet", "margin"]

POINTWISE = ("bce",)
"""Losses of a pair alone: a list may be taken apart."""


class _Given(CrossEncoder):
    """Stands in for a model inside a loss: what it is given as a document is the place of a score."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.scores = torch.zeros(0)

    @property
    def num_labels(self) -> int:
        return 1

    @property
    def device(self) -> torch.device:
        return self.scores.device

    def preprocess(self, inputs: Any, prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        return {"places": torch.tensor([place for _, place in inputs])}

    def forward(self, input: dict[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:
        return {"scores": self.scores[input["places"]]}


class ScoresLoss(nn.Module):
    """The loss of some lists, from the scores (log-odds) of their pairs in order.

    `bce`: binary cross-entropy, the mean over pairs; `lambda`: LambdaLoss (NDCG-Loss2++; Wang et al., 2018); `listnet`:
    ListNet (Cao et al., 2007); `margin`: the squared difference between the margins of scores and of labels, from a
    list's first candidate to each other (MarginMSE; Hofstätter et al., 2020). The last wants lists of one length.
    """

    def __init__(self, name: LossName, model: Any = None) -> None:
        """`model`: whose weights a trainer finds here, as it looks for them in its loss."""
        super().__init__()
        self.name = name
        self.model = model
        given = _Given()
        kinds: dict[LossName, Any] = {
            "bce": lambda: BinaryCrossEntropyLoss(given),
            "lambda": lambda: LambdaLoss(given, mini_batch_size=-1),
            "listnet": lambda: ListNetLoss(given, mini_batch_size=-1),
            "margin": lambda: MarginMSELoss(given),
        }
        # In a tuple they are no modules of this one: the stand-in is not to be taken for the model.
        self._inside = (given, kinds[name]())

    def forward(self, scores: Tensor, labels: Sequence[Sequence[float]]) -> Tensor:
        """The loss. `scores`: float [pairs]; `labels`: for each list those of its candidates, as many in all."""
        stand_in, formula = self._inside
        stand_in.scores = scores
        places: list[list[int]] = []
        begin = 0
        for own in labels:
            places.append(list(range(begin, begin + len(own))))
            begin += len(own)
        wanted = [torch.tensor(own, device=scores.device, dtype=torch.float32) for own in labels]
        asked = list(range(len(labels)))
        try:
            if self.name == "bce":
                everything = [place for own in places for place in own]
                found = formula([everything, everything], torch.cat(wanted))
            elif self.name == "margin":
                columns = [list(column) for column in zip(*places, strict=True)]
                found = formula([asked, *columns], wanted)
            else:
                found = formula([asked, places], wanted)
        finally:
            stand_in.scores = torch.zeros(0)
        return torch.as_tensor(found)


def weight(name: LossName, labels: Sequence[Sequence[float]]) -> int:
    """What a loss is a mean over, of these lists: the loss of a batch is that of its parts, each with its weight."""
    if name == "bce":
        return sum(map(len, labels))
    if name == "margin":
        return sum(len(own) - 1 for own in labels)
    if name == "lambda":
        return sum(first > second for own in labels for first in own for second in own)
    return len(labels)


def lists_for(name: LossName, lists: Sequence[RankedList]) -> list[RankedList]:
    """What goes through the model as a unit: whole lists, or for a loss of pairs each pair."""
    from pagetune.examples.rerank import RankedList

    if name not in POINTWISE:
        return list(lists)
    return [
        RankedList(each.asked, (content,), (label,))
        for each in lists
        for content, label in zip(each.candidates, each.labels, strict=True)
    ]
