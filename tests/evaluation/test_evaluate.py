from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pagetune.errors import DataError
from pagetune.evaluation.evaluate import SYSTEMS, EvaluationReport, evaluate_systems
from pagetune.evaluation.lexical import BM25
from pagetune.evaluation.retrieval import Encoded
from pagetune.models.encoding import PageVectors
from pagetune.recipe import EvaluateRecipe
from pagetune.records import Query

EYE = np.eye(3, dtype=np.float32)
PAGES = PageVectors(("a", "b", "c"), EYE, np.arange(3))
TEXTS = BM25({"a": "alpha", "b": "beta", "c": "gamma"})


def ask(*pages: str) -> list[Query]:
    return [Query(f"q-{page}", {"a": "alpha", "b": "beta", "c": "gamma"}[page], "heading", "d", page) for page in pages]


def evaluate(queries: list[Query], qrels: dict[str, dict[str, int]], **more: object) -> EvaluationReport:
    vectors = np.stack([EYE["abc".index(query.page)] for query in queries])
    given = {"base": Encoded(vectors[:, ::-1].copy(), PAGES), "tuned": Encoded(vectors, PAGES), "lexical": TEXTS}
    return evaluate_systems(queries, qrels, recipe=EvaluateRecipe(resamples=100), **(given | more))  # type: ignore[arg-type]


def test_every_system_is_judged_on_the_same_queries() -> None:
    found = evaluate(ask("c", "a"), {"q-a": {"a": 2}, "q-c": {"c": 2}, "q-unasked": {"b": 2}})
    assert tuple(found.systems) == SYSTEMS
    assert found.systems["tuned"].metrics["NDCG@10"] == 1
    assert found.systems["base"].metrics["Recall@1"] == 0
    assert found.systems["BM25"].metrics["MRR@10"] == found.systems["BM25+tuned"].metrics["MRR@10"] == 1
    assert [query.id for query in found.queries] == ["q-a", "q-c"] == list(found.systems["base"].scores.queries)
    assert found.rank_of("tuned", "q-c") == 1
    assert found.gain.outcome == "too few queries"


def test_queries_without_a_judgement_are_left_out_with_their_vectors() -> None:
    found = evaluate(ask("b", "a"), {"q-a": {"a": 2}})
    assert [query.id for query in found.queries] == ["q-a"]
    assert found.systems["tuned"].metrics["Recall@1"] == 1


def test_excluded_pages_are_in_no_run() -> None:
    found = evaluate(ask("a"), {"q-a": {"b": 2}}, exclude={"q-a": ["a"]})
    assert all("a" not in result.run["q-a"] for result in found.systems.values())
    assert found.conditions.excluded == 1
    assert found.summary()["conditions"]["excluded"] == 1
    assert found.summary()["left_out"] == found.left_out != ""
    with pytest.raises(DataError, match=r"query 'q-a': page 'b' has grade 2 and is excluded; drop one of both"):
        evaluate(ask("a"), {"q-a": {"b": 2}}, exclude={"q-a": ["b"]})


def test_dimensions_fall_from_the_full_one_and_unknown_ones_are_left_out(report: EvaluationReport) -> None:
    assert list(report.by_dimension) == [32, 16, 8]
    full = report.by_dimension[32]["tuned"]
    assert full is report.systems["tuned"]
    assert report.by_dimension[8]["tuned"].metrics["NDCG@10"] < full.metrics["NDCG@10"]


def test_a_better_model_is_a_measured_gain(report: EvaluationReport) -> None:
    assert report.gain.outcome == "gain"
    assert report.gain.difference == pytest.approx(
        report.systems["tuned"].metrics["NDCG@10"] - report.systems["base"].metrics["NDCG@10"]
    )
    assert report.verdict.startswith("Tuning helped")


def test_the_summary_has_every_figure_and_is_the_same_again(
    report: EvaluationReport, reports: Callable[..., EvaluationReport]
) -> None:
    summary = report.summary()
    assert summary == reports().summary()
    assert summary["queries"] == 60
    assert summary["gain"] == "linear"
    assert sum(row["queries"] for row in summary["by_kind"].values()) == 60
    low, high = summary["systems"]["tuned"]["interval"]
    assert low < summary["systems"]["tuned"]["metrics"]["NDCG@10"] < high


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate(ask("a"), {})
    with pytest.raises(DataError, match="not in the collection, such as z"):
        evaluate(ask("a"), {"q-a": {"z": 2}})
    with pytest.raises(DataError, match="such as c"):
        evaluate(ask("a"), {"q-a": {"a": 2}}, lexical=BM25({"a": "alpha", "b": "beta"}))
