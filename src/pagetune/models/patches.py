"""A vision tower's first layer as the matrix product that it is.

Qwen's vision towers cut a page into patches beforehand and hand each one alone to a convolution of exactly its size,
which is a linear layer over the patch's values. Convolution kernels are built to slide; on one position each they are
several times as slow as the product, most of all backward. Weights, their names and the checkpoint stay as they are.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class PatchConvolution(nn.Conv3d):
    """A convolution that is given single patches."""

    def forward(self, patches: Tensor) -> Tensor:
        """[n, channels, frames, height, width] into [n, width of the tower, 1, 1, 1], or whatever a convolution
        makes of patches of another size."""
        if tuple(patches.shape[2:]) != tuple(self.kernel_size):
            return super().forward(patches)
        flat = functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)
        return flat[:, :, None, None, None]


def multiply_patches(model: nn.Module) -> None:
    """Let every convolution that may be given single patches multiply; the results are equal up to rounding."""
    for module in model.modules():
        if type(module) is nn.Conv3d and _is_plain(module):
            # In place: optimizers, adapters and checkpoints know the layer by its object and its name.
            module.__class__ = PatchConvolution


def _is_plain(layer: Any) -> bool:
    """Whether on one patch the layer is a linear one."""
    return bool(
        layer.groups == 1
        and tuple(layer.stride) == tuple(layer.kernel_size)
        and set(layer.dilation) == {1}
        and set(layer.padding) == {0}
    )
