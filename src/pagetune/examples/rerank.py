"""What a reranker is trained and judged on: lists of pages for a query, and lists of queries for a page.

A list is a positive and its negatives. For pages those are hard ones, which mining found, and some drawn at random;
for queries, those that took the page for an answer, those of the pages that were taken for its like, and some drawn
at random. How many of each there are is counted, and reported.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from pagetune.errors import DataError
from pagetune.workspace import fingerprint

if TYPE_CHECKING:
    from PIL.Image import Image

    from pagetune.recipe import RerankDirection
    from pagetune.records import Example, Query

Input = str | int
"""A text, or the number of a picture."""


@dataclass(frozen=True, slots=True)
class RankedList:
    """What is asked with, what is to be ranked, and a label of each: 1 answers, 0 does not; or grades, or scores."""

    asked: Input
    candidates: tuple[Input, ...]
    labels: tuple[float, ...]


class Pictures(Protocol):
    """The pictures by their numbers."""

    def image(self, number: int) -> Image:
        """Decoded now, RGB."""
        ...

    def key(self, number: int) -> str:
        """Equal for equal pictures."""
        ...

    def size(self, number: int) -> tuple[int, int]:
        """Width and height."""
        ...


@dataclass(frozen=True, eq=False)
class RerankSet:
    """Lists by direction, and the pictures that they number. `mix` counts where the candidates are from."""

    lists: dict[RerankDirection, list[RankedList]]
    pictures: Pictures | None = None
    mix: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: int = 1
    """How many times over the lists stand, drawn anew each time: an epoch is a part of them."""

    def __len__(self) -> int:
        return sum(len(lists) for lists in self.lists.values())

    @property
    def pairs(self) -> int:
        """How many pairs all lists have together."""
        return sum(len(each.candidates) for lists in self.lists.values() for each in lists)

    def key(self, content: Input) -> str:
        """What decides an input."""
        if isinstance(content, str):
            return content
        if self.pictures is None:
            raise ValueError(f"picture {content}: the set has no pictures")
        return self.pictures.key(content)

    def open(self, content: Input) -> Any:
        """What the model is given: the text, or the picture, decoded now."""
        if isinstance(content, str):
            return content
        if self.pictures is None:
            raise ValueError(f"picture {content}: the set has no pictures")
        return self.pictures.image(content)

    @property
    def fingerprint(self) -> str:
        """Equal for equal content."""
        told = {
            direction: [
                (self.key(each.asked), [self.key(content) for content in each.candidates], each.labels)
                for each in lists
            ]
            for direction, lists in self.lists.items()
        }
        return fingerprint("rerank set", told, self.versions)


class PageSide(Protocol):
    """How a page goes into a pair: as a picture, or as a passage of its text.

    It does not know whether the page answers the query: whatever it did for the answer alone, a model that reads query
    and page together would learn to look for.
    """

    def shown(self, page: str, query: Query, masked: bool) -> Input:
        """The page for a query; `masked`: as evaluation shows it, else as it is."""
        ...


@dataclass(frozen=True)
class Mix:
    """How many negatives a list has, the share of them that is drawn at random, and the share of lists whose pages are
    masked as evaluation masks them."""

    negatives: int
    random_share: float
    mask_probability: float = 1.0

    @property
    def mined(self) -> int:
        """The others."""
        return self.negatives - round(self.negatives * self.random_share)


def lists_of_examples(
    examples: Sequence[Example],
    queries: Mapping[str, Query],
    answers: Mapping[str, Collection[str]],
    pool: Sequence[str],
    side: PageSide,
    directions: Sequence[RerankDirection],
    mix: Mix,
    *,
    seed: int,
    versions: int = 1,
    pictures: Pictures | None = None,
) -> RerankSet:
    """A list an example, direction and version, each drawn from its own seed.

    `answers`: for each query every page that answers it, in whatever grade: none of them is a negative; `pool`: the
    pages that random negatives are drawn from; `pictures`: what the side numbers. Where mining found too few, more are
    drawn at random. Raises DataError for an unknown query, or where there are no negatives at all.
    """
    for example in examples:
        if example.query not in queries:
            raise DataError(f"an example names the query {example.query!r}, which the data do not have; mine again")
    made = _Lists(examples, queries, answers, pool, side, mix)
    lists: dict[RerankDirection, list[RankedList]] = {}
    for direction in directions:
        ask = made.pages if direction == "text_to_image" else made.texts
        lists[direction] = [
            ask(example, random.Random(f"{seed} {version} {direction} {example.query} {example.positive}"))
            for version in range(versions)
            for example in examples
        ]
    if not any(each.candidates[1:] for found in lists.values() for each in found):
        raise DataError(
            f"none of {len(examples)} examples has a page that does not answer its query: there is nothing to rank; "
            "add documents"
        )
    kept = {direction: [each for each in found if len(each.candidates) > 1] for direction, found in lists.items()}
    counted = {str(direction): dict(made.counted[direction]) for direction in directions}
    return RerankSet({name: found for name, found in kept.items() if found}, pictures, counted, versions)


class _Lists:
    """Makes one list after the other, and counts what they are of."""

    def __init__(
        self,
        examples: Sequence[Example],
        queries: Mapping[str, Query],
        answers: Mapping[str, Collection[str]],
        pool: Sequence[str],
        side: PageSide,
        mix: Mix,
    ) -> None:
        self.queries, self.pool, self.side, self.mix = queries, list(pool), side, mix
        self.answers: dict[str, set[str]] = {query: set(pages) for query, pages in answers.items()}
        self.counted: dict[str, Counter[str]] = {name: Counter() for name in ("text_to_image", "image_to_text")}
        self.asked_by: dict[str, list[str]] = {}
        self.mistaken_by: dict[str, list[str]] = {}
        for example in examples:
            self.answers.setdefault(example.query, set()).add(example.positive)
            self.asked_by.setdefault(example.positive, []).append(example.query)
            for page in example.negatives:
                self.mistaken_by.setdefault(page, []).append(example.query)
        self.every_query = list(dict.fromkeys(example.query for example in examples))

    def pages(self, example: Example, draw: random.Random) -> RankedList:
        """Pages for a query."""
        query = self.queries[example.query]
        # Any of those that mining found: the hardest alone are as often answers that nobody judged.
        mined = draw.sample(example.negatives, min(len(example.negatives), self.mix.mined))
        barred = {*mined, *self.answers[example.query]}
        others = _draw(self.pool, barred, self.mix.negatives - len(mined), draw)
        self._count("text_to_image", len(mined), len(others))
        # One draw for the whole list: an open page among masked ones would be known by that.
        masked = draw.random() < self.mix.mask_probability
        first, *rest = (self.side.shown(page, query, masked) for page in (example.positive, *mined, *others))
        return _list(query.text, first, rest)

    def texts(self, example: Example, draw: random.Random) -> RankedList:
        """Queries for a page."""
        page, query = example.positive, self.queries[example.query]
        near = [asked for negative in example.negatives for asked in self.asked_by.get(negative, ())]
        barred_texts = {query.text}
        mined: list[Query] = []
        for asked in dict.fromkeys((*self.mistaken_by.get(page, ()), *near)):
            other = self.queries[asked]
            if len(mined) < self.mix.mined and page not in self.answers[asked] and other.text not in barred_texts:
                mined.append(other)
                barred_texts.add(other.text)
        answered = {asked for asked in self.every_query if page in self.answers[asked]}
        others: list[Query] = []
        for asked in _draw(self.every_query, answered, 2 * self.mix.negatives, draw):
            other = self.queries[asked]
            if len(others) < self.mix.negatives - len(mined) and other.text not in barred_texts:
                others.append(other)
                barred_texts.add(other.text)
        self._count("image_to_text", len(mined), len(others))
        masked = draw.random() < self.mix.mask_probability
        # A passage is chosen for a query; always for the one that the page answers would tell which that is.
        asking = self.side.shown(page, draw.choice([query, *mined, *others]), masked)
        return _list(asking, query.text, [other.text for other in (*mined, *others)])

    def _count(self, direction: str, mined: int, drawn: int) -> None:
        self.counted[direction].update({"lists": 1, "positives": 1, "mined": mined, "random": drawn})


def _list(asked: Input, first: Input, rest: Sequence[Input]) -> RankedList:
    return RankedList(asked, (first, *rest), (1.0, *(0.0 for _ in rest)))


def _draw(pool: Sequence[str], barred: Collection[str], count: int, draw: random.Random) -> list[str]:
    """So many of the pool that are not barred, fewer where there are fewer."""
    if count <= 0 or not pool:
        return []
    found: dict[str, None] = {}
    # A few more tries than are wanted find them in a large pool; a small one is gone through.
    for _ in range(4 * count):
        entry = pool[draw.randrange(len(pool))]
        if entry not in barred:
            found.setdefault(entry)
        if len(found) == count:
            return list(found)
    free = [entry for entry in pool if entry not in barred]
    return draw.sample(free, min(count, len(free)))


def label_lists(
    rows: Sequence[tuple[str, int, float]], directions: Sequence[RerankDirection], pictures: Pictures
) -> RerankSet:
    """Labelled pairs (query, number of the page, label) as lists: of every query its pages, of every page its queries.

    Pages are the same where their keys are. A list of one candidate says nothing of an order, but of the pair: it is
    kept, for the losses that look at pairs.
    """
    by_query: dict[str, dict[str, tuple[int, float]]] = {}
    by_page: dict[str, dict[str, tuple[int, float]]] = {}
    for text, number, label in rows:
        key = pictures.key(number)
        by_query.setdefault(text, {})[key] = (number, label)
        by_page.setdefault(key, {})[text] = (number, label)
    lists: dict[RerankDirection, list[RankedList]] = {}
    mix: dict[str, dict[str, int]] = {}
    for direction in directions:
        if direction == "text_to_image":
            found = [
                RankedList(
                    text, tuple(number for number, _ in pages.values()), tuple(label for _, label in pages.values())
                )
                for text, pages in by_query.items()
            ]
        else:
            found = [
                RankedList(next(iter(texts.values()))[0], tuple(texts), tuple(label for _, label in texts.values()))
                for texts in by_page.values()
            ]
        lists[direction] = found
        mix[direction] = {"lists": len(found), "labelled": sum(len(each.labels) for each in found)}
    return RerankSet(lists, pictures, mix)


def without_lone_pairs(chosen: RerankSet) -> RerankSet:
    """Without the lists of one candidate, which have no order to learn; `mix` counts them as `dropped`.

    Raises DataError where no other is left.
    """
    lists = {direction: [each for each in found if len(each.labels) > 1] for direction, found in chosen.lists.items()}
    if not any(lists.values()):
        raise DataError(
            f"each of {len(chosen)} lists has one candidate: there is no order to learn; give queries several labelled "
            "pages, or set rerank.loss=bce, which learns from pairs"
        )
    mix = dict(chosen.mix)
    for direction, found in lists.items():
        if dropped := len(chosen.lists[direction]) - len(found):
            # Only labelled pairs are kept alone: nothing else is counted here.
            mix[direction] = {
                "lists": len(found),
                "labelled": sum(len(each.labels) for each in found),
                "dropped": dropped,
            }
    return replace(chosen, lists={direction: found for direction, found in lists.items() if found}, mix=mix)


def with_labels(chosen: RerankSet, scores: Mapping[RerankDirection, Sequence[Sequence[float]]]) -> RerankSet:
    """The same lists with other labels, such as a teacher's scores."""
    lists = {
        direction: [
            replace(each, labels=tuple(float(score) for score in given))
            for each, given in zip(found, scores[direction], strict=True)
        ]
        for direction, found in chosen.lists.items()
    }
    return replace(chosen, lists=lists)
