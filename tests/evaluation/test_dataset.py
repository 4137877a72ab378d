"""A dataset as an evaluation sees it: kinds and documents where it has them, and the words of its pages."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pagetune.errors import DataError
from pagetune.evaluation.dataset import PLAIN, dataset_facets, dataset_queries, page_words
from pagetune.examples.loading import load_eval_set
from pagetune.examples.published import resolve
from pagetune.recipe import DatasetRecipe


def picture(colour: str) -> dict[str, Any]:
    out = io.BytesIO()
    Image.new("RGB", (40, 50), colour).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def tables(folder: Path, corpus: dict[str, Any] | None = None, queries: dict[str, Any] | None = None) -> DatasetRecipe:
    """Two pages, each the answer of a query."""
    pages = {"corpus-id": [1, 2], "image": [picture("red"), picture("blue")]} | (corpus or {})
    asked = {"query-id": ["q1", "q2"], "query": ["the red one", "the blue one"]} | (queries or {})
    judged = {"query-id": ["q1", "q2", "q2"], "corpus-id": [1, 1, 2], "score": [2, 1, 2]}
    for name, columns in (("corpus", pages), ("queries", asked), ("qrels", judged)):
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.table(columns), folder / name / "test.parquet")
    return DatasetRecipe(eval=str(folder))


def test_kinds_and_documents_are_taken_where_they_are(tmp_path: Path) -> None:
    recipe = tables(
        tmp_path / "set", {"doc-id": ["a report", None]}, {"query_types": [["numerical", "extractive"], ["boolean"]]}
    )
    first, second = dataset_queries(load_eval_set(recipe), recipe)
    assert (first.kind, first.document, first.page) == ("extractive, numerical", "a report", "1")
    assert (second.kind, second.document, second.page) == ("boolean", "", "2")


def test_without_such_columns_queries_are_of_one_kind(tmp_path: Path) -> None:
    recipe = tables(tmp_path / "set")
    assert {(query.kind, query.document) for query in dataset_queries(load_eval_set(recipe), recipe)} == {(PLAIN, "")}
    (tmp_path / "rows").mkdir()
    rows = {"query": ["a", "b"], "image": [picture("red"), picture("blue")]}
    pq.write_table(pa.table(rows), tmp_path / "rows" / "test.parquet")
    recipe = DatasetRecipe(eval=str(tmp_path / "rows" / "test.parquet"))
    chosen = load_eval_set(recipe)
    assert [query.page for query in dataset_queries(chosen, recipe)] == [
        next(iter(chosen.qrels[name])) for name in chosen.queries
    ]


def test_facets_are_what_the_tables_and_the_words_say(tmp_path: Path) -> None:
    corpus = {"text": ["all about the red one", "nothing of it"], "doc_id": ["a", "b"]}
    queries = {"language": ["english", "french"], "content_type": [["Table", "Chart"], None]}
    recipe = tables(tmp_path / "set", corpus, queries)
    chosen = load_eval_set(recipe)
    texts, _ = page_words(chosen, recipe, tmp_path / "cache")
    asked = dataset_queries(chosen, recipe)
    found = dataset_facets(asked, chosen.qrels, chosen, recipe, texts)
    assert found["language"] == {"q1": "english", "q2": "french"}
    assert found["type of page"] == {"q1": "Chart, Table"}
    assert found["document"] == {"q1": "a", "q2": "b"}
    assert found["length"] == {"q1": "1–3 words", "q2": "1–3 words"}
    assert found["words on the page"] == {"q1": "more than two thirds", "q2": "none of its words"}
    without = dataset_facets(asked, chosen.qrels, chosen, recipe)
    assert not without["words on the page"]
    plain = tables(tmp_path / "plain")
    of_plain = load_eval_set(plain)
    found = dataset_facets(dataset_queries(of_plain, plain), of_plain.qrels, of_plain, plain)
    assert {name for name, falls in found.items() if falls} == {"kind of query", "length"}


def test_a_short_name_stands_for_a_published_set() -> None:
    named = DatasetRecipe(eval="vidore-v3/hr", columns={"query_id": "query-id", "text": "query"})
    found = resolve(named)
    assert (found.eval, found.eval_split) == ("vidore/vidore_v3_hr", "test")
    assert found.columns == {"query_id": "query-id", "corpus_id": "corpus-id", "text": "query"}
    assert resolve(DatasetRecipe(eval="me/mine")).eval == "me/mine"
    with pytest.raises(DataError, match="did you mean 'vidore-v2/esg'"):
        load_eval_set(DatasetRecipe(eval="vidore-v2/egs"))


@pytest.mark.parametrize("column", ["text", "markdown"])
def test_the_pages_words_are_a_column_s(column: str, tmp_path: Path) -> None:
    recipe = tables(tmp_path / "set", {column: ["all about red", "all about blue"]})
    texts, words = page_words(load_eval_set(recipe), recipe, tmp_path / "cache")
    assert texts == {"1": "all about red", "2": "all about blue"}
    assert column in words


def test_no_page_is_read_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tables(tmp_path / "set", {"text": ["", None]})
    chosen = load_eval_set(recipe)
    texts, words = page_words(chosen, recipe, tmp_path / "cache")
    assert texts is None
    assert "evaluate.ocr=true" in words
    monkeypatch.setattr("pagetune.models.page_reader.text_of_picture", lambda image: "read on the page")
    texts, words = page_words(chosen, recipe, tmp_path / "cache", ocr=True)
    assert texts == dict.fromkeys(chosen.page_ids, "read on the page")
    assert words == "the pages' text by OCR"


def test_a_column_that_is_no_text_is_a_reason_not_an_error(tmp_path: Path) -> None:
    recipe = tables(tmp_path / "set", {"text": [["a"], ["b"]]})
    texts, words = page_words(load_eval_set(recipe), recipe, tmp_path / "cache")
    assert texts is None
    assert "is ['a'], no text" in words
