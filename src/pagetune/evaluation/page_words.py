"""A page's words as arrays, and as rows of cells: what tells a table's words from running text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetune.records import Page, Rect

_NUMBER = re.compile(r"[(\[+\-–−$€£<>≤≥±~]*\d[\d.,:/×eE+\-–−%°)\]]*[a-zA-Z%*†]{0,2}")
_PLAIN = re.compile(r"[-–−+]?(?:\d+|\d*[.,]\d+)(?:[eE][-–−+]?\d+)?")
_WIDE = 0.75
"""Of a word's height: what parts two cells; a justified line's spaces are narrower."""


class Cell(NamedTuple):
    """Words of a row that stand together: its sides, how many words, how many of them numbers."""

    left: float
    right: float
    words: int
    numbers: int


class Row(NamedTuple):
    """A printed row of a page over its whole width."""

    cells: list[Cell]
    bottom: float
    top: float


@dataclass(frozen=True, slots=True)
class Words:
    """Boxes, middles, which are numbers in the wide sense ("3.5%", "(12)"), and the values of plain ones, else nan."""

    boxes: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    numbers: NDArray[np.bool_]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, page: Page) -> Words:
        boxes = page.boxes.reshape(-1, 4)
        numbers = np.array([bool(_NUMBER.fullmatch(word)) for word in page.words], bool)
        values = np.array([_value(word) for word in page.words], np.float64)
        middles = np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2, np.float32)
        return cls(boxes, middles[:, 0], middles[:, 1], numbers, values)

    def within(self, box: Rect, margin: float = 0.0) -> NDArray[np.intp]:
        """The places of the words whose middle is in the box."""
        left, bottom, right, top = box
        inside = (self.x >= left - margin) & (self.x <= right + margin)
        return np.flatnonzero(inside & (self.y >= bottom - margin) & (self.y <= top + margin))

    def filling(self, box: Rect) -> float:
        """How much of the box its words fill."""
        own = self.boxes[self.within(box)]
        filled = float(((own[:, 2] - own[:, 0]) * (own[:, 3] - own[:, 1])).sum())
        return filled / max(1.0, (box[2] - box[0]) * (box[3] - box[1]))

    def rows(self, chosen: NDArray[np.intp] | None = None) -> Iterator[Row]:
        """The words, or those chosen, a row at a time, the top one first."""
        places = np.arange(len(self.y)) if chosen is None else chosen
        row: list[int] = []
        for place in places[np.argsort(-self.y[places], kind="stable")].tolist():
            height = self.boxes[place, 3] - self.boxes[place, 1]
            if row and self.y[row[0]] - self.y[place] > 0.4 * height:
                yield self._row(row)
                row = []
            row.append(place)
        if row:
            yield self._row(row)

    def _row(self, places: list[int]) -> Row:
        cells: list[Cell] = []
        for place in sorted(places, key=lambda one: float(self.boxes[one, 0])):
            left, bottom, right, top = (float(side) for side in self.boxes[place])
            number = int(self.numbers[place])
            if cells and left - cells[-1].right < _WIDE * (top - bottom):
                last = cells[-1]
                cells[-1] = Cell(last.left, max(last.right, right), last.words + 1, last.numbers + number)
            else:
                cells.append(Cell(left, right, 1, number))
        return Row(cells, float(self.boxes[places, 1].min()), float(self.boxes[places, 3].max()))


def in_cells(words: Words, box: Rect) -> bool:
    """Whether a box holds three rows or more, most of them of two cells or more."""
    rows = list(words.rows(words.within(box)))
    several = sum(len(row.cells) >= 2 for row in rows)
    return several >= 3 and several >= 0.4 * len(rows)


def columns_of_numbers(words: Words) -> Iterator[Rect]:
    """Four or more rows, one below the other, of three or more short cells in columns, numbers in a third of them."""
    run: list[Row] = []
    for row in words.rows():
        if run and not _goes_on(run[-1], row):
            yield from _table(run)
            run = []
        if len(row.cells) >= 3:
            run.append(row)
    yield from _table(run)


def _goes_on(above: Row, row: Row) -> bool:
    """Whether the row is near, and most cells of the shorter row begin or end where one of the other does."""
    if above.bottom - row.top > 1.5 * (row.top - row.bottom):
        return False
    few, many = sorted((above.cells, row.cells), key=len)
    met = sum(any(abs(a.left - b.left) <= 3 or abs(a.right - b.right) <= 3 for b in many) for a in few)
    return len(few) >= 3 and met >= 0.6 * len(few)


def _table(run: list[Row]) -> Iterator[Rect]:
    cells = [cell for row in run for cell in row.cells]
    if len(run) < 4 or sum(cell.words for cell in cells) > 3 * len(cells):
        return
    if sum(cell.numbers > 0 for cell in cells) * 3 >= len(cells):
        left, right = min(cell.left for cell in cells), max(cell.right for cell in cells)
        yield left, run[-1].bottom, right, run[0].top


def _value(word: str) -> float:
    if not _PLAIN.fullmatch(word):
        return float("nan")
    return float(word.replace(",", ".").replace("−", "-").replace("–", "-"))
