"""What the machine can compute in: where bfloat16 is a gain, and how to switch it on."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware (CPU: AVX512-BF16 or AMX)."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_available() and torch.cuda.get_device_capability(device)[0] >= 8
    if kind != "cpu":
        return False
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def bfloat16_where_fast(device: torch.device | str, wanted: bool | None = None) -> AbstractContextManager[Any]:
    """Autocast to bfloat16; `wanted` None: where the hardware has it."""
    import torch

    if wanted is False or (wanted is None and not has_bfloat16(device)):
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
