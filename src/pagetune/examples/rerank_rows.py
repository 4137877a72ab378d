"""A dataset's rows as a reranker's examples: which pages are held out to judge on, which negatives there are."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pagetune.records import Example, Query

if TYPE_CHECKING:
    from PIL.Image import Image

    from pagetune.examples.visual import ImageTrainSet
    from pagetune.recipe import MineRecipe

MOST = 200
"""Queries held out, at most."""

Run = Mapping[str, Mapping[str, float]]
"""Query id -> page id -> score."""


@dataclass(frozen=True)
class RerankRows:
    """Examples to train on, and the queries and pages of those held out: no page of one is in the other.

    Ids of queries and of pages are their content keys. `answers`: query -> pages that answer it, of all rows.
    """

    queries: dict[str, Query]
    examples: list[Example]
    answers: dict[str, set[str]]
    held_out: dict[str, set[str]] = field(default_factory=dict)
    """Query -> pages."""

    @property
    def pages(self) -> list[str]:
        """To train on."""
        return list(dict.fromkeys(page for each in self.examples for page in (each.positive, *each.negatives)))

    @property
    def held_out_pages(self) -> list[str]:
        """To judge on."""
        return list(dict.fromkeys(page for pages in self.held_out.values() for page in sorted(pages)))


def examples_of_rows(train: ImageTrainSet, validation: float, most: int | None, seed: int) -> RerankRows:
    """An example a row, with the row's own negatives; `most` bounds the queries to train on.

    A share `validation` of the queries is held out with the pages that answer them.
    """
    texts = train.dataset.with_format(None).select_columns(["query"])[:]["query"]
    queries: dict[str, Query] = {}
    answers: dict[str, set[str]] = {}
    rows: list[Example] = []
    for row, (query, page) in enumerate(zip(train.keys["query"], train.keys["image"], strict=True)):
        queries.setdefault(query, Query(query, texts[row], "sentence", "", page))
        answers.setdefault(query, set()).add(page)
        rows.append(Example(query, page, tuple(train.keys[name][row] for name in train.columns[1:])))
    names = list(queries)
    count = min(MOST, round(validation * len(names)))
    drawn = set(random.Random(seed).sample(names, count)) if count > 1 else set()
    unseen = {page for query in drawn for page in answers[query]}
    held_out = {query: answers[query] for query in names if query in drawn}
    kept = [
        replace(each, negatives=tuple(page for page in each.negatives if page not in unseen))
        for each in rows
        if each.query not in drawn and each.positive not in unseen
    ]
    if most is not None:
        left = list(dict.fromkeys(each.query for each in kept))
        chosen = set(random.Random(seed).sample(left, min(most, len(left))))
        kept = [each for each in kept if each.query in chosen]
    return RerankRows(queries, kept, answers, held_out)


Labelled = tuple[str, int, float]
"""A query's text, the number of a page, and a label."""


def hold_out_labelled(
    rows: Sequence[Labelled], key: Callable[[int], str], validation: float, seed: int, *, scores: bool
) -> tuple[list[Labelled], list[Labelled]]:
    """Labelled pairs to train on, and those to judge on, whose labels are grades.

    A share `validation` of the queries is held out, of those that have both an answer and something else; what is
    trained on has none of the pages that answer them. `key`: a page's, by its number. The grade is the label, rounded;
    `scores`: labels have no zero, and the highest of a query's is its answer. Nothing is held out where only one query
    could be, or less than half of the pairs would be left.
    """
    best: dict[str, float] = {}
    for text, _, label in rows:
        best[text] = max(label, best.get(text, label))
    graded = [
        (text, page, float(label == best[text] if scores else max(0, round(label)))) for text, page, label in rows
    ]
    grades: dict[str, set[bool]] = {}
    for text, _, grade in graded:
        grades.setdefault(text, set()).add(grade > 0)
    mixed = [text for text, found in grades.items() if len(found) == 2]
    count = min(MOST, round(validation * len(grades)), len(mixed))
    drawn = set(random.Random(seed).sample(mixed, count)) if count > 1 else set()
    judged = [row for row in graded if row[0] in drawn]
    unseen = {key(page) for _, page, grade in judged if grade}
    kept = [row for row in rows if row[0] not in drawn and key(row[1]) not in unseen]
    return (kept, judged) if judged and 2 * len(kept) >= len(rows) else (list(rows), [])


def mine_from_run(
    examples: Sequence[Example], answers: Mapping[str, set[str]], run: Run, recipe: MineRecipe
) -> list[Example]:
    """The examples with hard negatives out of a retriever's ranking, after those that they have.

    As `examples.negatives` has it: never a page that answers the query, nor one that scores nearly as high as the
    example's own page or higher: that is as likely an answer that nobody judged.
    """
    found = []
    for each in examples:
        scores = run.get(each.query, {})
        own = scores.get(each.positive)
        limit = float("inf") if own is None else own - (1 - recipe.margin) * abs(own)
        ranked = sorted(scores, key=lambda page: (-scores[page], page))[recipe.skip : recipe.candidates]
        hard = [
            page
            for page in ranked
            if page not in answers[each.query] and page not in each.negatives and scores[page] <= limit
        ]
        found.append(replace(each, negatives=(*each.negatives, *hard[: recipe.negatives])))
    return found


class RowPages:
    """Some pages of a training set as a set to encode: ids are content keys; `queries`: id -> text."""

    def __init__(self, train: ImageTrainSet, pages: Sequence[str], queries: Mapping[str, str]) -> None:
        from pagetune.examples.rerank_sides import RowPictures

        self.name = train.name
        self.page_ids = tuple(pages)
        self.queries = dict(queries)
        self.qrels: dict[str, dict[str, int]] = {}
        self.excluded: dict[str, tuple[str, ...]] = {}
        self.pictures = RowPictures(train)
        self.fingerprint = train.fingerprint

    def image(self, page_id: str) -> Image:
        """Decoded now, RGB."""
        return self.pictures.image(self.pictures.numbers[page_id])

    def images(self, ids: Iterable[str] | None = None) -> Iterator[Image]:
        """The pages of these ids, or all in order."""
        for page_id in self.page_ids if ids is None else ids:
            yield self.image(page_id)

    def page_key(self, page_id: str) -> str:
        """The content key, which the id is."""
        return page_id

    def size(self, page_id: str) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pictures.size(self.pictures.numbers[page_id])
