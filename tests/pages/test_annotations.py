"""What is painted beside a page's content: values of form fields, notes and stamps."""

import numpy as np
import pytest
from drawn_pdfs import PROSE, add_page, font, form, line, lines_of, prose, read
from pikepdf import Array, Dictionary, Name, String
from reportlab.pdfgen import canvas

from pagetune.pages.pdf import PdfFile
from pagetune.records import SOURCES


def annotation(pdf, kind, box, content="", **more):
    """An annotation of a kind, with an appearance if it has a content."""
    made = Dictionary(Type=Name.Annot, Subtype=Name(f"/{kind}"), Rect=Array(box), F=4, **more)
    if content:
        made.AP = Dictionary(N=form(pdf, content, (0, 0, box[2] - box[0], box[3] - box[1])))
    return pdf.make_indirect(made)


def sources(text):
    """Word by word, where it was read."""
    return {word: SOURCES[at] for word, at in zip(text.words.words, text.words.sources.tolist(), strict=True)}


def test_the_values_of_a_form_stand_beside_their_labels(tmp_path):
    path = tmp_path / "form.pdf"
    page = canvas.Canvas(str(path), pagesize=(595, 842))
    for y, label, value in ((760, "Applicant", "Rosalind Okafor"), (720, "Trade", "Weaving"), (680, "Policy", "90210")):
        page.drawString(60, y, label)
        page.acroForm.textfield(name=label, x=220, y=y - 6, width=250, height=22, value=value)
    page.drawString(60, 640, "Town")
    page.acroForm.choice(name="t", x=220, y=632, width=150, height=22, value="Lund", options=["Lund", "Kiel"])
    page.drawString(60, 600, "Signed before two witnesses.")
    page.save()
    file = PdfFile(path)
    with file.page(0) as opened:
        found = opened.text()
    assert lines_of(found) == [
        "Applicant Rosalind Okafor",
        "Trade Weaving",
        "Policy 90210",
        "Town Lund",
        "Signed before two witnesses.",
    ]
    assert sources(found)["Weaving"] == sources(found)["Lund"] == "form field"
    assert sources(found)["Trade"] == "text layer"
    assert found.text.split() != []
    assert "Weaving" in found.text


def test_fields_without_an_appearance_are_read_as_a_reader_program_shows_them(tmp_path):
    def draw(pdf):
        page = add_page(pdf, line(60, 700, "Name"))
        field = annotation(pdf, "Widget", (120, 696, 300, 714), FT=Name.Tx, T=String("n"), V=String("Ines Duarte"))
        field.DA = String("/F1 11 Tf 0 g")
        page.Annots = Array([field])
        fonts = Dictionary(Font=Dictionary(F1=font(pdf)))
        pdf.Root.AcroForm = Dictionary(Fields=Array([field]), DR=fonts, NeedAppearances=True)

    (found,) = read(tmp_path / "field.pdf", draw)
    assert lines_of(found) == ["Name Ines Duarte"]


def test_notes_and_stamps_that_are_painted_are_read_and_others_are_not(tmp_path):
    def draw(pdf):
        page = add_page(pdf, prose())
        note = annotation(pdf, "FreeText", (60, 560, 400, 600), line(5, 10, "waived by letter of May"))
        stamp = annotation(pdf, "Stamp", (60, 480, 400, 520), line(5, 10, "CHECKED", size=18))
        closed = annotation(pdf, "Text", (500, 700, 520, 720), Contents=String("a closed note"))
        hidden = annotation(pdf, "FreeText", (60, 400, 400, 440), line(5, 10, "a hidden note"))
        hidden.F = 2
        page.Annots = Array([note, stamp, closed, hidden])

    (found,) = read(tmp_path / "notes.pdf", draw)
    assert lines_of(found) == [*PROSE, "waived by letter of May", "CHECKED"]
    assert sources(found)["CHECKED"] == "annotation"
    assert (np.diff(found.words.lines) >= 0).all()


