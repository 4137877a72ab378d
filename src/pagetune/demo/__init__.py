"""The documents of `pagetune demo`: typeset on the spot from data and text that are already on the machine.

    plaintext    indented plain text -> headings, paragraphs, code, lists, tables
    book         those -> a PDF with outline, contents, captions, running heads, index
    manuals      which of Python's own help topics make which manual
    handbooks    handbooks of the data sets inside scikit-learn
    charts       the handbooks' figures
    scans        pages put back as noisy pictures without a text layer

Nothing is downloaded and no third-party text is kept in Pagetune: it is taken from the installed libraries.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pagetune.errors import MissingExtra
from pagetune.progress import SILENT, Progress
from pagetune.workspace import write_atomically


def typeset_demo(folder: Path, progress: Progress = SILENT) -> list[Path]:
    """Write the demo's documents (PDF, about 120 pages in 8 files) into `folder` and return their paths, sorted.

    The same library versions give the same bytes. Seven of the pages are pictures without a text layer.
    Raises MissingExtra where reportlab or scikit-learn is not installed.
    """
    for library, module in (("reportlab", "reportlab"), ("scikit-learn", "sklearn")):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(library, "light", "pagetune demo")
    from pagetune.demo.handbooks import handbooks
    from pagetune.demo.manuals import manuals
    from pagetune.demo.scans import typeset

    books = [*handbooks(), *manuals()]
    written: list[Path] = []
    with progress.task("typesetting", len(books), "documents") as task:
        for book in books:
            path = folder / f"{book.name}.pdf"
            write_atomically(path, typeset(book))
            written.append(path)
            task.advance()
    return sorted(written)
