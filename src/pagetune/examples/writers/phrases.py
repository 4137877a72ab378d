"""Queries from body text: key phrases, key words, and spans of sentences.

A key phrase is rated by the C-value (Frantzi, Ananiadou and Mima 2000: frequency times log of length, less where it
stands inside longer phrases) and by the rarity of its words in the collection.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from pagetune.examples.drafts import Draft, Notes
from pagetune.examples.prose import Sentence
from pagetune.examples.structure import Collection, DocumentStructure
from pagetune.examples.writers.sentences import is_whole, weights_of
from pagetune.layout.language import bare, core, is_prose, is_wordlike, stems, stop_words, tidy
from pagetune.layout.words import is_mark, is_short, join
from pagetune.pages.lines import words_rects
from pagetune.records import Page, QueryKind

_PHRASE = 5  # words of the longest key phrase
_MOST_PAGES = 3  # a phrase on more pages asks for none of them
_KEYWORDS_FROM = 30  # words of a passage that key words are taken from
_SPANS = 4  # spans looked at on a page


@dataclass(frozen=True)
class PhraseWriter:
    """Key phrases, key words of passages, and spans of sentences: of each page at most `per_page` together.

    Half are key phrases (2 to 5 words); the other half are in turn key words (2 to 4 of a passage) and spans (3 to 10
    words of a sentence, which is masked whole). A phrase and key words are masked where they were taken from and stay
    in the page's other lines, as they would for a person who remembers a word or two of it.
    """

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
                text = _typed([page.page.words[position] for position in occurrence], page.page.gaps(occurrence))
                answers = tuple((where, 2 if where == number else 1) for where in sorted(phrases[phrase]))
                yield Draft(text, "phrase", number, words_rects(page.page, occurrence), answers)
            generator = random.Random(f"{self.seed} {number}")
            others = _in_turn(
                _key_words(page.page, prose[number], collection, language, generator),
                _spans(prose[number], language, generator),
                generator,
            )
            for text, positions in others[: self.per_page - len(best)]:
                yield Draft(text, "phrase", number, words_rects(page.page, positions), ((number, 2),))


def _open(word: str) -> bool:
    """Whether a word ends in a letter, so that what follows may belong to it."""
    return word[-1].isalnum() or word[-1] in "_'’-" or is_mark(word[-1])


def _typed(words: Sequence[str], gaps: Sequence[float]) -> str:
    """Words as somebody types them into a search box: without the marks around them."""
    return join([bare(word) for word in words], gaps)


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
                if not is_wordlike(word) or plain in stops or is_short(plain):
                    run = []
                    continue
                if run and not _open(sentence.words[place - 1]):
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
    page: Page, spoken: Sequence[Sentence], collection: Collection, language: str, generator: random.Random
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
        weights = weights_of(words, collection, language)
        first: dict[str, int] = {}
        for place, word in enumerate(words):
            first.setdefault(core(word), place)
        best: dict[str, int] = {}
        for word in sorted(weights, key=lambda word: (-weights[word], word)):
            best.setdefault(stems([word], language)[0], first[word])
        places = sorted([*best.values()][: generator.randint(2, 4)])
        if len(places) >= 2:
            taken = [positions[place] for place in places]
            found.append((_typed([words[place] for place in places], page.gaps(taken)), tuple(taken)))
    return found


def _spans(spoken: Sequence[Sentence], language: str, generator: random.Random) -> list[tuple[str, tuple[int, ...]]]:
    """Three to ten words out of sentences, without stop words at their ends, with the whole sentence's positions."""
    stops = stop_words(language)
    whole = [sentence for sentence in spoken if 8 <= len(sentence.words) <= 40 and is_whole(sentence, language)]
    generator.shuffle(whole)
    found = []
    for sentence in whole[:_SPANS]:
        length = generator.randint(3, min(10, len(sentence.words) - 2))
        start = generator.randrange(len(sentence.words) - length + 1)
        stop = start + length
        while start < stop and core(sentence.words[start]) in stops:
            start += 1
        while start < stop and core(sentence.words[stop - 1]) in stops:
            stop -= 1
        if stop - start >= 3:
            found.append((tidy(sentence.part(start, stop)), sentence.positions))
    return found


_Found = list[tuple[str, tuple[int, ...]]]


def _in_turn(first: _Found, second: _Found, generator: random.Random) -> _Found:
    """One of each list in turn, either to begin with, and what is left of the longer."""
    lists = [first, second] if generator.random() < 0.5 else [second, first]
    pairs = zip_longest(*lists)
    return [item for pair in pairs for item in pair if item is not None]
