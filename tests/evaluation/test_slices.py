from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pagetune.errors import DataError
from pagetune.evaluation.facets import answer_of, caption_type, facets_of, length_of, overlap_of
from pagetune.evaluation.metrics import MAIN_METRIC, QueryScores
from pagetune.evaluation.slices import slice_by
from pagetune.recipe import EvaluateRecipe
from pagetune.records import Document, Page, Query

FAST = EvaluateRecipe(resamples=400)
Maker = Callable[..., Page]


def ask(number: int, text: str = "how many words", kind: Any = "heading", page: str = "a-0001") -> Query:
    return Query(f"q{number:03d}", text, kind, page.rpartition("-")[0], page)


def scores(values: list[float]) -> QueryScores:
    return QueryScores(
        tuple(f"q{n:03d}" for n in range(len(values))), {MAIN_METRIC: np.array(values, dtype=np.float64)}
    )


def test_a_query_is_filed_under_its_own_page_of_the_highest_grade() -> None:
    query = ask(1, page="a-0002")
    assert answer_of(query, {"a-0001": 2, "a-0002": 2, "a-0000": 1}) == "a-0002"
    assert answer_of(query, {"a-0001": 2, "a-0002": 1}) == "a-0001"


@pytest.mark.parametrize(
    ("label", "kind"),
    [("Table 3.1", "table"), ("Abb. 2", "figure"), ("Fig 7", "figure"), ("Chart 2", "chart"), ("Listing 4", None)],
)
def test_a_caption_says_what_it_names(label: str, kind: str | None) -> None:
    assert caption_type(label) == kind


def test_the_type_of_a_page_is_what_its_captions_and_its_origin_say(page_maker: Maker) -> None:
    prose = "\n".join(["the words of this page go on for a while and then they end"] * 6)
    pages = [
        page_maker(
            "a-0001",
            f"{prose}\nTable 1: Prices of corn and wheat\nTable 2: Prices of rice\nFigure 1: A field",
            number=1,
        ),
        page_maker("a-0002", prose, number=2),
        page_maker("a-0003", f"Table 9: Read by a machine\n{prose}", number=3, origin="ocr"),
        page_maker("a-0004", "", number=4, origin="none"),
    ]
    queries = [ask(number, page=page.id) for number, page in enumerate(pages)]
    qrels = {query.id: {query.page: 2} for query in queries}
    found = facets_of(queries, qrels, pages, [Document("a", "a.pdf", "", "pdf", 4, language="en-GB")])
    assert list(found["type of page"].values()) == ["table", "text", "scan", "no text"]
    assert set(found["language"].values()) == {"en"}
    assert set(found["document"].values()) == {"a"}


def test_the_length_and_the_words_that_the_page_has(page_maker: Maker) -> None:
    assert [length_of("w " * count) for count in (1, 4, 10, 11)] == [
        "1–3 words",
        "4–6 words",
        "7–10 words",
        "11 words and more",
    ]
    page = page_maker("a-0001", "clutches and pistons wear out\ngaskets leak")
    assert overlap_of(ask(1, "the clutch and the piston"), page, {}, "en") == "more than two thirds"
    assert overlap_of(ask(1, "clutch plates"), page, {}, "en") == "up to two thirds"
    assert overlap_of(ask(1, "violin"), page, {}) == "none of its words"
    assert overlap_of(ask(1, "of the and"), page, {}) is None
    hidden = {page.id: [(0.0, 785.0, 600.0, 800.0)]}
    assert overlap_of(ask(1, "the clutch and the piston"), page, hidden, "en") == "none of its words"


def test_without_pages_there_are_the_slices_that_queries_alone_give() -> None:
    found = facets_of([ask(1)], {"q001": {"a-0001": 1}})
    assert {facet for facet, own in found.items() if own} == {"kind of query", "document", "length"}


