"""What a model makes of its inputs, row by row: one vector, or a vector a token; and a loss's gradients of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Output = tuple[Tensor, Tensor | None]
"""The rows that a model made of a mini-batch, and for tokens which of them count, bool [rows, tokens]."""


class Representations(ABC):
    """The rows of a whole batch, without their graphs. A row that stands in several columns is held once."""

    def __init__(self, rows: int) -> None:
        self.rows: list[Tensor | None] = [None] * rows
        self.masks: list[Tensor | None] = [None] * rows
        self._leaves: list[Tensor] = []

    @staticmethod
    @abstractmethod
    def forward(model: Any, features: dict[str, Any]) -> Output:
        """A mini-batch through the model."""

    @abstractmethod
    def _columns(self, columns: Sequence[Sequence[int]]) -> list[Any]:
        """The arguments of the loss's `calculate_loss`, a leaf a column."""

    @abstractmethod
    def gradient(self, row: int, like: Tensor) -> Tensor:
        """What the loss says of one row, summed over its places, of the shape of `like`."""

    @abstractmethod
    def put(self, places: Sequence[int], output: Output) -> None:
        """Take the values of a mini-batch."""

    def loss(self, cached: Any, columns: Sequence[Sequence[int]], labels: Tensor | None) -> Tensor:
        """The loss of the batch; where gradients are on, those of every row are there afterwards."""
        self._places = _places(columns, len(self.rows))
        arguments = self._columns(columns)
        with_backward = torch.is_grad_enabled()
        found: Tensor = cached.calculate_loss(*arguments, *self._labels(labels), with_backward=with_backward)
        unread = [str(column) for column, leaf in enumerate(self._leaves) if with_backward and leaf.grad is None]
        if unread:
            raise ValueError(f"{type(cached).__name__} does not read column {', '.join(unread)}; leave it out")
        self.rows, self.masks = [], []
        return found

    def _labels(self, labels: Tensor | None) -> tuple[Any, ...]:
        return ()

    def _leaf(self, column: Tensor) -> Tensor:
        leaf = column.detach().requires_grad_(torch.is_grad_enabled())
        self._leaves.append(leaf)
        return leaf


class Vectors(Representations):
    """One vector a row."""

    _kept: Tensor | None = None

    @staticmethod
    def forward(model: Any, features: dict[str, Any]) -> Output:
        return model(features)["sentence_embedding"], None

    def put(self, places: Sequence[int], output: Output) -> None:
        values = output[0].detach()
        if self._kept is None:
            # At once: small vectors between freed activations would scatter what is free.
            self._kept = values.new_empty((len(self.rows), *values.shape[1:]))
        for place, value in zip(places, values, strict=True):
            self.rows[place] = self._kept[place].copy_(value)

    def _columns(self, columns: Sequence[Sequence[int]]) -> list[Any]:
        stacked = torch.stack([row for row in self.rows if row is not None])
        return [[[self._leaf(stacked[list(column)])] for column in columns]]

    def _labels(self, labels: Tensor | None) -> tuple[Any, ...]:
        return (labels,)

    def gradient(self, row: int, like: Tensor) -> Tensor:
        total = torch.zeros_like(like, dtype=torch.promote_types(like.dtype, torch.float32))
        for column, place in self._places[row]:
            total += self._leaves[column].grad[place]  # type: ignore[index]
        return total


class Tokens(Representations):
    """A vector a token: rows of different lengths, filled up in each column."""

    @staticmethod
    def forward(model: Any, features: dict[str, Any]) -> Output:
        made = model(features, task=features.get("task"))
        return made["token_embeddings"], made["attention_mask"].bool()

    def put(self, places: Sequence[int], output: Output) -> None:
        values, masks = output
        assert masks is not None
        for number, place in enumerate(places):
            self.rows[place], self.masks[place] = values[number].detach(), masks[number]

    def _columns(self, columns: Sequence[Sequence[int]]) -> list[Any]:
        from torch.nn.utils.rnn import pad_sequence

        values, masks = [], []
        for column in columns:
            values.append([self._leaf(pad_sequence([_there(self.rows[row]) for row in column], batch_first=True))])
            masks.append([pad_sequence([_there(self.masks[row]) for row in column], batch_first=True)])
        return [values, masks]

    def gradient(self, row: int, like: Tensor) -> Tensor:
        total = torch.zeros_like(like, dtype=torch.promote_types(like.dtype, torch.float32))
        for column, place in self._places[row]:
            total += self._leaves[column].grad[place, : len(like)]  # type: ignore[index]
        return total


def _places(columns: Sequence[Sequence[int]], rows: int) -> list[list[tuple[int, int]]]:
    """For each row the columns, and the places in them, where it stands."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(rows)]
    for number, column in enumerate(columns):
        for place, row in enumerate(column):
            found[row].append((number, place))
    return found


def _there(value: Tensor | None) -> Tensor:
    assert value is not None, "every row is embedded before the loss is made"
    return value
