from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manuals import library

from pagetune.errors import DataError
from pagetune.examples.build import build_data
from pagetune.examples.datasets import (
    RetrievalData,
    load_data,
    load_examples,
    save_data,
    save_examples,
    validate_data,
)
from pagetune.recipe import QueriesRecipe, SplitsRecipe
from pagetune.records import Example, Judgement, Query, Split


def small() -> RetrievalData:
    queries = [
        Query("q1", "closing a valve", "outline", "alpha", "alpha-0001", ((1.5, 2, 3, 4),), "Valves", "Valves"),
        Query("q2", "opening a valve", "sentence", "beta", "beta-0001"),
    ]
    judgements = [Judgement("q1", "alpha-0001", 2), Judgement("q1", "alpha-0002", 1), Judgement("q2", "beta-0001", 2)]
    splits: dict[str, Split] = {"q1": "train", "q2": "test"}
    return RetrievalData(queries, judgements, splits, {"alpha-0001": ((0.0, 0.0, 9.0, 9.0),)})


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_data(small(), tmp_path / "data")
    assert load_data(tmp_path / "data") == small()
    table = pq.read_table(tmp_path / "data" / "qrels" / "train.parquet")
    assert table.column_names == ["query-id", "corpus-id", "score"]
    assert load_data(tmp_path / "data").qrels("train") == {"q1": {"alpha-0001": 2, "alpha-0002": 1}}
    assert [query.id for query in load_data(tmp_path / "data").of("test")] == ["q2"]


def test_data_from_elsewhere_needs_few_columns(tmp_path: Path) -> None:
    for name, columns in {
        "queries": {"query-id": [7], "query": ["steam"]},
        "qrels": {"query-id": [7], "corpus-id": [3], "score": [1]},
    }.items():
        (tmp_path / name).mkdir()
        pq.write_table(pa.table(columns), tmp_path / name / "test.parquet")
    data = load_data(tmp_path)
    assert data.qrels("test") == {"7": {"3": 1}}
    assert data.queries[0].text == "steam"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"judgements": [Judgement("q9", "alpha-0001", 2)]}, "query-id 'q9'.*no such query"),
        ({"judgements": [Judgement("q1", "alpha-0001", 3)]}, "score 3 is not a grade"),
        ({"judgements": [Judgement("q1", "nowhere", 2)]}, "corpus-id 'nowhere'.*no such page"),
        ({"judgements": [Judgement("q1", "alpha-0001", 2)] * 2}, "stands there twice"),
        ({"judgements": [Judgement("q1", "alpha-0001", 2)]}, "'q2': no row of qrels"),
        ({"splits": {"q1": "tests"}}, "'tests' is not a split"),
        ({"splits": {"q3": "test"}}, "'q3': there is no such query"),
        ({"queries": [Query("q1", " ", "outline", "alpha", "alpha-0001")]}, "has no text"),
        ({"queries": [Query("q1", "a", "heading", "a", "b")] * 2}, "row 1 .*there twice"),
        ({"masks": {"nowhere": ()}}, "masks, corpus-id 'nowhere'"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], message: str) -> None:
    data = replace(small(), **change)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message) as caught:
        validate_data(data, ["alpha-0001", "alpha-0002", "beta-0001"])
    assert "\n" not in str(caught.value)


def test_files_that_are_not_of_the_form_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder 'queries'"):
        load_data(tmp_path)
    save_data(small(), tmp_path)
    pq.write_table(pa.table({"query-id": ["q1"], "text": ["x"]}), tmp_path / "queries" / "train.parquet")
    with pytest.raises(
        DataError, match=r"train.parquet: column 'query' is missing \(there are \['query-id', 'text'\]\)"
    ):
        load_data(tmp_path)
    (tmp_path / "queries" / "train.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"train\.parquet: not readable as parquet"):
        load_data(tmp_path)
    save_data(small(), tmp_path)
    (tmp_path / "qrels" / "test.parquet").unlink()
    with pytest.raises(DataError, match=r"test\.parquet: is missing"):
        load_data(tmp_path)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text(), st.lists(st.text(), max_size=3))))
def test_examples_of_any_length_are_saved_and_loaded(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, list[str]]]
) -> None:
    path = tmp_path_factory.mktemp("examples") / "examples.parquet"
    examples = [Example(query, positive, tuple(negatives)) for query, positive, negatives in rows]
    save_examples(examples, path)
    assert load_examples(path) == examples


def test_pages_become_data_with_a_report(tmp_path: Path) -> None:
    documents, pages = library()
    data, report = build_data(documents, pages, QueriesRecipe(), SplitsRecipe())
    save_data(data, tmp_path)
    assert sum(report["queries"].values()) == len(data.queries)
    assert set(report["queries"]) == {"train", "validation", "test"}
    judged = {query.page: query.rects for split in ("validation", "test") for query in data.of(split)}  # type: ignore[arg-type]
    assert all(set(rects) <= set(data.masks[page]) for page, rects in judged.items())
    with pytest.raises(DataError, match="no query could be written from 0"):
        build_data(documents, [], QueriesRecipe(), SplitsRecipe())
