"""Which layers of a transformer are meant, by their names."""

from __future__ import annotations

import re
from typing import Any

VISION = r"(^|\.)(visual|vision_model|vision_tower|vision_encoder)\."
"""Matches the names of a vision tower's parameters in the known architectures."""

BLOCKS = r"\.\d+\."
"""Matches what lies inside one of the blocks that follow each other: no embedding, projection, pooler or head."""


def linear_layers(inner: Any, *, vision: bool) -> list[str]:
    """Names of the linear layers that can have adapters; `vision`: those of the vision tower too."""
    from torch import nn

    return [
        name
        for name, module in inner.named_modules()
        if isinstance(module, nn.Linear)
        and not name.endswith("lm_head")
        and (vision or not re.search(VISION, f"{name}."))
    ]
