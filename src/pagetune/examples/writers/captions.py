"""Queries from the captions of figures, tables, listings and algorithms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pagetune.examples.drafts import Draft, Notes
from pagetune.examples.structure import Collection, DocumentStructure
from pagetune.layout.language import tidy
from pagetune.layout.words import fold, join, split
from pagetune.pages.lines import words_rects
from pagetune.records import QueryKind

_CONTINUED = re.compile(
    "continued|cont( d)?|fortsetzung|suite|continuación|continua|seguito|续|續|続き|계속|продолжение|تابع|συνέχεια"
)
_ENOUGH = 4  # words: a longer first sentence is the whole query


@dataclass(frozen=True)
class CaptionWriter:
    """One query for each caption: its words without "Figure 3.2:", cut after a whole sentence where it is long."""

    kind: QueryKind = "caption"

    def write(self, document: DocumentStructure, collection: Collection, notes: Notes) -> Iterator[Draft]:
        for number, captions in document.captions.items():
            page = document.laid.pages[number].page
            for caption in captions:
                if _CONTINUED.fullmatch(fold(caption.text)):
                    notes.drop("generic")
                    continue
                rects = words_rects(page, range(caption.start, caption.stop))
                yield Draft(_shorten(caption.text), "caption", page.id, rects, ((page.id, 2),), caption.label)


def _shorten(text: str) -> str:
    """The first sentence of a caption; the next ones too while it has few words."""
    sentences = re.split(r"(?<=[a-zà-ÿ\d)\]”\"][.!?])\s+(?=[A-ZÀ-Þ“\"(])|(?<=[。！？।۔])\s*(?=.)", text)
    kept = sentences[0]
    for sentence in sentences[1:]:
        if len(split(kept)) >= _ENOUGH:
            break
        kept = join([kept, sentence])
    return tidy(kept)
