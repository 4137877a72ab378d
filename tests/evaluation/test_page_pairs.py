from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from _tiny_reranker import tiny_text_reranker
from pagetune.evaluation.page_pairs import EveryPassage, NearestPassages, score_pages
from pagetune.evaluation.pair_scoring import score_pairs
from pagetune.models.encoding import encode_queries, encode_readings
from pagetune.recipe import ModelRecipe

TEXTS = {
    "a": "\n".join(["ledger account balance booking"] * 6 + ["garden flower lawn hedge"] * 6),
    "b": "engine piston clutch coolant",
    "c": "",
}


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from sentence_transformers import CrossEncoder

    words = sorted({word for text in TEXTS.values() for word in text.split()})
    folder = tiny_text_reranker(tmp_path_factory.mktemp("text") / "m", hidden=32, words=words)
    return CrossEncoder(str(folder), max_length=80)


def test_every_passage_covers_the_page_and_fits(reranker: Any) -> None:
    reading = EveryPassage(reranker, TEXTS)
    passages = reading.inputs("q", "a")
    assert len(passages) > 1
    assert {word for passage in passages for word in passage.split()} == set(TEXTS["a"].split())
    assert all(len(reranker.tokenizer(passage)["input_ids"]) <= 80 - 48 for passage in passages)
    assert reading.inputs("q", "b") == [TEXTS["b"]]
    assert reading.inputs("q", "c") == [""]


def test_of_a_page_the_passages_nearest_to_the_query_are_read(tiny_model: Any) -> None:
    vectors = encode_readings(tiny_model, TEXTS, ModelRecipe())
    asked = {"q": "garden flower lawn hedge", "r": "ledger account balance booking"}
    queries = dict(zip(asked, encode_queries(tiny_model, list(asked.values())), strict=True))
    reading = NearestPassages(tiny_model[0], TEXTS, vectors, queries, most=2)
    for query, word in (("q", "garden"), ("r", "ledger")):
        found = reading.inputs(query, "a")
        assert len(found) == 2
        assert all(word in passage for passage in found)
    assert reading.inputs("q", "b") == [TEXTS["b"]]
    assert reading.inputs("q", "c") == [""]


def test_a_page_counts_by_its_best_passage(reranker: Any) -> None:
    passages = ["engine piston", "garden flower lawn", "ledger"]
    apart = score_pairs(reranker, [("lawn", passage) for passage in passages]).log_odds
    pages, scores = score_pages(reranker, [("lawn", passages), ("lawn", passages[:1]), ("lawn", [])], bfloat16=False)
    assert pages[:2] == pytest.approx([apart.max(), apart[0]], abs=1e-5)
    assert np.isnan(pages[2])
    assert len(scores.values) == 4
