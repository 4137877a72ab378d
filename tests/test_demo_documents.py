"""The demo's documents as a reader meets them: opened again with pdfium."""

from pathlib import Path

import pypdfium2
import pytest

pytest.importorskip("reportlab")
pytest.importorskip("sklearn")

from pagetune.demo import typeset_demo
from pagetune.demo.plaintext import Block, parse


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    paths = typeset_demo(tmp_path_factory.mktemp("demo"))
    return {path.stem: pypdfium2.PdfDocument(path) for path in paths}


def words(page):
    return page.get_textpage().get_text_range().split()


def test_enough_documents_of_like_size_for_a_split_by_document(documents):
    sizes = [len(document) for document in documents.values()]
    assert len(sizes) >= 6
    assert 100 <= sum(sizes) <= 150
    assert max(sizes) / sum(sizes) < 0.25


def test_a_few_pages_are_scans_that_need_ocr(documents):
    scans = [(name, number) for name, d in documents.items() for number, page in enumerate(d) if not words(page)]
    assert 6 <= len(scans) <= 8
    assert len({name for name, _ in scans}) == 2


def test_outlines_are_nested_and_point_into_the_document(documents):
    for document in documents.values():
        entries = list(document.get_toc())
        assert max(entry.level for entry in entries) >= 1
        assert all(0 <= entry.get_dest().get_index() < len(document) for entry in entries)


def test_an_outline_entry_stands_on_the_page_it_points_at(documents):
    document = documents["python-compound-statements"]
    for entry in document.get_toc():
        text = " ".join(words(document[entry.get_dest().get_index()]))
        assert " ".join(entry.get_title().split()) in text


def test_captions_of_figures_and_tables_are_numbered_by_chapter(documents):
    text = "\n".join(page.get_textpage().get_text_range() for page in documents["handbook-clinical-measurements"])
    assert "Figure 1.1: " in text
    assert "Figure 2.1: " in text
    assert "Table 2.1: " in text


def test_one_book_ends_with_an_index_of_terms_and_pages(documents):
    document = documents["python-special-methods"]
    index = next(entry for entry in document.get_toc() if entry.get_title() == "Index").get_dest().get_index()
    lines = document[index].get_textpage().get_text_range().splitlines()
    entry = next(line for line in lines if line.startswith("__contains__(), "))
    page = int(entry.split(", ")[1].split("–")[0])
    assert "__contains__" in document[page - 1].get_textpage().get_text_range()


def test_nothing_is_printed_outside_the_page(documents):
    for document in documents.values():
        for page in document:
            width, _ = page.get_size()
            text = page.get_textpage()
            boxes = [text.get_rect(n) for n in range(text.count_rects())]
            assert all(left > 0 and right < width - 20 for left, _, right, _ in boxes)


@pytest.mark.integration
def test_the_same_bytes_every_time(documents, tmp_path):
    again = {path.stem: path.read_bytes() for path in typeset_demo(tmp_path)}
    assert again == {name: Path(document._input).read_bytes() for name, document in documents.items()}


def test_plain_text_becomes_headings_paragraphs_code_and_lists():
    text = """A title
*******

Prose that goes on
over two lines:

   >>> 1 + 1
   2

* one thing
* another

f(x)

   What the function does, in a sentence.
"""
    assert parse(text) == [
        Block("heading", "A title", level=0),
        Block("paragraph", "Prose that goes on over two lines:"),
        Block("code", ">>> 1 + 1\n2"),
        Block("item", "one thing", marker="•"),
        Block("item", "another", marker="•"),
        Block("term", "f(x)"),
        Block("paragraph", "What the function does, in a sentence.", depth=1),
    ]


def test_a_drawn_table_becomes_rows():
    text = "+-----+------+\n| a   | b    |\n|=====|======|\n| one | two  |\n|     | more |\n+-----+------+\n"
    assert parse(text)[0].rows == (("a", "b"), ("one", "two more"))
