"""What a lexical index counts: the words of a text folded, without stop words, stemmed; or pieces of them.

By script, so that a query and a page meet whatever else stands around the word:

- letters with spaces between words: Snowball's stems, by the language asked for, else by the script's own where
  Snowball has one; Arabic and Hebrew words also without the article, and the prepositions before it, that are
  written with them;
- Han and kana: every two neighbours, and each Han character alone (Lucene's CJK bigrams);
- Korean: every two syllables of a word, and a noun of one syllable without its particle;
- Thai, Lao, Khmer, Burmese: the dictionary's words, and every two neighbouring clusters of a letter and its marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pagetune.layout.words import HAN, HANGUL, KANA, OTHER, STACKED, cut, is_mark, marks, normal, script_of, unwrap

_LATIN_WORD = re.compile(r"\b\w\w+\b")
_BROKEN = re.compile(r"(?<=\w)[-\u00ad\u2010]\n(?=\w)")
_OWN_STEMMER = {
    **{"CYRILLIC": "russian", "GREEK": "greek", "ARABIC": "arabic", "DEVANAGARI": "hindi"},
    **{"TAMIL": "tamil", "ARMENIAN": "armenian"},
}
_OF_SCRIPT = {"serbian": "CYRILLIC", "russian": "CYRILLIC", "nepali": "DEVANAGARI", "yiddish": "HEBREW"}
_ROUGH = frozenset({"tamil", "armenian"})
"""Stems that leave so little that the whole word counts too."""
_PARTICLES = "은|는|이|가|을|를|에|의|도|로|와|과|만|에서|에게|까지|부터|으로|이나|처럼|보다|에는|에도|에서는|이다"
_PARTICLE = re.compile(f"(.)(?:{_PARTICLES})")
_ENDING = re.compile(f"(?<=..)(?:{_PARTICLES})$")
_IDEOGRAPH = re.compile(f"[{HAN}]")
_HANGUL = re.compile(f"[{HANGUL}]")
_THE = re.compile("^[وف]?(?:[بك]?ال|لل)(?=..)")
_HEBREW_PREFIX = re.compile("[והבלכמש](?=...)")


def terms(text: str, language: str = "english") -> list[str]:
    """The terms of a text, in order. `language`: by Snowball's name; one that it does not know is not stemmed."""
    stop, stemmer = _tools(language)
    text = unicodedata.normalize("NFKC", text)
    if not text.isascii() and OTHER.search(text):
        return [*_terms_of_scripts(text, language)]
    words = [word for word in _LATIN_WORD.findall(_BROKEN.sub("", text).lower()) if word not in stop]
    return words if stemmer is None else stemmer.stemWords(words)


@lru_cache(maxsize=32)
def _tools(language: str) -> tuple[frozenset[str], Any]:
    import bm25s.stopwords as lists
    import Stemmer

    name = "EN" if language == "english" else language.upper()
    stop = frozenset(getattr(lists, f"STOPWORDS_{name}", ()))
    return stop, Stemmer.Stemmer(language) if language in Stemmer.algorithms() else None


def _terms_of_scripts(text: str, language: str) -> Iterator[str]:
    stop, _ = _tools(language)
    text = _BROKEN.sub("", unwrap(normal(text, str.lower)))
    for found in _pieces().finditer(text):
        word = found.group()
        if word in stop:
            continue
        if found["han"]:
            yield from _han(word)
        elif found["hangul"]:
            yield from _korean(word)
        elif found["stacked"]:
            yield from _stacked(word)
        else:
            yield from _spaced(word, language)


@lru_cache(maxsize=1)
def _pieces() -> re.Pattern[str]:
    apart = f"{HAN}{KANA}{HANGUL}{STACKED}"
    return re.compile(
        f"(?P<han>[{HAN}{KANA}]+)|(?P<hangul>[{HANGUL}]+)|(?P<stacked>[{STACKED}]+)"
        rf"|[^\W{apart}](?:[^\W{apart}]|[{marks()}])*"
    )


def stem_of(word: str) -> str:
    """A folded word without its endings, by its script alone; as it is where its script has no stems."""
    if _HANGUL.match(word):
        return _ENDING.sub("", word)
    if word[:1].isascii() or not _pieces().fullmatch(word) or script_of(word[0]) == "HEBREW":
        return word
    return _spaced(word, "")[0] if script_of(word[0]) in _OWN_STEMMER and len(word) > 1 else word


def _han(run: str) -> Iterator[str]:
    for place, character in enumerate(run):
        if len(run) == 1 or _IDEOGRAPH.match(character):
            yield character
        if place + 1 < len(run):
            yield run[place : place + 2]


def _korean(word: str) -> Iterator[str]:
    single = _PARTICLE.fullmatch(word)
    if single or len(word) == 1:
        yield word[0]
    yield from (word[place : place + 2] for place in range(len(word) - 1))


def _stacked(run: str) -> Iterator[str]:
    clusters = _cluster().findall(run)
    words = [run[start:stop] for start, stop in cut(run)]
    pairs = ["".join(clusters[place : place + 2]) for place in range(max(1, len(clusters) - 1))]
    yield from words
    yield from pairs


@lru_cache(maxsize=1)
def _cluster() -> re.Pattern[str]:
    """A letter with its marks, and the letters that stand below it."""
    return re.compile(f".(?:[\u17d2\u1039].|[{marks()}])*", re.S)


@lru_cache(maxsize=1 << 16)
def _spaced(word: str, language: str) -> tuple[str, ...]:
    """The terms of one word of a script that writes spaces."""
    script = script_of(word[0])
    if script in ("LATIN", "CYRILLIC"):
        # What is left of the marks once letters are composed is an accent of a dictionary, or stray.
        word = "".join(character for character in word if not is_mark(character))
    if script == "LATIN":
        return (_stem(word, language),) if len(word) > 1 else ()
    if script == "TIBETAN":
        return (word,)
    if len(word) < 2:
        return ()
    if script == "HEBREW":
        shorter = _HEBREW_PREFIX.sub("", word, count=1) if _HEBREW_PREFIX.match(word) else word
        shortest = shorter[1:] if shorter != word and _HEBREW_PREFIX.match(shorter) else shorter
        return tuple(dict.fromkeys((word, shorter, shortest)))
    if script == "ARABIC":
        # Snowball looks for the ending of feminine nouns, which others write as heh.
        word = f"{word[:-1]}ة" if word[-1] == "ه" and len(word) > 2 else word
        return tuple(dict.fromkeys(_stem(form, "arabic") for form in (_THE.sub("", word), word)))
    if script == "ARMENIAN" and len(word) > 3:
        word = word.removesuffix("ը")  # the article, which Snowball leaves
    own = language if _OF_SCRIPT.get(language) == script else _OWN_STEMMER.get(script, "")
    stem = _stem(word, own)
    if script == "DEVANAGARI":
        stem = stem.replace("ी", "ि").replace("ू", "ु")
    return (stem, word) if own in _ROUGH and stem != word else (stem,)


def _stem(word: str, language: str) -> str:
    _, stemmer = _tools(language)
    return word if stemmer is None else stemmer.stemWord(word)
