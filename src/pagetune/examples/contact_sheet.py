"""A picture of a few examples: each query over its page and the pages that do not answer it."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pagetune.errors import DataError
from pagetune.examples.visual import ImageEvalSet, ImageTrainSet
from pagetune.workspace import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

_CELL = (230, 300)
_GAP = 16
_TEXT, _SMALL = 15, 11
_LINES = 2
_MOST = 5
"""Pictures in a row."""

_GREEN, _RED, _GREY = "#2e7d32", "#c62828", "#616161"


@dataclass(frozen=True)
class SheetRow:
    """One example: a line of text over pictures, each with a caption and whether it answers."""

    text: str
    pictures: Sequence[tuple[str, bool, Image]]


def sheet_rows(train: ImageTrainSet | None, evaluation: ImageEvalSet | None, count: int) -> list[SheetRow]:
    """`count` examples of each set, evenly spread. Raises DataError for a damaged picture."""
    found = []
    if train is not None:
        for row in _spread(len(train), count):
            pictures = [(column, column == "image", train.image(row, column)) for column in train.columns[:_MOST]]
            label = f" · label {train.dataset[row]['label']}" if train.has_label else ""
            found.append(SheetRow(f"train {row}{label}: {train.dataset[row]['query']}", pictures))
    if evaluation is not None:
        names = [*evaluation.queries]
        for place in _spread(len(names), count):
            grades = evaluation.qrels[names[place]]
            pictures = [
                (f"{page} · {grade}", True, evaluation.image(page)) for page, grade in [*grades.items()][:_MOST]
            ]
            found.append(SheetRow(f"eval {names[place]}: {evaluation.queries[names[place]]}", pictures))
    return found


def write_sheet(rows: Sequence[SheetRow], path: Path) -> None:
    """Draw the rows below one another, and write them as a PNG. Raises DataError if there is nothing to draw."""
    from PIL import Image, ImageDraw, ImageOps

    if not rows:
        raise DataError("there is no example to draw; give dataset.train or dataset.eval rows")
    font, small_font = _font(_TEXT), _font(_SMALL)
    wide = max(2, *(len(row.pictures) for row in rows))
    width = _GAP + wide * (_CELL[0] + _GAP)
    head = _LINES * (_TEXT + 4) + 8
    tall = head + _CELL[1] + _SMALL + 10 + 2 * _GAP
    sheet = Image.new("RGB", (width, _GAP + len(rows) * tall), "white")
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = _GAP + number * tall
        for line, text in enumerate(_wrapped(row.text, width, font)):
            draw.text((_GAP, top + line * (_TEXT + 4)), text, fill="black", font=font)
        for place, (caption, answers, picture) in enumerate(row.pictures):
            left, above = _GAP + place * (_CELL[0] + _GAP), top + head
            small = ImageOps.contain(picture, (_CELL[0] - 6, _CELL[1] - 6))
            corner = (left + 3, above + 3)
            sheet.paste(small, corner)
            frame = (left, above, left + small.width + 5, above + small.height + 5)
            draw.rectangle(frame, outline=_GREEN if answers else _RED, width=3)
            said = _cut(f"{caption} · {picture.width}×{picture.height}", _CELL[0], small_font)
            draw.text((left, frame[3] + 5), said, fill=_GREY, font=small_font)
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    write_atomically(path, stream.getvalue())


def _spread(length: int, count: int) -> list[int]:
    """`count` places from the first to the last of `length`."""
    if count <= 1 or length <= 1:
        return [*range(min(count, length))]
    return sorted({round(place * (length - 1) / (count - 1)) for place in range(count)})


def _wrapped(text: str, width: int, font: FreeTypeFont) -> list[str]:
    plain = " ".join(text.split())
    letters = max(20, int(width / max(1.0, font.getlength(plain) / max(1, len(plain)))) - 4)
    return textwrap.wrap(plain, letters, max_lines=_LINES, placeholder=" …")


def _cut(text: str, width: int, font: FreeTypeFont) -> str:
    while text and font.getlength(text) > width:
        text = text[:-2] + "…" if len(text) > 2 else ""
    return text


def _font(size: int) -> FreeTypeFont:
    """The one that matplotlib brings: it knows more scripts than Pillow's own, though not Chinese or Japanese."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
