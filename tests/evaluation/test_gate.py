from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pagetune.cli.gating import Threshold
from pagetune.errors import DataError, RecipeError
from pagetune.evaluation.evaluate import EvaluationReport
from pagetune.evaluation.gate import check, check_reference
from pagetune.evaluation.metrics import score_run
from pagetune.evaluation.output import write_run
from pagetune.evaluation.significance import interval
from pagetune.pipeline import Pipeline
from pagetune.recipe import load_recipe

BASE = np.random.default_rng(3).uniform(0.3, 0.9, 150)


def keep(folder: Path, values: np.ndarray, *, prefix: str = "q", table: bool = True, pages: int = 400) -> Path:
    """A run's folder as `pagetune evaluate` leaves it, of one system."""
    folder.mkdir()
    low, high = interval(values, resamples=400)
    found: dict[str, Any] = {
        "queries": len(values),
        "pages": pages,
        "systems": {"tuned": {"metrics": {"NDCG@10": float(values.mean())}, "interval": [low, high]}},
        "settings": {"confidence": 0.95, "resamples": 400, "seed": 1},
    }
    (folder / "metrics.json").write_text(json.dumps(found))
    if table:
        ids = [f"{prefix}{number}" for number in range(len(values))]
        judged = {"corpus-ids": [[f"p{number}"] for number in range(len(values))], "grades": [[1]] * len(values)}
        columns = {"query-id": ids, "query": ids, **judged, "tuned NDCG@10": values}
        pq.write_table(pa.table(columns), folder / "per-query.parquet")
    return folder


def test_a_measurable_fall_on_the_same_queries_fails(tmp_path: Path) -> None:
    then = keep(tmp_path / "then", BASE)
    now = keep(tmp_path / "now", BASE - np.random.default_rng(1).uniform(0, 0.1, 150))
    gate = check(now, then / "metrics.json")
    assert not gate.passed
    assert gate.sentence.startswith("Failed: tuned now against tuned of ")
    assert "measurably worse" in gate.sentence
    assert check(then, now).passed


def test_noise_and_the_same_again_pass(tmp_path: Path) -> None:
    then = keep(tmp_path / "then", BASE)
    noisy = keep(tmp_path / "noisy", BASE - 0.002 + np.random.default_rng(2).normal(0, 0.1, 150))
    assert check(noisy, str(then)).passed
    assert "not measurable" in check(noisy, then).sentence
    assert check(then, then).passed


def test_other_queries_are_compared_by_their_intervals(tmp_path: Path) -> None:
    then = keep(tmp_path / "then", BASE)
    worse = keep(tmp_path / "worse", BASE - 0.25, prefix="other")
    gate = check(worse, then)
    assert not gate.passed
    assert "not paired by query, as on other queries: 150 queries now, 150 then" in gate.sentence
    assert check(keep(tmp_path / "near", BASE - 0.02, table=False), then).passed
    assert check(keep(tmp_path / "few", BASE[:10] - 0.25, prefix="other"), then).passed


def change(folder: Path, **columns: Any) -> None:
    """Other cells in the first rows of what was kept by query."""
    file = folder / "per-query.parquet"
    found = pq.read_table(file).to_pydict()
    for name, cells in columns.items():
        found[name.replace("_", "-")][: len(cells)] = cells
    pq.write_table(pa.table(found), file)


def test_what_cannot_be_paired_says_why(tmp_path: Path) -> None:
    then = keep(tmp_path / "then", BASE)
    asked = keep(tmp_path / "asked", BASE - 0.25)
    change(asked, query=["another", "question"])
    gate = check(asked, then)
    assert not gate.passed
    assert "not paired by query, as 2 queries are of another text now: 150 queries now, 150 then" in gate.sentence
    assert "as over other pages" in check(keep(tmp_path / "more", BASE, pages=401), then).sentence
    for name, told in (("out", {"left_out": "a"}), ("other", {"left_out": "b"}), ("count", {"excluded": 3})):
        metrics = json.loads((keep(tmp_path / name, BASE) / "metrics.json").read_text())
        (tmp_path / name / "metrics.json").write_text(json.dumps(metrics | {"conditions": told} | told))
    for new, old in (("other", "out"), ("count", "then")):
        assert "as with other pages left out of the answers" in check(tmp_path / new, tmp_path / old).sentence
    assert "not paired" not in check(tmp_path / "out", tmp_path / "out").sentence
    judged = keep(tmp_path / "judged", BASE)
    change(judged, corpus_ids=[["p0", "p9"]], grades=[[1, 1]])
    told = check(judged, then).sentence
    assert "as 1 query is judged otherwise now, and the answers of that run were not kept" in told


