"""The sentences of a page's body text, each with the words that it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pagetune.examples.layout import LaidPage, follows
from pagetune.layout.language import core

_END = re.compile(r"[.!?…][\"'”’»)\]]*$")
_ABBREVIATION = re.compile(
    r"(?:[^\W\d_]\.)+|(?:e\.g|i\.e|etc|cf|vs|fig|figs|tab|eq|eqs|sec|sect|ch|chap|no|nos|vol|pp|p|ed|eds|al|resp|approx"
    r"|dr|mr|mrs|ms|prof|st|inc|ltd|co|jr|bzw|ca|ggf|vgl|usw|abb|nr|evtl|inkl|sog|bspw|env|núm|pág|sr|sra|art|ex)\.",
    re.I,
)
_PARAGRAPH_LINES = 200


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence: its words as they are printed (broken ones joined) and their positions on the page."""

    words: tuple[str, ...]
    positions: tuple[int, ...]
    paragraph: int

    @property
    def text(self) -> str:
        return " ".join(self.words)


def sentences(page: LaidPage, leave_out: AbstractSet[int], body_size: float) -> list[Sentence]:
    """The sentences of a page in reading order, without the lines `leave_out` and without small type."""
    found: list[Sentence] = []
    for number, paragraph in enumerate(_paragraphs(page, leave_out, body_size)):
        found.extend(_cut(page, paragraph, number))
    return found


def _paragraphs(page: LaidPage, leave_out: AbstractSet[int], body_size: float) -> Iterator[list[int]]:
    block: list[int] = []
    for index, line in enumerate(page.lines):
        if index in leave_out or line.size < 0.75 * body_size:
            continue
        if block and not (block[-1] == index - 1 and follows(line, page.lines[block[-1]])):
            yield block
            block = []
        block.append(index)
        if len(block) >= _PARAGRAPH_LINES:
            yield block
            block = []
    if block:
        yield block


def _cut(page: LaidPage, paragraph: Sequence[int], number: int) -> Iterator[Sentence]:
    words: list[str] = []
    positions: list[int] = []
    spoken = page.page.words
    stream = [position for index in paragraph for position in range(page.lines[index].start, page.lines[index].stop)]
    starts = {page.lines[index].start for index in paragraph}
    for place, position in enumerate(stream):
        word = spoken[position]
        if words and position in starts and re.search(r"[^\W\d_]{2}[-\u00ad]$", words[-1]) and word[:1].islower():
            words[-1] = words[-1][:-1] + word
        else:
            words.append(word)
        positions.append(position)
        after = spoken[stream[place + 1]] if place + 1 < len(stream) else ""
        if _ends(words[-1], after):
            yield Sentence(tuple(words), tuple(positions), number)
            words, positions = [], []
    if words:
        yield Sentence(tuple(words), tuple(positions), number)


def _ends(word: str, after: str) -> bool:
    if not _END.search(word):
        return False
    if word[-1] == "." and _ABBREVIATION.fullmatch(word.lstrip("([\"'“")) and after:
        return False
    head = after.lstrip("([\"'“‘«¿¡")
    return not head or head[0].isupper() or head[0].isdigit() or head[0] in "•–—*" or not core(word)
