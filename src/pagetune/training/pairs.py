"""Training texts: for every example the query, a passage of the page that answers it, and passages that do not.

A passage is a stretch of a page's words about as long as the passages that a page is cut into when it is encoded.
On the answering page it lies around the query's own words. What evaluation masks on a page (headings, captions,
running heads, the words of every query) is masked here too; only the query's own words stay, except with the
recipe's probability, so that the model learns to find what stands around a heading as well as the heading.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import log

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import DataError
from pagetune.layout.words import split
from pagetune.records import Example, Page, Query, Rect

WORDS_A_TOKEN = 0.7
"""Words of running English to one WordPiece token, with room for numbers and code."""

SHORTEST = 0.3
"""The shortest passage, as a share of the longest: queries meet passages of every length."""

_EDGES = re.compile(r"^\W+|\W+$")


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the trainer reads: columns of texts, a row an example and version; `pages` holds the answering ones."""

    queries: list[str]
    positives: list[str]
    negatives: list[list[str]]
    pages: list[str]

    def columns(self) -> dict[str, list[str]]:
        """The columns in the order that the ranking loss reads them: query, positive, negative_1, ..."""
        further = {f"negative_{number}": texts for number, texts in enumerate(self.negatives, start=1)}
        return {"query": self.queries, "positive": self.positives, **further}


def make_pairs(
    examples: Sequence[Example],
    queries: Mapping[str, Query],
    pages: Sequence[Page],
    masks: Mapping[str, Sequence[Rect]],
    *,
    passage_tokens: int,
    mask_probability: float,
    seed: int,
    versions: int = 1,
) -> Pairs:
    """Cut the passages of each example, `versions` times: as many rows, with other passages and masks.

    The number of negatives is that of the example with most; where one has fewer, a page drawn at random from those
    that answer none of its queries fills the place. Each example draws from its own seed, so that the texts do not
    depend on the order. Raises DataError for an example that names an unknown query or page.
    """
    cutter = PassageCutter(pages, masks, passage_tokens)
    width = max((len(example.negatives) for example in examples), default=0)
    others = _fillers(examples, pages)
    made = Pairs([], [], [[] for _ in range(width)], [])
    for version, example in product(range(versions), examples):
        if example.query not in queries:
            raise DataError(f"an example names the query {example.query!r}, which the data do not have; mine again")
        query = queries[example.query]
        draw = random.Random(f"{seed} {version} {example.query} {example.positive}")
        masked = draw.random() < mask_probability
        made.queries.append(query.text)
        made.positives.append(cutter.positive(example.positive, query, masked, draw))
        made.pages.append(example.positive)
        negatives = [*example.negatives, *others.draw(example, width - len(example.negatives), draw)]
        for column, negative in zip(made.negatives, negatives, strict=True):
            column.append(cutter.nearest(negative, query.text, draw))
    return made


class PassageCutter:
    """Cuts passages of at most `passage_tokens` tokens, counted roughly, out of pages."""

    def __init__(self, pages: Sequence[Page], masks: Mapping[str, Sequence[Rect]], passage_tokens: int) -> None:
        self._pages = {page.id: page for page in pages}
        self._masks = masks
        self._longest = max(4, round(passage_tokens * WORDS_A_TOKEN))
        self._stems: dict[str, list[str]] = {}
        self._weights = self._word_weights()

    def positive(self, page_id: str, query: Query, masked: bool, draw: random.Random) -> str:
        """The passage around the query's own words; where it has none on this page, the one that fits it best."""
        page = self._page(page_id)
        own = np.flatnonzero(~page.visible(query.rects)) if page_id == query.page else np.zeros(0, dtype=np.int64)
        if not len(own):
            return self.nearest(page_id, query.text, draw)
        shown = self._shown(page, hidden=query.rects) if masked else self._shown(page, uncovered=query.rects)
        start, stop = np.searchsorted(shown, [own[0], own[-1] + 1])
        length = self._length(draw)
        # What a heading announces stands below it; of a sentence or a caption both sides speak.
        before = 0 if query.kind in ("outline", "heading") else draw.randint(0, length)
        return self._text(page, shown, int(start) - before, max(int(stop), int(start) - before + length), length)

    def nearest(self, page_id: str, text: str, draw: random.Random) -> str:
        """The passage that shares most with the text, a rare word counting more than a frequent one."""
        page = self._page(page_id)
        shown = self._shown(page)
        length = self._length(draw)
        if len(shown) <= length:
            return self._text(page, shown, 0, len(shown), length)
        wanted = set(_stem(split(text)))
        stems = self._stems_of(page)
        gain = np.array([self._weights.get(stems[word], 0.0) if stems[word] in wanted else 0.0 for word in shown])
        total = np.concatenate([[0.0], np.cumsum(gain)])
        sums = total[length:] - total[:-length]
        best = np.flatnonzero(sums >= sums.max() - 1e-9)
        start = int(best[len(best) // 2])
        return self._text(page, shown, start, start + length, length)

    def _page(self, page_id: str) -> Page:
        if page_id not in self._pages:
            raise DataError(f"an example names the page {page_id!r}, which is not among the pages; read and mine again")
        return self._pages[page_id]

    def _shown(self, page: Page, *, uncovered: Sequence[Rect] = (), hidden: Sequence[Rect] = ()) -> NDArray[np.int64]:
        """The positions of the words outside the page's masks and `hidden`, and of those inside `uncovered`."""
        keep = page.visible([*self._masks.get(page.id, ()), *hidden])
        return np.flatnonzero(keep | ~page.visible(uncovered) if uncovered else keep)

    def _length(self, draw: random.Random) -> int:
        return draw.randint(max(3, round(self._longest * SHORTEST)), self._longest)

    def _text(self, page: Page, shown: NDArray[np.int64], start: int, stop: int, length: int) -> str:
        stop = min(stop, len(shown))
        start = max(0, min(start, stop - length))
        stop = min(len(shown), max(stop, start + length))
        return page.joined(shown[start:stop].tolist())

    def _stems_of(self, page: Page) -> list[str]:
        if page.id not in self._stems:
            self._stems[page.id] = _stem(page.words)
        return self._stems[page.id]

    def _word_weights(self) -> dict[str, float]:
        found = Counter(stem for page in self._pages.values() for stem in set(self._stems_of(page)))
        return {stem: log(1 + len(self._pages) / count) for stem, count in found.items()}


class _Fillers:
    """Pages at random for examples that have too few negatives."""

    def __init__(self, answers: dict[str, set[str]], pages: list[str]) -> None:
        self.answers = answers
        self.pages = pages

    def draw(self, example: Example, count: int, draw: random.Random) -> list[str]:
        if count <= 0:
            return []
        barred = self.answers[example.query] | set(example.negatives)
        free = [page for page in self.pages if page not in barred]
        if len(free) < count:
            raise DataError(
                f"{len(self.pages)} pages are too few for {count} negatives an example; set mine.negatives=0"
            )
        return draw.sample(free, count)


def _fillers(examples: Sequence[Example], pages: Sequence[Page]) -> _Fillers:
    answers: dict[str, set[str]] = {}
    for example in examples:
        answers.setdefault(example.query, set()).add(example.positive)
    usable = [page.id for page in pages if page.kind == "body" and page.duplicate_of is None]
    return _Fillers(answers, usable)


def _stem(words: Sequence[str]) -> list[str]:
    """Lower case, without punctuation at the ends, without English endings."""
    from Stemmer import Stemmer

    stemmed: list[str] = Stemmer("english").stemWords([_EDGES.sub("", word).lower() for word in words])
    return stemmed