def test_after_a_review_the_earlier_run_is_scored_by_todays_judgements(
    reports: Callable[..., EvaluationReport], tmp_path: Path
) -> None:
    before = reports()
    # What base put first is found to answer every query too: tuned, unchanged, is worth less than it was.
    decided = {query.id: dict(before.qrels[query.id]) for query in before.queries}
    for query, grades in decided.items():
        grades.setdefault(next(iter(before.systems["base"].run[query])), 2)
    again = score_run(before.systems["tuned"].run, decided)
    spans = {metric: interval(values, resamples=100) for metric, values in again.values.items()}
    tuned = replace(before.systems["tuned"], scores=again, intervals=spans)
    after = replace(before, qrels=decided, systems=before.systems | {"tuned": tuned})
    for name, found in (("then", before), ("now", after)):
        write_run(found, tmp_path / name)
    changed = sum(decided[query] != before.qrels[query] for query in decided)
    assert changed > 3
    told = check(tmp_path / "now", tmp_path / "then")
    assert told.passed
    mean = again.means()["NDCG@10"]
    assert f"NDCG@10 (linear gain) {mean:.3f} → {mean:.3f}, +0.000" in told.sentence, "the same answers"
    assert f"{changed} queries are judged otherwise now: there the answers of that run are scored" in told.sentence
    (tmp_path / "then" / "run.trec").unlink()
    assert "not paired by query" in check(tmp_path / "now", tmp_path / "then").sentence


@pytest.mark.parametrize(
    ("value", "passed", "word"),
    [("0.5", True, "not below"), ("0.61", True, "not measurably"), (0.8, False, "measurably below")],
)
def test_a_value_is_undercut_only_measurably(tmp_path: Path, value: str | float, passed: bool, word: str) -> None:
    gate = check(keep(tmp_path / "now", BASE), value)
    assert gate.passed is passed, gate.sentence
    assert word in gate.sentence


def test_a_reference_that_did_not_judge_the_system_is_refused_beforehand(tmp_path: Path) -> None:
    then = keep(tmp_path / "then", BASE)
    check_reference(then, tmp_path / "own")
    with pytest.raises(DataError, match=r"then: has no NDCG@10 of 'reranked' \(there are tuned\); choose one of them"):
        check_reference(then, tmp_path / "own", "reranked")


def test_what_will_not_be_judged_cannot_be_gated(tmp_path: Path) -> None:
    keys = ["evaluate.fail_under=0.5", "evaluate.gated=reranked"]
    workspace = tmp_path / "ws"
    with pytest.raises(RecipeError, match=r"evaluate.gated=reranked: nothing is reranked; set evaluate.rerank=true"):
        Threshold.of(Pipeline(workspace, load_recipe(None, keys)))
    assert Threshold.of(Pipeline(workspace, load_recipe(None, [*keys, "evaluate.rerank=true"]))).fail_under == 0.5


def test_few_queries_close_no_gate(tmp_path: Path) -> None:
    gate = check(keep(tmp_path / "now", BASE[:8]), 0.99)
    assert gate.passed
    assert "too few queries" in gate.sentence


def test_what_is_no_threshold_is_refused(tmp_path: Path) -> None:
    now = keep(tmp_path / "now", BASE)
    with pytest.raises(DataError, match="between 0 and 1"):
        check(now, "60")
    with pytest.raises(DataError, match="neither a number nor a file"):
        check(now, "metrics.json")
    (tmp_path / "odd.json").write_text("{}")
    with pytest.raises(DataError, match=r"odd.json is not the metrics.json of an evaluation"):
        check(now, tmp_path / "odd.json")
    with pytest.raises(DataError, match=r"no NDCG@10 of 'BM25' \(there are tuned\)"):
        check(now, 0.5, system="BM25")
