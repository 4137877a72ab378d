"""Queries from body text: its key sentences, and its key phrases and key words.

A key sentence is near the middle of what its page is about (the cosine of its tf-idf vector with the page's) and made
of words that few other pages have. A key phrase is rated by the C-value (Frantzi, Ananiadou and Mima 2000: frequency
times log of length, less where it stands inside longer phrases) times the rarity of its words in the collection.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pagetune.examples.drafts import Draft, Notes
from pagetune.examples.prose import Sentence
from pagetune.examples.words import bare, core, is_prose, is_wordlike, stems, stop_words, tidy
from pagetune.pages.lines import words_rects
from pagetune.records import QueryKind

if TYPE_CHECKING:
    from pagetune.examples.structure import Collection, DocumentStructure

_SHORTEST, _LONGEST = 6, 30  # words of a key sentence
_TELLING = 4  # words of a key sentence that are no stop words, at least
_PHRASE = 5  # words of the longest key phrase
_MOST_PAGES = 3  # a phrase on more pages asks for none of them
_KEYWORDS_FROM = 30  # words of a passage that key words are taken from


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
            prose = [sentence for sentence in sized if _whole(sentence, language)]
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


def _whole(sentence: Sentence, language: str) -> bool:
    """A whole sentence of prose, that stands by itself: it neither begins nor ends in the middle."""
    first, last = sentence.words[0], sentence.words[-1]
    text = sentence.text
    symbols = sum(not (character.isalpha() or character.isspace() or character in ",.;:'’-()") for character in text)
    return (
        first.lstrip("“\"'(‘«¿¡")[:1].isupper()
        and re.search(r"[.!?][\"'”’)»]*$", last) is not None
        and symbols <= 0.06 * len(text)
        and is_prose(sentence.words, language)
    )


def _key_sentences(
    chosen: Sequence[Sentence], everything: Sequence[Sentence], collection: Collection, language: str
) -> list[Sentence]:
    """The chosen sentences, the best first."""
    whole = _weights((word for sentence in everything for word in sentence.words), collection, language)
    norm = math.sqrt(sum(weight * weight for weight in whole.values())) or 1.0
    rated = []
    for sentence in chosen:
        own = _weights(sentence.words, collection, language)
        length = math.sqrt(sum(weight * weight for weight in own.values()))
        if len(own) < _TELLING or not length:
            continue
        central = sum(weight * whole.get(word, 0.0) for word, weight in own.items()) / (length * norm)
        telling = sum(own.values()) / len(own) / math.log(2 + collection.pages)
        rated.append((central + telling, -sentence.positions[0], sentence))
    return [sentence for _, _, sentence in sorted(rated, key=lambda item: item[:2], reverse=True)]


def _weights(words: Iterator[str] | Sequence[str], collection: Collection, language: str) -> dict[str, float]:
    stops = stop_words(language)
    counts = Counter(core(word) for word in words if is_wordlike(word))
    return {
        word: (1 + math.log(times)) * collection.rarity(word)
        for word, times in counts.items()
        if word not in stops and len(word) > 2
    }


@dataclass(frozen=True)
class PhraseWriter:
    """Key phrases of each page (2 to 5 words) and key words of its passages (2 to 4), at most `per_page` together."""

    per_page: int = 2
    seed: int = 17
    kind: QueryKind = "phrase"

    def write(self, document: DocumentStructure, collection: Collection, notes: Notes) -> Iterator[Draft]:
        if not self.per_page:
            return
        language = document.laid.language
        pages = [page for page in document.laid if page.answers]
        prose = {page.page.id: document.sentences(page.page.number) for page in pages}
        phrases = _phrases(prose, language)
        rating = _c_values(phrases)
        on_page: dict[str, list[str]] = defaultdict(list)
        for phrase, where in phrases.items():
            for number in where:
                on_page[number].append(phrase)
        for page in pages:
            number = page.page.id
            half = (self.per_page + 1) // 2
            best = _key_phrases(number, on_page[number], phrases, rating, collection)[:half]
            for phrase in best:
                occurrence = phrases[phrase][number][0]
                text = " ".join(bare(page.page.words[position]) for position in occurrence)
                answers = tuple((where, 2 if where == number else 1) for where in sorted(phrases[phrase]))
                yield Draft(text, "phrase", number, words_rects(page.page, occurrence), answers)
            generator = random.Random(f"{self.seed} {number}")
            rest = self.per_page - len(best)
            for text, positions in _key_words(prose[number], collection, language, generator)[:rest]:
                yield Draft(text, "phrase", number, words_rects(page.page, positions), ((number, 2),))


_Occurrences = dict[str, dict[str, list[tuple[int, ...]]]]
"""Phrase -> page id -> the positions of its words, each time that it occurs."""


def _phrases(prose: dict[str, list[Sentence]], language: str) -> _Occurrences:
    """Runs of two to five words without a stop word or a mark between them, the way keywords are typed."""
    stops = stop_words(language)
    found: _Occurrences = defaultdict(lambda: defaultdict(list))
    for page, spoken in prose.items():
        for sentence in spoken:
            if len(sentence.words) != len(sentence.positions):
                continue  # a word broken over two lines: words and positions no longer go in step
            run: list[int] = []
            for place, word in enumerate(sentence.words):
                plain = core(word)
                if not is_wordlike(word) or plain in stops or len(plain) < 3:
                    run = []
                    continue
                if run and re.search(r"[^\w'’-]$", sentence.words[place - 1]):
                    run = []
                if not word[0].isalnum():
                    run = []
                run.append(place)
                for length in range(2, min(len(run), _PHRASE) + 1):
                    places = run[-length:]
                    text = " ".join(core(sentence.words[p]) for p in places)
                    found[text][page].append(tuple(sentence.positions[p] for p in places))
    return found


def _c_values(phrases: _Occurrences) -> dict[str, float]:
    times = {phrase: sum(map(len, pages.values())) for phrase, pages in phrases.items()}
    inside: dict[str, list[int]] = defaultdict(list)
    for phrase, count in times.items():
        words = phrase.split()
        for length in range(2, len(words)):
            for start in range(len(words) - length + 1):
                inside[" ".join(words[start : start + length])].append(count)
    values = {}
    for phrase, count in times.items():
        longer = inside.get(phrase)
        own = count - sum(longer) / len(longer) if longer else count
        values[phrase] = math.log2(1 + len(phrase.split())) * own
    return values


def _key_phrases(
    page: str, here: Sequence[str], phrases: _Occurrences, rating: dict[str, float], collection: Collection
) -> list[str]:
    """The page's phrases that few other pages have and none has more often, the best first, none inside another."""
    rated = []
    for phrase in here:
        pages = phrases[phrase]
        often = len(pages[page])
        most = max(pages, key=lambda name: (len(pages[name]), name))
        if len(pages) > _MOST_PAGES or most != page or often + (len(pages) > 1) < 2:
            continue
        words = phrase.split()
        rarity = sum(collection.rarity(word) for word in words) / len(words)
        rated.append((math.sqrt(max(rating[phrase], 0.0)) * rarity, phrase))
    best: list[str] = []
    for _, phrase in sorted(rated, reverse=True):
        if not any(phrase in other or other in phrase for other in best):
            best.append(phrase)
        if len(best) >= 8:
            break
    return best


