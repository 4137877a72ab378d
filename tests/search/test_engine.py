from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sentence_transformers import SentenceTransformer

from pagetune.errors import SearchError
from pagetune.evaluation.lexical import BM25
from pagetune.evaluation.retrieval import fuse, rank_pages
from pagetune.models.encoding import encode_pages, encode_queries, fingerprint_model
from pagetune.models.loading import load_model
from pagetune.pages.reading import read_documents
from pagetune.pages.store import PageStore
from pagetune.recipe import IndexRecipe, ModelRecipe, ReadRecipe
from pagetune.records import Page
from pagetune.search.building import build_index
from pagetune.search.engine import SearchEngine
from pagetune.workspace import Workspace

FILLER = "Nothing of interest stands in this sentence, which only fills the page. " * 25
TEXTS = {
    "bank-0001": "The weather was cold and the harbour froze.",
    "bank-0002": FILLER + "\nTo reverse a transaction, enter it again with the opposite sign.\n" + FILLER,
    "bank-0003": "Undoing a payment is booked like the payment itself.",
    "type-0001": "Margins surround the text block of a printed page.",
    "type-0002": "",
}


def page_of(name: str, text: str) -> Page:
    lines = [line.split() for line in text.split("\n")]
    words = tuple(word for line in lines for word in line)
    numbers = np.array([number for number, line in enumerate(lines) for _ in line], np.int32)
    document, _, number = name.rpartition("-")
    boxes, sizes = np.zeros((len(words), 4), np.float32), np.ones(len(words), np.float32)
    return Page(name, document, int(number), 100, 100, words, boxes, sizes, numbers)


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return load_model(ModelRecipe())


@pytest.fixture(scope="module")
def engine(model: SentenceTransformer, tmp_path_factory: pytest.TempPathFactory) -> SearchEngine:
    workspace = Workspace(tmp_path_factory.mktemp("search") / "ws").create()
    pages = [page_of(name, text) for name, text in TEXTS.items()]
    vectors = encode_pages(model, pages, {}, ModelRecipe())
    pictures = [(page.id, Image.new("RGB", (40, 60), "white")) for page in pages]
    build_index(workspace.index, vectors, pages, IndexRecipe(), model=fingerprint_model(model), thumbnails=pictures)
    return SearchEngine(workspace, model=model)


def test_finds_the_page_and_shows_where(engine: SearchEngine) -> None:
    hits = engine.search("how do I reverse a transaction", k=3)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert (hits[0].page, hits[0].document, hits[0].number) == ("bank-0002", "bank", 2)
    assert "reverse a transaction" in hits[0].snippet
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len({hit.page for hit in hits}) == len(hits)


def test_the_modes_differ_as_their_names_say(engine: SearchEngine) -> None:
    lexical = engine.search("freezing port", mode="lexical")
    assert lexical == []
    assert engine.search("freezing port", mode="dense")[0].page == "bank-0001"
    assert engine.search("freezing port")[0].page == "bank-0001"
    assert [hit.page for hit in engine.search("payment", mode="lexical")] == ["bank-0003"]


@pytest.mark.parametrize("query", ["reverse a transaction", "printed margins of the weather", "freezing"])
def test_the_default_search_is_the_fusion_that_was_evaluated(
    engine: SearchEngine, model: SentenceTransformer, query: str
) -> None:
    pages = [page_of(name, text) for name, text in TEXTS.items()]
    vectors = encode_pages(model, pages, {}, ModelRecipe())
    dense = rank_pages(["q"], encode_queries(model, [query]), vectors, dimension=IndexRecipe().dimension)
    evaluated = fuse(dense, BM25(TEXTS).search({"q": query}), 0.5)["q"]
    assert {hit.page: hit.score for hit in engine.search(query)} == pytest.approx(evaluated, abs=1e-4)


def test_the_hits_pages_are_saved_as_pictures(engine: SearchEngine, model: SentenceTransformer, tmp_path: Path) -> None:
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(tmp_path / "bank.pdf"), pagesize=(300, 400))
    for line in ("The first page is about harbours and ships.", "The second page is about ledgers and entries."):
        canvas.drawString(20, 200, line)
        canvas.showPage()
    canvas.save()
    workspace = Workspace(tmp_path / "ws").create()
    read_documents([tmp_path / "bank.pdf"], workspace, ReadRecipe(workers=1, ocr="never"))
    pages = PageStore(workspace.pages).pages()
    build_index(workspace.index, encode_pages(model, pages, {}, ModelRecipe()), pages, IndexRecipe())
    found = SearchEngine(workspace, model=model)
    hits = found.search("ledger", k=1)
    saved = found.save_images(hits, tmp_path / "images")
    assert [path.name for path in saved] == ["01-bank-0002.png"]
    with Image.open(saved[0]) as picture:
        assert max(picture.size) == 1600
        assert picture.size[1] > picture.size[0]


def test_filters_by_document(engine: SearchEngine) -> None:
    hits = engine.search("transaction payment", documents=["type"])
    assert {hit.document for hit in hits} == {"type"}
    assert engine.search("transaction", documents=["type"], mode="lexical") == []
    with pytest.raises(SearchError, match="did you mean 'bank'"):
        engine.search("transaction", documents=["bnak"])


def test_thumbnails_come_from_the_index(engine: SearchEngine) -> None:
    assert (engine.thumbnail("bank-0001") or b"").startswith(b"\xff\xd8")
    assert engine.thumbnail("nowhere-0001") is None


def test_lexical_search_needs_no_model(engine: SearchEngine) -> None:
    assert SearchEngine(engine.workspace.root).search("margins", mode="lexical")[0].page == "type-0001"


def test_what_cannot_be_answered_is_refused(engine: SearchEngine, tmp_path: Path) -> None:
    for text, k, mode, fault in [("  ", 3, "fused", "empty"), ("a", 0, "fused", "k=0"), ("a", 3, "fuse", "'fuse'")]:
        with pytest.raises(SearchError, match=fault):
            engine.search(text, k, mode=mode)  # type: ignore[arg-type]
    with pytest.raises(SearchError, match="pagetune index"):
        SearchEngine(tmp_path)
    with pytest.raises(SearchError, match=r"holds no model.*pagetune fit kind=retriever -w "):
        SearchEngine(engine.workspace).search("margins")


def test_another_model_than_the_indexs_is_refused(engine: SearchEngine) -> None:
    other = load_model(ModelRecipe(chunk_tokens=64, chunk_overlap=16))
    with pytest.raises(SearchError, match="not the one that the index was built with"):
        SearchEngine(engine.workspace, model=other).search("margins")
