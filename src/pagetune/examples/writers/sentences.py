"""Queries from body text: its key sentences.

A key sentence is near the middle of what its page is about (the cosine of its tf-idf vector with the page's) and made
of words that few other pages have.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pagetune.examples.drafts import Draft, Notes
from pagetune.examples.prose import Sentence
from pagetune.examples.structure import Collection, DocumentStructure
from pagetune.layout.language import core, is_prose, is_wordlike, stop_words, tidy
from pagetune.layout.words import has_case, is_short, letters_of
from pagetune.pages.lines import words_rects
from pagetune.records import QueryKind

_PLAIN = ",.;:'’-()，。、；：（）「」।॥،؛؟۔።፣၊။។"
"""Marks of prose, beside those that are rare in it."""
_SHORTEST, _LONGEST = 6, 30  # words of a key sentence
_TELLING = 4  # words of a key sentence that are no stop words, at least


@dataclass(frozen=True)
class SentenceWriter:
    """The key sentences of each page, at most `per_page`."""

    per_page: int = 2
    kind: QueryKind = "sentence"

    def write(self, document: DocumentStructure, collection: Collection, notes: Notes) -> Iterator[Draft]:
        if not self.per_page:
            return
        language = document.laid.language
        for page in document.laid:
            if not page.answers:
                continue
            found = document.sentences(page.page.number)
            sized = [sentence for sentence in found if _SHORTEST <= len(sentence.words) <= _LONGEST]
            prose = [sentence for sentence in sized if is_whole(sentence, language)]
            notes.drop("non-prose", len(sized) - len(prose))
            for sentence in _key_sentences(prose, found, collection, language)[: self.per_page]:
                rects = words_rects(page.page, sentence.positions)
                yield Draft(_without_labels(tidy(sentence.text)), "sentence", page.page.id, rects, ((page.page.id, 2),))


_CITED = re.compile(
    r"\b(figure|fig\.|table|listing|algorithm|section|chapter|equation|abbildung|abb\.|tabelle|abschnitt|tableau|figura|tabla)"
    r"\s+\(?(?:[A-Z]\.?)?\d+(?:[.\-–]\d+)*[a-z]?\)?(?![\w.]*\d)",
    re.I,
)


def _without_labels(text: str) -> str:
    """ "As Figure 3.2 shows" becomes "As the figure shows": nobody searches for a number."""
    if not _CITED.search(text):
        return text
    text = _CITED.sub(lambda found: f"the {found[1].casefold().replace('fig.', 'figure')}", text)
    return text[0].upper() + text[1:]


def is_whole(sentence: Sentence, language: str) -> bool:
    """A whole sentence of prose, that stands by itself: it neither begins nor ends in the middle."""
    first = sentence.words[0]
    text = sentence.text
    spaces = sum(character.isspace() or character in _PLAIN for character in text)
    symbols = len(text) - letters_of(text) - spaces
    head = first.lstrip("“\"'(‘«¿¡「『（【《")[:1]
    return (
        (head.isupper() or (head.isalpha() and not has_case(head)))
        and sentence.whole
        and symbols <= 0.06 * len(text)
        and is_prose(sentence.words, language)
    )


def _key_sentences(
    chosen: Sequence[Sentence], everything: Sequence[Sentence], collection: Collection, language: str
) -> list[Sentence]:
    """The chosen sentences, the best first."""
    whole = weights_of((word for sentence in everything for word in sentence.words), collection, language)
    norm = math.sqrt(sum(weight * weight for weight in whole.values())) or 1.0
    rated = []
    for sentence in chosen:
        own = weights_of(sentence.words, collection, language)
        length = math.sqrt(sum(weight * weight for weight in own.values()))
        if len(own) < _TELLING or not length:
            continue
        central = sum(weight * whole.get(word, 0.0) for word, weight in own.items()) / (length * norm)
        telling = sum(own.values()) / len(own) / math.log(2 + collection.pages)
        rated.append((central + telling, -sentence.positions[0], sentence))
    return [sentence for _, _, sentence in sorted(rated, key=lambda item: item[:2], reverse=True)]


def weights_of(words: Iterator[str] | Sequence[str], collection: Collection, language: str) -> dict[str, float]:
    stops = stop_words(language)
    counts = Counter(core(word) for word in words if is_wordlike(word))
    return {
        word: (1 + math.log(times)) * collection.rarity(word)
        for word, times in counts.items()
        if word not in stops and not is_short(word)
    }
