"""What a word is, script by script: where a text is cut into words, how words become a text again, how they fold.

A word is what stands between two spaces, with the marks around it. Chinese, Japanese, Thai, Lao, Khmer and Burmese
write no spaces: there the dictionaries of ICU say where words end (UAX 29), and a mark goes with the word before it,
an opening one with the word after. Tibetan is cut at the dots between its syllables.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

HAN = "\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
KANA = "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
STACKED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59\u0e81-\u0edf\u1000-\u1049\u1050-\u109f\ua9e0-\ua9fe\uaa60-\uaa7f"
    "\u1780-\u17d3\u17d7\u17dc-\u17e9"
)
"""Thai, Lao, Burmese and Khmer: no spaces, and marks above and below."""
TIBETAN = "\u0f00-\u0fff"
HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb"
_SOLID = f"{HAN}{KANA}{STACKED}{TIBETAN}"
"""Characters of scripts that write no spaces."""
_SOLID_MARKS = (
    "\u3001-\u3004\u3008-\u3020\u3030\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff65\u2010-\u2027\u2030-\u203b"
    "\u104a-\u104f\u17d4-\u17da"
)
"""Their marks, and those that they share with Latin type."""

OTHER = re.compile("[\u0300-\u1dff\u200c\u200d\u2c80-\ua71f\ua800-\ufaff\ufb13-\U0010ffff]")
"""What Latin text without marks of its own has none of."""
UNSPACED = re.compile(f"[{_SOLID}]")
_FACING = re.compile(f"[{_SOLID}{_SOLID_MARKS}]")
_WIDE = re.compile(f"[{HAN}{KANA}{_SOLID_MARKS}]")
_SYLLABIC = re.compile(f"[{HAN}{KANA}{HANGUL}]")
_TOKEN = re.compile(r"[^\s\u200b]+")
_RUNS = re.compile(f"(?P<run>[{HAN}{KANA}{STACKED}]+)|(?P<syllables>[{TIBETAN}]+)|[^{_SOLID}]+")
_SYLLABLE = re.compile("[^\u0f0b-\u0f14]+[\u0f0b-\u0f14]*|[\u0f0b-\u0f14]+")
_FOUR = re.compile(f"[{HAN}]{{4}}")
_WRAPPED = re.compile(f"(?<=[{HAN}{KANA}{STACKED}])\r?\n(?=[{HAN}{KANA}{STACKED}])")
_THAI_AM, _LAO_AM = re.compile("\u0e4d([\u0e48-\u0e4b]?)\u0e32"), re.compile("\u0ecd([\u0ec8-\u0ecb]?)\u0eb2")
_PERSIAN_PART = re.compile("(?<=[\u0620-\u06d3])\u200c(?=[\u0620-\u06d3])")
_SAME = {
    **dict.fromkeys("أإآٱ", "ا"),
    **dict.fromkeys("ىیےئ", "ي"),
    **dict.fromkeys("ۂۀہھە", "ه"),
    **{"ک": "ك", "ؤ": "و", "ς": "σ", "ё": "е", "ँ": "ं", "ৎ": "ত্", "ഩ": "ന"},
    **{"ൺ": "ണ്", "ൻ": "ന്", "ർ": "ര്", "ൽ": "ല്", "ൾ": "ള്", "ൿ": "ക്"},
}
"""Letters and what they fold to; the last are Malayalam's letters without a vowel, which are written in two ways."""
_SPACE, _SPACE_OF_HAN = 0.12, 0.6
"""Sizes of type: a wider gap beside a word of such a script is a space; type that is spaced out is set wider."""


@lru_cache(maxsize=1 << 14)
def script_of(character: str) -> str:
    """The first word of the character's Unicode name, which for a letter names its script ("LATIN", "CJK" for Han)."""
    return "LATIN" if character.isascii() else unicodedata.name(character, "").partition(" ")[0]


def is_mark(character: str) -> bool:
    """Whether it stands on, below or around a letter: a vowel sign, a tone, an accent of its own."""
    return unicodedata.category(character)[0] == "M"


def letters_of(text: str) -> int:
    """How many letters a text has, and marks upon them."""
    found = sum(map(str.isalpha, text))
    return found if text.isascii() else found + sum(map(is_mark, text))


def is_short(word: str) -> bool:
    """Whether a word of so few letters says little: less than three, or two where a character is a syllable."""
    return len(word) < 3 and (len(word) < 2 or not _SYLLABIC.match(word))


def has_case(text: str) -> bool:
    """Whether it has a letter of a script that begins sentences and names with capitals."""
    return any(character.lower() != character.upper() and script_of(character) != "GEORGIAN" for character in text)


# Cutting ------------------------------------------------------------------------------------------------------------


def split(text: str) -> list[str]:
    """The words of a text as a reader counts them, with the marks around them: `str.split` where spaces part words."""
    if text.isascii() or not UNSPACED.search(text):
        return text.split()
    return [text[start:stop] for start, stop in spans(text)]


def spans(text: str) -> list[tuple[int, int]]:
    """Where the words of a text stand: [start, stop) of each."""
    found: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(text):
        found.extend((token.start() + start, token.start() + stop) for start, stop in cut(token.group()))
    return found


def cut(token: str) -> list[tuple[int, int]]:
    """The words of what stands between two spaces: [start, stop) of each, with nothing left out between them."""
    if token.isascii() or not UNSPACED.search(token):
        return [(0, len(token))]
    cores = [*_cores(token)]
    if not cores:
        return [(0, len(token))]
    edges = [0]
    for (_, stop), (start, _) in pairwise(cores):
        while start > stop and _opens(token[start - 1]):
            start -= 1
        edges.append(start)
    edges.append(len(token))
    return [*pairwise(edges)]


