"""Small manuals set line by line, for the tests of queries, splits and negatives."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from pagetune.layout.words import cut
from pagetune.records import Document, OutlineEntry, Page, PageKind

Row = tuple[str, float, float, float]
"""Text, left edge, baseline, size."""

TOPICS = ["valve", "boiler", "turbine", "gasket", "piston", "flange", "bearing", "rotor", "nozzle", "manifold"]
_PATTERNS = [
    "The {a} must be inspected before the {b} is opened by the operator.",
    "A worn {a} lets steam escape from the {b} and reduces the pressure slowly.",
    "When the {c} alarm sounds, close the {a} and wait until the {b} has cooled down.",
    "Every {b} is delivered with a spare {a} that fits into the {c} housing.",
    "Lubricate the {a} with graphite grease whenever the {c} has been replaced.",
    "The supplier recommends a torque wrench for tightening the {a} against the {b}.",
    "Never hammer on the {c}, because cracks in the {a} are hard to see afterwards.",
]


def page_of(
    rows: Sequence[Row], number: int = 1, document: str = "manual", kind: PageKind = "body", height: float = 800
) -> Page:
    """A page of 600 points' width; a letter is as wide as half its size, a Chinese one as its size, a mark takes none.

    Words of scripts without spaces stand together, as the reader cuts them.
    """
    words: list[str] = []
    boxes, sizes, lines = [], [], []
    for line, (text, x, y, size) in enumerate(rows):
        for token in text.split():
            for start, stop in cut(token):
                wide = size * sum(map(_breadth, token[start:stop]))
                words.append(token[start:stop])
                boxes.append((x, y - 0.2 * size, x + wide, y + 0.7 * size))
                sizes.append(size)
                lines.append(line)
                x += wide
            x += 0.25 * size
    return Page(
        id=f"{document}-{number:04d}",
        document=document,
        number=number,
        width=600,
        height=height,
        words=tuple(words),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        sizes=np.array(sizes, np.float32),
        lines=np.array(lines, np.int32),
        kind=kind,
    )


def _breadth(character: str) -> float:
    if unicodedata.category(character) == "Mn":
        return 0.0
    return 1.0 if unicodedata.east_asian_width(character) in "WF" else 0.5


def prose(seed: int, lines: int = 14, top: float = 640) -> list[Row]:
    """Sentences about machines, wrapped at 80 letters, no two seeds alike."""
    random = np.random.default_rng(seed)
    text: list[str] = []
    while sum(map(len, text)) < 80 * lines:
        a, b, c = (f"{TOPICS[i]}{'' if random.random() < 0.5 else ' assembly'}" for i in random.permutation(10)[:3])
        text.append(str(random.choice(_PATTERNS)).format(a=a, b=b, c=c) + f" Check number {seed} applies.")
    wrapped: list[str] = [""]
    for word in " ".join(text).split():
        if len(wrapped[-1]) + len(word) > 80:
            wrapped.append("")
        wrapped[-1] = f"{wrapped[-1]} {word}".strip()
    return [(row, 72, top - 13 * place, 10) for place, row in enumerate(wrapped[:lines])]


def manual(name: str = "manual", pages: int = 12, seed: int = 0, **extra: list[Row]) -> tuple[Document, list[Page]]:
    """A manual: a running head and a folio, a section every second page, a figure on every third.

    `extra` rows are added to pages, by "p3" for page 3.
    """
    outline, made = [], []
    for number in range(1, pages + 1):
        rows: list[Row] = [(f"Handbook of {name} machines", 72, 770, 8)]
        if number % 2:
            subject = f"{TOPICS[number % 10]} {TOPICS[(number // 2 + seed) % 10]}"
            title = f"Replacing the {subject} of {name} number {number}"
            rows.append((f"{(number + 1) // 2}.1 {title}", 72, 690, 14))
            outline.append(OutlineEntry(0, f"{(number + 1) // 2}.1 {title}", number, 705.0))
        rows += prose(1000 * seed + number)
        if number % 3 == 0:
            rows.append((f"Figure {number}: Cross section of {name} part {TOPICS[number % 10]}", 72, 400, 10))
        rows += extra.get(f"p{number}", [])
        rows.append((str(number + 4), 300, 40, 8))
        made.append(page_of(rows, number, name))
    return Document(name, f"{name}.pdf", name, "pdf", pages, outline=tuple(outline)), made


def library(count: int = 6, pages: int = 12) -> tuple[list[Document], list[Page]]:
    """Several manuals and all their pages."""
    both = [
        manual(name, pages, seed)
        for seed, name in enumerate(["alpha", "beta", "gamma", "delta", "epsilon", "zeta"][:count])
    ]
    return [document for document, _ in both], [page for _, own in both for page in own]
