"""A small made-up collection whose tuned vectors are better than its base vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pagetune.evaluation.evaluate import EvaluationReport, evaluate_systems
from pagetune.evaluation.lexical import BM25
from pagetune.evaluation.retrieval import Encoded
from pagetune.models.encoding import PageVectors
from pagetune.models.scoring import truncate
from pagetune.recipe import EvaluateRecipe
from pagetune.records import Query

WORDS = ("ledger", "margin", "plot", "matrix", "kernel", "grade", "index", "figure", "socket", "filter", "font", "axis")


def make_report(
    *,
    queries: int = 60,
    pages: int = 80,
    kinds: Sequence[str] = ("outline", "caption", "phrase"),
    dimensions: Sequence[int] = (32, 16, 8),
    tuned_noise: float = 0.5,
    document: str = "memoir",
    seed: int = 11,
) -> EvaluationReport:
    """Queries are noisy copies of their page's vector; the less noise, the better the model."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"{document}-{number:04d}" for number in range(1, pages + 1))
    topics = [rng.choice(WORDS, 3) for _ in ids]
    texts = {page: " ".join((*topic, *rng.choice(WORDS, 20))) for page, topic in zip(ids, topics, strict=True)}
    centres = rng.standard_normal((pages, 32)).astype(np.float32)
    owner = np.repeat(np.arange(pages), 2)
    vectors = PageVectors(ids, truncate(centres[owner] + rng.normal(0, 0.3, (2 * pages, 32)), None), owner)
    answers = rng.integers(0, pages, queries)
    asked = [
        Query(
            f"q{number:03d}",
            f"{' '.join(topics[page])} {number}",
            kinds[number % len(kinds)],
            document,
            ids[page],  # type: ignore[arg-type]
        )
        for number, page in enumerate(answers)
    ]
    qrels = {
        query.id: {ids[page]: 2} | ({ids[page + 1]: 1} if page + 1 < pages and number % 3 == 0 else {})
        for number, (query, page) in enumerate(zip(asked, answers, strict=True))
    }

    def encoded(noise: float) -> Encoded:
        return Encoded(truncate(centres[answers] + rng.normal(0, noise, (queries, 32)), None), vectors)

    return evaluate_systems(
        asked,
        qrels,
        base=encoded(1.5),
        tuned=encoded(tuned_noise),
        lexical=BM25(texts),
        recipe=EvaluateRecipe(resamples=300),
        dimensions=dimensions,
    )


@pytest.fixture(scope="session")
def report() -> EvaluationReport:
    return make_report()


@pytest.fixture(scope="session")
def reports() -> Callable[..., EvaluationReport]:
    return make_report
