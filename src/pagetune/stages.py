"""The work of each stage: read the workspace, call the rooms, write the workspace, say what came of it.

Every summary has `content`, the digest of what was made: the stages after it are redone only where that changes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.workspace import file_digest, replace_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pagetune.examples.datasets import RetrievalData
    from pagetune.models.encoding import PageVectors
    from pagetune.pages.store import PageStore
    from pagetune.pipeline import Pipeline
    from pagetune.records import Page, Rect

Summary = dict[str, Any]


def do_read(pipeline: Pipeline) -> Summary:
    """Documents into pages."""
    from pagetune.pages.reading import read_documents
    from pagetune.pages.store import PageStore

    workspace = pipeline.workspace
    report = read_documents(pipeline.documents, workspace, pipeline.recipe.read, pipeline.progress)
    return {"content": PageStore(workspace.pages).digest(), **report.summary()}


def do_queries(pipeline: Pipeline) -> Summary:
    """Pages into queries, judgements, masks and splits."""
    from pagetune.examples.build import build_data
    from pagetune.examples.datasets import save_data
    from pagetune.pages.store import PageStore

    store = PageStore(pipeline.workspace.pages)
    data, summary = build_data(store.documents(), store.pages(), pipeline.recipe.queries, pipeline.recipe.splits)
    with replace_folder(pipeline.workspace.data) as folder:
        save_data(data, folder)
    return {"content": _folder_digest(pipeline.workspace.data), **summary}


def do_mine(pipeline: Pipeline) -> Summary:
    """Training queries into examples with hard negatives, from the base model's and BM25's rankings."""
    from pagetune.evaluation.lexical import BM25
    from pagetune.evaluation.retrieval import rank_pages
    from pagetune.examples.datasets import load_data, save_examples
    from pagetune.examples.negatives import mine_negatives
    from pagetune.models.encoding import encode_queries
    from pagetune.models.loading import load_model
    from pagetune.pages.store import PageStore

    workspace, recipe = pipeline.workspace, pipeline.recipe
    pages = _answerable(PageStore(workspace.pages))
    data = load_data(workspace.data)
    queries = data.of("train")
    texts = {query.id: query.text for query in queries}
    base = load_model(recipe.model)
    vectors = _page_vectors(pipeline, base, pages, data.masks)
    query_vectors = encode_queries(base, list(texts.values()))
    dense = rank_pages(list(texts), query_vectors, vectors, depth=recipe.mine.candidates)
    lexical = BM25(_texts(pages, data.masks)).search(texts, recipe.mine.candidates)
    examples = mine_negatives(queries, data.qrels("train"), pages, dense, lexical, recipe.mine)
    with replace_folder(workspace.root / "negatives") as folder:
        save_examples(examples, folder / "examples.parquet")
    counted = [len(example.negatives) for example in examples]
    return {
        "content": file_digest(workspace.root / "negatives" / "examples.parquet"),
        "examples": len(examples),
        "negatives": sum(counted),
        "without_negatives": counted.count(0),
    }
