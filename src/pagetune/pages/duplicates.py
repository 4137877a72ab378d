"""Which pages are the same as an earlier one: by their words, and by how they look."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetune.pages.formats import PICTURES
from pagetune.pages.pool import Request, WorkerPool
from pagetune.pages.store import picture_of
from pagetune.records import Page

LONG_SIDE = 96
"""Pixels: a picture of the page that tells a photograph from another, and not one rounding from another."""
_CHANGED = 48
"""Of 255: a pixel that differs by more shows something else."""
_MOST_CHANGED = 0.005
"""The share of such pixels up to which two pages look the same."""
_MOST_TWINS = 20
"""Pages of the same words that a page is compared with."""


class Place(NamedTuple):
    """Where a page is to be had from: a file, its format, and the page's number from 1."""

    path: Path
    format: str
    number: int


Look = Callable[[Place], NDArray[np.uint8] | None]
"""A page's picture in grey, LONG_SIDE pixels long; None where it cannot be had."""


class Duplicates:
    """The pages that have passed, by their content. Two pages of the same words are one only if they look alike."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._first: dict[str, list[tuple[str, Place]]] = defaultdict(list)
        self._pictures: dict[Place, NDArray[np.uint8] | None] = {}

    def mark(self, page: Page, place: Place) -> Page:
        """The page, with the first one of the same content named; an empty page has no twin."""
        if not page.digest or not page.words:
            return page
        before = self._first[page.digest]
        for original, other in before[:_MOST_TWINS]:
            if self._alike(place, other):
                return replace(page, duplicate_of=original)
        before.append((page.id, place))
        return page

    def _alike(self, one: Place, other: Place) -> bool:
        for place in (one, other):
            if place not in self._pictures:
                self._pictures[place] = self._look(place)
        first, second = self._pictures[one], self._pictures[other]
        if first is None or second is None:  # Their words are all that is known of them.
            return first is second
        if first.shape != second.shape:
            return False
        apart = np.abs(first.astype(np.int16) - second.astype(np.int16)) > _CHANGED
        return bool(apart.mean() <= _MOST_CHANGED)


def look_through(pool: WorkerPool) -> Look:
    """Pictures of pages, painted by the workers of a pool."""

    def look(place: Place) -> NDArray[np.uint8] | None:
        format = place.format if place.format in PICTURES else "pdf"
        body = {"op": "render", "path": str(place.path.absolute()), "format": format, "pages": [place.number - 1]}
        request = Request(body | {"long_side": LONG_SIDE, "max_pixels": None}, decode=picture_of)
        answers = [event.value for event in pool.events(deque([request])) if event.kind == "answer"]
        return np.asarray(answers[0].convert("L")) if answers else None

    return look
