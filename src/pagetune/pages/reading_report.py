"""What came of reading: what is counted while the documents pass, and the report of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pagetune.records import Document, Page


@dataclass(frozen=True, slots=True)
class ReadingReport:
    """What came of reading. `documents`: all that were offered; `refused`: those of status "refused".

    `faults` counts pages by what was wrong with their text layer; `unread` those of them that OCR has not read;
    `notes` names pages that failed within a document that was read. `digest` is the collection's content hash.
    """

    documents: tuple[Document, ...]
    pages: int
    ocr_pages: int
    duplicate_pages: int
    refused: tuple[Document, ...]
    seconds: float
    unread: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    digest: str = ""

    def summary(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        status = Counter(document.status for document in self.documents)
        return {
            "documents": status["read"],
            "pages": self.pages,
            "ocr_pages": self.ocr_pages,
            "unread_pages": self.unread,
            "duplicate_documents": status["duplicate"],
            "duplicate_pages": self.duplicate_pages,
            "text_layer_faults": self.faults,
            "refused": {document.path: document.reason for document in self.refused},
            "notes": list(self.notes),
            "seconds": round(self.seconds, 2),
            "digest": self.digest,
        }


class Tally:
    """What the report counts while the documents pass."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}
        self.hash = hashlib.sha256()
        self.pages = self.ocr = self.duplicates = self.unread = 0
        self.faults: Counter[str] = Counter()
        self.notes: list[str] = []

    @property
    def digest(self) -> str:
        """The collection's content hash, as far as it has passed."""
        return self.hash.hexdigest()[:32]

    def add(self, document: Document, pages: Sequence[Page], note: dict[str, Any]) -> None:
        """Count a document's pages; `note` is what was kept beside them."""
        self.pages += len(pages)
        self.ocr += sum(page.origin == "ocr" for page in pages)
        self.duplicates += sum(page.duplicate_of is not None for page in pages)
        self.unread += int(note["unread"])
        self.faults.update(note["faults"])
        self.notes.extend(f"{document.id}: {line}" for line in note["notes"][:20])
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
            self.unread,
            dict(sorted(self.faults.items())),
            tuple(self.notes),
            self.digest,
        )
