"""Type, measures and inline markup of the demo's books."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import B5
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase.pdfmetrics import registerFont, registerFontFamily, stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph, Table, TableStyle

PAGE: tuple[float, float] = B5
TEXT_WIDTH = 388.0
INDENT = 14.0
INK = colors.HexColor("#1b2733")
ACCENT = colors.HexColor("#1f5a8a")

_CODE_SIZE = 7.4
_FIGURE = re.compile(r"[+-]?[\d.,]+%?")
_LITERAL = re.compile(r'(?<![\w"])"(?=\S)(.+?)(?<=\S)"(?![\w"])')


def _register_fonts() -> None:
    # matplotlib brings these along: a whole Unicode range, embedded, the same on every machine.
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = {
        "Demo-Serif": "STIXGeneral.ttf",
        "Demo-Serif-Bold": "STIXGeneralBol.ttf",
        "Demo-Serif-Italic": "STIXGeneralItalic.ttf",
        "Demo-Serif-BoldItalic": "STIXGeneralBolIta.ttf",
        "Demo-Sans": "DejaVuSans.ttf",
        "Demo-Sans-Bold": "DejaVuSans-Bold.ttf",
        "Demo-Mono": "DejaVuSansMono.ttf",
        "Demo-Mono-Bold": "DejaVuSansMono-Bold.ttf",
    }
    for name, file in faces.items():
        registerFont(TTFont(name, str(folder / file)))
    serif = "Demo-Serif"
    registerFontFamily(serif, serif, f"{serif}-Bold", f"{serif}-Italic", f"{serif}-BoldItalic")
    for plain in ("Demo-Sans", "Demo-Mono"):
        registerFontFamily(plain, plain, f"{plain}-Bold", plain, f"{plain}-Bold")


def _style(name: str, font: str, size: float, leading: float, **more: Any) -> ParagraphStyle:
    return ParagraphStyle(
        name, fontName=font, fontSize=size, leading=leading, textColor=more.pop("textColor", INK), **more
    )


def _make_styles() -> dict[str, ParagraphStyle]:
    styles = {
        "title": _style("title", "Demo-Sans-Bold", 25, 31, textColor=ACCENT, spaceAfter=12),
        "subtitle": _style("subtitle", "Demo-Serif-Italic", 14, 19),
        "source": _style("source", "Demo-Sans", 8, 12, textColor=colors.HexColor("#555555")),
        "contents 0": _style("contents 0", "Demo-Serif-Bold", 10.5, 15, spaceBefore=4),
        "contents 1": _style("contents 1", "Demo-Serif", 10, 13.2, leftIndent=14),
        "caption": _style("caption", "Demo-Sans", 7.8, 10.5, spaceBefore=3, spaceAfter=10),
        "table caption": _style("table caption", "Demo-Sans", 7.8, 10.5, spaceBefore=6, spaceAfter=4, keepWithNext=1),
        "cell": _style("cell", "Demo-Serif", 9, 11),
        "figure cell": _style("figure cell", "Demo-Serif", 9, 11, alignment=TA_RIGHT),
        "head cell": _style("head cell", "Demo-Serif-Bold", 9, 11),
        "figure head": _style("figure head", "Demo-Serif-Bold", 9, 11, alignment=TA_RIGHT),
        "index": _style("index", "Demo-Serif", 9, 11.2, leftIndent=10, firstLineIndent=-10),
    }
    for depth in range(5):
        left = INDENT * depth
        styles[f"text {depth}"] = _style(f"text {depth}", "Demo-Serif", 10.4, 13.4, leftIndent=left, spaceAfter=5.5)
        styles[f"rubric {depth}"] = _style(
            f"rubric {depth}",
            "Demo-Serif-Bold",
            10.4,
            13.4,
            leftIndent=left,
            spaceBefore=6,
            spaceAfter=4,
            keepWithNext=1,
        )
        styles[f"term {depth}"] = _style(
            f"term {depth}", "Demo-Mono-Bold", 7.9, 11, leftIndent=left + 10, firstLineIndent=-10,
            spaceBefore=5, spaceAfter=3, keepWithNext=1,
        )  # fmt: skip
        styles[f"item {depth}"] = _style(
            f"item {depth}", "Demo-Serif", 10.4, 13.4, leftIndent=left + 17, bulletIndent=left + 2,
            bulletFontName="Demo-Serif", bulletFontSize=10.4, spaceAfter=4,
        )  # fmt: skip
        styles[f"code {depth}"] = _style(
            f"code {depth}", "Demo-Mono", _CODE_SIZE, 9.8, leftIndent=left + 8, rightIndent=4, spaceBefore=4,
            spaceAfter=10, backColor=colors.HexColor("#f2f4f6"), borderPadding=(3, 4, 4, 4),
            textColor=colors.HexColor("#20303c"),
        )  # fmt: skip
    return styles


_register_fonts()
STYLES = _make_styles()
HEADINGS = [
    _style("heading 0", "Demo-Sans-Bold", 16, 20, spaceBefore=14, spaceAfter=9, keepWithNext=1, textColor=ACCENT),
    _style("heading 1", "Demo-Sans-Bold", 12.2, 16, spaceBefore=11, spaceAfter=6, keepWithNext=1),
    _style("heading 2", "Demo-Sans-Bold", 10.2, 13.5, spaceBefore=8, spaceAfter=5, keepWithNext=1),
    _style("heading 3", "Demo-Sans", 9.6, 13, spaceBefore=6, spaceAfter=4, keepWithNext=1),
]


def markup(text: str, *, literals: bool = True) -> str:
    """Reportlab's inline markup of a text: "literals" in typewriter type, *emphasis* and **strong** words."""
    if not literals:
        return escape(text)
    pieces: list[str] = []
    for position, piece in enumerate(_LITERAL.split(text)):
        if position % 2:
            pieces.append(f'<font face="Demo-Mono" size="8.4">{escape(piece)}</font>')
        else:
            plain = re.sub(r"\*\*(\S(?:[^*]*\S)?)\*\*", r"<b>\1</b>", escape(piece))
            pieces.append(re.sub(r"(?<![\w*])\*(\w(?:[^*]*\w)?)\*(?![*])", r"<i>\1</i>", plain))
    return "".join(pieces)


