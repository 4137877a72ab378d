"""Pairs on their way to a reranker: as references, with their lengths, in mini-batches of a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pagetune.examples.rerank import Input, RankedList, RerankSet
from pagetune.models.hardware import bfloat16_where_fast
from pagetune.models.pixels import image_processor
from pagetune.training.feeding import Features, Feeder, Job, Preparer, Reference, Route
from pagetune.training.mini_batches import Budget, cut
from pagetune.training.page_cache import ResizedPages
from pagetune.training.pair_lengths import PairLengths
from pagetune.training.representations import Output
from pagetune.training.rerank_losses import LossName, lists_for, weight

if TYPE_CHECKING:
    from pagetune.recipe import RerankDirection

Pair = tuple[Input, Input]


class PairScores:
    """Log-odds of the pairs of a mini-batch."""

    @staticmethod
    def forward(model: Any, features: Features) -> Output:
        """float32 [pairs]: the higher, the likelier does the document answer."""
        scores: Tensor = model(features)["scores"]
        return scores.reshape(-1).float(), None


@dataclass(frozen=True, slots=True)
class Part:
    """A mini-batch: its pairs, in order, the labels of its lists, and its share of the batch's loss."""

    job: Job
    labels: tuple[tuple[float, ...], ...]
    share: float


class PairBatch:
    """A batch of lists. (No list: what takes batches apart to move tensors shall leave it alone.)"""

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)


class PairFeed:
    """Pairs of a set, prepared ahead of the model, with the task prompt of their direction. Close it afterwards."""

    def __init__(
        self,
        model: Any,
        chosen: RerankSet,
        prompts: Mapping[RerankDirection, str | None],
        *,
        workers: int = 0,
        cache: Path | None = None,
        cache_bytes: int = 0,
    ) -> None:
        self.model, self.chosen = model, chosen
        self.routes = {direction: Route(None, prompt, pictures=True) for direction, prompt in prompts.items()}
        self._lengths = {direction: PairLengths(model, route.prompt) for direction, route in self.routes.items()}
        sees = chosen.pictures is not None and image_processor(model) is not None
        self._kept = _PairedPages(cache, model, cache_bytes) if sees and cache is not None and cache_bytes else None
        self.feeder = Feeder(Preparer(model.preprocess, self._open), workers=workers)

    def reference(self, direction: RerankDirection, asked: Input, candidate: Input) -> Reference:
        """Of one pair."""
        key = f"{direction}\0{self.chosen.key(asked)}\0{self.chosen.key(candidate)}"
        length = self._length(self._lengths[direction], asked, candidate)
        return Reference((asked, candidate), key, length, _told(asked, candidate))

    def references(self, direction: RerankDirection, each: RankedList) -> list[Reference]:
        """Of the pairs of a list."""
        return [self.reference(direction, each.asked, content) for content in each.candidates]

    def close(self) -> None:
        """End the workers."""
        self.feeder.close()

    def _length(self, lengths: PairLengths, asked: Input, candidate: Input) -> int:
        for text, number in ((asked, candidate), (candidate, asked)):
            if isinstance(text, str) and isinstance(number, int):
                assert self.chosen.pictures is not None, "a number is one of a picture"
                return lengths.shown(text, *self.chosen.pictures.size(number))
        return lengths.texts(str(asked), str(candidate))

    def _open(self, pair: Pair) -> tuple[Any, Any]:
        return self._load(pair[0]), self._load(pair[1])

    def _load(self, content: Input) -> Any:
        if isinstance(content, str) or self._kept is None:
            return self.chosen.open(content)
        return self._kept.open(self.chosen.key(content), partial(self.chosen.open, content))


class _PairedPages(ResizedPages):
    """Pages as the processor scales them, of a model that takes a page only beside a text."""

    def __init__(self, folder: Path, model: Any, limit: int) -> None:
        super().__init__(folder, model, limit)
        self._preprocess = lambda pages, **_: model.preprocess([("", page) for page in pages])


def cut_lists(
    direction: RerankDirection, lists: Sequence[RankedList], feed: PairFeed, budget: Budget, loss: LossName
) -> PairBatch:
    """A batch in mini-batches of the budget, of whole lists of one length, or for a loss of pairs alone of any pairs; a
    list longer than the budget is a mini-batch of its own."""
    units = lists_for(loss, lists)
    references = [feed.references(direction, each) for each in units]
    lengths = [len(own) * max(reference.length for reference in own) for own in references]
    total = max(1, weight(loss, [each.labels for each in units]))
    parts = []
    for group in cut(lengths, [len(own) for own in references], budget):
        pairs = tuple(reference for place in group for reference in references[place])
        labels = tuple(units[place].labels for place in group)
        parts.append(Part(Job(pairs, feed.routes[direction]), labels, weight(loss, labels) / total))
    return PairBatch(parts)


def score_lists(
    direction: RerankDirection, lists: Sequence[RankedList], feed: PairFeed, budget: Budget, *, exact: bool = False
) -> list[NDArray[np.float32]]:
    """For each list the log-odds of its candidates, float32; a pair that stands there twice is scored once. Computed in
    bfloat16 where the hardware is fast at it, unless they shall be `exact`."""
    places: dict[str, int] = {}
    references: list[Reference] = []
    wanted: list[list[int]] = []
    for each in lists:
        own = feed.references(direction, each)
        for reference in own:
            if places.setdefault(reference.key, len(references)) == len(references):
                references.append(reference)
        wanted.append([places[reference.key] for reference in own])
    groups = cut([reference.length for reference in references], [0] * len(references), budget) if references else []
    found = np.zeros(len(references), dtype=np.float32)
    model = feed.model
    jobs = [Job(tuple(references[place] for place in group), feed.routes[direction]) for group in groups]
    wanted_half = False if exact else _autocast(model)
    with _judging(model), torch.inference_mode(), bfloat16_where_fast(model.device, wanted_half):
        for group, features in zip(groups, feed.feeder.stream(jobs, model.device), strict=True):
            found[group] = PairScores.forward(model, features)[0].cpu().numpy()
    return [found[own] for own in wanted]


def prompts_of(
    model: Any, directions: Sequence[RerankDirection], given: Mapping[RerankDirection, str]
) -> dict[RerankDirection, str | None]:
    """The task prompt of each direction: as given, else the model's own."""
    from pagetune.models.inspect import task_prompt

    return {direction: given.get(direction) or task_prompt(model, direction) for direction in directions}


@contextmanager
def _judging(model: Any) -> Iterator[None]:
    """Without dropout, and without the autocast that a trainer puts around a forward."""
    training, wrapped, own = model.training, model.__dict__.get("forward"), model.__dict__.get("_original_forward")
    if wrapped is not None and own is not None:
        model.forward = own
    try:
        model.eval()
        yield
    finally:
        model.train(training)
        if wrapped is not None and own is not None:
            model.forward = wrapped


def _autocast(model: Any) -> bool | None:
    """No autocast over weights that are of half precision already."""
    return None if model.dtype in (None, torch.float32) else False


def _told(asked: Input, candidate: Input) -> str:
    names = [f"picture {content}" if isinstance(content, int) else repr(content[:40]) for content in (asked, candidate)]
    return f"the pair of {names[0]} and {names[1]}"
