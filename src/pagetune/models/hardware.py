"""What the machine can compute in: where bfloat16 is a gain, and how to switch it on."""

from __future__ import annotations

import ctypes
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Their numbers in glibc's malloc.h."""


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


def keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next tensor, for the rest of the process; elsewhere than glibc
    nothing happens.

    By default it hands large blocks back to the system and takes them anew, page by page, for every layer of every
    batch: a quarter of the time of encoding on a CPU.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Older versions refuse a threshold above 32 MiB; the second setting alone would freeze a low one.
    if mallopt is not None and (mallopt(_MMAP_THRESHOLD, 1 << 30) or mallopt(_MMAP_THRESHOLD, 32 << 20)):
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def hand_back_memory() -> None:
    """Have the C library give freed memory back to the system, what is free now and for the rest of the process;
    elsewhere than glibc nothing happens.

    The opposite of `keep_freed_memory`, for when memory is what is short: what lies freed between blocks that are in
    use would be kept, and be too small for the next large tensor.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt") and hasattr(library, "malloc_trim"):
        library.mallopt(_MMAP_THRESHOLD, 1 << 20)
        library.mallopt(_TRIM_THRESHOLD, 1 << 17)
        library.malloc_trim(0)
