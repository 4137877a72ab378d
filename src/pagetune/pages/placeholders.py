"""Pages that stand in for what pdfium does not show: forms that a program builds, covers of bundles of files."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

import pypdfium2
import pypdfium2.raw as raw

_MOST_PAGES = 2
"""A stand-in is a page or two; a longer file has pages of its own."""
MOST_WORDS = 250
"""A page of more words is nobody's stand-in."""
_WAIT = re.compile(r"\W*please wait\b.*\b(?:reader|viewer|acrobat)\b", re.I | re.S)
_BUNDLE = re.compile(r"\bpdf portfolio\b.*\b(?:reader|acrobat)\b", re.I | re.S)


def stand_in(document: pypdfium2.PdfDocument, path: Path) -> tuple[str, str] | None:
    """What a document's pages stand in for, "FORM" or "PORTFOLIO" as in `unread.Reason`, and more about it; None where
    they are its own."""
    if document.get_formtype() == raw.FORMTYPE_XFA_FULL and len(document) <= _MOST_PAGES:
        return "FORM", ""
    files = raw.FPDFDoc_GetAttachmentCount(document)
    if files > 0 and len(document) <= _MOST_PAGES and _is_collection(path):
        names = [_name(raw.FPDFDoc_GetAttachment(document, index)) for index in range(min(files, 3))]
        return "PORTFOLIO", f"{files} files: {', '.join(names)}{' …' if files > 3 else ''}"
    return None


def says_so(text: str) -> str | None:
    """The same by the words of a page, for a stand-in that was printed to a file of its own."""
    if _WAIT.match(text):
        return "FORM"
    return "PORTFOLIO" if _BUNDLE.search(text) else None


def _is_collection(path: Path) -> bool:
    import pikepdf

    try:
        with pikepdf.open(path) as file:
            return "/Collection" in file.Root
    except (pikepdf.PdfError, ValueError, TypeError, AttributeError):
        return False


def _name(attachment: Any) -> str:
    size = raw.FPDFAttachment_GetName(attachment, None, 0)
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    raw.FPDFAttachment_GetName(attachment, buffer, size)
    return bytes(buffer)[: max(0, size - 2)].decode("utf-16-le", "replace")
