"""What a forward pass depends on besides its inputs and the weights: the random state, and autocast."""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers.base.losses.gradcache import RandContext
from torch import Tensor


class Moment(RandContext):
    """The random state and autocast as they are now, on every device of the model.

    Inside `with moment:` they are so again, afterwards as they are outside. The backward pass of a loss often runs
    outside the `torch.autocast` of its forward pass, and on a GPU in another thread, which knows nothing of it.
    """

    def __init__(self, model: torch.nn.Module, slot: Tensor | None = None) -> None:
        """`slot`: where the state of the CPU's generator is kept, one of `slots`; without it, in memory of its own."""
        devices = {parameter.device: parameter for parameter in model.parameters()}
        super().__init__(*devices.values())
        self._slot = slot
        if slot is not None:
            self.fwd_cpu_state = slot.copy_(self.fwd_cpu_state)
        self._casts = [
            torch.autocast(kind, torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind))
            for kind in sorted({device.type for device in devices})
        ]

    def __enter__(self) -> None:
        if self._slot is not None:
            # A generator that is handed a part of a larger tensor reads outside of it (seen with torch 2.15).
            self.fwd_cpu_state = self._slot.clone()
        super().__enter__()
        for cast in self._casts:
            cast.__enter__()

    def __exit__(self, *exc: Any) -> None:
        for cast in reversed(self._casts):
            cast.__exit__(*exc)
        super().__exit__(*exc)
        if self._slot is not None:
            self.fwd_cpu_state = self._slot


def slots(count: int) -> Tensor:
    """Room for the states of so many moments, uint8 [count, bytes of a state].

    Made at once: states of 5 KB each that are made between mini-batches lie scattered among the activations, and what
    is freed around them cannot be used for larger ones, so that a process grows with the batch.
    """
    return torch.empty(count, torch.get_rng_state().numel(), dtype=torch.uint8)
