"""A book: its parts as blocks, and how they are set (reportlab): outline, contents, captions, running heads, index."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from reportlab import rl_config
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    Image,
    KeepTogether,
    NextPageTemplate,
    PageBreak,
    PageTemplate,
    Paragraph,
    Preformatted,
    Spacer,
)
from reportlab.platypus.tableofcontents import TableOfContents

from pagetune.demo.plaintext import Block
from pagetune.demo.styles import HEADINGS, INDENT, PAGE, STYLES, TEXT_WIDTH, code_lines, markup, ruled_table

Picture = tuple[bytes, float, float]
"""A PNG and the width and height to print it at, in points."""


@dataclass(frozen=True)
class Figure:
    """A chart with its caption."""

    picture: Picture
    caption: str


@dataclass(frozen=True)
class DataTable:
    """A table of figures with its caption; the first row is the head."""

    rows: tuple[tuple[str, ...], ...]
    caption: str


Part = Block | Figure | DataTable


@dataclass(frozen=True)
class BookPlan:
    """What a book holds. `parts` makes its parts when they are wanted; `scanned` counts pages from 1."""

    name: str
    title: str
    subtitle: str
    source: str
    parts: Callable[[], Sequence[Part]]
    index: bool = False
    scanned: tuple[int, ...] = ()


def set_book(plan: BookPlan, parts: Sequence[Part], pictures: Mapping[int, bytes] | None = None) -> bytes:
    """The book as PDF; a page number in `pictures` is printed as that JPEG in place of its text."""
    buffer = io.BytesIO()
    setter = _Setter(buffer, plan)
    with _binary_streams():
        setter.multiBuild(list(_story(plan, parts, setter)), canvasmaker=_canvas_with(pictures or {}))
    return buffer.getvalue()


@contextmanager
def _binary_streams() -> Iterator[None]:
    # Reportlab would write pictures as printable text: a quarter larger, and seconds of work without its accelerator.
    kept = rl_config.useA85
    rl_config.useA85 = 0
    try:
        yield
    finally:
        rl_config.useA85 = kept


def _canvas_with(pictures: Mapping[int, bytes]) -> type[Canvas]:
    class PictureCanvas(Canvas):  # type: ignore[misc]  # reportlab has no types
        """Prints the page as it was set, or a picture in its place; destinations of the outline stay."""

        def showPage(self) -> None:
            picture = pictures.get(self.getPageNumber())
            if picture is not None:
                from reportlab.lib.utils import ImageReader

                del self._code[:]
                self.drawImage(ImageReader(io.BytesIO(picture)), 0, 0, *PAGE)
            super().showPage()

    return PictureCanvas


class _Setter(BaseDocTemplate):  # type: ignore[misc]  # reportlab has no types
    """Numbers headings' destinations, feeds contents, outline and index, and draws running heads and folios."""

    def __init__(self, target: io.BytesIO, plan: BookPlan) -> None:
        super().__init__(
            target,
            pagesize=PAGE,
            title=plan.title,
            author="Pagetune demo",
            subject=plan.subtitle,
            invariant=1,
            lang="en",
        )
        self.plan = plan
        self.back_index = _BackIndex()
        left, bottom = (PAGE[0] - TEXT_WIDTH) / 2, 17 * mm
        height = PAGE[1] - bottom - 20 * mm
        bare = {"leftPadding": 0, "rightPadding": 0, "topPadding": 0, "bottomPadding": 0}
        half = (TEXT_WIDTH - 16) / 2
        self.addPageTemplates(
            [
                PageTemplate("title", [Frame(left, bottom, TEXT_WIDTH, height, **bare)]),
                PageTemplate("body", [Frame(left, bottom, TEXT_WIDTH, height, **bare)], onPageEnd=self._heads),
                PageTemplate(
                    "columns",
                    [
                        Frame(left, bottom, half, height - 30, **bare),
                        Frame(left + half + 16, bottom, half, height - 30, **bare),
                    ],
                    onPage=self._index_title,
                    onPageEnd=self._heads,
                ),
            ]
        )

    def beforeDocument(self) -> None:
        self.chapter = ""
        self.headings = 0
        self.index_started = False

    def afterFlowable(self, flowable: Flowable) -> None:
        for term in getattr(flowable, "index_terms", ()):
            self.notify("IndexEntry", (term, self.page))
        level = getattr(flowable, "outline_level", None)
        if level is None:
            return
        self._mark(flowable.outline_title, level)

    def _mark(self, title: str, level: int) -> None:
        self.headings += 1
        key = f"heading-{self.headings}"
        self.canv.bookmarkPage(key)
        self.canv.addOutlineEntry(title, key, level, closed=level > 0)
        if level < 2:
            self.notify("TOCEntry", (level, markup(title, literals=False), self.page, key))
        if level == 0:
            self.chapter = title

    def _index_title(self, canvas: Canvas, _: Any) -> None:
        if not self.index_started:
            self.index_started = True
            self._mark("Index", 0)
            canvas.setFont("Demo-Sans-Bold", 16)
            canvas.drawString((PAGE[0] - TEXT_WIDTH) / 2, PAGE[1] - 20 * mm - 16, "Index")

    def _heads(self, canvas: Canvas, _: Any) -> None:
        left, right = (PAGE[0] - TEXT_WIDTH) / 2, (PAGE[0] + TEXT_WIDTH) / 2
        top = PAGE[1] - 14 * mm
        canvas.setFont("Demo-Sans", 7.5)
        canvas.setFillGray(0.35)
        canvas.drawString(left, top, self.plan.title)
        if self.chapter:
            canvas.drawRightString(right, top, self.chapter)
        canvas.setLineWidth(0.4)
        canvas.setStrokeGray(0.6)
        canvas.line(left, top - 5, right, top - 5)
        canvas.drawCentredString(PAGE[0] / 2, 10 * mm, str(canvas.getPageNumber()))


