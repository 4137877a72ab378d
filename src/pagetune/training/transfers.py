"""Tensors between host and GPU while the model computes: nobody waits for a copy that can be made beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import torch
from torch import Tensor

from pagetune.training.preparing import Features


class Stream(Iterator[Features], Protocol):
    """The features of one mini-batch after the other; `close` it where the rest is no longer wanted."""

    def close(self) -> None:
        """Nothing more is prepared."""


def move(features: Features, device: torch.device) -> Features:
    """The same features on the device; on a GPU by way of pinned memory, and without waiting for the copy."""
    cuda = device.type == "cuda"

    def moved(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.pin_memory().to(device, non_blocking=True) if cuda else value.to(device)

    return {name: moved(value) for name, value in features.items()}


class Ahead(Stream):
    """A stream's mini-batches on the device, each brought there by a thread while the model is at the one before.

    On a GPU it is pinned and copied on a CUDA stream beside the one that computes. What goes wrong on the way is raised
    where the mini-batch is asked for.
    """

    def __init__(self, source: Stream, device: torch.device) -> None:
        self._source = source
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._device = device if self._side is None else self._side.device  # Which GPU: a thread has its own default.
        self._thread = ThreadPoolExecutor(1)
        self._next = self._thread.submit(self._bring)

    def __next__(self) -> Features:
        brought = self._next.result()
        if brought is None:
            raise StopIteration
        self._next = self._thread.submit(self._bring)
        return self._received(*brought)

    def close(self) -> None:
        """Nothing more is brought; what the thread waits for ends without being asked for."""
        self._source.close()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._next = Future()
        self._next.set_result(None)

    def _bring(self) -> tuple[Features, torch.cuda.Event | None] | None:
        """The next on its way to the device, and what says that it is there; None: there are no more."""
        features = next(self._source, None)
        if features is None:
            return None
        if self._side is None:
            return move(features, self._device), None
        with torch.cuda.stream(self._side):
            return move(features, self._device), self._side.record_event()

    def _received(self, features: Features, copied: torch.cuda.Event | None) -> Features:
        """For the CUDA stream that asks: it goes on when they are there, and keeps their memory until it is done."""
        if copied is not None:
            computing = torch.cuda.current_stream(self._device)
            computing.wait_event(copied)
            for value in features.values():
                if isinstance(value, Tensor):
                    value.record_stream(computing)
        return features


class Fetched:
    """Tensors of one device on their way to the host: the copy begins at once, behind what makes them."""

    def __init__(self, tensors: Sequence[Tensor | None]) -> None:
        self._tensors = [None if each is None else _to_host(each) for each in tensors]
        self._copied: torch.cuda.Event | None = None
        gpu = next((each.device for each in tensors if each is not None and each.device.type == "cuda"), None)
        if gpu is not None:
            # One that sleeps: the processes that prepare pages have use for the core.
            self._copied = torch.cuda.current_stream(gpu).record_event(torch.cuda.Event(blocking=True))

    def here(self) -> list[Tensor | None]:
        """They, on the host; waits for nothing that the device was given to do later."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._tensors


def _to_host(tensor: Tensor) -> Tensor:
    if tensor.device.type != "cuda":
        return tensor.cpu()
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
