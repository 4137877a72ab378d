"""How many tokens the model will see in an input, before it is preprocessed: what mini-batches are cut by."""

from __future__ import annotations

import math
from typing import Any

from pagetune.models.pixels import has_bounds, image_processor, pixel_bounds
from pagetune.training.feeding import Features, Route

PATCH = 3 * 16 * 16
"""Numbers of a patch, where a model of pictures alone does not say how many tokens it makes of one."""


class Lengths:
    """Tokens of texts and of pictures of a given size, each kind of them measured once with the model's own
    preprocessing."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._texts: dict[tuple[Route, str], int] = {}
        self._sizes: dict[tuple[Route, tuple[int, int]], int] = {}
        self._beside: dict[Route, int] = {}
        """Tokens of a picture that are none of its grid."""
        self._bounds = pixel_bounds(model)
        processor = image_processor(model)
        self._step = processor.patch_size * processor.merge_size if has_bounds(processor) else 0

    def text(self, text: str, route: Route) -> int:
        """Of a text."""
        key = (route, text)
        if key not in self._texts:
            self._texts[key] = tokens(self._features(text, route))
        return self._texts[key]

    def picture(self, width: int, height: int, route: Route) -> int:
        """Of a picture; what stands on it makes no difference."""
        from PIL import Image

        key = (route, self._scaled(width, height))
        if key not in self._sizes:
            cells = self._cells(key[1])
            if cells and route in self._beside:
                self._sizes[key] = cells + self._beside[route]
            else:
                blank = Image.new("RGB", key[1], "white")
                self._sizes[key] = tokens(self._features(blank, route))
                self._beside[route] = self._sizes[key] - cells
        return self._sizes[key]

    def _cells(self, size: tuple[int, int]) -> int:
        """Of the processor's grid, a token each; 0 where it has none."""
        return size[0] * size[1] // self._step**2 if self._step else 0

    def _features(self, content: Any, route: Route) -> Features:
        return self._model.preprocess([content], prompt=route.prompt, task=route.task)

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        """A size that gives as many tokens, of which there are few: on the processor's grid, within its bounds."""
        if self._bounds is None or not self._step:
            return 64, 64  # Every picture is scaled alike.
        low, high = self._bounds
        scale = math.sqrt(min(max(width * height, low), high) / (width * height))
        across, down = (max(1, round(side * scale / self._step)) * self._step for side in (width, height))
        return across, down


def tokens(features: Features) -> int:
    """Of the one input that these are the features of."""
    mask = features.get("attention_mask")
    if mask is not None:
        return max(1, int(mask.sum()))
    pixels = features.get("pixel_values")
    return max(1, int(pixels.numel()) // PATCH) if pixels is not None else 1
