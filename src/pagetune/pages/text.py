"""Whether a page's text layer can be used, judged from the characters alone."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import numpy as np

from pagetune.layout.words import is_mark, script_of, split
from pagetune.pages.scripts import UNSPACED, mixes_scripts

FEW_WORDS = 20
"""A page with a picture over most of it and fewer words than this is a scan with a stamp or a running head on it."""

PICTURE_BEHIND = 0.5
"""The share of the page from which a picture counts as what the page is."""

_CODES = re.compile(r"[\x0b\x0c\x1c-\x1f\x85]")
_SPACE = re.compile(r"[^\S\x0b\x0c\x1c-\x1f\x85]+")
"""White space without the control codes that Python counts as such: in a text layer they are a fault."""
_LEADERS = re.compile(r"[.·_\-=*|+~#<>/\\\u2010-\u2015\u2022\u2026\u2500-\u259f]{3,}")
_RUN = re.compile(r"[^\W\d_]{4,}")
_LONG_RUN = 31
"""Letters; no word of a script that parts words with spaces has as many."""
_VOWELS = frozenset("aeiouyäöüàáâãåæèéêëìíîïòóôõøùúûýœąęįųěůőűāēīōūıаеёиоуыэюяіїєαεηιουωάέήίόύώ")

_VOWELLESS = re.compile("(?<![^ ])[b-df-hj-np-tv-xz]+(?![^ ])")
"""A run of plain Latin letters without a vowel."""
_ALIKE = dict.fromkeys(map(ord, "ABCEHIKMOPSTXYaceiopsxyhАВСЕНІКМОРЅТХУасеіорѕхуһΑΒΕΗΙΚΜΝΟΡΤΥΧΖον"))
"""Letters of Latin, Cyrillic and Greek that look alike, and are typed for each other."""


def text_layer_fault(text: str, *, picture: float = 0.0, visible: bool = True) -> str | None:
    """Why the text layer of a page cannot be used; None if it can.

    `text`: the layer as it came, whitespace and all. `picture`: the share of the page that its pictures cover.
    `visible`: False when the words are not painted (which is right over a picture: somebody's OCR, and wrong without).
    That such a hidden layer says what the picture shows is for `ocr.Ocr.agrees` to tell.
    """
    words = [word for word in _SPACE.split(text) if word] if _CODES.search(text) else text.split()
    if not words:
        return "no text layer"
    if not visible and picture < PICTURE_BEHIND:
        return "text is not visible"
    fault = _broken_characters("".join(words)) or _broken_words(words)
    if fault is None and visible and picture > PICTURE_BEHIND and len(split(text)) < FEW_WORDS:
        return "a picture with hardly any text"
    return fault


def _broken_characters(characters: str) -> str | None:
    if characters.isascii() and characters.isprintable():
        return None
    total = len(characters)
    counts = Counter(characters)
    lost = counts["\ufffd"]
    private = sum(n for c, n in counts.items() if "\ue000" <= c <= "\uf8ff" or c >= "\U000f0000")
    control = sum(n for c, n in counts.items() if c < " " or "\x7f" <= c < "\xa0")
    if lost > 0.1 * total:
        return "replacement characters"
    if private > 0.1 * total:
        return "private-use glyphs"
    if control + lost + private > 0.1 * total:
        return "control characters"
    return None


def _broken_words(words: list[str]) -> str | None:
    whole = " ".join(words)
    plain = _counts(_LEADERS.sub("", whole) if _LEADERS.search(whole) else whole)
    for leader in " .":  # A table of contents is mostly dots, which is no fault.
        plain.pop(leader, None)
    total = sum(plain.values())
    letters = sum(number for character, number in plain.items() if character.isalpha())
    if total >= 200 and sum(n for c, n in plain.items() if c.isalnum() or is_mark(c)) < 0.4 * total:
        return "mostly symbols"
    if letters < 60:
        return None
    scripts: Counter[str] = Counter()
    for character, number in plain.items():
        if character.isalpha():
            scripts[script_of(character)] += number
    if sum(scripts[name] for name in UNSPACED) > 0.3 * letters:
        return None  # These scripts do not part words with spaces, and have no vowels to count.
    runs = _RUN.findall(whole.lower())
    longest = max(map(len, runs), default=0)
    if longest >= _LONG_RUN and sum(len(run) for run in runs if len(run) >= _LONG_RUN) > 0.4 * letters:
        return "no spaces"
    apart = len(words) >= 60 and len(whole) < 4 * len(words)  # As single letters and their spaces are short of it.
    if apart and sum(len(word) == 1 and word.isalpha() for word in words) > 0.6 * len(words):
        return "letters apart"
    return _broken_spelling({*runs}, single=len(scripts) < 2)


def _broken_spelling(runs: set[str], *, single: bool) -> str | None:
    """Judge the distinct runs of four or more letters; `single`: all letters are of one script."""
    if len(runs) < 15:
        return None
    other = [run for run in runs if not run.isascii()]
    if not single and sum(mixes_scripts(run.translate(_ALIKE)) for run in other) > 0.25 * len(runs):
        return "wrong script"
    strange = {run for run in other if script_of(run[0]) not in ("LATIN", "CYRILLIC", "GREEK")}
    judged = len(runs) - len(strange)
    bare = sum(_VOWELS.isdisjoint(_plain(run)) for run in other if run not in strange)
    bare += len(_VOWELLESS.findall(" ".join(runs)))
    return "gibberish" if judged >= 15 and bare > 0.4 * judged else None


def _counts(text: str) -> Counter[str]:
    """How often each character stands in a text."""
    if not text.isascii():
        return Counter(text)
    numbers = np.bincount(np.frombuffer(text.encode("ascii"), np.uint8)).tolist()
    return Counter({chr(code): number for code, number in enumerate(numbers) if number})


def _plain(word: str) -> str:
    return word + "".join(c for c in unicodedata.normalize("NFD", word) if c.isalpha())
