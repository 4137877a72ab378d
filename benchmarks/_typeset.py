"""Documents for the reading benchmarks: typeset on the spot, varied, the same on every machine."""

from __future__ import annotations

import io
import random
from pathlib import Path

from PIL import Image, ImageDraw
from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.shapes import Drawing
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, LETTER, landscape
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle
from reportlab.platypus import Image as Picture

_SYLLABLES = tuple(
    "ta ne ri mo la ke su di vo pa er in on al ist ent ack ush ore ment tion ber gol mar sen".split(" ")  # noqa: SIM905
)


def typeset(path: Path, pages: int, seed: int, *, encrypt: str | None = None) -> Path:
    """Write a PDF of `pages` pages (text in two type sizes, tables, charts, photographs) and an outline."""
    rng = random.Random(seed)
    size = [A4, LETTER, landscape(A4)][seed % 3]
    document = SimpleDocTemplate(
        str(path), pagesize=size, title=f"Typeset {seed}", author="Pagetune", invariant=1, encrypt=encrypt
    )
    styles = getSampleStyleSheet()
    story: list[Flowable] = []
    for number in range(pages):
        heading = f"{number + 1} {prose(rng, 4).title()}"
        story.append(_Bookmark(heading))
        story.append(Paragraph(heading, styles["Heading1"]))
        room = size[1] - 260
        kind = (number + seed) % 5
        if kind == 1:
            story.append(_table(rng))
            room -= 230
        elif kind == 2:
            story.append(_chart(rng))
            room -= 230
        elif kind == 3:
            story.append(Picture(photograph(rng), width=300, height=200))
            room -= 230
        while room > 60:
            lines = rng.randint(3, 6)
            story.append(Paragraph(prose(rng, lines * (13 if size[0] < 700 else 20)), styles["BodyText"]))
            room -= lines * 13 + 8
        story.append(Spacer(1, 4))
        story.append(PageBreak())
    document.build(story[:-1])
    return path


def prose(rng: random.Random, words: int) -> str:
    """So many made-up words, in sentences."""
    made = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4))) for _ in range(words)]
    for position in range(9, words, 11):
        made[position] += "."
    return " ".join(made)


def photograph(rng: random.Random, size: tuple[int, int] = (900, 600)) -> io.BytesIO:
    """A noisy coloured picture as JPEG."""
    image = Image.effect_noise(size, 60).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, r = rng.randint(0, size[0]), rng.randint(0, size[1]), rng.randint(20, 160)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(rng.choices(range(256), k=3)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    buffer.seek(0)
    return buffer


class _Bookmark(Flowable):  # type: ignore[misc]
    def __init__(self, title: str) -> None:
        super().__init__()
        self.title, self.width, self.height = title, 0, 0

    def draw(self) -> None:
        self.canv.bookmarkPage(self.title)
        self.canv.addOutlineEntry(self.title, self.title, 0)


def _table(rng: random.Random) -> Table:
    rows = [[f"{rng.uniform(0, 1000):.2f}" for _ in range(6)] for _ in range(11)]
    table = Table([[prose(rng, 1) for _ in range(6)], *rows])
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.grey)]))
    return table


def _chart(rng: random.Random) -> Drawing:
    drawing, chart = Drawing(400, 210), VerticalBarChart()
    chart.x, chart.y, chart.width, chart.height = 40, 30, 340, 160
    chart.data = [[rng.uniform(1, 100) for _ in range(12)] for _ in range(3)]
    drawing.add(chart)
    return drawing
