"""Pages that the tests draw, read and looked at by the real reader."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from pagetune.evaluation.drawings import has_axis
from pagetune.evaluation.facets import page_types
from pagetune.evaluation.page_types import type_of_page
from pagetune.evaluation.page_words import Words
from pagetune.pages.marks import MOST, Marks
from pagetune.pages.reading import read_documents
from pagetune.pages.store import PageStore
from pagetune.recipe import ReadRecipe
from pagetune.records import Page
from pagetune.workspace import Workspace

Draw = Callable[[Canvas], None]
WIDTH, HEIGHT = A4
LINE = "The clutch is pressed against the wheel by a spring that somebody has to replace"


def prose(canvas: Canvas, first: float = 780, last: float = 80) -> None:
    canvas.setFont("Helvetica", 11)
    for number, y in enumerate(range(int(first), int(last), -14)):
        canvas.drawString(70, y, f"{LINE} {'now and then' if number % 2 else 'at times'}")


def photograph(side: int = 300) -> ImageReader:
    noise = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    return ImageReader(Image.fromarray(noise))


def ruled_table(canvas: Canvas) -> None:
    prose(canvas, 780, 700)
    for row, y in enumerate(range(660, 360, -20)):
        for column, x in enumerate((80, 200, 330)):
            canvas.drawString(x, y, f"{('bolt', 'nut', 'washer')[column]} {'abcdefghijklmnopq'[row]}")
        canvas.line(70, y - 5, 480, y - 5)


def columns_without_rules(canvas: Canvas) -> None:
    prose(canvas, 780, 700)
    for row, y in enumerate(range(660, 360, -16)):
        for column, x in enumerate((80, 200, 300, 400)):
            canvas.drawString(x, y, f"{row * 7.25 + column:.2f}" if column else f"wheel-{row}")


def bar_chart(canvas: Canvas) -> None:
    prose(canvas, 780, 600)
    canvas.line(120, 300, 120, 560)
    canvas.line(120, 300, 480, 300)
    for place, height in enumerate((90, 200, 160, 40, 230, 120)):
        canvas.rect(135 + 56 * place, 300, 40, height, fill=1)
        canvas.drawString(140 + 56 * place, 285, ("Ada", "Bob", "Cyd", "Dan", "Eve", "Fay")[place])
    for step in range(6):
        canvas.drawRightString(112, 297 + 48 * step, str(step * 20))


def diagram(canvas: Canvas) -> None:
    prose(canvas, 780, 600)
    for place in range(6):
        canvas.circle(120 + 70 * place, 450 + 60 * (place % 2), 30)
        canvas.line(150 + 70 * place, 450, 160 + 70 * place, 500)
        canvas.drawString(110 + 70 * place, 448 + 60 * (place % 2), "state")


def listing(canvas: Canvas) -> None:
    """A ground painted line by line behind numbered lines of code, in a frame."""
    prose(canvas, 780, 700)
    for number, y in enumerate(range(660, 300, -14)):
        canvas.setFillGray(0.9)
        canvas.rect(70, y - 4, 450, 14, stroke=0, fill=1)
        canvas.setFillGray(0)
        canvas.drawString(60, y, str(number + 1))
        canvas.drawString(80, y, "for wheel in wheels: wheel.turn(left, right)" if number % 4 else "")
    canvas.rect(55, 296, 470, 380)


def notes(canvas: Canvas) -> None:
    """Rules above and below running text, an icon, underlines."""
    prose(canvas)
    for y in (700, 650, 500, 450):
        canvas.line(60, y, 530, y)
    canvas.circle(45, 675, 10)
    for y in range(760, 100, -28):
        canvas.line(70, y, 140, y)


def captioned_picture(canvas: Canvas) -> None:
    prose(canvas, 780, 300)
    canvas.drawImage(photograph(), 230, 180, 120, 100)
    canvas.drawString(200, 160, "Figure 1: The clutch, seen from above")


def picture_of_a_chart(canvas: Canvas) -> None:
    prose(canvas, 780, 300)
    canvas.drawImage(photograph(), 230, 180, 120, 100)
    canvas.drawString(200, 160, "Figure 1: Histograms of the weights of clutches")


def uncaptioned_picture(canvas: Canvas) -> None:
    prose(canvas, 780, 400)
    canvas.drawImage(photograph(), 100, 100, 400, 280)


def icons(canvas: Canvas) -> None:
    prose(canvas)
    for y in (100, 300, 500):
        canvas.drawImage(photograph(16), 30, y, 20, 20)


def background(canvas: Canvas) -> None:
    """A slide's picture behind all of its text."""
    canvas.drawImage(photograph(), 0, 0, WIDTH, HEIGHT)
    prose(canvas)


