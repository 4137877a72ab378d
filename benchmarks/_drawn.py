"""Small drawn pages, each with a query that only its pixels answer: a word in large type, bars, a table."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from PIL import Image, ImageDraw, ImageFont

WORDS = tuple(
    "ledger harbour turbine orchid glacier violin copper saddle tunnel beacon walnut magnet canvas pepper rocket "  # noqa: SIM905
    "bishop meadow kettle marble python summit velvet zephyr quartz".split()
)
COLOURS = {
    "red": (205, 40, 40),
    "green": (40, 150, 60),
    "blue": (40, 80, 200),
    "orange": (240, 140, 20),
    "purple": (130, 50, 160),
    "black": (20, 20, 20),
}
COUNTS = ("one", "two", "three", "four", "five")
TABLES = ("no table", "a small table", "a large table")
SIDE = 192


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a page shows."""

    word: str
    colour: str
    bars: str
    table: str

    @property
    def query(self) -> str:
        """What somebody would ask for it."""
        return f"{self.word} report with {self.bars} {self.colour} bars and {self.table}"


def vocabulary() -> list[str]:
    """Every word of a query."""
    return sorted({word for page in all_pages() for word in page.query.split()})


def all_pages() -> Iterator[Drawn]:
    """Every page there can be."""
    for word, colour, bars, table in product(WORDS, COLOURS, COUNTS, TABLES):
        yield Drawn(word, colour, bars, table)


def choose_pages(train: int, held_out: int, seed: int) -> tuple[list[Drawn], list[Drawn]]:
    """Different pages to train on and to judge on: no page of one is in the other."""
    pages = list(all_pages())
    random.Random(seed).shuffle(pages)
    return pages[:train], pages[train : train + held_out]


def draw(page: Drawn, seed: int) -> Image.Image:
    """The page, RGB, `SIDE` pixels square; places, heights, digits and paper vary with the seed."""
    rng = random.Random(f"{seed} {page}")
    paper = tuple(rng.randint(240, 255) for _ in range(3))
    image = Image.new("RGB", (SIDE, SIDE), paper)
    pen = ImageDraw.Draw(image)
    left = rng.randint(6, 20)
    pen.text((left, rng.randint(4, 12)), page.word.title(), fill=(0, 0, 0), font=ImageFont.load_default(30))
    _bars(pen, page, rng)
    _table(pen, page, rng)
    pen.text((left, SIDE - 14), f"page {rng.randint(1, 400)}", fill=(90, 90, 90), font=ImageFont.load_default(9))
    return image


def _bars(pen: ImageDraw.ImageDraw, page: Drawn, rng: random.Random) -> None:
    count = COUNTS.index(page.bars) + 1
    floor, left = rng.randint(108, 114), rng.randint(12, 24)
    pen.line((left - 4, floor, SIDE - 12, floor), fill=(0, 0, 0))
    for place in range(count):
        x = left + place * 32
        pen.rectangle((x, floor - rng.randint(20, 58), x + 18, floor - 1), fill=COLOURS[page.colour])


def _table(pen: ImageDraw.ImageDraw, page: Drawn, rng: random.Random) -> None:
    rows = {"no table": 0, "a small table": 2, "a large table": 4}[page.table]
    columns = rows and rng.randint(3, 4)
    top, left = rng.randint(120, 124), rng.randint(8, 30)
    for row, column in product(range(rows), range(columns)):
        x, y = left + 36 * column, top + 13 * row
        pen.rectangle((x, y, x + 36, y + 13), outline=(60, 60, 60))
        pen.text((x + 4, y + 1), f"{rng.uniform(0, 99):.1f}", fill=(60, 60, 60), font=ImageFont.load_default(9))
