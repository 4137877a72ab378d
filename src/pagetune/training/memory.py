"""Memory while a step is made: what a graph holds, what a device has left, and going back when it ran out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SHARE_OF_FREE = 0.4
"""How much of the free memory of a CPU's machine the kept graphs may take: other programs live there too."""


class GraphMeter:
    """Counts the bytes that autograd saves for the backward pass, each storage once, without the model's weights."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._known = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self.bytes = 0

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """What is computed inside is counted, from 0."""
        self.bytes, seen = 0, set(self._known)

        def count(tensor: Tensor) -> Tensor:
            # Strided and on a device with storage: sparse and fake tensors have none to count.
            if tensor.layout == torch.strided:
                storage = tensor.untyped_storage()
                if (place := storage.data_ptr()) not in seen:
                    seen.add(place)
                    self.bytes += storage.nbytes()
            return tensor.detach()  # The tensor itself would hold its graph, and the graph it, for ever.

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            yield


class Gradients:
    """The gradients as they are now, to go back to: a pass that breaks off has added a part of its own.

    Mostly there are none yet, which costs nothing; those of earlier micro-steps are copied to the host.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._kept = [(each, None if each.grad is None else each.grad.to("cpu", copy=True)) for each in parameters]

    def restore(self) -> None:
        """Put them back."""
        for parameter, grad in self._kept:
            if grad is None:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.copy_(grad)
            else:
                parameter.grad = grad.to(parameter.device)


OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What the errors say that have no class of their own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the host's allocator, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(said in str(error) for said in OUT_OF_MEMORY)
    )


def forget_frames(error: BaseException | None) -> None:
    """Let go of what an error's tracebacks hold: the activations of the pass that broke."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def release(device: torch.device) -> None:
    """Give cached blocks back, so that other sizes can have them."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """What can still be allocated there."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return _available_memory()


def _available_memory() -> int:
    """Of the machine, or of the container where that has less (Linux); elsewhere half a GiB is assumed."""
    machine, group = _value(Path("/proc/meminfo"), "MemAvailable:"), Path("/sys/fs/cgroup")
    found = [] if machine is None else [1024 * machine]
    limit, used = (_number(group / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        # Files that were read count as used, but give way.
        found.append(max(0, limit - used + (_value(group / "memory.stat", "inactive_file") or 0)))
    return min(found, default=1 << 29)


def _value(file: Path, name: str) -> int | None:
    """The number that follows a name."""
    return next((int(line.split()[1]) for line in _lines(file) if line.split()[:1] == [name]), None)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").splitlines()
    except OSError:
        return []


def _number(file: Path) -> int | None:
    text = "".join(_lines(file)).strip()
    return int(text) if text.isdecimal() else None


def trainable(model: Any) -> list[Tensor]:
    """The parameters that a step changes."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