def _cores(token: str) -> Iterator[tuple[int, int]]:
    """The words of a token without the marks around them."""
    for part in _RUNS.finditer(token):
        at = part.start()
        if part["run"]:
            for length in _segments(part.group()):
                yield at, at + length
                at += length
        elif part["syllables"]:
            for syllable in _SYLLABLE.finditer(part.group()):
                if any(map(str.isalnum, syllable.group())):
                    yield at + syllable.start(), at + syllable.end()
        else:
            solid = [place for place, character in enumerate(part.group()) if character.isalnum()]
            if solid:
                yield at + solid[0], at + solid[-1] + 1


@lru_cache(maxsize=1 << 14)
def _segments(run: str) -> tuple[int, ...]:
    """The lengths of the words of a run of one such script, in characters, as ICU's dictionaries part them.

    Four Han characters that a dictionary has as one word are two words of two, as their like are that it does not have.
    A character beyond the first plane is in no dictionary, and stands in names: it goes with the word after it.
    """
    from icu4py.breakers import WordBreaker

    lengths: list[int] = []
    rare = 0
    # Iterated for its strings: the positions that it can give count UTF-16 units.
    for word in WordBreaker(run, "root"):
        if len(word) == 1 and word > "\U00020000":
            rare += 1
            continue
        lengths += (2, 2) if _FOUR.fullmatch(word) and not rare else (rare + len(word),)
        rare = 0
    return (*lengths, rare) if rare else tuple(lengths)


def _opens(character: str) -> bool:
    return unicodedata.category(character) in ("Ps", "Pi", "Sc")


# Joining ------------------------------------------------------------------------------------------------------------


def is_solid(words: Iterable[str]) -> bool:
    """Whether there is a character of a script without spaces in them."""
    text = "".join(words)
    return not text.isascii() and UNSPACED.search(text) is not None


def join(words: Sequence[str], gaps: Sequence[float] | None = None) -> str:
    """Words as one line of text: a space between two, but none where their script writes none.

    `gaps` has the distance of each word from the one before in sizes of type (the first one's is not looked at), NaN
    where a line ends between them, infinity where words between them are left out; without them the scripts decide.
    """
    if not is_solid(words):
        return " ".join(words)
    parts = [*words[:1]]
    for place in range(1, len(words)):
        gap = float("nan") if gaps is None else gaps[place]
        parts.append("" if _together(words[place - 1], words[place], gap) else " ")
        parts.append(words[place])
    return "".join(parts)


def _together(before: str, after: str, gap: float) -> bool:
    """Whether two words stand together without a space."""
    left, right = before[-1:], after[:1]
    if not (UNSPACED.match(left) or UNSPACED.match(right)):
        return False
    if gap != gap:  # NaN: nobody measured it
        return bool(_FACING.match(left) and _FACING.match(right))
    return gap < (_SPACE_OF_HAN if _WIDE.match(left) and _WIDE.match(right) else _SPACE)


def unwrap(text: str) -> str:
    """A text without the line ends that stand between two characters of a script without spaces."""
    return text if text.isascii() else _WRAPPED.sub("", text)


# Folding ------------------------------------------------------------------------------------------------------------


def fold(text: str) -> str:
    """The same words typed differently fold to the same text: case, ligatures, vowel signs, punctuation, spaces."""
    if not OTHER.search(text):
        return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))
    plain = unwrap(normal(text))
    words = (match.group() for match in word_pattern().finditer(plain))
    if not UNSPACED.search(plain):
        return " ".join(words)
    return " ".join(word[start:stop] for word in words for start, stop in cut(word))


def normal(text: str, case: Callable[[str], str] = str.casefold) -> str:
    """A text in one spelling: NFKC, one case, the digits of all scripts as 0 to 9, and what the search engines of a
    script fold: Arabic and Hebrew without vowel signs, one alef, yeh, kaf and heh; Greek without accents; Devanagari
    without nukta; no joiners and variation selectors (where one parts the endings of a Persian word, a space)."""
    folded = case(unicodedata.normalize("NFKC", text))
    if folded.isascii():
        return folded
    # NFKC takes the Thai and the Lao vowel AM apart, and the dictionaries have it whole.
    folded = _LAO_AM.sub("\\1\u0eb3", _THAI_AM.sub("\\1\u0e33", _PERSIAN_PART.sub(" ", folded)))
    return folded.translate(_table())


@lru_cache(maxsize=1)
def word_pattern() -> re.Pattern[str]:
    """A word: letters, digits and underscores with the marks on them, of which `re` knows nothing."""
    return re.compile(f"\\w[\\w{marks()}]*")


@lru_cache(maxsize=1)
def marks() -> str:
    """The combining marks (categories Mn, Mc and Me) as the inside of a character class."""
    found: list[list[int]] = []
    for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)):
        if unicodedata.category(chr(code))[0] == "M":
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return "".join(f"{chr(start)}-{chr(stop)}" for start, stop in found)


@lru_cache(maxsize=1)
def _table() -> dict[int, str | int | None]:
    """What `normal` puts in the place of single characters."""
    table: dict[int, str | int | None] = {}
    for code in range(0x370, 0x20000):
        character = chr(code)
        digit = unicodedata.decimal(character, None)
        if digit is not None:
            table[code] = str(digit)
        elif script_of(character) == "GREEK":
            table[code] = unicodedata.normalize("NFD", character)[0]
        elif script_of(character) in ("ARABIC", "HEBREW") and unicodedata.category(character) == "Mn":
            table[code] = None
    table |= dict.fromkeys((*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x200C, 0x200D, 0x640, 0x93C))
    return table | str.maketrans(_SAME)