def test_slices_are_tested_together_and_say_where_it_helps() -> None:
    rng = np.random.default_rng(3)
    queries = [ask(n, kind="caption" if n < 60 else "outline" if n < 120 else "phrase") for n in range(130)]
    old = rng.uniform(0.2, 0.6, 130)
    change = np.concatenate([rng.normal(0.15, 0.1, 60), rng.normal(0, 0.1, 70)])
    qrels = {query.id: {query.page: 2} for query in queries}
    new = ("tuned", scores((old + change).tolist()))
    found = slice_by(facets_of(queries, qrels), new, ("base", scores(old.tolist())), settings=FAST)
    assert [(one.name, len(one.queries), one.outcome) for one in found.facets["kind of query"]] == [
        ("caption", 60, "gain"),
        ("outline", 60, "no measurable gain"),
        ("phrase", 10, "too few queries"),
    ]
    assert list(found.facets) == ["kind of query"]
    assert found.tested == 2
    assert {one.comparison.family for one in found.slices} == {2, 1}
    assert found.slices[2].warning == "10 queries: too few for a verdict"
    assert found.slices[0].warning is None
    assert found.verdict == (
        "tuned against base, 2 slices tested together: measurably better in kind of query caption; "
        "not measurable in 1; too few queries in 1."
    )
    told = json.loads(json.dumps(found.to_json()))
    assert told["facets"]["kind of query"][0]["outcome"] == "gain"
    assert told["facets"]["kind of query"][2]["warning"]
    assert told["tested"] == 2


def test_one_of_many_slices_that_looks_better_by_chance_is_not_measurable() -> None:
    rng = np.random.default_rng(8)
    falls = {f"q{n:03d}": f"group {n % 20:02d}" for n in range(600)}
    outcomes = []
    for _ in range(6):
        old = rng.uniform(0.2, 0.6, 600)
        new = scores((old + rng.normal(0, 0.15, 600)).tolist())
        found = slice_by({"group": falls}, ("new", new), ("old", scores(old.tolist())), settings=FAST)
        outcomes += [one.outcome for one in found.slices]
        assert found.tested == 20
    assert outcomes.count("no measurable gain") >= len(outcomes) - 1


def test_few_queries_come_with_a_warning_and_classes_in_their_order() -> None:
    falls = {f"q{n:03d}": "4–6 words" if n < 30 else "1–3 words" for n in range(40)}
    values = scores(np.linspace(0, 1, 40).tolist())
    found = slice_by({"length": falls}, ("new", values), ("old", values), settings=FAST)
    assert [one.name for one in found.slices] == ["1–3 words", "4–6 words"]
    assert found.slices[1].warning == "30 queries: few, the interval is a little too narrow"


def test_scores_of_other_queries_are_refused() -> None:
    with pytest.raises(DataError, match="none of the 1 queries has scores of both systems"):
        slice_by({"kind": {"q500": "heading"}}, ("a", scores([1.0])), ("b", scores([1.0])))


def test_a_query_without_scores_is_left_out() -> None:
    falls = {f"q{n:03d}": "odd" if n % 2 else "even" for n in range(60)}
    values = scores(np.linspace(0, 1, 40).tolist())
    found = slice_by({"number": falls}, ("new", values), ("old", values), settings=FAST)
    assert {one.name: len(one.queries) for one in found.slices} == {"odd": 20, "even": 20}


def test_documents_too_small_to_stand_alone_are_not_tested_as_the_whole_set() -> None:
    rng = np.random.default_rng(2)
    falls = {"document": {f"q{n:03d}": f"d{n % 30}" for n in range(120)}}
    falls["kind"] = {query: "a" if place % 2 else "b" for place, query in enumerate(falls["document"])}
    new, old = scores(rng.uniform(size=120).tolist()), scores(rng.uniform(size=120).tolist())
    found = slice_by(falls, ("new", new), ("old", old), settings=FAST)
    assert list(found.facets) == ["kind"]
    assert found.tested == 2