def code_lines(text: str, indent: float) -> str:
    """Lines of code no wider than the page, at `indent` points: longer ones are broken, and go on further in."""
    room = int((TEXT_WIDTH - indent - 12) / stringWidth("0", "Demo-Mono", _CODE_SIZE))
    lines: list[str] = []
    for line in text.split("\n"):
        margin = " " * min(len(line) - len(line.lstrip()) + 6, room // 2)
        lines.extend(
            textwrap.wrap(
                line, room, subsequent_indent=margin, drop_whitespace=True, replace_whitespace=False,
                break_on_hyphens=False,
            )
            or [""]
        )  # fmt: skip
    return "\n".join(lines)


def ruled_table(rows: tuple[tuple[str, ...], ...]) -> Table:
    """A table with rules above, below and under its head; columns as wide as their words need, figures to the right."""
    figures = [all(_FIGURE.fullmatch(cell) for cell in column[1:]) for column in zip(*rows, strict=True)]
    cells = [
        [_cell(text, head=not number, figure=figures[column]) for column, text in enumerate(row)]
        for number, row in enumerate(rows)
    ]
    style = TableStyle(
        [
            ("LINEABOVE", (0, 0), (-1, 0), 0.9, INK),
            ("LINEBELOW", (0, 0), (-1, 0), 0.5, INK),
            ("LINEBELOW", (0, -1), (-1, -1), 0.9, INK),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
            ("LEFTPADDING", (0, 0), (-1, -1), 3),
            ("RIGHTPADDING", (0, 0), (-1, -1), 3),
        ]
    )
    return Table(cells, colWidths=_widths(rows), style=style, repeatRows=1, hAlign="LEFT")


def _cell(text: str, *, head: bool, figure: bool) -> Paragraph:
    style = ("figure head" if head else "figure cell") if figure else ("head cell" if head else "cell")
    return Paragraph(markup(text), STYLES[style])


def _widths(rows: tuple[tuple[str, ...], ...]) -> list[float]:
    columns = list(zip(*rows, strict=True))
    whole = [max(stringWidth(cell, "Demo-Serif-Bold", 9) * 1.08 for cell in column) + 9 for column in columns]
    if sum(whole) <= TEXT_WIDTH:
        return whole
    words = [
        max(max((stringWidth(word, "Demo-Mono", 8.4) for word in cell.split()), default=0.0) for cell in column) + 9
        for column in columns
    ]
    least = [min(word, full) for word, full in zip(words, whole, strict=True)]
    spare = max(TEXT_WIDTH - sum(least), 0.0)
    wish = [full - low for full, low in zip(whole, least, strict=True)]
    return [low + spare * want / (sum(wish) or 1.0) for low, want in zip(least, wish, strict=True)]


__all__ = ["HEADINGS", "INDENT", "PAGE", "STYLES", "TEXT_WIDTH", "code_lines", "markup", "ruled_table"]
