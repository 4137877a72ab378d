"""Pages that stand in for a form that a program builds, or for a portfolio: counted, and not read as a document."""

import pikepdf
from drawn_pdfs import add_page, line, prose
from pikepdf import Dictionary, String

from pagetune.pages.store import PageStore
from pagetune.pages.unread import Reason


def saved(path, content, **root):
    pdf = pikepdf.new()
    add_page(pdf, content)
    for key, value in root.items():
        pdf.Root[f"/{key}"] = value(pdf) if callable(value) else value
    return pdf, path


def test_a_form_that_only_a_program_builds_is_counted_in_any_language(read, tmp_path):
    content = line(60, 700, "Einen Moment bitte, der Inhalt wird geladen.")
    pdf, path = saved(
        tmp_path / "form.pdf",
        content,
        AcroForm=lambda pdf: Dictionary(Fields=[], XFA=pdf.make_stream(b"<xdp:xdp/>")),
        NeedsRendering=True,
    )
    pdf.save(path)
    printed, other = saved(
        tmp_path / "printed.pdf",
        line(60, 700, "Please wait...") + line(60, 680, "If this message is not replaced, your PDF viewer is too old."),
    )
    printed.save(other)
    add_page(plain := pikepdf.new(), prose() + line(60, 600, "Please wait until the pump has stopped."))
    plain.save(tmp_path / "plain.pdf")
    report, workspace = read(path, other, tmp_path / "plain.pdf")
    assert [(one.document, one.page, one.reason) for one in report.unread] == [
        ("form", 1, Reason.FORM),
        ("printed", 1, Reason.FORM),
    ]
    words = {page.document: len(page.words) for page in PageStore(workspace.pages).pages()}
    assert words["form"] == words["printed"] == 0
    assert words["plain"] > 30


def test_the_cover_of_a_portfolio_is_counted_with_its_files(read, tmp_path):
    pdf, path = saved(
        tmp_path / "folder.pdf", line(60, 700, "Diese Mappe enthält mehrere Dateien."), Collection=Dictionary(View="T")
    )
    for name in ("offer.pdf", "plans.pdf", "terms.docx", "mail.eml"):
        pdf.attachments[name] = b"some file"
    pdf.save(path)
    attached, other = saved(tmp_path / "attached.pdf", prose(), Lang=String("en"))
    attached.attachments["data.csv"] = b"1,2"
    attached.save(other)
    report, _ = read(path, other)
    (one,) = report.unread
    assert (one.document, one.reason) == ("folder", Reason.PORTFOLIO)
    assert one.detail.startswith("4 files: ")
    assert "offer.pdf" in one.detail or "mail.eml" in one.detail
