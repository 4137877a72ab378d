"""Judging while training: NDCG@10 over validation queries and a small collection of pages."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from pagetune.context import Context
from pagetune.examples.datasets import RetrievalData
from pagetune.examples.page_images import PageEvalSet, rendered_pages
from pagetune.models.encoding import encode_pages, encode_queries
from pagetune.models.pixels import rendering
from pagetune.recipe import ModelRecipe
from pagetune.records import Page, Query, Rect

CUT = 10
METRIC = f"ndcg@{CUT}"

STRUCTURE = ("outline", "heading", "caption", "index")
"""Kinds of query that an author wrote: nearest to what people ask, and harder than words lifted from the page."""

ENOUGH = 50
"""Queries of these kinds that suffice to judge by them alone."""
Qrels = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Queries, the pages that they are ranked over, and the grades."""

    queries: tuple[Query, ...]
    pages: tuple[Page, ...]
    qrels: Qrels


def choose_validation(
    queries: Sequence[Query], qrels: Qrels, pages: Sequence[Page], words: int, seed: int
) -> ValidationSet:
    """A part of the validation queries whose pages, with as many others, hold about `words` words.

    Queries are drawn at random, of the authors' own kinds alone where there are enough, until their answering pages
    fill half of it; other body pages fill the rest.
    """
    draw = random.Random(seed)
    by_id = {page.id: page for page in pages if page.kind == "body" and page.duplicate_of is None}
    judged = [query for query in queries if any(page in by_id for page in qrels.get(query.id, {}))]
    written = [query for query in judged if query.kind in STRUCTURE]
    if len(written) >= ENOUGH:
        judged = written
    chosen: list[Query] = []
    corpus: dict[str, Page] = {}
    size = 0
    for query in draw.sample(judged, len(judged)):
        fresh = [by_id[page] for page in qrels[query.id] if page in by_id and page not in corpus]
        if fresh and chosen and size >= words // 2:
            continue
        chosen.append(query)
        corpus.update((page.id, page) for page in fresh)
        size += sum(len(page.words) for page in fresh)
    for page in draw.sample(list(by_id.values()), len(by_id)):
        if size >= words:
            break
        if page.id not in corpus:
            corpus[page.id] = page
            size += len(page.words)
    return ValidationSet(tuple(chosen), tuple(corpus.values()), qrels)


VALIDATION_WORDS = 60_000
"""Words of the pages that a model of images is validated on."""


def validation_of(data: RetrievalData, pages: Sequence[Page], seed: int) -> ValidationSet:
    """A part of the validation queries and pages."""
    return choose_validation(data.of("validation"), data.qrels("validation"), pages, VALIDATION_WORDS, seed)


def judged_pages(context: Context, model: Any, data: RetrievalData, pages: Sequence[Page]) -> PageEvalSet:
    """What a model of images is validated on: pages as it will be shown them."""
    chosen = validation_of(data, pages, context.recipe.fit.seed)
    return PageEvalSet(
        {query.id: query.text for query in chosen.queries},
        tuple(page.id for page in chosen.pages),
        {query.id: dict(chosen.qrels[query.id]) for query in chosen.queries},
        rendered_pages(context.workspace, context.recipe),
        data.masks,
        rendering(model),
    )


class ValidationEvaluator(SentenceEvaluator):
    """Ranks the pages by their best passage and reports NDCG@10, the gain linear in the grade."""

    def __init__(self, chosen: ValidationSet, masks: Mapping[str, Sequence[Rect]], recipe: ModelRecipe) -> None:
        super().__init__()
        self.chosen = chosen
        self.masks = masks
        self.recipe = recipe
        self.primary_metric = METRIC

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """The metric of the model as it is now; nothing is written, the model's mode stays as it was."""
        return {METRIC: float(self.values(model).mean())}

    def identity(self) -> list[Any]:
        """What decides its figures besides the model: queries, texts of the pages, grades."""
        texts = [(page.id, page.text(self.masks.get(page.id, ()))) for page in self.chosen.pages]
        grades = [(query.id, query.text, sorted(self.chosen.qrels[query.id].items())) for query in self.chosen.queries]
        return [texts, grades]

    @property
    def sizes(self) -> tuple[int, int]:
        """Queries, and pages that they are ranked over."""
        return len(self.chosen.queries), len(self.chosen.pages)

    def values(self, model: Any) -> NDArray[np.float64]:
        """float64 [queries]: each query's NDCG@10 with the model as it is now."""
        training = model.training
        try:
            pages = encode_pages(model, self.chosen.pages, self.masks, self.recipe)
            queries = encode_queries(model, [query.text for query in self.chosen.queries])
        finally:
            model.train(training)
        scores = np.full((len(queries), len(pages.ids)), -np.inf, dtype=np.float32)
        np.maximum.at(scores.T, pages.owner, (queries @ pages.vectors.T).T)
        return judge_scores(scores, pages.ids, [self.chosen.qrels[query.id] for query in self.chosen.queries])


def clearly_better(values: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Whether the first mean is higher by more than the standard error of the difference, query by query."""
    gains = values - others
    return bool(len(gains) > 1 and gains.mean() > gains.std(ddof=1) / len(gains) ** 0.5)


def judge_scores(
    scores: NDArray[np.floating],
    ids: Sequence[str],
    grades: Sequence[Mapping[str, int]],
    excluded: Sequence[Collection[str]] = (),
) -> NDArray[np.float64]:
    """float64 [queries]: NDCG@10 of each row of `scores` [queries, pages], without the `excluded` pages of each row.

    The figures are those of `evaluation.metrics` (a test holds them together), without the dictionaries of a run for
    every evaluation of a fit. Equal vectors shall tie, so scores count to six digits; ties go by the page's id.
    """
    if any(excluded):
        left_out = np.array([[page in out for page in ids] for out in excluded])
        scores = np.where(left_out, -np.inf, scores)
    order = np.argsort(np.array(ids), kind="stable")
    best = np.argsort(-np.round(scores, 6)[:, order], axis=1, kind="stable")[:, :CUT]
    found = [ndcg(graded, [ids[order[place]] for place in row]) for graded, row in zip(grades, best, strict=True)]
    return np.array(found, dtype=np.float64)


def ndcg(grades: Mapping[str, int], ranked: Sequence[str]) -> float:
    """Normalised discounted cumulative gain of a ranking, the gain being the grade, cut off at 10 pages."""
    discounts = 1 / np.log2(np.arange(2, CUT + 2))
    gains = np.array([max(0, grades.get(page, 0)) for page in ranked[:CUT]], dtype=float)
    ideal = np.sort(np.array([grade for grade in grades.values() if grade > 0], dtype=float))[::-1][:CUT]
    best = float(ideal @ discounts[: len(ideal)])
    return float(gains @ discounts[: len(gains)]) / best if best > 0 else 0.0
