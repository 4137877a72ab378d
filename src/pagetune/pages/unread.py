"""What could not be read, and what can be done about it: one record a page and reason, said in groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class Reason(StrEnum):
    """Why a page, or a part of it, was not read. A new reason is a line here and one in REMEDIES."""

    FAILED = "could not be read"
    OCR_OFF = "needs OCR, which is switched off"
    OCR_MISSING = "needs OCR, which is not installed"
    SCRIPT = "OCR cannot read the script"
    BADLY = "OCR reads it badly"
    EMPTY = "is not blank, but no word was found on it"
    FONT = "is painted without its font, which neither the file nor this machine has"
    GLYPHS = "has characters that its fonts do not name"
    UNSEEN = "has words that no reader sees, which were left out"
    FORM = "stands in for a form that only Adobe's programs build"
    PORTFOLIO = "is the cover of a portfolio"


REMEDIES: Mapping[Reason, str] = {
    Reason.FAILED: "repair the file, or raise read.timeout or read.memory_mb where they are named",
    Reason.OCR_OFF: "read.ocr=auto",
    Reason.OCR_MISSING: "pip install 'pagetune[light]'",
    Reason.SCRIPT: "install a PP-OCR recognition model of the script in a folder, and name it: read.ocr_models=FOLDER",
    Reason.BADLY: "a better scan or read.ocr_long_side=2000, or a model of its script: read.ocr_models=FOLDER",
    Reason.FONT: "install it, or a font of the script; words that follow from the file's codes are read all the same",
    Reason.GLYPHS: "read.ocr=always, if they matter",
    Reason.UNSEEN: "nothing, unless they should be there",
    Reason.FORM: "print it to a PDF with Adobe's reader",
    Reason.PORTFOLIO: "take the files out of it and give them",
    Reason.EMPTY: "nothing, if it is a picture without text; else read.ocr_long_side=2000",
}

PAGES_NAMED = 5
"""Of a reason, pages that a line for a person names."""


class UnreadPage(NamedTuple):
    """A page that was not read, or not all of it; `detail` tells more about the reason, such as the script."""

    document: str
    page: int
    reason: Reason
    detail: str = ""


def group_unread(unread: Iterable[UnreadPage]) -> list[dict[str, Any]]:
    """One entry for each reason and detail, most pages first, as plain values for JSON.

    `pages` counts them, `where` maps a document to its pages ("3-5, 9"), `remedy` says what can be done.
    """
    groups: dict[tuple[Reason, str], dict[str, list[int]]] = {}
    for one in unread:
        groups.setdefault((one.reason, one.detail), {}).setdefault(one.document, []).append(one.page)
    entries: list[dict[str, Any]] = [
        {
            "reason": f"{reason} ({detail})" if detail else str(reason),
            "pages": sum(len(pages) for pages in where.values()),
            "where": {document: _ranges(sorted(set(pages))) for document, pages in where.items()},
            "remedy": REMEDIES[reason],
        }
        for (reason, detail), where in groups.items()
    ]
    return sorted(entries, key=lambda entry: (-entry["pages"], entry["reason"]))


def unread_line(entry: Mapping[str, Any]) -> str:
    """An entry of `group_unread` in a line for a person: the reason, the first pages, and what can be done."""
    named = []
    left = PAGES_NAMED
    for document, pages in entry["where"].items():
        ranges = pages.split(", ")
        named.append(f"{document} p. {', '.join(ranges[:left])}{' …' if len(ranges) > left else ''}")
        left -= len(ranges)
        if left <= 0:
            break
    more = " …" if len(named) < len(entry["where"]) and not named[-1].endswith("…") else ""
    count = entry["pages"]
    return f"{count} page{'s' * (count != 1)}: {entry['reason']}: {'; '.join(named)}{more}; {entry['remedy']}"


def _ranges(pages: list[int]) -> str:
    """3, 4, 5, 9 -> "3-5, 9"."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][1] + 1:
            runs[-1][1] = page
        else:
            runs.append([page, page])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
