"""The gradient cache that streams: contrastive training whose memory does not grow with the batch.

A contrastive loss needs the vectors of the whole batch, its gradient only one mini-batch's activations at a time (the
gradient cache; Gao et al., 2021). Sentence Transformers' cached losses embed everything twice, in mini-batches of a
fixed number, from features that lie on the device for the whole step. Here the same loss objects are used, and around
them

- mini-batches come from a feeder, which decodes and preprocesses them ahead of the model and forgets them afterwards;
- they are cut by tokens, alike lengths together, over all columns;
- a row that stands several times in a batch is embedded once;
- the first pass keeps as many autograd graphs as fit into a given memory: only the others are embedded again, with
  the random state of their first time, so that dropout is the same;
- where memory runs out the step is made again with half of everything, from the gradients that there were before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from sentence_transformers.base.losses.gradcache import RandContext
from torch import Tensor, nn

from pagetune.training.memory import Gradients, GraphMeter, is_out_of_memory, release, trainable
from pagetune.training.mini_batches import Budget, cut, padded
from pagetune.training.replicas import average_gradients, without_wrapper
from pagetune.training.representations import Representations, Tokens, Vectors

ATTEMPTS = 8
"""How often a step is begun again with half the memory."""

Features = dict[str, Any]


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

    def stream(self, groups: Sequence[Sequence[int]], device: torch.device) -> Iterator[Features]:
        """The features of each group, on the device; the same ones whenever they are asked for."""
        ...

    def masked(self, cached: Any) -> Any:
        """A context in which the loss does not see false negatives."""
        ...


@dataclass
class Account:
    """What the steps so far have cost."""

    steps: int = 0
    rows: int = 0
    repeated: int = 0
    """Rows that stood in a batch before, and were not embedded again."""
    tokens: int = 0
    padding: int = 0
    mini_batches: int = 0
    kept: int = 0
    """Mini-batches whose graph was kept, so that they went through the model once."""
    attempts_lost: int = 0
    """Steps begun again."""

    def summary(self) -> dict[str, float]:
        """Shares instead of counts."""
        return {
            "steps": self.steps,
            "rows_a_step": round(self.rows / max(1, self.steps), 1),
            "repeated_rows": round(self.repeated / max(1, self.rows + self.repeated), 4),
            "padding": round(self.padding / max(1, self.tokens), 4),
            "graphs_kept": round(self.kept / max(1, self.mini_batches), 4),
            "steps_begun_again": self.attempts_lost,
        }


class StreamingCachedLoss(nn.Module):
    """Wrap an upstream cached loss, or one inside MatryoshkaLoss: its mathematics stays, the embedding streams.

    `loss`: CachedMultipleNegativesRankingLoss or CachedMultiVectorMultipleNegativesRankingLoss, with all their options
    (directions, hardness weighting, gather_across_devices), or MatryoshkaLoss around the first. `budget`: what a
    mini-batch may hold; without one, the loss's own mini_batch_size. It takes what Sentence Transformers' collator
    makes, and what it was made for, the batches of `references.ReferenceCollator`. Raises TypeError for another loss.
    """

    uses_gradient_cache = True

    def __init__(self, loss: nn.Module, budget: Budget | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.model: Any = loss.model
        cached = _inner(loss)
        self.budget = budget or Budget(items=cached.mini_batch_size)
        self.account = Account()
        self._bytes_a_token: dict[Any, float] = {}

    def forward(self, sentence_features: Sequence[Features], labels: Tensor | None = None) -> Tensor:
        """The loss of a batch; its backward pass fills in the gradients of every trainable parameter."""
        batch = _as_batch(list(sentence_features), late=_representations(_inner(self.loss)) is Tokens)
        if len(batch.columns) < 2:
            raise ValueError(f"{len(batch.columns)} column: a ranking loss needs a query and a page")
        if not torch.is_grad_enabled():
            return _Step(self, batch, labels).loss
        state = RandContext(next(self.model.parameters()))
        step = self._made(batch, labels, None)
        loss = step.loss.detach().requires_grad_()
        loss.register_hook(lambda scale: self._backward(step, state, scale))
        return loss

    def get_config_dict(self) -> dict[str, Any]:
        """For the model card."""
        found: dict[str, Any] = self.loss.get_config_dict()  # type: ignore[operator]
        return {"streaming": type(self.loss).__name__, **found}

    @property
    def citation(self) -> str:
        """The wrapped loss's."""
        found: str = _inner(self.loss).citation
        return found

    def _made(self, batch: Batch, labels: Tensor | None, state: RandContext | None) -> _Step:
        """A step embedded and its loss made, with a smaller budget if memory runs out."""
        for _ in range(ATTEMPTS):
            try:
                with state or nullcontext():
                    return _Step(self, batch, labels)
            except Exception as error:
                self._halve_or_raise(error)
        raise AssertionError("the last attempt raises")

    def _backward(self, step: _Step, state: RandContext, scale: Tensor) -> None:
        bare, synchronise = without_wrapper(self.model)
        gradients = Gradients(trainable(bare))
        with torch.enable_grad():
            for _ in range(ATTEMPTS):
                try:
                    step.backward(scale)
                    break
                except Exception as error:
                    # What a broken pass has added is half a gradient.
                    batch, labels = step.batch, step.labels
                    step.forget()
                    gradients.restore()
                    self._halve_or_raise(error)
                    step = self._made(batch, labels, state)
        self.account.steps += 1
        if synchronise:
            average_gradients(trainable(bare))

    def _halve_or_raise(self, error: Exception) -> None:
        smallest = max(self.budget.tokens or 1, self.budget.items or 1) == 1
        if not is_out_of_memory(error) or (smallest and not self.budget.keep_bytes):
            raise error
        self.account.attempts_lost += 1
        if self.account.attempts_lost % ATTEMPTS == 0:
            raise error
        self.budget = self.budget.halved()
        error.__traceback__ = None  # It holds the activations of the pass that broke.
        release(next(self.model.parameters()).device)


