from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pagetune.errors import DataError
from pagetune.evaluation.gate import check
from pagetune.evaluation.significance import interval

BASE = np.random.default_rng(3).uniform(0.3, 0.9, 150)


def keep(folder: Path, values: np.ndarray, *, prefix: str = "q", table: bool = True) -> Path:
    """A run's folder as `pagetune evaluate` leaves it, of one system."""
    folder.mkdir()
    low, high = interval(values, resamples=400)
    found: dict[str, Any] = {
        "queries": len(values),
        "systems": {"tuned": {"metrics": {"NDCG@10": float(values.mean())}, "interval": [low, high]}},
        "settings": {"confidence": 0.95, "resamples": 400, "seed": 1},
    }
    (folder / "metrics.json").write_text(json.dumps(found))
    if table:
        ids = [f"{prefix}{number}" for number in range(len(values))]
        pq.write_table(pa.table({"query-id": ids, "tuned NDCG@10": values}), folder / "per-query.parquet")
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
    assert "on other queries: 150 now, 150 then" in gate.sentence
    assert check(keep(tmp_path / "near", BASE - 0.02, table=False), then).passed
    assert check(keep(tmp_path / "few", BASE[:10] - 0.25, prefix="other"), then).passed


@pytest.mark.parametrize(
    ("value", "passed", "word"),
    [("0.5", True, "not below"), ("0.61", True, "not measurably"), (0.8, False, "measurably below")],
)
def test_a_value_is_undercut_only_measurably(tmp_path: Path, value: str | float, passed: bool, word: str) -> None:
    gate = check(keep(tmp_path / "now", BASE), value)
    assert gate.passed is passed, gate.sentence
    assert word in gate.sentence


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
