"""What `evaluate --rerank` adds: over documents, words or pictures; over a dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sentence_transformers import CrossEncoder

from _tiny_reranker import tiny_qwen3_vl_reranker, tiny_text_reranker
from pagetune import load_recipe
from pagetune.context import Context
from pagetune.errors import DataError, WorkspaceError
from pagetune.evaluation.evaluate import EvaluationReport, evaluate_systems
from pagetune.evaluation.lexical import BM25
from pagetune.evaluation.ranking import ranking
from pagetune.evaluation.rerank_use import load_use, open_reranker
from pagetune.evaluation.retrieval import Encoded
from pagetune.examples.datasets import RetrievalData
from pagetune.examples.loading import make_eval_set
from pagetune.models.encoding import PageVectors, encode_pages, encode_queries
from pagetune.records import Judgement, Page, Query
from pagetune.reranking import held_out_rows, rerank_dataset, rerank_documents, settle_use
from pagetune.workspace import Workspace
from topics import TOPICS, make_page, topic_text

KEYS = (
    "rerank.depth=6",
    "rerank.max_tokens=64",
    "evaluate.resamples=100",
    "model.chunk_tokens=16",
    "model.chunk_overlap=4",
)


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    return [
        make_page(f"{topic}-{number:04d}", topic_text(topic, 100 * place + number, 4), number=number + 1)
        for place, topic in enumerate(TOPICS)
        for number in range(5)
    ]


@pytest.fixture(scope="module")
def data(pages: list[Page]) -> RetrievalData:
    """Queries of four words of a page; half of them to validate on, half to judge."""
    queries = [
        Query(f"q{place}", " ".join(page.words[:4]), "heading", page.document, page.id)
        for place, page in enumerate(pages)
    ]
    judgements = [Judgement(query.id, query.page, 2) for query in queries]
    splits = {query.id: "test" if place % 2 else "validation" for place, query in enumerate(queries)}
    return RetrievalData(queries, judgements, splits, {pages[1].id: (tuple(map(float, pages[1].boxes[0])),)})  # type: ignore[arg-type]


def judged(model: Any, pages: list[Page], data: RetrievalData, context: Context) -> tuple[EvaluationReport, Encoded]:
    queries = data.of("test")
    vectors = encode_pages(model, pages, data.masks, context.recipe.model)
    tuned = Encoded(encode_queries(model, [query.text for query in queries]), vectors)
    words = BM25({page.id: page.text(data.masks.get(page.id, ())) for page in pages})
    recipe = context.recipe.evaluate
    return evaluate_systems(queries, data.qrels("test"), base=tuned, tuned=tuned, lexical=words, recipe=recipe), tuned


def text_reranker(folder: Path) -> Path:
    bare = tiny_text_reranker(
        folder / "bare", hidden=32, words=sorted({word for words in TOPICS.values() for word in words})
    )
    CrossEncoder(str(bare), max_length=64).save_pretrained(str(folder / "saved"), create_model_card=False)
    return folder / "saved"


def place_reranker(workspace: Workspace, saved: Path) -> None:
    import shutil

    shutil.copytree(saved, workspace.reranker)


def test_documents_get_a_system_more_whose_weight_validation_chose(
    tiny_model: Any, pages: list[Page], data: RetrievalData, tmp_path: Path
) -> None:
    context = Context(Workspace(tmp_path / "ws"), load_recipe(None, [*KEYS]))
    place_reranker(context.workspace.create(), text_reranker(tmp_path))
    report, tuned = judged(tiny_model, pages, data, context)
    found = rerank_documents(context, report, tiny_model, tuned, data, pages)
    use = load_use(context.workspace, context.recipe)
    assert use is not None
    assert use.mixture.queries == 10
    assert f"weight {use.mixture.weight:g}, chosen on 10 validation queries" in found.conditions.reranked
    assert "the first 6 pages of BM25+tuned" in found.conditions.reranked
    for query, scores in found.systems["reranked"].run.items():
        before = ranking(report.systems["BM25+tuned"].run[query])
        assert set(ranking(scores)[:6]) == set(before[:6])
        assert ranking(scores)[6:] == before[6:]
    kept = list((context.workspace.cache / "scores").rglob("*.npz"))
    again = rerank_documents(context, report, tiny_model, tuned, data, pages)
    assert again.summary() == found.summary()
    assert list((context.workspace.cache / "scores").rglob("*.npz")) == kept
    weighted = replace(context, recipe=load_recipe(None, [*KEYS, "rerank.weight=1"]))
    alone = rerank_documents(weighted, report, tiny_model, tuned, data, pages)
    assert "weight 1, as given" in alone.conditions.reranked


def test_without_a_reranker_nothing_is_judged(
    tiny_model: Any, pages: list[Page], data: RetrievalData, tmp_path: Path
) -> None:
    context = Context(Workspace(tmp_path / "ws"), load_recipe(None, [*KEYS]))
    context.workspace.create()
    report, tuned = judged(tiny_model, pages, data, context)
    with pytest.raises(WorkspaceError, match="no reranker yet"):
        rerank_documents(context, report, tiny_model, tuned, data, pages)


@pytest.fixture(scope="module")
def pictures() -> Any:
    rows = [
        {"query": f"page {number}", "image": Image.new("RGB", (64 + 32 * (number % 3), 64), (9 * number, 0, 200))}
        for number in range(12)
    ]
    return make_eval_set(rows, split=None)


def image_report(chosen: Any, context: Context) -> EvaluationReport:
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((len(chosen.page_ids), 8)).astype(np.float32)
    pages = PageVectors(chosen.page_ids, vectors, np.arange(len(vectors)))
    asked = [Query(name, text, "sentence", "", "") for name, text in chosen.queries.items()]
    near = Encoded(vectors[: len(asked)] + rng.normal(0, 1, (len(asked), 8)).astype(np.float32), pages)
    return evaluate_systems(asked, chosen.qrels, base=near, tuned=near, lexical=None, recipe=context.recipe.evaluate)


def test_a_dataset_is_reranked_by_pictures_with_half_the_weight(pictures: Any, tmp_path: Path) -> None:
    context = Context(Workspace(tmp_path / "ws"), load_recipe(None, [*KEYS]))
    tiny_qwen3_vl_reranker(context.workspace.create().reranker, hidden=32, vision_hidden=32)
    report = image_report(pictures, context)
    found = rerank_dataset(context, report, pictures, None)
    assert "the first 6 pages of tuned" in found.conditions.reranked
    assert "weight 0.5, as there were no validation queries" in found.conditions.reranked
    assert "reranked − tuned" in found.comparisons
    runs = found.systems["reranked"].run, found.systems["tuned"].run
    assert any(ranking(runs[0][query]) != ranking(runs[1][query]) for query in runs[0])


def test_a_dataset_is_reranked_with_the_weight_that_the_fit_chose(pictures: Any, tmp_path: Path) -> None:
    context = Context(Workspace(tmp_path / "ws"), load_recipe(None, [*KEYS]))
    tiny_qwen3_vl_reranker(context.workspace.create().reranker, hidden=32, vision_hidden=32)
    report = image_report(pictures, context)
    loaded = open_reranker(context.workspace, context.recipe)
    answers = {query: set(graded) for query, graded in report.qrels.items()}
    held_out = held_out_rows(pictures.queries, report.systems["tuned"].run, answers, pictures.image)
    use = settle_use(context, loaded, held_out)
    assert use is not None
    assert use.mixture.queries == 12
    found = rerank_dataset(context, report, pictures, None)
    assert use.mixture.about in found.conditions.reranked


def test_a_text_reranker_needs_the_words_of_a_dataset(pictures: Any, tmp_path: Path) -> None:
    context = Context(Workspace(tmp_path / "ws"), load_recipe(None, [*KEYS]))
    place_reranker(context.workspace.create(), text_reranker(tmp_path))
    report = image_report(pictures, context)
    with pytest.raises(DataError, match=r"evaluate\.ocr=true"):
        rerank_dataset(context, report, pictures, None)
    words = {page: f"account balance {place}" for place, page in enumerate(pictures.page_ids)}
    assert "reranked" in rerank_dataset(context, report, pictures, words).systems