def title_on_a_photograph(canvas: Canvas) -> None:
    canvas.drawImage(photograph(), 0, 0, WIDTH, HEIGHT)
    canvas.drawString(100, 700, "The wheels of the year")


def lay_invisible_words(canvas: Canvas, top: float) -> None:
    """As OCR does over a scan."""
    text = canvas.beginText(70, top)
    text.setTextRenderMode(3)
    text.setFont("Helvetica", 11)
    for _ in range(40):
        text.textLine(LINE)
    canvas.drawText(text)


def scan_with_hidden_words(canvas: Canvas) -> None:
    canvas.drawImage(photograph(), 0, 0, WIDTH, HEIGHT)
    lay_invisible_words(canvas, 780)


def scan_in_strips(canvas: Canvas) -> None:
    """As many scanners write: a picture every few lines."""
    for strip in range(16):
        canvas.drawImage(photograph(20), 0, HEIGHT / 16 * strip, WIDTH, HEIGHT / 16)
    lay_invisible_words(canvas, 780)


def scan_with_margins(canvas: Canvas) -> None:
    canvas.drawImage(photograph(), 60, 90, WIDTH - 80, HEIGHT - 180)
    lay_invisible_words(canvas, 740)


def scan_that_nobody_read(canvas: Canvas) -> None:
    canvas.drawImage(photograph(), 0, 0, WIDTH, HEIGHT)


def figure_of_words(canvas: Canvas) -> None:
    """A caption that names a figure, and no more than a frame around words."""
    prose(canvas, 780, 500)
    canvas.rect(100, 300, 380, 150)
    canvas.drawString(130, 380, "A title page could look like this one here")
    canvas.drawString(130, 280, "Figure 2: A title page")


def caption_alone(canvas: Canvas) -> None:
    prose(canvas, 780, 300)
    canvas.drawString(130, 270, "Figure 2: A listing that has no frame")


PAGES: dict[Draw, str] = {
    prose: "text",
    ruled_table: "table",
    columns_without_rules: "table",
    bar_chart: "chart",
    diagram: "figure",
    listing: "text",
    notes: "text",
    captioned_picture: "figure",
    picture_of_a_chart: "chart",
    uncaptioned_picture: "figure",
    icons: "text",
    background: "text",
    title_on_a_photograph: "figure",
    scan_with_hidden_words: "scan",
    scan_in_strips: "scan",
    scan_with_margins: "scan",
    scan_that_nobody_read: "scan",
    figure_of_words: "figure",
    caption_alone: "text",
}


def read(folder: Path, content: bytes, name: str = "drawn.pdf") -> PageStore:
    path = folder / name
    path.write_bytes(content)
    workspace = Workspace(folder / "ws").create()
    read_documents([path], workspace, ReadRecipe(ocr="never", workers=1))
    return PageStore(workspace.pages, workers=1)


def drawn_pdf(*pages: Draw, turned: bool = False) -> bytes:
    out = io.BytesIO()
    # The typesetter swaps the sides of a page that it turns.
    canvas = Canvas(out, (HEIGHT, WIDTH) if turned else A4)
    for draw in pages:
        if turned:
            canvas.setPageRotation(90)
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    store = read(tmp_path_factory.mktemp("drawn"), drawn_pdf(*PAGES))
    pages = store.pages()
    types = page_types(pages, store.documents(), {page.id for page in pages}, store.marks)
    return {draw.__name__: types[page.id] for draw, page in zip(PAGES, pages, strict=True)}


@pytest.mark.parametrize("draw", PAGES, ids=lambda draw: draw.__name__)
def test_a_page_is_of_the_type_that_it_shows(told: dict[str, str], draw: Draw) -> None:
    assert told[draw.__name__] == PAGES[draw]


