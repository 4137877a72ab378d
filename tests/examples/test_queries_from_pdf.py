"""From a typeset PDF through the real reader to queries, masks and splits."""

from __future__ import annotations

from pathlib import Path

import pytest
from manuals import TOPICS, prose
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from pagetune.examples.queries import write_queries
from pagetune.pages.reading import read_documents
from pagetune.pages.store import PageStore
from pagetune.recipe import QueriesRecipe, ReadRecipe
from pagetune.workspace import Workspace


def typeset(path: Path, pages: int = 8) -> None:
    """A manual with an outline, running heads, folios, and a figure's caption on each page."""
    canvas = Canvas(str(path), pagesize=A4)
    for number in range(1, pages + 1):
        canvas.setFont("Helvetica", 8)
        canvas.drawString(72, 800, "The handbook of machines")
        canvas.drawString(290, 30, str(number))
        title = f"{number}.1 Replacing the {TOPICS[number]} of a locomotive"
        canvas.setFont("Helvetica-Bold", 15)
        canvas.drawString(72, 740, title)
        canvas.bookmarkHorizontalAbsolute(f"s{number}", 755)
        canvas.addOutlineEntry(title, f"s{number}", 0)
        canvas.setFont("Times-Roman", 10)
        for text, x, y, _ in prose(number, 20, 710):
            canvas.drawString(x, y, text)
        canvas.drawString(72, 350, f"Figure {number}: A worn {TOPICS[number]} beside a new one")
        canvas.showPage()
    canvas.save()


@pytest.mark.integration
def test_a_typeset_manual(tmp_path: Path) -> None:
    typeset(tmp_path / "manual.pdf")
    workspace = Workspace(tmp_path / "ws").create()
    read_documents([tmp_path / "manual.pdf"], workspace, ReadRecipe(workers=1, ocr="never"))
    store = PageStore(workspace.pages)
    pages = {page.id: page for page in store.pages()}
    written = write_queries(store.documents(), list(pages.values()), QueriesRecipe())
    outline = [query for query in written.queries if query.kind == "outline"]
    assert [query.text for query in outline] == [f"Replacing the {TOPICS[n]} of a locomotive" for n in range(1, 9)]
    captions = [query for query in written.queries if query.kind == "caption"]
    assert [query.text for query in captions] == [f"A worn {TOPICS[n]} beside a new one" for n in range(1, 9)]
    for query in (*outline, *captions):
        left = pages[query.page].text(written.masks[query.page])
        assert "handbook" not in left
        assert "locomotive" not in left
        assert "Figure" not in left
        assert len(left.split()) > 150
