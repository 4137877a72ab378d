"""Small drawn forms, each with a query that only its pixels answer: what colour its title, chart, table and foot have.

Every zone has colours of its own, so that a word of the query belongs to one place of the page.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product

from PIL import Image, ImageDraw

SIDE = 96
COLOURS = {
    "title": {"red": (230, 30, 30), "green": (30, 140, 30), "blue": (30, 30, 230), "gold": (235, 200, 30)},
    "chart": {"pink": (240, 140, 200), "teal": (30, 140, 140), "brown": (130, 70, 20), "lime": (140, 240, 30)},
    "table": {"purple": (140, 30, 140), "cyan": (30, 230, 235), "black": (20, 20, 20), "orange": (245, 130, 20)},
    "foot": {"grey": (135, 135, 135), "violet": (140, 110, 240), "maroon": (110, 20, 40), "mint": (140, 235, 160)},
}
PAPERS = {"white": (255, 255, 255), "sand": (240, 225, 180), "sky": (200, 225, 250), "rose": (250, 210, 215)}
WORDS = sorted({*COLOURS, *PAPERS, "paper", *(name for own in COLOURS.values() for name in own)})


@dataclass(frozen=True, slots=True)
class Form:
    """The colour of each zone, and of the paper."""

    title: str
    chart: str
    table: str
    foot: str
    paper: str

    @property
    def query(self) -> str:
        """What somebody would ask for it."""
        return f"{self.title} title {self.chart} chart {self.table} table {self.foot} foot {self.paper} paper"


def choose_forms(train: int, held_out: int, seed: int) -> tuple[list[Form], list[Form]]:
    """Different forms to train on and to judge on: none of one is in the other."""
    forms = [Form(*colours) for colours in product(*COLOURS.values(), PAPERS)]
    random.Random(seed).shuffle(forms)
    return forms[:train], forms[train : train + held_out]


def draw(form: Form, seed: int) -> Image.Image:
    """The page, RGB, `SIDE` pixels square; places, heights and shades vary with the seed."""
    rng = random.Random(f"{seed} {form}")
    image = Image.new("RGB", (SIDE, SIDE), _shade(PAPERS[form.paper], rng))
    pen = ImageDraw.Draw(image)
    left, top = rng.randint(3, 9), rng.randint(3, 7)
    title, foot = (_shade(COLOURS[zone][getattr(form, zone)], rng) for zone in ("title", "foot"))
    pen.rectangle((left, top, SIDE - rng.randint(4, 20), top + rng.randint(16, 22)), fill=title)
    _chart(pen, form, rng)
    _table(pen, form, rng)
    floor = rng.randint(70, 74)
    pen.rectangle((rng.randint(3, 12), floor, SIDE - rng.randint(3, 12), floor + rng.randint(14, 19)), fill=foot)
    return image


def _chart(pen: ImageDraw.ImageDraw, form: Form, rng: random.Random) -> None:
    floor, fill = rng.randint(62, 65), _shade(COLOURS["chart"][form.chart], rng)
    for place in range(3):
        x = 5 + 14 * place
        pen.rectangle((x, floor - rng.randint(18, 30), x + 12, floor), fill=fill)


def _table(pen: ImageDraw.ImageDraw, form: Form, rng: random.Random) -> None:
    left, top, fill = rng.randint(51, 55), rng.randint(33, 36), _shade(COLOURS["table"][form.table], rng)
    for row, column in product(range(3), range(2)):
        x, y = left + 20 * column, top + 10 * row
        pen.rectangle((x, y, x + rng.randint(15, 18), y + 8), fill=fill)


def _shade(colour: tuple[int, ...], rng: random.Random) -> tuple[int, ...]:
    return tuple(min(255, max(0, part + rng.randint(-10, 10))) for part in colour)
