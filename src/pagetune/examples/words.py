"""Words: folding, stop words, numbering, and telling prose from everything else."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

_LANGUAGES = {
    "en": "STOPWORDS_EN_PLUS",
    "de": "STOPWORDS_GERMAN",
    "nl": "STOPWORDS_DUTCH",
    "fr": "STOPWORDS_FRENCH",
    "es": "STOPWORDS_SPANISH",
    "pt": "STOPWORDS_PORTUGUESE",
    "it": "STOPWORDS_ITALIAN",
    "sv": "STOPWORDS_SWEDISH",
    "no": "STOPWORDS_NORWEGIAN",
    "da": "STOPWORDS_DANISH",
    "ru": "STOPWORDS_RUSSIAN",
    "tr": "STOPWORDS_TURKISH",
}
_STEMMERS = {
    "en": "english",
    "de": "german",
    "nl": "dutch",
    "fr": "french",
    "es": "spanish",
    "pt": "portuguese",
    "it": "italian",
    "sv": "swedish",
    "no": "norwegian",
    "da": "danish",
    "ru": "russian",
    "tr": "turkish",
}
_EDGES = "\"'“”‘’«»‹›„‚()[]{}<>.,;:!?…*†‡•·–—"
_NUMBERING = re.compile(
    r"^(?:(?:chapter|section|part|appendix|kapitel|abschnitt|teil|anhang|chapitre|partie|annexe|capítulo|sección|parte"
    r"|anexo|capitolo|sezione|hoofdstuk|deel)\s+(?:\d{1,3}(?:\.\d{1,3})*|[ivxlc]{1,6}|[a-z])\b[\s.:)–—-]*"
    r"|§+\s*\d+(?:\.\d+)*\s*|\(?\d{1,3}(?:\.\d{1,3})*[.)]?\s+|[A-Z](?:\.\d{1,3})+[.)]?\s+"
    r"|[IVXL]{1,6}(?:[.)]\s*|\s+(?=\w\w))|[A-Z][.)]\s+)",
    re.I,
)
_MARKS = re.compile(r"[\W_]+")
_WORDLIKE = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def fold(text: str) -> str:
    """The same words typed differently fold to the same text: case, ligatures, punctuation and spaces apart."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(words)


@lru_cache(maxsize=1 << 16)
def squash(text: str) -> str:
    """Letters and digits only, folded: for finding a title in type that spaces it in another way."""
    return _MARKS.sub("", unicodedata.normalize("NFKC", text).casefold())


def strip_numbering(title: str) -> str:
    """A title without its "3.2", "Chapter 4:", "IV." or "A.1"; unchanged if nothing else were left."""
    found = _NUMBERING.match(title.strip())
    if found is None:
        return title.strip()
    prefix = found.group().strip()
    rest = title.strip()[found.end() :]
    if prefix.isalpha() and (not prefix.isupper() or rest[:1].islower()):
        return title.strip()  # the word "I" or "mix", not a number
    return rest.strip() or title.strip()


def tidy(text: str) -> str:
    """One line, single spaces, no dangling marks at its ends."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    text = re.sub(r"\s+([,.;:!?)\]])", r"\1", re.sub(r"([(\[])\s+", r"\1", text))
    text = text.strip(" \t.,;:–—-|•·")
    if text.count("(") < text.count(")"):
        text = text.rstrip(")")
    return text


def bare(word: str) -> str:
    """A word without the marks around it."""
    return word.strip(_EDGES)


@lru_cache(maxsize=1 << 18)
def core(word: str) -> str:
    """A word without the marks around it, in lower case."""
    return word.strip(_EDGES).casefold()


def language_of(words: Iterable[str]) -> str:
    """The language whose stop words these words hold most of ("en", "de" …), "" if hardly any."""
    counts = Counter(core(word) for word in words)
    total = max(1, sum(counts.values()))
    hits = {name: sum(counts[word] for word in stop_words(name)) for name in _LANGUAGES}
    best = max(hits, key=lambda name: hits[name])
    return best if hits[best] >= 0.1 * total else ""


@lru_cache(maxsize=32)
def stop_words(language: str) -> frozenset[str]:
    """The stop words of a language ("" and unknown: English) as kept by bm25s."""
    import bm25s.stopwords

    return frozenset(getattr(bm25s.stopwords, _LANGUAGES.get(language, "STOPWORDS_EN_PLUS")))


@lru_cache(maxsize=32)
def _stemmer(language: str) -> Any:
    import Stemmer

    name = _STEMMERS.get(language)
    return Stemmer.Stemmer(name) if name else None


def stems(words: Iterable[str], language: str) -> list[str]:
    """Folded words without their endings (Snowball, as PyStemmer has it); unchanged in a language it does not know."""
    stemmer = _stemmer(language)
    return [*words] if stemmer is None else stemmer.stemWords([*words])


def content_words(text: str, language: str) -> list[str]:
    """The words of a text that are neither stop words nor numbers, folded, in order."""
    stops = stop_words(language)
    return [word for word in fold(text).split() if word not in stops and not word.isdigit() and len(word) > 1]


@lru_cache(maxsize=1 << 18)
def is_wordlike(word: str) -> bool:
    """Letters only, perhaps with an apostrophe or a hyphen inside, the marks around it apart."""
    return _WORDLIKE.fullmatch(word.strip(_EDGES)) is not None


def is_prose(words: Sequence[str], language: str, share: float = 0.8) -> bool:
    """Do these words read as a sentence: nearly all real words, stop words among them, no rows of capitals?"""
    if not words:
        return False
    like = [word for word in words if is_wordlike(word)]
    if len(like) < share * len(words):
        return False
    stops = stop_words(language)
    stopped = sum(core(word) in stops for word in like)
    short = sum(len(core(word)) == 1 and core(word) not in stops for word in like)
    upper = sum(len(word) > 1 and word.isupper() for word in like)
    return stopped >= max(1, 0.15 * len(words)) and short <= 0.1 * len(words) and upper <= 0.3 * len(like)
