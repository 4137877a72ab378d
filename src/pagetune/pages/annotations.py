"""What is painted on a page beside its content: the values of form fields, and annotations with an appearance.

pdfium's text page knows only a page's content. So a copy of the document is held in which the annotations of a page
are made part of its content (flattened), the way a reader program paints them; what was added are the page's last
objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pypdfium2
import pypdfium2.raw as raw
from numpy.typing import NDArray

_UNPAINTED = (raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP, raw.FPDF_ANNOT_UNKNOWN)
_MOST = 5000


class Flattened(NamedTuple):
    """A page whose annotations are part of its content. `content`: how many of its objects were there before; `fields`:
    float32 [n, 4], the rectangles of the form's fields (left, bottom, right, top) in the PDF's coordinates."""

    page: Any
    content: int
    fields: NDArray[np.float32]


class FlattenedDocument:
    """A second, changed copy of a document, opened when it is first needed; to be closed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def page(self, index: int, page: Any) -> Iterator[Flattened | None]:
        """Page `index` (from 0) with its annotations in its content; None where it has none, or that fails.

        `page`: pdfium's handle of the same page in the document as it is.
        """
        painted, fields = _annotations(page)
        content = raw.FPDFPage_CountObjects(page)
        flat = self._flattened(index) if painted else None
        try:
            yield Flattened(flat.raw, content, fields) if flat else None
        finally:
            if flat:
                flat.close()

    def _flattened(self, index: int) -> pypdfium2.PdfPage | None:
        try:
            page = self._document.get_page(index)
            _as_on_a_screen(page.raw)
            done = raw.FPDFPage_Flatten(page.raw, raw.FLAT_NORMALDISPLAY)
            page.close()  # What was added is seen by those who open it again.
            return self._document.get_page(index) if done == raw.FLATTEN_SUCCESS else None
        except pypdfium2.PdfiumError:  # The page's own words are there without its annotations.
            return None

    @cached_property
    def _document(self) -> pypdfium2.PdfDocument:
        document = pypdfium2.PdfDocument(self._path)
        if document.get_formtype() != raw.FORMTYPE_NONE:
            with suppress(pypdfium2.PdfiumError):
                document.init_forms()  # It also gives the fields that have none an appearance.
        return document

    def close(self) -> None:
        """Close it, if it was opened."""
        if "_document" in self.__dict__:
            self.__dict__.pop("_document").close()


def _as_on_a_screen(page: Any) -> None:
    """Give a page's annotations the flags and the appearances with which they are painted, before they are flattened.

    pdfium paints annotations that only unknown kinds are invisible for, and none that are not for the screen, but
    flattens the others; and it makes an appearance for a note that has none when it first paints it.
    """
    for index in range(min(raw.FPDFPage_GetAnnotCount(page), _MOST)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        flags = raw.FPDFAnnot_GetFlags(annotation)
        wanted = flags & ~raw.FPDF_ANNOT_FLAG_INVISIBLE
        if flags & raw.FPDF_ANNOT_FLAG_NOVIEW:
            wanted |= raw.FPDF_ANNOT_FLAG_HIDDEN
        if wanted != flags:
            raw.FPDFAnnot_SetFlags(annotation, wanted)
        raw.FPDFPage_CloseAnnot(annotation)
    bitmap = raw.FPDFBitmap_Create(1, 1, 0)
    raw.FPDF_RenderPageBitmap(bitmap, page, 0, 0, 1, 1, 0, raw.FPDF_ANNOT)
    raw.FPDFBitmap_Destroy(bitmap)


def _annotations(page: Any) -> tuple[int, NDArray[np.float32]]:
    """How many of a page's annotations may be painted, and the rectangles of its form fields."""
    painted, fields = 0, []
    box = raw.FS_RECTF()
    for index in range(min(raw.FPDFPage_GetAnnotCount(page), _MOST)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        kind = raw.FPDFAnnot_GetSubtype(annotation)
        painted += kind not in _UNPAINTED
        if kind == raw.FPDF_ANNOT_WIDGET and raw.FPDFAnnot_GetRect(annotation, box):
            fields.append((box.left, box.bottom, box.right, box.top))
        raw.FPDFPage_CloseAnnot(annotation)
    return painted, np.asarray(fields, np.float32).reshape(-1, 4)
