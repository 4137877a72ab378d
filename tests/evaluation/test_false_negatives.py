from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pagetune.errors import DataError
from pagetune.evaluation.false_negatives import (
    confirm,
    find_suspects,
    read_decisions,
    read_suspects,
    reject,
    reviewed,
    write_suspects,
)
from pagetune.evaluation.ranking import Run

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def run(**answers: str) -> Run:
    """Query -> its pages, a letter each, best first."""
    return {query: {page: float(-place) for place, page in enumerate(pages)} for query, pages in answers.items()}


RUNS = {"base": run(q1="xyaz", q2="bxc", q3="xy"), "tuned": run(q1="yxza", q2="xbc", q3="yxw")}
QRELS = {"q1": {"a": 2}, "q2": {"b": 2, "c": 1}, "q3": {"d": 2, "y": 0}}
TEXTS = {"q1": "first", "q2": "second", "q3": "third"}


@pytest.fixture
def review(tmp_path: Path) -> Path:
    write_suspects(find_suspects(RUNS, QRELS, TEXTS), tmp_path)
    return tmp_path


def test_suspected_is_what_every_model_puts_above_the_judged_page() -> None:
    found = find_suspects(RUNS, QRELS, TEXTS)
    assert {(one.query, one.page) for one in found} == {("q1", "x"), ("q1", "y"), ("q3", "x")}
    first = next(one for one in found if (one.query, one.page) == ("q1", "x"))
    assert (first.text, first.judged) == ("first", "a")
    assert first.ranks == {"base": 1, "tuned": 2}
    assert first.judged_ranks == {"base": 3, "tuned": 4}
    assert next(one for one in found if one.query == "q3").judged_ranks == {"base": None, "tuned": None}


def test_the_surest_come_first_and_not_too_many() -> None:
    many = {"a": run(q="uvwxd"), "b": run(q="vuwxd")}
    found = find_suspects(many, {"q": {"d": 1}}, {}, most=3)
    assert [one.page for one in found] == ["u", "v", "w"]
    assert len(find_suspects(many, {"q": {"d": 1}}, {}, most=1)) == 1


def test_one_model_is_no_witness() -> None:
    with pytest.raises(DataError, match="give at least 2"):
        find_suspects({"tuned": run(q1="xa")}, QRELS, TEXTS)


def test_what_was_decided_is_listed_no_more_and_says_who_and_when(review: Path) -> None:
    made = confirm(review, "q1", "x", by="Ada", at=NOON, note="same table")
    reject(review, "q3", "x", by="Ben", at=NOON)
    assert (made.grade, made.at, made.models, made.was) == (2, "2026-05-04T12:00:00+00:00", ("base", "tuned"), None)
    assert [(one.query, one.page) for one in read_suspects(review)] == [("q1", "y")]
    assert len(read_suspects(review, all=True)) == 3
    assert [(one.by, one.grade) for one in read_decisions(review)] == [("Ada", 2), ("Ben", 0)]
    write_suspects(find_suspects(RUNS, reviewed(QRELS, read_decisions(review)), TEXTS), review)
    assert ("q3", "x") not in {(one.query, one.page) for one in read_suspects(review)}


def test_a_decision_can_be_changed_and_both_are_kept(review: Path) -> None:
    confirm(review, "q1", "x", by="Ada")
    changed = reject(review, "q1", "x", by="Ben")
    assert changed.was == 2
    assert len(read_decisions(review)) == 2
    assert reviewed(QRELS, read_decisions(review))["q1"] == {"a": 2, "x": 0}
    assert QRELS["q1"] == {"a": 2}
    assert reviewed({"other": {"a": 1}}, read_decisions(review)) == {"other": {"a": 1}}


def test_nobody_and_nothing_listed_are_refused(review: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names nobody"):
        confirm(review, "q1", "x", by=" ")
    with pytest.raises(DataError, match="'q1' with page 'a' is not in"):
        reject(review, "q1", "a", by="Ada")
    with pytest.raises(DataError, match="grade 3"):
        confirm(review, "q1", "x", by="Ada", grade=3)
    with pytest.raises(DataError, match="is not there"):
        read_suspects(tmp_path / "none")
    (review / "decisions.jsonl").write_text('{"query": 1}\n')
    with pytest.raises(DataError, match="line 1: no decision"):
        read_decisions(review)


def test_the_list_is_plain_json(review: Path) -> None:
    rows = json.loads((review / "suspects.json").read_text())["suspects"]
    known = {"query", "text", "page", "judged", "ranks", "judged_ranks", "scores", "judged_scores"}
    assert set(rows[0]) == known
