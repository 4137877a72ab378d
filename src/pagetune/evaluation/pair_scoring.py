"""Scoring pairs of query and page with a reranker: batches by a budget of tokens, a deadline, scores from 0 to 1.

A cross-encoder reads query and page together, so every pair goes through the whole model (Nogueira and Cho, 2019).
Pages differ in size more than texts do: batches of a fixed number pad most of them, and all but the largest batch leave
the device half empty. Here lengths are known before anything is preprocessed, alike ones share a batch, and a batch
holds as many pairs as fit into so many tokens, padding included.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import ModelError
from pagetune.models.calibration import PLAIN, Calibration
from pagetune.models.hardware import bfloat16_where_fast
from pagetune.models.inspect import task_prompt
from pagetune.models.picture_memo import pictures_once
from pagetune.progress import SILENT, Progress
from pagetune.training.mini_batches import Budget, cut, padded

if TYPE_CHECKING:
    import torch

    from pagetune.recipe import RerankDirection

Pair = tuple[Any, Any]
"""A query and a document: each a text, a PIL image, or a mapping of `text` and `image`."""

TOKENS_AT_ONCE = 32768
"""Tokens, padding included, of one pass through the model."""

TOKENS_AT_ONCE_ON_CPU = 2048
"""The same where nothing runs in parallel: what one pass works on stays in the processor's caches."""

SPARE = 1.2
"""A batch is begun only where so many times its expected seconds are left before the deadline."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What became of the pairs, in their order, and what it took."""

    log_odds: NDArray[np.float32]
    """float32 [pairs]: the model's own score; NaN where the deadline came first."""
    values: NDArray[np.float32]
    """float32 [pairs], 0 to 1: the sigmoid of the log-odds, calibrated where a calibration was given; NaN likewise."""
    tokens: int
    """That went through the model, without padding."""
    padded: int
    """With it."""
    batches: int
    seconds: float

    @property
    def done(self) -> NDArray[np.bool_]:
        """bool [pairs]: whether the pair was scored."""
        return ~np.isnan(self.log_odds)

    @property
    def waste(self) -> float:
        """The share of the tokens that was padding."""
        return 1 - self.tokens / self.padded if self.padded else 0.0


