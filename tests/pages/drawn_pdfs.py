"""PDFs drawn by their own content streams, as a test needs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pikepdf
from pikepdf import Array, Dictionary, Name, String

from pagetune.layout.words import join
from pagetune.pages.pdf import PageText, PdfFile

PROSE = (
    "The pump draws water from the lower basin only while the valve is open.",
    "Close the valve before the filter is taken out of its housing.",
    "A new filter lasts about nine hundred hours in ordinary water.",
    "Write the date of every change on the label inside the door.",
)


def font(pdf: pikepdf.Pdf, base: str = "Helvetica", **more: Any) -> Any:
    """One of the fonts that every reader has."""
    given = {"Type": Name.Font, "Subtype": Name.Type1, "BaseFont": Name(f"/{base}"), "Encoding": Name.WinAnsiEncoding}
    return pdf.make_indirect(Dictionary(**(given | more)))


def line(x: float, y: float, text: str, *, size: float = 12, matrix: str = "", name: str = "F1") -> str:
    """A line of text at a point, or at a matrix."""
    safe = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"BT /{name} {size:g} Tf {matrix or f'1 0 0 1 {x:g} {y:g}'} Tm ({safe}) Tj ET\n"


def prose(top: float = 780, left: float = 60) -> str:
    """Four lines of it."""
    return "".join(line(left, top - 20 * number, text) for number, text in enumerate(PROSE))


def add_page(pdf: pikepdf.Pdf, content: str, size: tuple[float, float] = (595, 842), **more: Any) -> Any:
    """A page of this content, in Helvetica unless `Fonts` says otherwise; other keywords are keys of the page."""
    page = pdf.add_blank_page(page_size=size)
    page.Resources = Dictionary(Font=Dictionary(more.pop("Fonts", None) or {"/F1": font(pdf)}))
    page.Contents = pdf.make_stream(content.encode("latin-1"))
    for key, value in more.items():
        page[f"/{key}"] = value
    return page


def form(pdf: pikepdf.Pdf, content: str, box: tuple[float, float, float, float], **more: Any) -> Any:
    """A form, which a page's content draws by its name."""
    made = pdf.make_stream(content.encode("latin-1"))
    made.Type, made.Subtype, made.BBox = Name.XObject, Name.Form, Array(box)
    made.Resources = Dictionary(Font=Dictionary(F1=font(pdf)))
    for key, value in more.items():
        made[f"/{key}"] = value
    return made


def picture(pdf: pikepdf.Pdf) -> Any:
    """An image of four red points."""
    made = pdf.make_stream(bytes([200, 30, 30] * 4))
    made.Type, made.Subtype, made.Width, made.Height = Name.XObject, Name.Image, 2, 2
    made.ColorSpace, made.BitsPerComponent = Name.DeviceRGB, 8
    return made


def layers(pdf: pikepdf.Pdf, *, on: str, off: str) -> tuple[Any, Any]:
    """Two optional layers of a document, one shown and one not."""
    shown, hidden = (pdf.make_indirect(Dictionary(Type=Name.OCG, Name=String(name))) for name in (on, off))
    state = Dictionary(Order=Array([shown, hidden]), ON=Array([shown]), OFF=Array([hidden]))
    pdf.Root.OCProperties = Dictionary(OCGs=Array([shown, hidden]), D=state)
    return shown, hidden


def read(path: Path, draw: Callable[[pikepdf.Pdf], object]) -> list[PageText]:
    """What is read of each page of a PDF that `draw` draws."""
    pdf = pikepdf.new()
    draw(pdf)
    pdf.save(path)
    file = PdfFile(path)
    found = []
    for index in range(file.pages):
        with file.page(index) as page:
            found.append(page.text())
    file.close()
    return found


def lines_of(text: PageText) -> list[str]:
    """The words of each line."""
    rows: dict[int, list[str]] = {}
    for word, number in zip(text.words.words, text.words.lines.tolist(), strict=True):
        rows.setdefault(number, []).append(word)
    return [join(words) for words in rows.values()]
