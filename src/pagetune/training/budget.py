"""How much goes through the model at once: measured on the longest of the real pages, before the first step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from pagetune.training.feeding import Job, Prepare, Reference, Route, move
from pagetune.training.memory import SHARE_OF_FREE, GraphMeter, forget_frames, free_bytes, is_out_of_memory, release
from pagetune.training.mini_batches import Budget
from pagetune.training.representations import Output

WORTH = 1.05
"""A mini-batch twice as large has to be faster, a token, by this much: a smaller one pads less and leaves memory."""

MOST = 64
"""Pages in a mini-batch, at most."""

RUNS, LONG = 3, 1.0
"""A size is run so often and its fastest time counts, as long as it takes under so many seconds in all: beside other
programs a single short run says little."""

GIVE_UP = 2
"""So many sizes in a row that are no faster end the search."""

SPARE = 0.9
"""The share of a GPU's memory that is planned with: allocators fragment, and lengths were estimated."""


class Forward(Protocol):
    """What is measured: `representations`, or a reranker's scores."""

    @staticmethod
    def forward(model: Any, features: dict[str, Any]) -> Output:
        """A mini-batch through the model."""
        ...


@dataclass(frozen=True, slots=True)
class Trial:
    """One mini-batch size, tried: so many of the longest pages, forward and backward."""

    items: int
    tokens: int
    seconds: float
    graph_bytes: int
    peak_bytes: int
    """Above what the weights take; 0 on a CPU, which does not say."""


def measure(
    model: Any,
    kind: type[Forward],
    prepare: Prepare,
    pages: Sequence[Reference],
    route: Route,
    *,
    items: int | None = None,
) -> tuple[Budget, list[Trial]]:
    """The budget for this model and device, and what was tried.

    The longest of `pages` goes through the model in ones, twos, fours … until the time a token no longer falls or half
    of the `room` is taken; or only so many at once, where `items` says so. The last trial that is given back is the one
    of the budget: the smallest that is nearly as fast as any. What a kept graph may take is what is left of the room
    (`left_for_graphs`). The model has to be as training has it (`loop.as_trained`). Weights, gradients and
    random state are as before. Raises the out-of-memory error of a single page, or of the `items`.
    """
    device = model.device
    longest = max(pages, key=lambda page: page.length)
    free = room(model)
    trials: list[Trial] = []
    sizes = [items] if items is not None else [1 << power for power in range(MOST.bit_length())]
    gpus = [each for each in _devices(model) if each.type == "cuda"]
    try:
        with torch.random.fork_rng(gpus):
            _try(model, kind, prepare, longest, route, 1, device)  # Not counted: the first run of everything is slower.
            for size in sizes:
                try:
                    trials.append(_fastest(partial(_try, model, kind, prepare, longest, route, size, device)))
                except Exception as error:
                    if not is_out_of_memory(error) or not trials:
                        raise
                    forget_frames(error)
                    release(device)
                    break
                if _given_up(trials):
                    break
                if max(trials[-1].peak_bytes, trials[-1].graph_bytes) > free / 4:
                    break
    finally:
        model.zero_grad(set_to_none=True)
    best = min(map(_pace, trials))
    trials = trials[: 1 + next(place for place, trial in enumerate(trials) if _pace(trial) <= WORTH * best)]
    chosen = trials[-1]
    return Budget(tokens=chosen.tokens, keep_bytes=left_for_graphs(free, device, chosen)), trials


def left_for_graphs(room: int, device: torch.device, beside: Trial | None = None) -> int:
    """Bytes of the `room` that kept graphs may take: beside a mini-batch like this one what a GPU has left, or a part
    of a machine's free memory. Where none was tried, half of a GPU's is left to it."""
    if device.type == "cuda":
        return max(0, int(SPARE * room) - 2 * beside.peak_bytes) if beside else int(SPARE * room) // 2
    return max(0, int(SHARE_OF_FREE * room) - (beside.graph_bytes if beside else 0))


def room(model: Any) -> int:
    """Bytes that are free for graphs and activations on the fullest device that the model computes on: when there are
    a gradient, and AdamW's two numbers, for every weight that is trained."""
    to_come = dict.fromkeys(_devices(model), 0)
    for each in model.parameters():
        if each.requires_grad and each.device in to_come:
            to_come[each.device] += each.numel() * each.element_size() * (2 + (each.grad is None))
    return max(0, min(free_bytes(device) - needed for device, needed in to_come.items()))


def _devices(model: Any) -> list[torch.device]:
    """Where the model computes: with weights on a GPU, what it has put on the host or on disk is brought there."""
    found = {each.device for each in model.parameters() if each.device.type == "cuda"}
    return sorted(found, key=str) or [model.device]


def _pace(trial: Trial) -> float:
    return trial.seconds / trial.tokens


def _given_up(trials: Sequence[Trial]) -> bool:
    """None of the last sizes was faster than what was tried before them."""
    before, last = trials[:-GIVE_UP], trials[-GIVE_UP:]
    return bool(before) and min(map(_pace, before)) < WORTH * min(map(_pace, last))


def _fastest(run: Callable[[], Trial]) -> Trial:
    found = [run()]
    while len(found) < RUNS and sum(trial.seconds for trial in found) < LONG:
        found.append(run())
    return min(found, key=_pace)


def _try(
    model: Any,
    kind: type[Forward],
    prepare: Prepare,
    page: Reference,
    route: Route,
    items: int,
    device: torch.device,
) -> Trial:
    features = move(prepare(Job((page,) * items, route)), device)
    devices = [each for each in _devices(model) if each.type == "cuda"]
    before = {}
    for each in devices:
        torch.cuda.synchronize(each)
        torch.cuda.reset_peak_memory_stats(each)
        before[each] = torch.cuda.memory_allocated(each)
    meter = GraphMeter(model)
    began = time.perf_counter()
    with meter.measuring():
        output, _ = kind.forward(model, features)
    if output.requires_grad:
        output.float().sum().backward()
    for each in devices:
        torch.cuda.synchronize(each)
    seconds = time.perf_counter() - began
    peak = max((torch.cuda.max_memory_allocated(each) - before[each] for each in devices), default=0)
    return Trial(items, items * page.length, seconds, meter.bytes, peak)