@dataclass
class _MiniBatch:
    rows: list[int]
    output: Tensor | None
    """Where its graph is kept."""
    state: RandContext | None
    """Where it has to be embedded again."""


@dataclass
class _Step:
    """One batch: embedded, its loss made when it is constructed; then `backward`."""

    engine: StreamingCachedLoss
    batch: Batch
    labels: Tensor | None
    loss: Tensor = field(init=False)

    def __post_init__(self) -> None:
        engine, batch = self.engine, self.batch
        self.cached = _inner(engine.loss)
        self.model, _ = without_wrapper(engine.model)
        self.device = next(self.model.parameters()).device
        self.groups = cut(batch.lengths, batch.kinds, engine.budget, in_order=batch.in_order)
        self.found: Representations = _representations(self.cached)(len(batch.lengths))
        self.done: list[_MiniBatch] = []
        self._embed()
        with batch.masked(self.cached):
            self.loss = self.found.loss(self.cached, batch.columns, self.labels)
        if torch.is_grad_enabled():
            self._count()
            # Begun here, so that the first are ready when the backward pass begins.
            again = [mini.rows for mini in self.done if mini.output is None]
            self.again = batch.stream(again, self.device)

    def _embed(self) -> None:
        engine, learning, kept = self.engine, torch.is_grad_enabled(), 0
        meter = GraphMeter(self.model)
        for rows, features in zip(self.groups, self.batch.stream(self.groups, self.device), strict=True):
            kind = self.batch.kinds[rows[0]]
            tokens = padded(self.batch.lengths, rows)
            expected = engine._bytes_a_token.get(kind, 0.0) * tokens
            if learning and kept + expected < engine.budget.keep_bytes:
                with meter.measuring():
                    values, masks = self.found.forward(self.model, features)
                kept += meter.bytes
                engine._bytes_a_token[kind] = max(engine._bytes_a_token.get(kind, 0.0), meter.bytes / tokens)
                self.done.append(_MiniBatch(rows, values, None))
            else:
                state = RandContext(*_tensors(features)) if learning else None
                with torch.no_grad():
                    values, masks = self.found.forward(self.model, features)
                self.done.append(_MiniBatch(rows, None, state))
            self.found.put(rows, (values, masks))

    def backward(self, scale: Tensor) -> None:
        """Add the gradients of every row's way through the model, `scale` times."""
        for mini in self.done:
            if mini.output is not None:
                self._pull(mini.output, mini.rows, scale)
                mini.output = None
        again = [mini for mini in self.done if mini.state is not None]
        for mini, features in zip(again, self.again, strict=True):
            assert mini.state is not None
            with mini.state:
                output, _ = self.found.forward(self.model, features)
            self._pull(output, mini.rows, scale)

    def _pull(self, output: Tensor, rows: Sequence[int], scale: Tensor) -> None:
        if not output.requires_grad:
            return
        gradient = torch.stack([self.found.gradient(row, output[number]) for number, row in enumerate(rows)])
        torch.autograd.backward(output, (gradient * scale).to(output.dtype))

    def forget(self) -> None:
        """Let go of the graphs."""
        self.done = []

    def _count(self) -> None:
        account, lengths = self.engine.account, self.batch.lengths
        account.rows += len(lengths)
        account.repeated += sum(len(column) for column in self.batch.columns) - len(lengths)
        total = sum(padded(lengths, rows) for rows in self.groups)
        account.tokens += total
        account.padding += total - sum(lengths)
        account.mini_batches += len(self.done)
        account.kept += sum(mini.output is not None for mini in self.done)


def _inner(loss: Any) -> Any:
    """The cached loss itself, out of MatryoshkaLoss."""
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

    inner = loss.loss if isinstance(loss, MatryoshkaLoss) else loss
    if _representations(inner) is None:
        raise TypeError(
            f"{type(inner).__name__} is none of {', '.join(kind.__name__ for kind in _known())}; "
            "give one of these, or MatryoshkaLoss around the first"
        )
    return inner


def _known() -> dict[type, type[Representations]]:
    from sentence_transformers.multi_vector_encoder.losses import CachedMultiVectorMultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

    return {
        CachedMultipleNegativesRankingLoss: Vectors,
        CachedMultiVectorMultipleNegativesRankingLoss: Tokens,
    }


def _representations(cached: Any) -> Any:
    return next((made for kind, made in _known().items() if isinstance(cached, kind)), None)


def _as_batch(features: list[Features], *, late: bool) -> Batch:
    from pagetune.training.preprocessed import PreprocessedBatch
    from pagetune.training.references import ReferencedBatch, References

    if any(isinstance(column.get("input_ids"), References) for column in features):
        return ReferencedBatch.of(features)
    return PreprocessedBatch(features, late=late)


def _tensors(features: Features) -> list[Tensor]:
    return [value for value in features.values() if isinstance(value, Tensor)]


__all__ = ["Account", "Batch", "Budget", "StreamingCachedLoss"]
