"""How far two readings of one page hold the same words, whatever their order, and why the others differ.

A word here is what stands between spaces, in Unicode's compatible form (ligatures apart, wide letters as plain ones),
case folded, letters, digits and their marks only: hyphens, soft hyphens, punctuation and symbols go, and what was
nothing else is no word. Each character of a script that parts no words with spaces (Chinese, Japanese, Thai, Khmer …)
is a word. A word is found where the other page has it and not yet for another of the same; and where words next to
each other on one page, of those that are left, make up one word on the other (`text-` and `book`, `textbook`), all of
them are found. Both ways are the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal["page empty", "more often", "other accents", "apart differently", "other characters"]

_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]"
    "[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u102b-\u103e\u17b4-\u17d3]*)"
)


class _Kept(dict[int, str | None]):
    """For str.translate: characters of some of Unicode's categories stay, those of others go."""

    def __init__(self, gone: str) -> None:
        super().__init__()
        self.gone = gone

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        category = unicodedata.category(character)
        kept = character.isspace() or (category[0] not in self.gone and category not in self.gone.split())
        self[code] = character if kept else None
        return self[code]


# Accents that stand by themselves go before compatibility turns them into a space and a mark, which would then join the
# letter before them: whoever has `r´esum´e` has not read `résumé`. The controls that part runs of right-to-left writing
# count as spaces, as poppler puts no other between such runs.
_NO_ACCENTS = _Kept("Sk Cf Cc")
_NO_ACCENTS.update(dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), " "))
_ONLY_WORDS = _Kept("P S C Z")
_DOTLESS = re.compile("\u0131(?=[\u0300-\u036f])")


def words_of(text: str) -> list[str]:
    """The words of a page's text, as they are compared."""
    plain = unicodedata.normalize("NFKC", text.translate(_NO_ACCENTS)).casefold()
    # An accent takes the place of the dot: poppler keeps the dotless letter of old fonts before it.
    plain = unicodedata.normalize("NFC", _DOTLESS.sub("i", plain)).translate(_ONLY_WORDS)
    return _UNSPACED.sub(r" \1 ", plain).split()


@dataclass
class Matched:
    """Words of two readings, `left` and `right`: how many, and those that the other side has not, with the reasons."""

    left: int = 0
    right: int = 0
    left_missing: Counter[str] = field(default_factory=Counter)
    right_missing: Counter[str] = field(default_factory=Counter)
    left_reasons: Counter[Reason] = field(default_factory=Counter)
    right_reasons: Counter[Reason] = field(default_factory=Counter)

    @property
    def left_found(self) -> float:
        """The share of the left side's words that the right side has; 1 where there are none."""
        return 1 - self.left_missing.total() / self.left if self.left else 1.0

    @property
    def right_found(self) -> float:
        """The share of the right side's words that the left side has."""
        return 1 - self.right_missing.total() / self.right if self.right else 1.0

    def __iadd__(self, other: Matched) -> Matched:
        self.left, self.right = self.left + other.left, self.right + other.right
        self.left_missing += other.left_missing
        self.right_missing += other.right_missing
        self.left_reasons += other.left_reasons
        self.right_reasons += other.right_reasons
        return self


def match(left: Sequence[str], right: Sequence[str]) -> Matched:
    """Compare the words of one page."""
    both = Counter(left) & Counter(right)
    lefts, rights = _rest(left, both), _rest(right, both)
    lefts, rights = _without_joined(lefts, rights)
    rights, lefts = _without_joined(rights, lefts)
    return Matched(
        len(left),
        len(right),
        Counter(lefts),
        Counter(rights),
        Counter(_reason(word, right, rights) for word in lefts),
        Counter(_reason(word, left, lefts) for word in rights),
    )


def _rest(words: Sequence[str], found: Counter[str]) -> list[str]:
    budget, rest = Counter(found), []
    for word in words:
        if budget[word]:
            budget[word] -= 1
        else:
            rest.append(word)
    return rest


def _without_joined(whole: Sequence[str], parts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Both sides without each word of `whole` that a run of words of `parts` makes up, and without that run."""
    text = "".join(parts)
    starts: dict[int, int] = {}
    at = 0
    for number, part in enumerate(parts):
        starts[at] = number
        at += len(part)
    starts[at] = len(parts)
    used = [False] * len(parts)
    rest = []
    for word in whole:
        place = text.find(word)
        while place >= 0:
            first, last = starts.get(place), starts.get(place + len(word))
            if first is not None and last is not None and not any(used[first:last]):
                used[first:last] = [True] * (last - first)
                break
            place = text.find(word, place + 1)
        if place < 0:
            rest.append(word)
    return rest, [part for part, gone in zip(parts, used, strict=True) if not gone]


def _reason(word: str, other: Sequence[str], other_rest: Sequence[str]) -> Reason:
    """Why the other side has not got a word; `other_rest`: what of that side is not found here."""
    if not other:
        return "page empty"
    if word in other:
        return "more often"
    if _bare(word) in map(_bare, other_rest):
        return "other accents"
    if len(word) > 1 and word in "".join(other):
        return "apart differently"
    return "other characters"


def _bare(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
