from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from _tiny_reranker import tiny_qwen3_vl_reranker, tiny_text_reranker
from pagetune.errors import WorkspaceError
from pagetune.evaluation.page_pairs import READ, NearestPassages, score_pages
from pagetune.evaluation.ranking import ranking
from pagetune.evaluation.rerank_use import Mixture, RerankUse
from pagetune.evaluation.reranking import blend
from pagetune.models.calibration import Calibration
from pagetune.models.encoding import encode_pages, encode_queries, fingerprint_model
from pagetune.models.loading import save_model
from pagetune.recipe import IndexRecipe, ModelRecipe, load_recipe
from pagetune.search.building import build_index
from pagetune.search.engine import SearchEngine
from pagetune.search.reranking import ShortlistReranker
from pagetune.workspace import Workspace

QUERY = "garden flower lawn"


@pytest.fixture(scope="module")
def reranker_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sentence_transformers import CrossEncoder

    words = ["garden", "flower", "lawn", "ledger", "engine", "piston", "violin", "concert"]
    bare = tiny_text_reranker(tmp_path_factory.mktemp("text") / "m", hidden=32, words=words)
    folder = tmp_path_factory.mktemp("reranker") / "saved"
    CrossEncoder(str(bare), max_length=64).save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture
def engine(tiny_model: Any, topic_pages: Any, reranker_folder: Path, tmp_path: Path) -> SearchEngine:
    workspace = Workspace(tmp_path / "ws").create()
    recipe = ModelRecipe(chunk_tokens=16, chunk_overlap=4)
    vectors = encode_pages(tiny_model, topic_pages, {}, recipe)
    build_index(workspace.index, vectors, topic_pages, IndexRecipe(), model=fingerprint_model(tiny_model))
    workspace.recipe_file.write_text(load_recipe(None, ["rerank.depth=12", "rerank.max_tokens=64"]).to_yaml())
    shutil.copytree(reranker_folder, workspace.reranker)
    use = RerankUse(Mixture(0.7, 50, 0.1), Calibration(0.5, -2.0, 100))
    use.save(workspace, load_recipe(workspace.recipe_file))
    save_model(tiny_model, workspace.model)
    return SearchEngine(workspace, model=tiny_model)


def test_the_shortlist_is_ordered_as_the_evaluation_orders_it(
    engine: SearchEngine, tiny_model: Any, topic_pages: Any
) -> None:
    plain = {hit.page: hit.score for hit in engine.search(QUERY, k=40)}
    found = engine.search(QUERY, k=20, rerank=True)
    texts = {page.id: page.text() for page in topic_pages}
    vectors = encode_pages(tiny_model, topic_pages, {}, ModelRecipe(chunk_tokens=16, chunk_overlap=4))
    queries = {"q": encode_queries(tiny_model, [QUERY])[0]}
    reading = NearestPassages(tiny_model[0], texts, vectors, queries, READ)
    first = ranking(plain)[:12]
    odds, _ = score_pages(engine.reranker.model, [(QUERY, reading.inputs("q", page)) for page in first])
    expected = blend(plain, dict(zip(first, odds.tolist(), strict=True)), 0.7)
    assert [hit.page for hit in found] == list(expected)[:20]
    assert [hit.page for hit in found] != list(plain)[:20]
    assert {hit.page for hit in found[:12]} == set(first)
    assert [hit.page for hit in found[12:]] == ranking(plain)[12:20]
    probable = Calibration(0.5, -2.0, 100).apply(odds)
    relevance = {hit.page: hit.relevance for hit in found}
    for page, value in zip(first, probable.tolist(), strict=True):
        assert relevance[page] == pytest.approx(value, abs=1e-3)
    assert all(hit.relevance is None for hit in found[12:])


def test_after_the_deadline_the_shortlist_stays_as_it_was(engine: SearchEngine) -> None:
    plain = engine.search(QUERY, k=8)
    late = engine.search(QUERY, k=8, rerank=True, deadline=0.0)
    assert [hit.page for hit in late] == [hit.page for hit in plain]
    assert all(hit.relevance is None for hit in late)
    in_time = engine.search(QUERY, k=8, rerank=True, deadline=600.0)
    assert [hit.page for hit in in_time] == [hit.page for hit in engine.search(QUERY, k=8, rerank=True)]


