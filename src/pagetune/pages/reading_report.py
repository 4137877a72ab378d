"""What came of reading: what is counted while the documents pass, and the report of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pagetune.pages.unread import Reason, UnreadPage, group_unread
from pagetune.records import Document, Page


@dataclass(frozen=True, slots=True)
class ReadingReport:
    """What came of reading. `documents`: all that were offered; `refused`: those of status "refused".

    `unread` names pages that were not read, or not wholly, and why. `digest` is the collection's content hash.
    """

    documents: tuple[Document, ...]
    pages: int
    ocr_pages: int
    duplicate_pages: int
    refused: tuple[Document, ...]
    seconds: float
    unread: tuple[UnreadPage, ...] = ()
    digest: str = ""

    @property
    def unread_pages(self) -> int:
        """The number of pages in `unread`."""
        return len({(page.document, page.page) for page in self.unread})

    def summary(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        status = Counter(document.status for document in self.documents)
        return {
            "documents": status["read"],
            "pages": self.pages,
            "ocr_pages": self.ocr_pages,
            "unread_pages": self.unread_pages,
            "duplicate_documents": status["duplicate"],
            "duplicate_pages": self.duplicate_pages,
            "refused": {document.path: document.reason for document in self.refused},
            "unread": group_unread(self.unread),
            "seconds": round(self.seconds, 2),
            "digest": self.digest,
        }


class Tally:
    """What the report counts while the documents pass."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.pages = self.ocr = self.duplicates = 0
        self.unread: list[UnreadPage] = []

    @property
    def digest(self) -> str:
        """The collection's content hash, as far as it has passed."""
        return self.hash.hexdigest()[:32]

    def add(self, document: Document, pages: Sequence[Page], note: dict[str, Any]) -> None:
        """Count a document's pages; `note` is what was kept beside them."""
        self.pages += len(pages)
        self.ocr += sum(page.origin == "ocr" for page in pages)
        self.duplicates += sum(page.duplicate_of is not None for page in pages)
        self.unread += [
            UnreadPage(document.id, page, Reason(reason), detail) for page, reason, detail in note["unread"]
        ]
        self.hash.update(f"{document.id}\0{document.digest}\0".encode())
        for page in pages:
            self.hash.update(f"{page.id}\0{page.digest}\0{page.kind}\0{page.origin}\0{page.duplicate_of}\0".encode())
            self.hash.update("\0".join(page.words).encode("utf-8", "replace"))
            for part in (page.boxes, page.sizes, page.lines):
                self.hash.update(part.tobytes())

    def report(self, documents: tuple[Document, ...], seconds: float) -> ReadingReport:
        """Of all that passed."""
        return ReadingReport(
            documents,
            self.pages,
            self.ocr,
            self.duplicates,
            tuple(document for document in documents if document.status == "refused"),
            seconds,
            tuple(self.unread),
            self.digest,
        )
