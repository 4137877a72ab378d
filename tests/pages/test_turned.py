"""Pages and type that are turned: lines and the order of reading are as on the upright page."""

import pytest
from drawn_pdfs import PROSE, add_page, line, lines_of, read

WIDTH, HEIGHT = 595, 842


def placed(turn: int, x: float, y: float) -> str:
    """The matrix that puts type upright at a point of a page of /Rotate `turn`, counted as the page is shown."""
    return {
        0: f"1 0 0 1 {x} {y}",
        90: f"0 1 -1 0 {WIDTH - y} {x}",
        180: f"-1 0 0 -1 {WIDTH - x} {HEIGHT - y}",
        270: f"0 -1 1 0 {y} {HEIGHT - x}",
    }[turn]


def turned(turn: int, first: float = 500) -> str:
    return "".join(line(0, 0, text, matrix=placed(turn, 60, first - 20 * number)) for number, text in enumerate(PROSE))


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_the_lines_of_a_page_that_is_shown_turned(tmp_path, turn):
    (found,) = read(tmp_path / "turned.pdf", lambda pdf: add_page(pdf, turned(turn), Rotate=turn))
    assert lines_of(found) == list(PROSE)
    assert found.words.sizes.tolist() == pytest.approx([12.0] * len(found.words.words), abs=0.01)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_type_that_is_turned_on_an_upright_page(tmp_path, turn):
    (found,) = read(tmp_path / "sideways.pdf", lambda pdf: add_page(pdf, turned(turn)))
    assert lines_of(found) == list(PROSE)


def test_upright_type_comes_first_then_a_table_on_its_side(tmp_path):
    content = turned(90) + line(60, 800, "Table of the filters, on its side")
    (found,) = read(tmp_path / "both.pdf", lambda pdf: add_page(pdf, content))
    assert lines_of(found) == ["Table of the filters, on its side", *PROSE]


def test_a_slightly_skewed_page_keeps_its_lines(tmp_path):
    content = "".join(
        line(0, 0, text, matrix=f"0.99939 0.03490 -0.03490 0.99939 {60 + 0.7 * n} {700 - 20 * n}")
        for n, text in enumerate(PROSE)
    )
    (found,) = read(tmp_path / "skewed.pdf", lambda pdf: add_page(pdf, content))
    assert lines_of(found) == list(PROSE)


@pytest.mark.parametrize("backwards", [False, True])
def test_columns_that_are_written_downwards_are_lines(tmp_path, backwards):
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfgen import canvas

    from pagetune.pages.pdf import PdfFile

    pdfmetrics.registerFont(UnicodeCIDFont("HeiseiMin-W3"))
    columns = ["取引を取り消すには記録を選ぶ", "次に取消の釦を押してください"]
    path = tmp_path / "columns.pdf"
    page = canvas.Canvas(str(path), pagesize=(WIDTH, HEIGHT))
    page.setFont("HeiseiMin-W3", 14)
    for number, column in reversed([*enumerate(columns)]) if backwards else enumerate(columns):
        for place, character in enumerate(column):
            page.drawString(500 - 24 * number, 780 - 15 * place, character)
    page.save()
    file = PdfFile(path)
    with file.page(0) as opened:
        found = opened.text()
    assert ["".join(row.split()) for row in lines_of(found)] == columns


def test_single_characters_stay_in_their_columns_and_a_title_across_stays_a_line(tmp_path):
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfgen import canvas

    from pagetune.pages.pdf import PdfFile

    pdfmetrics.registerFont(UnicodeCIDFont("HeiseiMin-W3"))
    path = tmp_path / "columns.pdf"
    page = canvas.Canvas(str(path), pagesize=(WIDTH, HEIGHT))
    page.setFont("HeiseiMin-W3", 14)
    page.drawString(60, 800, "横書きの題名はここに")
    columns = ["取引を取り消すには記録を選ぶ", ["昭", "和", "12", "年", *"に始まった事業"]]
    for number, column in enumerate(columns):
        for place, characters in enumerate(column):
            page.drawString(500 - 24 * number, 760 - 15 * place, characters)
    page.save()
    file = PdfFile(path)
    with file.page(0) as opened:
        found = ["".join(row.split()) for row in lines_of(opened.text())]
    assert found == ["横書きの題名はここに", columns[0], "昭和12年に始まった事業"]
