"""Losses of scores are Sentence Transformers' losses of a model, whole and in parts."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss, LambdaLoss, ListNetLoss, MarginMSELoss

from pagetune.training.rerank_losses import ScoresLoss, weight

WIDE = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 1.0]]
RAGGED = [[1.0, 0.0], [1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 0.0]]


class Words(CrossEncoder):
    """A model of one parameter for each pair it knows: what upstream's losses are given."""

    def __init__(self, scores: torch.Tensor) -> None:
        torch.nn.Module.__init__(self)
        self.scores = torch.nn.Parameter(scores.clone())

    @property
    def num_labels(self) -> int:
        return 1

    @property
    def device(self) -> torch.device:
        return self.scores.device

    def preprocess(self, inputs, prompt=None, **kwargs):
        return {"rows": torch.tensor([int(document) for _, document in inputs])}

    def forward(self, input, **kwargs):
        return {"scores": self.scores[input["rows"]][:, None]}


def upstream(name: str, scores: torch.Tensor, labels: list[list[float]]) -> tuple[float, torch.Tensor]:
    """The loss and its gradient, as Sentence Transformers has them for the whole batch."""
    model = Words(scores)
    numbers, lists = iter(range(len(scores))), []
    for own in labels:
        lists.append([str(next(numbers)) for _ in own])
    queries = [f"query {place}" for place in range(len(labels))]
    given = [torch.tensor(own) for own in labels]
    if name == "bce":
        flat = [document for own in lists for document in own]
        loss = BinaryCrossEntropyLoss(model)([["q"] * len(flat), flat], torch.cat(given))
    elif name == "margin":
        loss = MarginMSELoss(model)([queries, *map(list, zip(*lists, strict=True))], given)
    else:
        kind = {"lambda": LambdaLoss, "listnet": ListNetLoss}[name]
        loss = kind(model)([queries, lists], given)
    loss.backward()
    return float(loss.detach()), model.scores.grad


@pytest.mark.parametrize(
    ("name", "labels"),
    [("bce", RAGGED), ("lambda", RAGGED), ("listnet", RAGGED), ("margin", WIDE), ("lambda", WIDE), ("listnet", WIDE)],
)
def test_parts_add_up_to_upstream(name, labels):
    count = sum(map(len, labels))
    scores = torch.randn(count, generator=torch.Generator().manual_seed(3))
    wanted, gradient = upstream(name, scores, labels)
    whole = scores.clone().requires_grad_()
    loss = ScoresLoss(name)(whole, labels)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(wanted, rel=1e-5)
    torch.testing.assert_close(whole.grad, gradient)

    parted = scores.clone().requires_grad_()
    total, begin, sum_of = 0.0, 0, weight(name, labels)
    for own in labels:
        part = ScoresLoss(name)(parted[begin : begin + len(own)], [own]) * weight(name, [own]) / sum_of
        part.backward()
        total += float(part.detach())
        begin += len(own)
    assert total == pytest.approx(wanted, rel=1e-5)
    torch.testing.assert_close(parted.grad, gradient)