def test_a_deadline_in_the_midst_reorders_the_best_only(engine: SearchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from pagetune.evaluation import pair_scoring

    plain = [hit.page for hit in engine.search(QUERY, k=40)]
    engine.search(QUERY, rerank=True)
    monkeypatch.setattr(pair_scoring, "TOKENS_AT_ONCE_ON_CPU", 1)
    allowed = iter([True] * (3 * READ) + [False] * 99)
    monkeypatch.setattr(pair_scoring._Clock, "allows", lambda self, tokens: next(allowed))
    found = engine.search(QUERY, k=40, rerank=True, deadline=5.0)
    assert {hit.page for hit in found[:3]} == set(plain[:3])
    assert [hit.page for hit in found[3:]] == plain[3:]
    assert sum(hit.relevance is not None for hit in found) == 3


def test_other_modes_and_documents_are_reranked_too(engine: SearchEngine) -> None:
    lexical = engine.search(QUERY, mode="lexical", rerank=True)
    assert all(hit.relevance is not None for hit in lexical)
    assert {hit.document for hit in engine.search(QUERY, documents=["music"], rerank=True)} == {"music"}


class Store:
    """Pages of growing width, each its own grey; what was asked for is noted."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def images(self, ids: Sequence[str], **bounds: Any) -> Iterator[tuple[str, Image.Image]]:
        assert bounds
        self.asked.append(list(ids))
        for place, page in enumerate(ids):
            yield page, Image.fromarray(np.full((64, 64 + 32 * place, 3), 40 * (place % 6), np.uint8))


@pytest.fixture
def seeing(engine: SearchEngine) -> tuple[ShortlistReranker, Store]:
    """A reranker that sees, and what it asks of the pages' store from now on."""
    shutil.rmtree(engine.workspace.reranker)
    tiny_qwen3_vl_reranker(engine.workspace.reranker, hidden=32, vision_hidden=32)
    store = Store()
    made = ShortlistReranker(engine.workspace, engine.index, lambda: store)  # type: ignore[arg-type,return-value]
    store.asked.clear()  # Loading it warms the workers up.
    return made, store


def test_pages_are_shown_to_a_reranker_that_sees(seeing: tuple[ShortlistReranker, Store]) -> None:
    answer = {"garden-0001": 0.9, "music-0001": 0.5, "engine-0001": 0.1}
    found = seeing[0].rerank(QUERY, answer)
    assert set(found.relevance) == set(found.scores) == set(answer)
    assert len(set(found.relevance.values())) == 3
    assert seeing[1].asked == [list(answer)], "without a deadline all at once"


def test_no_page_is_rendered_after_the_deadline(seeing: tuple[ShortlistReranker, Store]) -> None:
    reranker, store = seeing
    answer = {f"page-{place:04d}": 1 - place / 20 for place in range(12)}
    late = reranker.rerank(QUERY, answer, deadline=0.0)
    assert (store.asked, late.relevance, list(late.scores)) == ([], {}, list(answer))
    in_time = reranker.rerank(QUERY, answer, deadline=600.0)
    assert [len(asked) for asked in store.asked] == [4, 8], "a few at a time, the best first"
    assert [page for asked in store.asked for page in asked] == list(answer)
    assert len(in_time.relevance) == 12


def test_rendering_ends_with_the_time(seeing: tuple[ShortlistReranker, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    reranker, store = seeing
    now = [0.0]
    monkeypatch.setattr("pagetune.search.reranking.time", SimpleNamespace(monotonic=lambda: now[0]))
    images = store.images

    def slow(ids: Sequence[str], **bounds: Any) -> Any:
        now[0] += len(ids)  # A second a page.
        return images(ids, **bounds)

    monkeypatch.setattr(store, "images", slow)
    answer = {f"page-{place:04d}": 1 - place / 20 for place in range(12)}
    found = reranker.rerank(QUERY, answer, deadline=8.0)
    # After four pages four seconds are left: time for three more, with some to spare.
    assert [len(asked) for asked in store.asked] == [4, 3]
    assert set(found.relevance) == set(list(answer)[:7])
    assert list(found.scores)[7:] == list(answer)[7:]


def test_the_workers_that_render_are_kept_and_ended_with_the_engine(engine: SearchEngine, tmp_path: Path) -> None:
    from pagetune.pages.reading import read_documents
    from pagetune.recipe import ReadRecipe

    documents = tmp_path / "documents"
    documents.mkdir()
    for shade in range(6):
        Image.new("RGB", (64, 96), (40 * shade, 0, 0)).save(documents / f"shade{shade}.png")
    read_documents([documents], engine.workspace, ReadRecipe(workers=1, ocr="never"))
    ids = [f"shade{shade}-0001" for shade in range(6)]
    with engine:
        first = {name: image.getpixel((5, 5)) for name, image in engine._store.images(ids[:3])}
        workers = [worker.process.pid for worker in engine._store._many._workers]
        list(engine._store.images(ids[3:]))
        pool = engine._store._many
        assert {worker.process.pid for worker in pool._workers} >= set(workers), "the same ones, and perhaps more"
        assert workers
        assert first == {f"shade{shade}-0001": (40 * shade, 0, 0) for shade in range(3)}
    assert pool._workers == []


def test_that_a_reranker_was_never_evaluated_is_said_once(engine: SearchEngine) -> None:
    from pagetune.cli.app import app

    command = ["search", QUERY, "-w", str(engine.workspace.root), "--rerank"]
    assert "has not been evaluated" not in CliRunner().invoke(app, command).stderr
    shutil.rmtree(engine.workspace.runs)
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0
    assert run.stderr.replace("\n", " ").count("rerank: this reranker has not been evaluated here: weight 0.5") == 1
    assert "evaluated" not in run.stdout


def test_without_a_reranker_the_verb_that_trains_one_is_named(engine: SearchEngine) -> None:
    shutil.rmtree(engine.workspace.reranker)
    with pytest.raises(WorkspaceError, match="pagetune fit kind=reranker"):
        engine.search(QUERY, rerank=True)


def test_the_command_prints_the_relevance(engine: SearchEngine) -> None:
    from pagetune.cli.app import app

    run = CliRunner().invoke(app, ["search", QUERY, "-w", str(engine.workspace.root), "--rerank", "--deadline", "60"])
    assert run.exit_code == 0, run.output
    assert "relevance" in run.output
    plain = CliRunner().invoke(app, ["search", QUERY, "-w", str(engine.workspace.root)])
    assert "relevance" not in plain.output
    refused = CliRunner().invoke(app, ["search", QUERY, "-w", str(engine.workspace.root), "--deadline", "1"])
    assert refused.exit_code == 1
    assert "add --rerank" in refused.output
