"""Whether an invisible text layer over a picture says what the picture shows: some words are looked up there."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

import numpy as np

from pagetune.pages.ocr_lines import Read
from pagetune.pages.scripts import main_script, script_known
from pagetune.pages.words import Words

RUNS = 8
"""Runs of words that are looked up on a page, spread over it."""
LONGEST_RUN = 8.0
"""Heights of the line: where a scan is askew, the box around a longer run would hold parts of its neighbours too."""
LEAST_LETTERS = 4
SIMILAR = 0.7
"""Two readings of the same words by two engines agree in more characters than this, different words in fewer."""
ENOUGH = 0.6
"""The share of the runs that has to be found."""
SURELY = 0.9
"""A recogniser that reads a run as well as this has read it, whatever the layer says."""


class Run(NamedTuple):
    """Some words of one line of the layer, and the box around them in points."""

    text: str
    box: tuple[float, float, float, float]


def sample_runs(words: Words) -> list[Run]:
    """Runs of words to look up, each of one line: the longest of each of RUNS parts of the page's lines."""
    runs = [run for run in _runs(words) if len(_letters(run.text)) >= LEAST_LETTERS]
    parts = np.array_split(np.arange(len(runs)), min(RUNS, max(1, len(runs))))
    return [
        max((runs[place] for place in part), key=lambda run: len(_letters(run.text))) for part in parts if len(part)
    ]


def layer_agrees(runs: list[Run], reads: list[Read], scripts: frozenset[str]) -> bool:
    """Whether enough runs of the layer are what was read at their places.

    A run in a script that the recogniser does not know counts only where something else was read there for sure.
    """
    found = []
    for run, read in zip(runs, reads, strict=True):
        if script_known(main_script(run.text), scripts):
            found.append(_similar(run.text, read.text))
        elif read.quality >= SURELY and len(_letters(read.text)) >= LEAST_LETTERS:
            found.append(False)
    return not found or sum(found) >= ENOUGH * len(found)


def _runs(words: Words) -> Iterator[Run]:
    boxes = words.boxes
    start = 0
    for place in range(1, len(words.words) + 1):
        if place < len(words.words) and words.lines[place] == words.lines[start]:
            sides = boxes[start : place + 1, 2:].max(0) - boxes[start : place + 1, :2].min(0)
            if sides.max() <= LONGEST_RUN * max(float(sides.min()), 1.0):
                continue
        box = np.concatenate([boxes[start:place, :2].min(0), boxes[start:place, 2:].max(0)])
        yield Run(" ".join(words.words[start:place]), tuple(box.tolist()))
        start = place


def _letters(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _similar(one: str, other: str) -> bool:
    return SequenceMatcher(None, _letters(one), _letters(other), autojunk=False).ratio() >= SIMILAR
