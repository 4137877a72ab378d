"""Pages of the same words are one only if they look alike."""

import pikepdf
from drawn_pdfs import add_page, line, picture, prose
from pikepdf import Dictionary

from pagetune.pages.store import PageStore

MANY = prose() + prose(600) + line(60, 500, "Shown below: the housing from the left")


def test_pages_of_the_same_words_with_other_pictures_are_no_duplicates(read, tmp_path):
    pdf = pikepdf.new()
    for drawing in ("q 200 0 0 200 60 200 cm /I Do Q\n", "q 200 0 0 200 300 100 cm /I Do Q\n", ""):
        page = add_page(pdf, MANY + drawing)
        page.Resources.XObject = Dictionary(I=picture(pdf))
    pdf.save(tmp_path / "first.pdf")
    again = pikepdf.new()
    # The same page, written by another program: its words a hair's breadth apart.
    page = add_page(again, f"1 0 0 1 0.2 0 cm\n{MANY}q 200 0 0 200 60 200 cm /I Do Q\n")
    page.Resources.XObject = Dictionary(I=picture(again))
    again.save(tmp_path / "second.pdf")
    report, workspace = read(tmp_path / "first.pdf", tmp_path / "second.pdf")
    pages = PageStore(workspace.pages).pages()
    assert len({page.digest for page in pages}) == 1
    assert [page.duplicate_of for page in pages] == [None, None, None, "first-0001"]
    assert report.duplicate_pages == 1


def test_the_halves_of_a_spread_are_two_pages(read, tmp_path):
    pdf = pikepdf.new()
    for left in (0, 595):
        content = MANY + "".join(
            line(655, 700 - 20 * n, f"right {n} of other things that are meant") for n in range(12)
        )
        add_page(pdf, content, (1190, 842), CropBox=[left, 0, left + 595, 842])
    pdf.save(tmp_path / "spread.pdf")
    report, workspace = read(tmp_path / "spread.pdf")
    left, right = PageStore(workspace.pages).pages()
    assert "right" not in left.words
    assert right.words[:2] == ("right", "0")
    assert report.duplicate_pages == 0
