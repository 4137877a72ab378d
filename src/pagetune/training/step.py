"""One batch on its way through the model: every row embedded, the loss made, and its gradients pulled back, row by row.

The first time through, graphs are kept as far as memory allows. The other rows go through a second time, with the
random state of their first, so that dropout is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pagetune.training.feeding import Features, Stream
from pagetune.training.memory import GraphMeter
from pagetune.training.mini_batches import Budget, cut, padded
from pagetune.training.moments import Moment, slots
from pagetune.training.replicas import several, without_wrapper
from pagetune.training.representations import Representations


class Batch(Protocol):
    """A batch of rows to embed. `columns` names for each column the rows it consists of."""

    @property
    def columns(self) -> Sequence[Sequence[int]]: ...

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens of each row."""
        ...

    @property
    def kinds(self) -> Sequence[Any]:
        """Rows of one kind may share a mini-batch."""
        ...

    @property
    def in_order(self) -> bool:
        """Whether only neighbours may share a mini-batch."""
        ...

    def stream(self, groups: Sequence[Sequence[int]], device: torch.device) -> Stream:
        """The features of each group, on the device; the same ones whenever they are asked for."""
        ...

    def masked(self, cached: Any) -> Any:
        """A context in which the loss does not see false negatives."""
        ...


@dataclass
class MiniBatch:
    """Rows that go through the model together."""

    rows: list[int]
    moment: Moment | None
    """Of their first time through; None where no gradient will be asked for."""
    output: Tensor | None = None
    """What the model made of them, where its graph is kept."""


class Step:
    """One batch: `embed`, `make_loss`, `backward`. `bytes_a_token`: what graphs took so far, by kind; it learns."""

    loss: Tensor

    def __init__(
        self,
        model: Any,
        cached: Any,
        kind: type[Representations],
        batch: Batch,
        labels: Tensor | None,
        budget: Budget,
        bytes_a_token: dict[Any, float],
    ) -> None:
        self.model, _ = without_wrapper(model)
        self.cached, self.batch, self.labels, self.budget = cached, batch, labels, budget
        self.device = self.model.device
        self.groups = cut(batch.lengths, batch.kinds, budget, in_order=batch.in_order)
        self.gathers = bool(cached.gather_across_devices) and several()
        """Whether the processes hand each other their rows while the loss is made."""
        self.is_gathering = False
        self.kept_bytes = self.kept = 0
        self._bytes_a_token = bytes_a_token
        self._found = kind(len(batch.lengths))
        self._minis: list[MiniBatch] = []
        self._streams: list[Stream] = []

    def embed(self) -> None:
        """Every row through the model, for the first time."""
        meter, room = GraphMeter(self.model), slots(len(self.groups))
        for rows, features, slot in zip(self.groups, self._stream(self.groups), room, strict=True):
            self._minis.append(self._embedded(rows, features, meter, slot))

    def make_loss(self) -> None:
        """The loss, and what it says of each row."""
        self.is_gathering = self.gathers
        with self.batch.masked(self.cached):
            self.loss = self._found.loss(self.cached, self.batch.columns, self.labels)
        self.is_gathering = False
        if torch.is_grad_enabled():
            # Begun here, so that the first are ready when the backward pass begins.
            self._again = self._stream([mini.rows for mini in self._minis if mini.output is None])

    def backward(self, scale: Tensor) -> None:
        """Add the gradients of every row's way through the model, `scale` times. They are there once."""
        if not self._minis:
            raise RuntimeError("this loss has gone backward, and its graphs are gone; make it again from the batch")
        again = [mini for mini in self._minis if mini.output is None]
        for mini in self._minis:
            if mini.output is not None:
                self._pull(mini.output, mini.rows, scale)
                mini.output = None
        for mini, features in zip(again, self._again, strict=True):
            with mini.moment or nullcontext():
                output, _ = self._found.forward(self.model, features)
            self._pull(output, mini.rows, scale)

    def forget(self) -> None:
        """Let go of the graphs and gradients, and of what is being prepared."""
        self._minis, self._found = [], type(self._found)(0)
        while self._streams:
            self._streams.pop().close()

    def _stream(self, groups: Sequence[Sequence[int]]) -> Stream:
        self._streams.append(self.batch.stream(groups, self.device))
        return self._streams[-1]

    def _embedded(self, rows: list[int], features: Features, meter: GraphMeter, slot: Tensor) -> MiniBatch:
        """A mini-batch through the model, its graph kept if there is room for it."""
        # Of the time before: the model draws its dropout.
        mini = MiniBatch(rows, Moment(self.model, slot) if torch.is_grad_enabled() else None)
        kind, tokens = self.batch.kinds[rows[0]], padded(self.batch.lengths, rows)
        expected = self._bytes_a_token.get(kind, 0.0) * tokens
        if mini.moment is not None and 0 < self.budget.keep_bytes >= self.kept_bytes + expected:
            with meter.measuring():
                values, masks = self._found.forward(self.model, features)
            self._bytes_a_token[kind] = max(self._bytes_a_token.get(kind, 0.0), meter.bytes / tokens)
            # The first of its kind may turn out too large.
            if self.kept_bytes + meter.bytes <= self.budget.keep_bytes:
                self.kept_bytes += meter.bytes
                self.kept += 1
                mini.output = values
        else:
            with torch.no_grad():
                values, masks = self._found.forward(self.model, features)
        self._found.put(rows, (values, masks))
        return mini

    def _pull(self, output: Tensor, rows: Sequence[int], scale: Tensor) -> None:
        if not output.requires_grad:
            return
        gradient = torch.stack([self._found.gradient(row, output[number]) for number, row in enumerate(rows)])
        torch.autograd.backward(output, (gradient * scale).to(output.dtype))