def score_pairs(
    model: Any,
    pairs: Sequence[Pair],
    *,
    direction: RerankDirection = "text_to_image",
    budget_tokens: int | None = None,
    deadline: float | None = None,
    calibration: Calibration = PLAIN,
    bfloat16: bool | None = False,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Scores:
    """Score (query, document) pairs; uncalibrated the values are those of `CrossEncoder.predict`.

    `direction` chooses the task prompt. `budget_tokens` none: as the device suggests. With a `deadline`, in seconds
    from now, the pairs are scored in their order, and none is begun that would end after it; without one the longest
    come first. `bfloat16` none: where the hardware is fast at it. `workers` are processes that preprocess pictures
    ahead; none: on a GPU. Raises ModelError for a model of several labels, and for what is neither text nor image.
    """
    import torch

    began = time.monotonic()
    if model.num_labels != 1:
        raise ModelError(f"a reranker gives one score a pair, this model gives {model.num_labels}; choose another")
    run = _Run(model, pairs, task_prompt(model, direction), workers)
    groups = run.cut(budget_tokens or _budget(model.device), in_order=deadline is not None)
    log_odds = np.full(len(pairs), np.nan, dtype=np.float32)
    clock = _Clock(began, deadline)
    was_training = model.training
    model.eval()
    try:
        with (
            torch.inference_mode(),
            _precision(model, bfloat16),
            progress.task("score", len(pairs), "pairs") as task,
            closing(run.batches(groups, clock)) as batches,
        ):
            for batch in batches:
                log_odds[batch.rows] = run.forward(batch)
                clock.note(batch.padded)
                task.advance(len(batch.rows))
    finally:
        model.train(was_training)
    values = calibration.apply(log_odds)
    return Scores(log_odds, values, run.tokens, run.padded, run.passes, time.monotonic() - began)


@dataclass(frozen=True, slots=True)
class _Batch:
    """The places of some pairs, and their features on the model's device."""

    rows: list[int]
    features: dict[str, Any]
    padded: int
    """Tokens that the batch was planned to take, padding included."""


class _Clock:
    """Whether there is time for another batch, by the pace of those before."""

    def __init__(self, began: float, deadline: float | None) -> None:
        self._end = None if deadline is None else began + deadline
        self._tokens = 0
        self._begun = self._last = time.monotonic()

    def allows(self, tokens: int) -> bool:
        """Whether so many tokens would be through before the deadline; the first batch only needs it to be ahead."""
        if self._end is None:
            return True
        now = time.monotonic()
        expected = SPARE * tokens * (self._last - self._begun) / self._tokens if self._tokens else 0.0
        return now + expected < self._end

    def note(self, tokens: int) -> None:
        """So many tokens are through."""
        self._tokens += tokens
        self._last = time.monotonic()


class _Run:
    """The pairs of one call on their way through the model."""

    def __init__(self, model: Any, pairs: Sequence[Pair], prompt: str | None, workers: int | None) -> None:
        from pagetune.training.pair_lengths import PairLengths

        self.model, self.pairs, self.prompt = model, pairs, prompt
        lengths = PairLengths(model, prompt)
        self.lengths = [lengths.pair(pair, place) for place, pair in enumerate(pairs)]
        pictures = any(_shown(pair) is not None for pair in pairs)
        self.pictures = pictures
        self.workers = (_workers(model.device) if workers is None else workers) if pictures else 0
        self.tokens = self.padded = self.passes = 0

    def cut(self, budget: int, *, in_order: bool) -> list[list[int]]:
        """The pairs' places in batches. Those of one picture stand together, so that it is seen once."""
        if not self.pairs:
            return []
        if in_order:
            return cut(self.lengths, [0] * len(self.pairs), Budget(tokens=budget), in_order=True)
        shown = [_shown(pair) for pair in self.pairs]
        longest: dict[int | None, int] = {}
        for key, length in zip(shown, self.lengths, strict=True):
            longest[key] = max(length, longest.get(key, 0))
        order = sorted(
            range(len(self.pairs)),
            key=lambda row: (
                -(longest[shown[row]] if shown[row] is not None else self.lengths[row]),
                shown[row] or 0,
                -self.lengths[row],
            ),
        )
        lengths = [self.lengths[row] for row in order]
        groups = cut(lengths, [0] * len(order), Budget(tokens=budget), in_order=True)
        return [[order[place] for place in group] for group in groups]

    def batches(self, groups: Sequence[list[int]], clock: _Clock) -> Generator[_Batch, None, None]:
        """Preprocessed batches, as long as there is time for them."""
        with pictures_once(self.model) if self.pictures else nullcontext(), self._stream(groups) as stream:
            for group in groups:
                expected = padded(self.lengths, group)
                if not clock.allows(expected):
                    return
                yield _Batch(group, next(stream), expected)

    @contextmanager
    def _stream(self, groups: Sequence[list[int]]) -> Iterator[Iterator[dict[str, Any]]]:
        """The features of the groups, in order."""
        from pagetune.training.feeding import Feeder, Job, Preparer, Reference, Route, move

        if not self.workers:
            yield (move(self._features(group), self.model.device) for group in groups)
            return
        # The pairs are in the workers by fork: only their places travel.
        prepare = Preparer(self.model.preprocess, self.pairs.__getitem__)
        route = Route(prompt=self.prompt, pictures=True)
        jobs = [
            Job(tuple(Reference(row, str(row), self.lengths[row], f"pair {row}") for row in group), route)
            for group in groups
        ]
        with Feeder(prepare, workers=self.workers, ahead=self.workers) as feeder:
            stream = feeder.stream(jobs, self.model.device)
            try:
                yield stream
            finally:
                stream.close()

    def _features(self, rows: Sequence[int]) -> dict[str, Any]:
        return dict(self.model.preprocess([self.pairs[row] for row in rows], prompt=self.prompt))

    def forward(self, batch: _Batch) -> NDArray[np.float32]:
        """float32 [rows]: the log-odds of a batch; in halves where memory runs out."""
        from pagetune.training.memory import forget_frames, is_out_of_memory, release

        try:
            return self._forward(batch.features)
        except Exception as error:
            if len(batch.rows) < 2 or not is_out_of_memory(error):
                raise
            forget_frames(error)
        release(self.model.device)
        return np.concatenate(
            [self._half(batch.rows[: len(batch.rows) // 2]), self._half(batch.rows[len(batch.rows) // 2 :])]
        )

    def _half(self, rows: list[int]) -> NDArray[np.float32]:
        from pagetune.training.feeding import move

        return self.forward(_Batch(rows, move(self._features(rows), self.model.device), 0))

    def _forward(self, features: dict[str, Any]) -> NDArray[np.float32]:
        self._count(features)
        found = self.model(features)["scores"].float().reshape(-1)
        return np.asarray(found.cpu().numpy(), dtype=np.float32)

    def _count(self, features: dict[str, Any]) -> None:
        ids, mask = features["input_ids"], features.get("attention_mask")
        self.padded += ids.numel()
        # Without a mask the inputs stand end to end, nothing is padded.
        self.tokens += ids.numel() if mask is None else int(mask.sum())
        self.passes += 1


def _shown(pair: Pair) -> int | None:
    """Which picture stands in a pair; None for texts."""
    return next((id(side) for side in pair if not isinstance(side, str)), None)


def _budget(device: torch.device) -> int:
    return TOKENS_AT_ONCE_ON_CPU if device.type == "cpu" else TOKENS_AT_ONCE


def _workers(device: torch.device) -> int:
    """A CPU that computes has no core to spare."""
    import os

    return 0 if device.type == "cpu" else max(1, min(8, (os.cpu_count() or 2) // 2))


def _precision(model: Any, wanted: bool | None) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 over weights in float32."""
    import torch

    if wanted is False or model.dtype not in (None, torch.float32):
        return nullcontext()
    return bfloat16_where_fast(model.device, wanted)
