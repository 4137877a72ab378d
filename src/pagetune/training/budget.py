"""How much goes through the model at once: measured on the longest of the real pages, before the first step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pagetune.training.feeding import Job, Prepare, Reference, Route, move
from pagetune.training.memory import SHARE_OF_FREE, GraphMeter, free_bytes, is_out_of_memory, release
from pagetune.training.mini_batches import Budget
from pagetune.training.representations import Representations

WORTH = 1.05
"""A mini-batch twice as large has to be faster, a token, by this much: a smaller one pads less and leaves memory."""

MOST = 64
"""Pages in a mini-batch, at most."""

SPARE = 0.9
"""The share of a GPU's memory that is planned with: allocators fragment, and lengths were estimated."""


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
    kind: type[Representations],
    prepare: Prepare,
    pages: Sequence[Reference],
    route: Route,
    *,
    most_tokens: int | None = None,
) -> tuple[Budget, list[Trial]]:
    """The budget for this model and device, and what was tried.

    The longest of `pages` goes through the model in ones, twos, fours … until the time a token no longer falls or half
    of the free memory is taken. What a kept graph may take is what is left of a GPU, or a part of a machine's free
    memory. Weights, gradients and random state are as before. Raises the out-of-memory error of a single page.
    """
    device = model.device
    state = torch.random.get_rng_state()
    longest = max(pages, key=lambda page: page.length)
    free = free_bytes(device)
    trials: list[Trial] = []
    items = 1
    try:
        _try(model, kind, prepare, longest, route, 1, device)  # Not counted: the first run of everything is slower.
        while items <= MOST and (most_tokens is None or items == 1 or items * longest.length <= most_tokens):
            try:
                trials.append(_try(model, kind, prepare, longest, route, items, device))
            except Exception as error:
                if not is_out_of_memory(error) or not trials:
                    raise
                release(device)
                break
            if len(trials) > 1 and trials[-2].seconds / trials[-2].tokens < WORTH * _pace(trials[-1]):
                trials.pop()
                break
            if max(trials[-1].peak_bytes, trials[-1].graph_bytes) > free / 4:
                break
            items *= 2
    finally:
        torch.random.set_rng_state(state)
        model.zero_grad(set_to_none=True)
    chosen = trials[-1]
    if device.type == "cuda":
        keep = int(SPARE * free) - 2 * chosen.peak_bytes
    else:
        keep = int(SHARE_OF_FREE * free) - chosen.graph_bytes
    return Budget(tokens=chosen.tokens, keep_bytes=max(0, keep)), trials


def _pace(trial: Trial) -> float:
    return trial.seconds / trial.tokens


def _try(
    model: Any,
    kind: type[Representations],
    prepare: Prepare,
    page: Reference,
    route: Route,
    items: int,
    device: torch.device,
) -> Trial:
    features = move(prepare(Job((page,) * items, route)), device)
    before = 0
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    meter = GraphMeter(model)
    began = time.perf_counter()
    with meter.measuring():
        output, _ = kind.forward(model, features)
    if output.requires_grad:
        output.float().sum().backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated(device) - before if device.type == "cuda" else 0
    return Trial(items, items * page.length, seconds, meter.bytes, peak)
