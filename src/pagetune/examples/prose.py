"""The sentences of a page's body text, each with the words that it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pagetune.examples.layout import LaidPage, follows
from pagetune.layout.language import core
from pagetune.layout.words import has_case, is_solid, join, script_of

_CLOSING = "\"'”’»)\\]」』）】》〉"
_END = re.compile(rf"[.!?…][{_CLOSING}]*$")
_OWN_END = re.compile(rf"[。！？｡।॥۔؟።፧။៕։།][{_CLOSING}]*$|។$")
"""The marks that end sentences and nothing else, whatever follows."""
_ABBREVIATION = re.compile(
    r"(?:[^\W\d_]\.)+|(?:e\.g|i\.e|etc|cf|vs|fig|figs|tab|eq|eqs|sec|sect|ch|chap|no|nos|vol|pp|p|ed|eds|al|resp|approx"
    r"|dr|mr|mrs|ms|prof|st|inc|ltd|co|jr|bzw|ca|ggf|vgl|usw|abb|nr|evtl|inkl|sog|bspw|env|núm|pág|sr|sra|art|ex)\.",
    re.I,
)
_PARAGRAPH_LINES = 200
_SPACE = 0.12  # sizes of type
_LONG_ENOUGH = 8  # words of Thai or Lao, which end a sentence with nothing but a space, as they do a clause


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence: its words as they are printed (broken ones joined) and their positions on the page.

    `gaps` has the distance of each word from the one before, see `Page.gaps`; empty where only scripts with spaces are.
    """

    words: tuple[str, ...]
    positions: tuple[int, ...]
    paragraph: int
    gaps: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        return self.part(0, len(self.words))

    @property
    def whole(self) -> bool:
        """Whether it ends as sentences of its script do."""
        return ends_sentence(self.words[-1]) or script_of(core(self.words[-1])[:1] or " ") in _UNMARKED

    def part(self, start: int, stop: int) -> str:
        """The words `start` up to `stop` as text."""
        words = self.words[start:stop]
        return join(words, self.gaps[start:stop]) if self.gaps else " ".join(words)


_UNMARKED = ("THAI", "LAO")


def ends_sentence(word: str) -> bool:
    """Whether a word has a mark at its end that ends sentences."""
    return re.search(rf"[.!?][{_CLOSING}]*$", word) is not None or _OWN_END.search(word) is not None


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
    gaps: list[float] = []
    spoken = page.page.words
    stream = [position for index in paragraph for position in range(page.lines[index].start, page.lines[index].stop)]
    starts = {page.lines[index].start for index in paragraph}
    apart = page.page.gaps(stream) if is_solid(spoken[position] for position in stream) else []
    for place, position in enumerate(stream):
        word = spoken[position]
        if words and position in starts and re.search(r"[^\W\d_]{2}[-\u00ad]$", words[-1]) and word[:1].islower():
            words[-1] = words[-1][:-1] + word
        else:
            words.append(word)
            gaps += apart[place : place + 1]
        positions.append(position)
        after = spoken[stream[place + 1]] if place + 1 < len(stream) else ""
        clause = len(words) >= _LONG_ENOUGH and apart and after and apart[place + 1] > _SPACE
        if _ends(words[-1], after) or (clause and script_of(word[-1]) in _UNMARKED):
            yield Sentence(tuple(words), tuple(positions), number, tuple(gaps))
            words, positions, gaps = [], [], []
    if words:
        yield Sentence(tuple(words), tuple(positions), number, tuple(gaps))


def _ends(word: str, after: str) -> bool:
    if _OWN_END.search(word):
        return True
    if not _END.search(word):
        return False
    if word[-1] == "." and _ABBREVIATION.fullmatch(word.lstrip("([\"'“")) and after:
        return False
    head = after.lstrip("([\"'“‘«¿¡「『（【《")
    if not head:
        return True
    begins = (
        head[:1].isupper() or head[:1].isdigit() or head[:1] in "•–—*" or (head[0].isalpha() and not has_case(head[0]))
    )
    return begins or not core(word)
