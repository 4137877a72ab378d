"""What training costs on this machine, tried on real pages: real steps through the engine that `fit` uses.

Nothing of the model is changed for good: weights, gradients and random state are afterwards as they were.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pagetune.models.inspect import is_late
from pagetune.recipe import FitRecipe
from pagetune.training.budget import SPARE, Trial, left_for_graphs, measure
from pagetune.training.feeding import Job, Reference
from pagetune.training.loop import as_trained
from pagetune.training.memory import free_bytes, release, trainable
from pagetune.training.mini_batches import Budget
from pagetune.training.representations import Tokens, Vectors
from pagetune.training.streaming import Streaming

if TYPE_CHECKING:
    from pagetune.examples.visual import ImageTrainSet

SAMPLE = 256
"""Rows whose lengths are looked at, evenly spread."""

MINI_BATCHES = 3
"""A real step has about so many full mini-batches of pages: fewer would hide what the next costs while one is made."""

OPENED = 4
"""Pages that are opened and scaled to see how long that takes."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to train with."""

    name: str
    gpu: bool
    bytes: int
    """Of the device, with what this process holds of it already."""

    @property
    def usable(self) -> int:
        """What is planned with."""
        return int(SPARE * self.bytes)


@dataclass(frozen=True, slots=True)
class Weights:
    """What training holds whatever the pages are, in bytes.

    AdamW keeps two numbers a trainable parameter, of the parameter's own type, and a gradient is a third: 12 bytes in
    float32, 6 in bfloat16. There is no second copy of the weights: where the computing is in bfloat16 by autocast, the
    weights themselves are the float32 ones.
    """

    trainable: int
    """Parameters."""
    held: int
    """The model as it is loaded: on a GPU what is allocated there, on a CPU this process."""
    gradients: int
    optimizer: int
    update_seconds: float
    """The optimizer's part of a step; 0 where it was not tried."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Steps over pages of one size."""

    pages: tuple[int, ...]
    """Tokens of the pages looked at."""
    queries: tuple[int, ...]
    trials: tuple[Trial, ...]
    """Mini-batch sizes of the longest page, each forward and backward; the last is the best."""
    kept_pace: float
    """Seconds a token, padding included, where its graph is kept."""
    twice_pace: float
    """The same where it goes through the model twice."""
    open_seconds: float
    """To open and scale one page in one process."""
    workers: int
    """Processes that do so."""
    rows: int
    """Rows of the real steps."""


def weigh(model: Any) -> Weights:
    """Count gradients and AdamW's numbers, and make one update for real where there is room: of rate 0."""
    device, parameters = next(model.parameters()).device, trainable(model)
    held = _held(device)
    gradients = sum(each.numel() * each.element_size() for each in parameters)
    optimizer, seconds = 2 * gradients, 0.0
    if gradients + optimizer < free_bytes(device) / 2:
        optimizer, seconds = _update(parameters, device)
        model.zero_grad(set_to_none=True)
        release(device)
    return Weights(sum(each.numel() for each in parameters), held, gradients, optimizer, seconds)


def try_steps(model: Any, train: ImageTrainSet, recipe: FitRecipe, reserved: int) -> Costs:
    """Find the mini-batch for the longest of the pages, then make real steps of some rows within it.

    `reserved`: bytes that gradients and the optimizer will take. Raises what the device raises where one page is too
    much for it.
    """
    prompts = {name: model.prompts.get("query" if name == "query" else "document") for name in train.keys}
    streaming = Streaming(model, train, {name: prompt for name, prompt in prompts.items() if prompt}, recipe)
    with closing(streaming), as_trained(model, recipe):
        refer = {name: column.refer for name, column in streaming.collator.columns.items()}
        chosen = spread(len(train), SAMPLE)
        pages = [refer["image"](row) for row in chosen]
        texts = train.dataset.with_format(None)["query"]
        kind = Tokens if is_late(model) else Vectors
        page, route = streaming.longest
        _, trials = measure(model, kind, streaming.feeder.prepare, [page], route)
        best = trials[-1]
        device = next(model.parameters()).device
        room = max(0, free_bytes(device) - reserved)
        rows = spread(len(train), max(2, -(-MINI_BATCHES * best.items // len(train.columns))))
        twice, _, tokens = _step(model, streaming, rows, Budget(tokens=best.tokens))
        graphs = int(tokens * best.graph_bytes / best.tokens)
        keep = min(graphs, left_for_graphs(room, device, best))
        kept, share, _ = _step(model, streaming, rows, Budget(tokens=best.tokens, keep_bytes=keep))
        # What was not kept in the second step cost as much as in the first.
        kept = min(twice, (kept - (1 - share) * twice) / share) if share else twice
        return Costs(
            pages=tuple(page.length for page in pages),
            queries=tuple(refer["query"](texts[row]).length for row in chosen),
            trials=tuple(trials),
            kept_pace=max(kept, twice / 4) / tokens,
            twice_pace=twice / tokens,
            open_seconds=_opening(streaming, pages),
            workers=max(1, streaming.feeder.workers),
            rows=len(rows),
        )


def find_machine(model: Any) -> Machine:
    """The device that the model is on."""
    from pagetune.machine import describe_machine

    device = next(model.parameters()).device
    total = free_bytes(device) + _held(device)
    if device.type == "cuda":
        return Machine(torch.cuda.get_device_name(device), True, total)
    about = describe_machine()
    return Machine(f"{about['processor']}, {about['cores']} cores", False, total)


def spread(total: int, count: int) -> list[int]:
    """At most `count` of the numbers below `total`, evenly spread."""
    count = min(total, count)
    return [place * total // count for place in range(count)]


def _step(model: Any, streaming: Streaming, rows: Sequence[int], budget: Budget) -> tuple[float, float, int]:
    """Seconds, the share of the mini-batches whose graph was kept, and tokens, padding included."""
    data = streaming.dataset()
    loss = streaming.loss(budget)
    device = next(model.parameters()).device
    for counted in (False, True):  # The first of a kind starts workers, or allocates what the next finds.
        features = [{"input_ids": column} for column in streaming.collator([data[row] for row in rows]).values()]
        _wait(device)
        began = time.perf_counter()
        loss(features, None).backward()
        _wait(device)
        seconds = time.perf_counter() - began
        model.zero_grad(set_to_none=True)
        if counted or seconds > LONG:
            break
    return seconds, loss.account.summary()["graphs_kept"], loss.account.tokens // loss.account.steps


LONG = 20.0
"""Seconds; a step that takes longer is not made again: what starting costs is little of it."""


def _opening(streaming: Streaming, pages: Sequence[Reference]) -> float:
    began = time.perf_counter()
    some = [pages[place] for place in spread(len(pages), OPENED)]
    for page in some:
        streaming.feeder.prepare(Job((page,), streaming.routes["image"]))
    return (time.perf_counter() - began) / len(some)


def _update(parameters: Sequence[Any], device: torch.device) -> tuple[int, float]:
    """Bytes that AdamW keeps, and the seconds of an update."""
    for each in parameters:
        each.grad = torch.zeros_like(each)
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=0.0, fused=True)
    optimizer.step()  # Makes its numbers.
    _wait(device)
    began = time.perf_counter()
    optimizer.step()
    _wait(device)
    seconds = time.perf_counter() - began
    states = (value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value))
    return sum(value.numel() * value.element_size() for value in states if value.ndim), seconds


def _held(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    import psutil

    return int(psutil.Process().memory_info().rss)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