def test_a_box_that_an_annotation_paints_over_words_hides_them(tmp_path):
    def draw(pdf):
        box = annotation(pdf, "Square", (40, 735, 560, 752), "0 g 0 0 520 17 re f\n")
        add_page(pdf, prose()).Annots = Array([box])

    (found,) = read(tmp_path / "box.pdf", draw)
    assert lines_of(found) == [PROSE[0], PROSE[1], PROSE[3]]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_on_a_turned_page_too(tmp_path, turn):
    def draw(pdf):
        note = annotation(pdf, "FreeText", (60, 560, 400, 600), line(5, 10, "waived by letter"))
        add_page(pdf, prose(), Rotate=turn).Annots = Array([note])

    (found,) = read(tmp_path / "turned.pdf", draw)
    assert sorted(lines_of(found)) == sorted([*PROSE, "waived by letter"])


def test_reading_its_notes_leaves_the_picture_of_a_page_as_it_was(tmp_path):
    path = tmp_path / "notes.pdf"

    def draw(pdf):
        note = annotation(pdf, "FreeText", (60, 560, 400, 600), line(5, 10, "waived by letter"))
        add_page(pdf, prose()).Annots = Array([note])

    read(path, draw)
    file = PdfFile(path)
    with file.page(0) as page:
        before = page.render(300, 424).tobytes()
        page.text()
        assert page.render(300, 424).tobytes() == before
    with file.page(0) as page:
        assert page.render(300, 424).tobytes() == before


def test_notes_are_read_as_a_screen_shows_them(tmp_path):
    """One that is not for the screen is not painted there, and one without an appearance is given one."""

    def draw(pdf):
        kept = annotation(pdf, "Stamp", (60, 600, 260, 620), line(2, 4, "kept note"))
        away = annotation(pdf, "Stamp", (60, 560, 260, 580), line(2, 4, "printed note"))
        away.F = 32
        unknown = annotation(pdf, "Stamp", (60, 520, 260, 540), line(2, 4, "stamped note"))
        unknown.F = 1
        bare = annotation(pdf, "FreeText", (60, 480, 260, 500), Contents=String("typed note"))
        bare.DA = String("/Helv 12 Tf 0 g")
        add_page(pdf, prose()).Annots = Array([kept, away, unknown, bare])

    (found,) = read(tmp_path / "notes.pdf", draw)
    assert lines_of(found) == [*PROSE, "kept note", "stamped note", "typed note"]


def test_values_stand_behind_their_own_labels_in_a_form_of_two_columns_and_ticks_before_theirs(tmp_path):
    def draw(pdf):
        fields = []
        for left, y, value in ((120, 700, "Ines"), (380, 700, "Lund"), (120, 670, "May"), (380, 670, "100")):
            fields.append(annotation(pdf, "Widget", (left, y - 5, left + 140, y + 15), line(2, 5, value)))
        fields.append(annotation(pdf, "Widget", (60, 635, 75, 650), line(3, 3, "x")))
        for number, field in enumerate(fields):
            field.FT, field.T = Name.Tx, String(f"f{number}")
        labels = ((60, 700, "Name"), (320, 700, "Town"), (60, 670, "Date"), (320, 670, "Sum"), (80, 638, "Agreed"))
        add_page(pdf, "".join(line(*label) for label in labels)).Annots = Array(fields)
        pdf.Root.AcroForm = Dictionary(Fields=Array(fields))

    (found,) = read(tmp_path / "columns.pdf", draw)
    assert lines_of(found) == ["Name Ines Town Lund", "Date May Sum 100", "x Agreed"]


def test_a_form_of_values_alone_misses_no_font(tmp_path):
    path = tmp_path / "values.pdf"
    page = canvas.Canvas(str(path), pagesize=(595, 842))
    for row in range(12):
        page.acroForm.textfield(
            name=f"f{row}", x=60, y=760 - 40 * row, width=200, height=22, value=f"value of row {row}"
        )
    page.showPage()
    page.save()
    file = PdfFile(path)
    with file.page(0) as opened:
        found = opened.text()
    file.close()
    assert lines_of(found) == [f"value of row {row}" for row in range(12)]
    assert found.missing_fonts == {}
