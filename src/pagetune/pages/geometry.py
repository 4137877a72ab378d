"""Page frames and pixel bounds: plain arithmetic that both the parent and its workers use."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LONGEST_SIDE = 20_000
"""Pixels: no page is rendered beyond this, whatever is asked for."""


class Frame(NamedTuple):
    """The visible box of a page in the PDF's own coordinates, and how many quarter turns clockwise it is shown at."""

    left: float
    bottom: float
    right: float
    top: float
    turns: int = 0

    def shown(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes [n, 4] in the PDF's coordinates -> boxes on the page as it is shown, its bottom left at 0, 0."""
        x0, y0, x1, y1 = boxes.T
        if self.turns == 0:
            corners = (x0 - self.left, y0 - self.bottom, x1 - self.left, y1 - self.bottom)
        elif self.turns == 1:
            corners = (y0 - self.bottom, self.right - x1, y1 - self.bottom, self.right - x0)
        elif self.turns == 2:
            corners = (self.right - x1, self.top - y1, self.right - x0, self.top - y0)
        else:
            corners = (self.top - y1, x0 - self.left, self.top - y0, x1 - self.left)
        return np.stack(corners, axis=1).astype(np.float32)

    def height_of(self, y: float) -> float | None:
        """Where a bookmark's height lies on the page as shown; None on a page that is shown turned."""
        if self.turns == 0:
            return y - self.bottom
        return self.top - y if self.turns == 2 else None


def covered_share(boxes: NDArray[np.float32], width: float, height: float) -> float:
    """The share of a page that boxes [n, 4] on it cover together, 0 to 1, to a hundredth or so."""
    steps = 64
    grid = np.zeros((steps, steps), bool)
    for left, bottom, right, top in (boxes / np.asarray([width, height, width, height]) * steps).clip(0, steps):
        grid[round(bottom) : round(top), round(left) : round(right)] = True
    return float(grid.mean())


def fit(
    width: float, height: float, long_side: int | None = None, max_pixels: int | None = None, *, grow: bool = True
) -> tuple[int, int]:
    """Pixels (width, height) within both bounds, the shape kept, at least 1 x 1; `grow`: also above its own size."""
    scale = math.inf if grow and (long_side or max_pixels) else 1.0
    longest = max(width, height)
    scale = min(scale, (long_side or LONGEST_SIDE) / longest, LONGEST_SIDE / longest)
    if max_pixels:
        scale = min(scale, math.sqrt(max_pixels / (width * height)))
    # The longer side meets its bound exactly; rounding must not carry the area over its own.
    pixels = max(1, round(width * scale)), max(1, round(height * scale))
    if max_pixels and pixels[0] * pixels[1] > max_pixels:
        pixels = max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
    return pixels
