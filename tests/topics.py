"""Pages of words of a few topics."""

from __future__ import annotations

from typing import Any

import numpy as np

from pagetune.records import Page

TOPICS = {
    "ledger": ["account", "balance", "booking", "credit", "debit", "invoice", "ledger", "payment", "posting"],
    "garden": ["blossom", "compost", "flower", "garden", "gravel", "hedge", "lawn", "mulch", "seedling"],
    "engine": ["bearing", "camshaft", "clutch", "coolant", "cylinder", "engine", "exhaust", "gasket", "piston"],
    "music": ["bassoon", "cello", "clarinet", "concert", "flute", "oboe", "orchestra", "rehearsal", "violin"],
}
"""A handful of vocabularies, so that the words of a page say what it is about."""


def make_page(page_id: str, text: str, **changes: Any) -> Page:
    """A page of one word after another in a grid: a line of the text a line, 10 points high, a word 40 wide."""
    words, lines, boxes = [], [], []
    for line, content in enumerate(text.split("\n")):
        for place, word in enumerate(content.split()):
            words.append(word)
            lines.append(line)
            boxes.append((place * 40.0, 790.0 - line * 10, place * 40.0 + 38, 799.0 - line * 10))
    given = {
        "id": page_id,
        "document": page_id.rpartition("-")[0] or "doc",
        "number": 1,
        "width": 600.0,
        "height": 800.0,
        "words": tuple(words),
        "boxes": np.array(boxes, dtype=np.float32).reshape(-1, 4),
        "sizes": np.full(len(words), 9, dtype=np.float32),
        "lines": np.array(lines, dtype=np.int32),
    }
    return Page(**{**given, **changes})


def topic_text(topic: str, seed: int, lines: int = 8) -> str:
    """Some lines of words of one topic."""
    draw = np.random.default_rng(seed)
    return "\n".join(" ".join(draw.choice(TOPICS[topic], 8)) for _ in range(lines))
