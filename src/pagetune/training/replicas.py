"""Several processes, each with a copy of the model: their gradients are averaged once, when a step has all of its own.

A step makes many backward passes. DistributedDataParallel would exchange gradients in each one, so the passes go
through the model inside it, and the exchange is made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

BUCKET = 1 << 26
"""Bytes sent at a time."""


def without_wrapper(model: Any) -> tuple[Any, bool]:
    """The model inside DistributedDataParallel, and whether its gradients are due to be exchanged now; inside
    DataParallel, which a trainer of its own puts over several GPUs, the one that it is copied from."""
    from torch.nn.parallel import DataParallel, DistributedDataParallel

    wrapper = getattr(model, "_orig_mod", model)  # torch.compile around it
    if isinstance(wrapper, DistributedDataParallel):
        return wrapper.module, bool(wrapper.require_backward_grad_sync)
    if isinstance(wrapper, DataParallel):
        return wrapper.module, False
    return model, False


def several() -> bool:
    """Whether there are other processes."""
    return torch.distributed.is_available() and torch.distributed.is_initialized() and _world() > 1


def anywhere(happened: bool, device: torch.device) -> bool:
    """Whether it happened in any process; each has to ask."""
    flag = torch.tensor([int(happened)], device=device)
    torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Give every process the mean of all processes' gradients; one that a process has not made counts as 0.

    A parameter without a gradient in any process stays without: an optimizer would take a 0 for one, and decay it.
    """
    for bucket in _buckets(_used(parameters)):
        grads = [torch.zeros_like(each) if each.grad is None else each.grad for each in bucket]
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        flat /= _world()  # Before the sum: half precision has room for a mean, not for every sum.
        torch.distributed.all_reduce(flat)
        for each, grad, part in zip(bucket, grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view_as(grad))
            each.grad = grad


def _world() -> int:
    return torch.distributed.get_world_size()


def _used(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Those with a gradient in some process."""
    if not parameters:
        return []
    used = torch.tensor([each.grad is not None for each in parameters], dtype=torch.int32, device=parameters[0].device)
    torch.distributed.all_reduce(used, torch.distributed.ReduceOp.MAX)
    return [each for each, is_used in zip(parameters, used.tolist(), strict=True) if is_used]


def _buckets(parameters: Sequence[Tensor]) -> list[list[Tensor]]:
    buckets: list[list[Tensor]] = []
    room, kind = 0, None
    for each in parameters:
        size = each.numel() * each.element_size()
        if size > room or (each.dtype, each.device) != kind:
            buckets.append([])
            room, kind = max(BUCKET, size), (each.dtype, each.device)
        buckets[-1].append(each)
        room -= size
    return buckets
