"""The deployment grid of a workspace's tuned model: its held-out queries, its pages, the vectors that it has cached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pagetune.errors import WorkspaceError

if TYPE_CHECKING:
    from pagetune.evaluation.grid import DeploymentGrid
    from pagetune.evaluation.ranking import Qrels
    from pagetune.evaluation.retrieval import Passages, Queries
    from pagetune.pipeline import Pipeline

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


def judge_deployment(pipeline: Pipeline, poolings: Sequence[int] = POOLINGS) -> DeploymentGrid:
    """Judge every setting of the tuned model on the held-out queries. Raises WorkspaceError where none was tuned."""
    from pagetune.evaluation.grid import deployment_grid

    encoded = encode_tuned(pipeline)
    return deployment_grid(
        list(encoded.queries),
        encoded.vectors,
        encoded.pages,
        encoded.qrels,
        dimensions=pipeline.recipe.fit.matryoshka,
        poolings=poolings,
        settings=pipeline.recipe.evaluate,
        progress=pipeline.progress,
    )


def encode_tuned(pipeline: Pipeline) -> Encoding:
    """The tuned model's vectors at its full dimension, from the workspace's cache where it has them."""
    from pagetune.models.loading import load_model
    from pagetune.stages import whole

    workspace = pipeline.workspace.open()
    if not (workspace.model / "modules.json").is_file():
        raise WorkspaceError(f"{workspace.root}: there is no tuned model yet; run: pagetune fit -w {workspace.root}")
    workspace.check("fit")
    model = whole(load_model(pipeline.recipe.model, workspace.model))
    return _of_dataset(pipeline, model) if pipeline.recipe.dataset.train else _of_documents(pipeline, model)


def _of_documents(pipeline: Pipeline, model: Any) -> Encoding:
    from pagetune.examples.datasets import load_data
    from pagetune.pages.store import PageStore
    from pagetune.stages import answerable, encode, encode_asked

    data = load_data(pipeline.workspace.data)
    pages = answerable(PageStore(pipeline.workspace.pages).pages())
    queries = {query.id: query.text for query in data.of("test")}
    vectors = encode(pipeline, model, pages, data.masks)
    return Encoding(queries, encode_asked(model, list(queries.values())), vectors, data.qrels("test"))


def _of_dataset(pipeline: Pipeline, model: Any) -> Encoding:
    from pagetune.evaluation.dataset import encode_set
    from pagetune.examples.visual import load_eval_set

    recipe, cache = pipeline.recipe, pipeline.workspace.cache / "vectors"
    judged = load_eval_set(recipe.dataset)
    found = encode_set(model, judged, recipe.model, cache, pipeline.progress)
    return Encoding(judged.queries, found.queries, found.pages, judged.qrels)