def test_a_page_that_is_shown_turned_is_of_the_same_type(tmp_path: Path) -> None:
    store = read(tmp_path, drawn_pdf(bar_chart, ruled_table, turned=True))
    marks = store.marks([page.id for page in store.pages()])
    for page in store.pages():
        boxes = marks[page.id].paths
        assert (boxes >= -1).all()
        assert (boxes[:, 2:] <= [page.width + 1, page.height + 1]).all()
    assert page_types(store.pages(), store.documents(), {"drawn-0001"}, store.marks)["drawn-0001"] == "chart"


def test_what_stands_in_a_form_is_where_it_is_shown(tmp_path: Path) -> None:
    def formed(canvas: Canvas) -> None:
        canvas.beginForm("piece")
        canvas.rect(0, 0, 100, 50, fill=1)
        canvas.endForm()
        canvas.saveState()
        canvas.translate(200, 300)
        canvas.scale(2, 3)
        canvas.doForm("piece")
        canvas.restoreState()
        canvas.drawString(100, 700, "words beside it")

    store = read(tmp_path, drawn_pdf(formed))
    (marks,) = store.marks(["drawn-0001"]).values()
    assert np.abs(marks.paths[0] - [200, 300, 400, 450]).max() < 4
    assert marks.filled.tolist() == [True]


def test_of_a_page_of_very_many_paths_the_first_are_looked_at(tmp_path: Path) -> None:
    def crowded(canvas: Canvas) -> None:
        canvas.drawString(100, 800, "a map")
        for number in range(MOST + 500):
            canvas.rect(50 + number % 400, 50 + number // 400 * 3, 0.5, 2, fill=1)

    store = read(tmp_path, drawn_pdf(crowded))
    (marks,) = store.marks(["drawn-0001"]).values()
    assert MOST - 10 <= len(marks.paths) <= MOST


def test_a_picture_file_is_a_scan_and_a_lost_source_leaves_the_captions(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (200, 300), "white").save(out, "PNG")
    store = read(tmp_path, out.getvalue(), "page.png")
    ids = {page.id for page in store.pages()}
    assert set(page_types(store.pages(), store.documents(), ids, store.marks).values()) == {"scan"}

    (tmp_path / "other").mkdir()
    store = read(tmp_path / "other", drawn_pdf(bar_chart))
    for source in (store.folder / "sources").iterdir():
        source.write_bytes(b"no PDF")
    assert store.marks(["drawn-0001"]) == {}
    types: Any = page_types(store.pages(), store.documents(), {"drawn-0001"}, store.marks)
    assert types == {"drawn-0001": "text"}


def page_of(side: float) -> Page:
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32)
    return Page("a-0001", "a", 1, side, side, (), *nothing)


def paths(boxes: Any) -> Marks:
    many = len(boxes)
    return Marks(
        np.zeros((0, 4), np.float32), np.array(boxes, np.float32), np.full(many, 100, np.int32), np.ones(many, bool)
    )


def test_a_poster_of_many_metres_takes_no_more_memory_than_a_page() -> None:
    tracemalloc.start()
    circles = paths([[x, 1e5, x + 3e5, 4e5] for x in range(100_000, 500_000, 50_000)])
    assert type_of_page(page_of(900_000.0), [], circles) == "figure"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**28


@pytest.mark.parametrize("side", [792.0, 14_400.0, 19_998.0])
def test_what_is_drawn_beyond_the_page_is_at_its_edge(side: float) -> None:
    assert type_of_page(page_of(side), ["figure"], paths([[side + 1, 0, side + 9, side / 2]])) == "no text"


@pytest.mark.filterwarnings("error")
def test_numbers_of_any_length_are_looked_at() -> None:
    words = ("1" * 100_000 + "x", "9" * 400, "1e308", "-1e308", "1e308", "2,5", "−3", ".5", "1.", "12a")
    boxes = np.array([[100, y, 110, y + 5] for y in range(100, 100 + 20 * len(words), 20)], np.float32)
    flat = np.ones(len(words), np.float32)
    found = Words.of(Page("a-0001", "a", 1, 600.0, 800.0, words, boxes, flat, flat.astype(np.int32)))
    assert found.values[5:8].tolist() == [2.5, -3, 0.5]
    assert np.isnan(found.values[[0, 8, 9]]).all()
    assert not has_axis(found, (90, 90, 120, 400))
