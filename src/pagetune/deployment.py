"""The deployment grid of a workspace's tuned model: its held-out queries, its pages, the vectors that it has cached."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pagetune.errors import WorkspaceError
from pagetune.workspace import command

if TYPE_CHECKING:
    from pagetune.context import Context
    from pagetune.evaluation.grid import DeploymentGrid
    from pagetune.evaluation.grid_reranking import Reranking
    from pagetune.evaluation.ranking import Qrels, Run
    from pagetune.evaluation.reranking import LogOdds
    from pagetune.evaluation.retrieval import Passages, Queries

POOLINGS = (2, 4)
"""Of so many token vectors of a page one is kept, besides all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """What a model made of the held-out queries and the pages, and which page answers which query."""

    queries: Mapping[str, str]
    """Query id -> text, in the order of the vectors."""
    vectors: Queries
    pages: Passages
    qrels: Qrels
    read: Callable[[Any], tuple[Any, Mapping[str, str] | None]]
    """A reranker -> how it reads the pages, and what decides their pictures."""
    excluded: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Query id -> pages to leave out of its answers."""


def judge_deployment(
    context: Context, poolings: Sequence[int] = POOLINGS, depths: Sequence[int] = ()
) -> DeploymentGrid:
    """Judge every setting of the tuned model on the held-out queries, and each once more with so many pages reranked
    (`depths`). Raises WorkspaceError where no model was tuned, or no reranker."""
    from pagetune.evaluation.grid import deployment_grid
    from pagetune.evaluation.rerank_use import open_reranker

    # Before the vectors are made: it may be that there is none.
    reranker = open_reranker(context.workspace.open(), context.recipe) if depths else None
    encoded = encode_tuned(context)
    return deployment_grid(
        list(encoded.queries),
        encoded.vectors,
        encoded.pages,
        encoded.qrels,
        dimensions=context.recipe.fit.matryoshka,
        poolings=poolings,
        exclude=encoded.excluded,
        reranking=_reranking(context, encoded, reranker, depths) if reranker is not None else None,
        settings=context.recipe.evaluate,
        progress=context.progress,
    )


TIMED_QUERIES, TIMED_PAGES = 4, 8
"""Pairs of so many queries and pages say how long one takes."""


def _reranking(context: Context, encoded: Encoding, reranker: Any, depths: Sequence[int]) -> Reranking:
    """The reranker as the grid asks it: its scores kept, as the evaluation keeps them, a pair's time measured anew."""
    from pagetune.evaluation.grid_reranking import Reranking
    from pagetune.evaluation.ranking import ranking
    from pagetune.evaluation.rerank_use import use_of
    from pagetune.evaluation.reranking import score_shortlists

    recipe, workspace = context.recipe, context.workspace
    reading, keys = encoded.read(reranker)
    budget = None if recipe.rerank.pair_tokens == "auto" else recipe.rerank.pair_tokens

    def scored(run: Run, **more: Any) -> dict[str, dict[str, float]]:
        texts = {query: encoded.queries[query] for query in run}
        deepest = max(len(pages) for pages in run.values())
        return score_shortlists(reranker, texts, run, reading, keys, depth=deepest, budget_tokens=budget, **more)

    def score(run: Run) -> tuple[LogOdds, float]:
        found = scored(run, cache=workspace.cache / "scores", progress=context.progress)
        some = {
            query: {page: run[query][page] for page in ranking(run[query])[:TIMED_PAGES]}
            for query in list(run)[:TIMED_QUERIES]
        }
        began = time.perf_counter()
        scored(some)
        return found, 1000 * (time.perf_counter() - began) / sum(len(pages) for pages in some.values())

    return Reranking(tuple(sorted(set(depths))), score, use_of(workspace, recipe).mixture.weight)


def encode_tuned(context: Context) -> Encoding:
    """The tuned model's vectors at its full dimension, from the workspace's cache where it has them."""
    from pagetune.models.inspect import whole
    from pagetune.models.loading import load_model

    workspace = context.workspace.open()
    if not (workspace.model / "modules.json").is_file():
        raise WorkspaceError(
            f"{workspace.root}: there is no tuned model yet; run: pagetune {command('fit')} -w {workspace.root}"
        )
    workspace.check("fit")
    model = whole(load_model(context.recipe.model, workspace.model))
    return _of_dataset(context, model) if context.recipe.dataset.train else _of_documents(context, model)


def _of_documents(context: Context, model: Any) -> Encoding:
    from pagetune.evaluation.retrieval import Encoded
    from pagetune.examples.datasets import load_data
    from pagetune.examples.page_images import answerable
    from pagetune.pages.store import PageStore
    from pagetune.reranking import read_documents
    from pagetune.reviews import judge_again
    from pagetune.training.encode import encode, encode_asked

    data = load_data(context.workspace.data)
    pages = answerable(PageStore(context.workspace.pages).pages())
    queries = {query.id: query.text for query in data.of("test")}
    vectors = encode(context, model, pages, data.masks)
    qrels, _ = judge_again(context.workspace, data.qrels("test"), queries, [page.id for page in pages])
    asked = encode_asked(model, list(queries.values()))
    tuned = Encoded(asked, vectors)
    return Encoding(queries, asked, vectors, qrels, lambda one: read_documents(context, one, model, tuned, data, pages))


def _of_dataset(context: Context, model: Any) -> Encoding:
    from pagetune.evaluation.dataset import encode_set
    from pagetune.examples.loading import load_eval_set
    from pagetune.reranking import read_dataset
    from pagetune.reviews import judge_again
    from pagetune.training.page_cache import kept_pages

    recipe, cache = context.recipe, context.workspace.cache
    judged = load_eval_set(recipe.dataset)
    kept = kept_pages(cache / "pixels", model, recipe.fit.page_cache)
    found = encode_set(model, judged, recipe.model, cache / "vectors", context.progress, kept)
    qrels, _ = judge_again(context.workspace, judged.qrels, judged.queries, judged.page_ids)
    return Encoding(
        judged.queries,
        found.queries,
        found.pages,
        qrels,
        lambda one: read_dataset(context, one, judged),
        judged.excluded,
    )
