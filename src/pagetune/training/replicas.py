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
    """The model inside DistributedDataParallel, and whether its gradients are due to be exchanged now."""
    from torch.nn.parallel import DistributedDataParallel

    if isinstance(model, DistributedDataParallel):
        return model.module, bool(model.require_backward_grad_sync)
    return model, False


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Give every process the mean of all processes' gradients; one that a process has not made counts as 0."""
    for bucket in _buckets(parameters):
        grads = [torch.zeros_like(each) if each.grad is None else each.grad for each in bucket]
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        torch.distributed.all_reduce(flat)
        flat /= torch.distributed.get_world_size()
        for each, part in zip(bucket, flat.split([grad.numel() for grad in grads]), strict=True):
            each.grad = part.view_as(each).clone()


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
