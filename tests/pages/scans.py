"""Scans that the tests draw themselves: pages of print as pictures, and PDFs with somebody's OCR hidden over them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

FONT = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
SIZE = (595, 420)
STEP, TYPE = 28, 13

ENGLISH = (
    "To reverse a transaction choose the record",
    "in the journal first, then press the button",
    "and confirm with your password. Fees are",
    "not refunded unless the error was ours.",
)
GERMAN = (
    "Um eine Buchung rückgängig zu machen, wählen",
    "Sie zuerst den Datensatz, drücken Sie danach",
    "die große Schaltfläche. Größere Beträge",
    "benötigen zusätzliche Prüfungen im Büro.",
)
RUSSIAN = (
    "Чтобы отменить операцию, сначала выберите",
    "запись в журнале, затем нажмите кнопку и",
    "подтвердите пароль. Годовой отчёт общества",
    "содержит сведения о финансовых вопросах.",
)


def words_of(lines: Sequence[str]) -> list[str]:
    return " ".join(lines).split()


def draw(lines: Sequence[str], scale: float = 2.0) -> Image.Image:
    """A page of SIZE points, `scale` pixels a point, printed from its top left."""
    image = Image.new("RGB", tuple(int(side * scale) for side in SIZE), (250, 250, 250))
    pen, font = ImageDraw.Draw(image), ImageFont.truetype(str(FONT), TYPE * scale)
    for number, line in enumerate(lines):
        pen.text((48 * scale, (48 + STEP * number) * scale), line, (15, 15, 15), font)
    return image


def sandwich(path: Path, pages: Sequence[tuple[Sequence[str], Sequence[str]]], shift: float = 0.0) -> Path:
    """A PDF of scans: for each page the printed lines, and the lines of the invisible layer, `shift` points lower."""
    pdfmetrics.registerFont(TTFont("Printed", str(FONT)))
    canvas = Canvas(str(path), pagesize=SIZE)
    for printed, hidden in pages:
        buffer = BytesIO()
        draw(printed).save(buffer, "PNG")
        canvas.drawImage(ImageReader(buffer), 0, 0, *SIZE)
        text = canvas.beginText()
        text.setTextRenderMode(3)
        text.setFont("Printed", TYPE)
        for number, line in enumerate(hidden):
            text.setTextOrigin(48, SIZE[1] - 48 - TYPE - STEP * number - shift)
            text.textOut(line)
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return path
