"""One document on its way: what its workers have answered so far, and the pages that come of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pagetune.pages.geometry import Frame
from pagetune.pages.ocr import Found
from pagetune.pages.pool import Blob
from pagetune.pages.sources import Offered
from pagetune.pages.unread import Reason
from pagetune.pages.words import Words, join_cut_words, no_words, unpack
from pagetune.records import SOURCES, Page

DIGEST_OF_PIXELS_BELOW = 50
"""A page of fewer words is told apart by its pixels too; as worker.THIN_PAGE."""

INKED = 0.02
"""The share of a page that stands out from its ground, from which it is more than a rule or a speck."""

_KEPT_THOUGH_FAULTY = frozenset({"a picture with hardly any text"})
_UNTITLED = ("untitled", "microsoft word", "microsoft powerpoint", "slide 1", "document1", "(anonymous)")


@dataclass(slots=True)
class PageParts:
    """What is known of one page; `failed` says why nothing is, `ocr` what OCR made of it.

    `hidden`: its layer is not painted and a picture lies behind it; `agrees`: whether OCR has found the layer's words
    there, None where it was not asked. `missing`: what the worker has not read, or has left out.
    """

    width: float
    height: float
    frame: Frame
    words: Words
    fault: str | None = None
    blank: bool = False
    pixels: str = ""
    ink: float = 0.0
    hidden: bool = False
    failed: str = ""
    ocr: Found | None = None
    agrees: bool | None = None
    missing: tuple[tuple[Reason, str], ...] = ()

    @classmethod
    def of(cls, message: dict[str, Any], blobs: Sequence[Blob]) -> PageParts:
        """From a worker's answer to "pages". Raises ValueError, TypeError or LookupError where it is not one."""
        frame = Frame(*message["frame"])
        parts = cls(float(message["width"]), float(message["height"]), frame, unpack(blobs))
        parts.fault, parts.blank, parts.pixels = message["fault"], bool(message["blank"]), str(message["pixels"])
        parts.ink, parts.hidden = float(message["ink"]), bool(message["hidden"])
        parts.missing = tuple((Reason(reason), str(detail)) for reason, detail in message["lost"])
        return parts

    @classmethod
    def lost(cls, reason: str) -> PageParts:
        """A page that could not be read; it is taken to be a letter page, as PDF readers do."""
        return cls(612.0, 792.0, Frame(0, 0, 612, 792), no_words(), failed=reason)

    def best(self, never_ocr: bool) -> tuple[Words, Literal["text layer", "ocr", "none"]]:
        """The words to use and where they are from."""
        layer = self.words
        usable = self.fault is None or self.fault in _KEPT_THOUGH_FAULTY or never_ocr
        if self.agrees is not None:
            usable = self.agrees
        if self.ocr is not None and (not usable or len(self.ocr.words.words) >= len(layer.words)):
            return (self.ocr.words, "ocr") if self.ocr.words.words else (no_words(), "none")
        if self.hidden:
            layer = layer._replace(
                sources=np.where(layer.sources == 0, np.uint8(SOURCES.index("hidden layer")), layer.sources)
            )
        return (layer, "text layer") if usable and layer.words else (no_words(), "none")

    def unread(self, origin: str, without_ocr: Reason) -> Iterator[tuple[Reason, str]]:
        """Why this page, whose words are from `origin`, or a part of it was not read; `without_ocr`: why OCR was not
        asked, where it was not."""
        yield from self.missing
        if self.failed:
            yield Reason.FAILED, self.failed
        elif self.blank:
            return
        elif self.ocr is None:
            if self.fault is not None:
                yield without_ocr, self.fault
        elif self.ocr.trouble is not None and (origin != "text layer" or self.fault is not None):
            yield self.ocr.trouble, self.ocr.detail
        elif origin == "none" and self.ink > INKED:
            yield Reason.EMPTY, ""


@dataclass(slots=True)
class DocumentWork:
    """A document between its opening and its last page."""

    offered: Offered
    path: Path
    format: str
    total: int = 0
    outer: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    pages: dict[int, PageParts] = field(default_factory=dict)
    pending: int = 0
    kills: int = 0
    reason: str = ""

    def finish(self, without_ocr: Reason) -> tuple[list[Page], dict[str, Any]]:
        """Pages (ids and kinds not given yet) and the note that is kept with them. `without_ocr`: why a page was not
        given to OCR, where it was not."""
        parts = [self.pages[index] for index in range(self.total)]
        chosen = [part.best(without_ocr is Reason.OCR_OFF) for part in parts]
        words = join_cut_words([found for found, _ in chosen])
        pages = [
            _page(number, part, found, origin)
            for number, (part, found, (_, origin)) in enumerate(zip(parts, words, chosen, strict=True), start=1)
        ]
        unread = [
            [page.number, reason, detail]
            for page, part in zip(pages, parts, strict=True)
            for reason, detail in part.unread(page.origin, without_ocr)
        ]
        metadata = self.about.get("metadata", {})
        note = {
            "format": self.outer or self.format,
            "source": self.path.name,
            "title": _title(metadata.get("Title", "")),
            "metadata": metadata,
            "outline": [self._entry(*entry) for entry in self.about.get("outline", [])],
            "unread": unread,
        }
        return pages, note

    def _entry(self, level: int, title: str, page: int, top: float | None) -> list[Any]:
        part = self.pages.get(page - 1)
        if top is None or part is None:
            return [level, title, page, None]
        shown = part.frame.height_of(top)
        # A height above the page's edge means its top, as writers use 0 or 10,000 for "just this page".
        return [level, title, page, None if shown is None else min(max(shown, 0.0), part.height)]


def _page(number: int, part: PageParts, found: Words, origin: Literal["text layer", "ocr", "none"]) -> Page:
    text = " ".join(found.words).casefold()
    if len(found.words) < DIGEST_OF_PIXELS_BELOW:
        text += f"\0{part.pixels}"
    digest = "" if part.failed else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
    return Page(
        id="",
        document="",
        number=number,
        width=part.width,
        height=part.height,
        words=tuple(found.words),
        boxes=found.boxes,
        sizes=found.sizes,
        lines=found.lines,
        sources=found.sources,
        origin=origin,
        digest=digest,
    )


def _title(title: str) -> str:
    plain = " ".join(title.split())
    return "" if plain.lower().startswith(_UNTITLED) else plain