def _key_words(
    spoken: Sequence[Sentence], collection: Collection, language: str, generator: random.Random
) -> list[tuple[str, tuple[int, ...]]]:
    """From each passage of the page two to four of its most telling words, in their order; long passages first."""
    passages: dict[int, list[Sentence]] = defaultdict(list)
    for sentence in spoken:
        if len(sentence.words) == len(sentence.positions):
            passages[sentence.paragraph].append(sentence)
    found = []
    for passage in sorted(passages.values(), key=lambda these: -sum(len(s.words) for s in these)):
        words = [word for sentence in passage for word in sentence.words]
        positions = [position for sentence in passage for position in sentence.positions]
        if len(words) < _KEYWORDS_FROM or not is_prose(words, language, 0.7):
            continue
        weights = _weights(words, collection, language)
        first: dict[str, int] = {}
        for place, word in enumerate(words):
            first.setdefault(core(word), place)
        best: dict[str, int] = {}
        for word in sorted(weights, key=lambda word: (-weights[word], word)):
            best.setdefault(stems([word], language)[0], first[word])
        places = sorted([*best.values()][: generator.randint(2, 4)])
        if len(places) >= 2:
            text = " ".join(bare(words[place]) for place in places)
            found.append((text, tuple(positions[place] for place in places)))
    return found
