"""The first layer of a vision tower as a matrix product."""

from __future__ import annotations

import torch
from torch import nn

from pagetune.models.patches import multiply_patches

SIZE = (2, 14, 14)


def gradients(layer: nn.Conv3d, patches: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    layer.zero_grad()
    given = patches.clone().requires_grad_()
    made = layer(given)
    made.square().sum().backward()
    return made.detach(), [given.grad, *(parameter.grad.clone() for parameter in layer.parameters())]


def both(layer: nn.Conv3d, patches: torch.Tensor) -> None:
    plain = gradients(layer, patches)
    multiply_patches(nn.Sequential(layer))
    product = gradients(layer, patches)
    torch.testing.assert_close(product[0], plain[0])
    for one, other in zip(product[1], plain[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_single_patches_give_the_same_with_and_without_bias():
    torch.manual_seed(3)
    for bias in (True, False):
        both(nn.Conv3d(3, 8, SIZE, stride=SIZE, bias=bias), torch.randn(5, 3, *SIZE))


def test_a_whole_picture_still_slides():
    torch.manual_seed(3)
    both(nn.Conv3d(3, 8, SIZE, stride=SIZE), torch.randn(2, 3, 4, 28, 42))


def test_only_what_is_linear_on_a_patch_is_touched_and_names_stay():
    layers = nn.Sequential(
        nn.Conv3d(3, 8, SIZE, stride=SIZE), nn.Conv3d(3, 8, SIZE, stride=SIZE, padding=1), nn.Conv3d(3, 8, SIZE)
    )
    names = list(layers.state_dict())
    multiply_patches(layers)
    assert [type(layer) is nn.Conv3d for layer in layers] == [False, True, True]
    assert list(layers.state_dict()) == names
