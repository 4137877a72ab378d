"""Page records set line by line, for the tests of kinds and running heads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pagetune.records import Page

Row = tuple[str, float, float, float]
"""Text, left edge, baseline, size."""


def page_of(
    rows: Sequence[Row], number: int = 1, document: str = "book", width: float = 600, height: float = 800
) -> Page:
    """A page whose words are as wide as half their size times their letters, a space as wide as a quarter."""
    words: list[str] = []
    boxes, sizes, lines = [], [], []
    for line, (text, x, y, size) in enumerate(rows):
        for word in text.split():
            wide = 0.5 * size * len(word)
            words.append(word)
            boxes.append((x, y - 0.2 * size, x + wide, y + 0.7 * size))
            sizes.append(size)
            lines.append(line)
            x += wide + 0.25 * size
    return Page(
        id=f"{document}-{number:04d}",
        document=document,
        number=number,
        width=width,
        height=height,
        words=tuple(words),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        sizes=np.array(sizes, np.float32),
        lines=np.array(lines, np.int32),
    )


def column(texts: Sequence[str], x: float = 72, top: float = 700, size: float = 10, step: float = 14) -> list[Row]:
    """Lines under each other."""
    return [(text, x, top - step * position, size) for position, text in enumerate(texts)]
