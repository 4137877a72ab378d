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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pagetune.training.budget import left_for_graphs, room
from pagetune.training.feeding import Features
from pagetune.training.memory import Gradients, forget_frames, is_out_of_memory, release, trainable
from pagetune.training.mini_batches import Budget, padded
from pagetune.training.moments import Moment
from pagetune.training.replicas import anywhere, average_gradients, without_wrapper
from pagetune.training.representations import Representations, Tokens, Vectors
from pagetune.training.step import Batch, Step


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

    def add(self, step: Step) -> None:
        """A step that went well."""
        lengths = step.batch.lengths
        tokens = sum(padded(lengths, rows) for rows in step.groups)
        self.steps += 1
        self.rows += len(lengths)
        self.repeated += sum(map(len, step.batch.columns)) - len(lengths)
        self.tokens += tokens
        self.padding += tokens - sum(lengths)
        self.mini_batches += len(step.groups)
        self.kept += step.kept

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
    (directions, hardness weighting, gather_across_devices), or `margins.CachedMarginMSELoss`; or MatryoshkaLoss around
    one of dense vectors. `budget`: what a mini-batch may hold; without one, the loss's own mini_batch_num_tokens or
    else mini_batch_size, and for the graphs a part of the memory that is free at the first step. It takes what
    Sentence Transformers' collator makes, and what it was made for, the batches of `references.ReferenceCollator`.
    Raises TypeError for another loss.
    """

    uses_gradient_cache = True

    def __init__(self, loss: nn.Module, budget: Budget | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.model: Any = loss.model
        self.budget = budget or _own_budget(_inner(loss))
        self._finds_room = budget is None
        self.account = Account()
        self._bytes_a_token: dict[Any, float] = {}

    def forward(self, sentence_features: Sequence[Features], labels: Tensor | None = None) -> Tensor:
        """The loss of a batch; its backward pass fills in the gradients of every trainable parameter."""
        batch = _as_batch(list(sentence_features), late=_representations(_inner(self.loss)) is Tokens)
        if len(batch.columns) < 2:
            raise ValueError(f"{len(batch.columns)} column: a ranking loss needs a query and a page")
        if self._finds_room and torch.is_grad_enabled():
            self._find_room()
        began = Moment(self.model)
        step = self._made(batch, labels)
        if not torch.is_grad_enabled():
            return step.loss
        loss = step.loss.detach().requires_grad_()
        loss.register_hook(lambda scale: self._backward(step, began, scale))
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

    def _find_room(self) -> None:
        """Only now does the model lie where it is trained, with as much of it frozen as will be."""
        bare, _ = without_wrapper(self.model)
        self.budget = replace(self.budget, keep_bytes=left_for_graphs(room(bare), bare.device))
        self._finds_room = False

    def _made(self, batch: Batch, labels: Tensor | None) -> Step:
        """A step embedded and its loss made, with a smaller budget if memory runs out."""
        cached = _inner(self.loss)
        kind = _representations(cached)
        while True:
            step = Step(self.model, cached, kind, batch, labels, self.budget, self._bytes_a_token)
            try:
                step.embed()
                step.make_loss()
                return step
            except Exception as error:
                self._give_way(step, error)

    def _backward(self, step: Step, began: Moment, scale: Tensor) -> None:
        bare, synchronise = without_wrapper(self.model)
        gradients = Gradients(trainable(bare))
        with torch.enable_grad():
            while self._broke(step, scale, gradients):
                with began:
                    step = self._made(step.batch, step.labels)
        self.account.add(step)
        step.forget()
        if synchronise:
            average_gradients(trainable(bare))

    def _broke(self, step: Step, scale: Tensor, gradients: Gradients) -> bool:
        """Go backward. If memory ran out, all is as it was before, and the step has to be made again."""
        broke = False
        try:
            step.backward(scale)
        except Exception as error:
            gradients.restore()  # What a broken pass has added is half a gradient.
            self._give_way(step, error)
            broke = True
        if step.gathers and anywhere(broke, step.device) and not broke:
            # The process that makes its step again needs the rows of this one again.
            gradients.restore()
            step.forget()
            broke = True
        return broke

    def _give_way(self, step: Step, error: Exception) -> None:
        """A smaller budget where memory ran out; whatever else it was is raised."""
        smaller = self.budget.halved(step.batch.lengths, step.groups, step.kept_bytes)
        step.forget()
        # In the middle of a loss that gathers, the others wait for an answer that this process no longer gives.
        if smaller is None or not is_out_of_memory(error) or step.is_gathering:
            raise error
        self.account.attempts_lost += 1
        self.budget = smaller
        forget_frames(error)
        release(step.device)


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


def _own_budget(cached: Any) -> Budget:
    """What the loss itself would put through the model together."""
    if (tokens := cached.mini_batch_num_tokens) is not None:
        return Budget(tokens=tokens)
    return Budget(items=cached.mini_batch_size)


def _known() -> dict[type, type[Representations]]:
    from sentence_transformers.multi_vector_encoder.losses import CachedMultiVectorMultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

    from pagetune.training.margins import CachedMarginMSELoss

    return {
        CachedMultipleNegativesRankingLoss: Vectors,
        CachedMultiVectorMultipleNegativesRankingLoss: Tokens,
        CachedMarginMSELoss: Vectors,
    }


def _representations(cached: Any) -> Any:
    return next((made for kind, made in _known().items() if isinstance(cached, kind)), None)


def _as_batch(features: list[Features], *, late: bool) -> Batch:
    from pagetune.training.preprocessed import PreprocessedBatch
    from pagetune.training.references import ReferencedBatch, References

    if any(isinstance(column.get("input_ids"), References) for column in features):
        return ReferencedBatch.of(features, late=late)
    return PreprocessedBatch(features, late=late)


__all__ = ["Account", "Batch", "Budget", "StreamingCachedLoss"]