class _BackIndex(TableOfContents):  # type: ignore[misc]  # reportlab has no types
    """Terms and the pages they stand on, gathered in one pass and set in the next; two columns by its template."""

    def notify(self, kind: str, stuff: Any) -> None:
        if kind == "IndexEntry":
            self._entries.append(stuff)

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        from reportlab.platypus import Table, TableStyle

        pages: dict[str, set[int]] = {}
        for term, page in self._lastEntries:
            pages.setdefault(term, set()).add(page)
        lines = [
            [Paragraph(f"{markup(term, literals=False)}, {_ranges(sorted(where))}", STYLES["index"])]
            for term, where in sorted(pages.items(), key=lambda entry: entry[0].lower().lstrip("_"))
            if len(where) <= 6
        ]
        lines = lines or [[Paragraph("…", STYLES["index"])]]
        padding = [(f"{side}PADDING", (0, 0), (-1, -1), 0) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")]
        self._table = Table(lines, colWidths=[width], style=TableStyle(padding))
        size: tuple[float, float] = self._table.wrapOn(self.canv, width, height)
        return size


def _ranges(pages: list[int]) -> str:
    spans: list[list[int]] = []
    for page in pages:
        if spans and page == spans[-1][1] + 1:
            spans[-1][1] = page
        else:
            spans.append([page, page])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in spans)


def _story(plan: BookPlan, parts: Sequence[Part], setter: _Setter) -> Iterator[Flowable]:
    yield Spacer(1, 60 * mm)
    yield Paragraph(plan.title, STYLES["title"])
    yield Paragraph(plan.subtitle, STYLES["subtitle"])
    yield Spacer(1, 70 * mm)
    yield Paragraph(plan.source, STYLES["source"])
    yield NextPageTemplate("body")
    yield PageBreak()
    yield Paragraph("Contents", HEADINGS[0])
    contents = TableOfContents(dotsMinLevel=0, levelStyles=[STYLES["contents 0"], STYLES["contents 1"]])
    yield contents
    yield PageBreak()
    yield from _body(plan.title, parts)
    if plan.index:
        yield NextPageTemplate("columns")
        yield PageBreak()
        yield setter.back_index


def _body(title: str, parts: Sequence[Part]) -> Iterator[Flowable]:
    chapter = figures = tables = 0
    section, before = title, ""
    for part in parts:
        if isinstance(part, Figure):
            figures += 1
            png, width, height = part.picture
            caption = Paragraph(markup(f"Figure {chapter}.{figures}: {part.caption}"), STYLES["caption"])
            yield KeepTogether([Spacer(1, 4), Image(io.BytesIO(png), width, height), caption])
        elif isinstance(part, DataTable) or part.kind == "table":
            tables += 1
            words = part.caption if isinstance(part, DataTable) else _caption(part, section, before)
            caption = Paragraph(markup(f"Table {chapter}.{tables}: {words}"), STYLES["table caption"])
            yield from _captioned(caption, ruled_table(part.rows))
        elif part.kind == "heading":
            section = part.text
            if part.level == 0:
                chapter, figures, tables = chapter + 1, 0, 0
            yield from _heading(part)
        else:
            before = part.text
            yield _text(part)


def _captioned(caption: Paragraph, table: Any) -> Iterator[Flowable]:
    if len(table._cellvalues) <= 18:
        yield KeepTogether([caption, table, Spacer(1, 8)])
    else:
        yield caption
        yield table
        yield Spacer(1, 8)


def _caption(block: Block, section: str, before: str) -> str:
    """What a table shows: the sentence that leads up to it if there is a short one, else its section and columns."""
    lead = re.sub(r"(?:\s(?:are|is))?(?:\s(?:the following|as follows))?:$", "", before.rpartition(". ")[2])
    if before.endswith(":") and 3 <= len(lead.split()) <= 12:
        return lead
    head = " and ".join(cell.lower() for cell in block.rows[0][:2] if cell)
    return f"{section}: {head}" if head else section


def _heading(block: Block) -> Iterator[Flowable]:
    yield CondPageBreak(30 * mm if block.level else 55 * mm)
    paragraph = Paragraph(markup(block.text, literals=False), HEADINGS[min(block.level, len(HEADINGS) - 1)])
    if block.level < 3:
        paragraph.outline_level = block.level
        paragraph.outline_title = block.text
    yield paragraph


def _text(block: Block) -> Flowable:
    indent = INDENT * min(block.depth, 4)
    if block.kind == "code":
        return Preformatted(code_lines(block.text, indent), STYLES[f"code {min(block.depth, 4)}"])
    if block.kind == "item":
        paragraph = Paragraph(markup(block.text), STYLES[f"item {min(block.depth, 4)}"], bulletText=block.marker)
    elif block.kind == "term":
        paragraph = Paragraph(markup(block.text, literals=False), STYLES[f"term {min(block.depth, 4)}"])
    else:
        style = "rubric" if block.kind == "rubric" else "text"
        paragraph = Paragraph(markup(block.text), STYLES[f"{style} {min(block.depth, 4)}"])
    paragraph.index_terms = _index_terms(block)
    return paragraph


def _index_terms(block: Block) -> tuple[str, ...]:
    if block.kind == "term":
        name = re.match(r"(?:\w+\.)*([A-Za-z_]\w*)\(", block.text)
        return (f"{name[1]}()",) if name else ()
    literals = re.findall(r'"(?:\w+\.)*([A-Za-z_]\w*(?:\(\))?)"', block.text)
    return tuple(dict.fromkeys(name for name in literals if name.endswith(("()", "Error", "__")) and len(name) > 4))
