"""Reading back what an evaluation kept: the figures, the runs, the queries and the story, without a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from pagetune.errors import DataError
from pagetune.evaluation.evaluate import Conditions, EvaluationReport, SystemResult
from pagetune.evaluation.false_negatives import SUSPECTS, read_suspects
from pagetune.evaluation.guard import guard_from_json
from pagetune.evaluation.heatmaps import load_heatmaps
from pagetune.evaluation.metrics import MAIN_METRIC, MEASURED, QueryScores
from pagetune.evaluation.output import TOLD, TREC_FILES
from pagetune.evaluation.per_query import SLICE
from pagetune.evaluation.ranking import Run
from pagetune.evaluation.report import Story
from pagetune.evaluation.significance import Comparison
from pagetune.evaluation.slices import Slices, slices_from_json
from pagetune.evaluation.trec import read_quoted
from pagetune.recipe import EvaluateRecipe
from pagetune.records import Document, Query


def load_run(folder: Path) -> tuple[EvaluationReport, Story]:
    """What `output.write_run` wrote into `folder`, but for the pages' pictures, which the story is without.

    The figures are those that were measured then, not measured again. Raises DataError for a folder that is not whole
    or of an earlier Pagetune.
    """
    import pyarrow.parquet as pq

    if not (folder / "metrics.json").is_file():
        raise DataError(f"{folder} holds no evaluation; run: pagetune evaluate")
    with _whole(folder):
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        table = pq.read_table(folder / "per-query.parquet").to_pydict()
        told = json.loads((folder / "story.json").read_text(encoding="utf-8"))
        heatmaps = load_heatmaps(folder, told["without_heatmaps"])
        report = _report(metrics, table, folder)
    documents = tuple(
        Document(row["id"], row["name"], "", row["format"], row["pages"], status=row["status"], reason=row["reason"])
        for row in told["documents"]
    )
    return report, Story(documents=documents, heatmaps=heatmaps, **{name: told[name] for name in TOLD})


@contextmanager
def _whole(folder: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowInvalid) as error:
        line = " ".join(str(error).split())[:160]
        raise DataError(
            f"{folder} is not whole, or of an earlier Pagetune ({type(error).__name__}: {line}); run: pagetune evaluate"
        ) from error


def _report(metrics: Mapping[str, Any], table: Mapping[str, list[Any]], folder: Path) -> EvaluationReport:
    ids = tuple(table["query-id"])
    systems = {
        name: SystemResult(
            load_answers(folder, name),
            QueryScores(ids, {metric: np.array(table[f"{name} {metric}"]) for metric in MEASURED}),
            _intervals(figures),
        )
        for name, figures in metrics["systems"].items()
    }
    by_dimension: dict[int, dict[str, SystemResult]] = {}
    for size, results in metrics["by_dimension"].items():
        # The first is the full dimension, whose scores are those of the systems themselves.
        by_dimension[int(size)] = {
            name: SystemResult(
                {},
                QueryScores(ids, {MAIN_METRIC: np.array(table[f"{name}@{size} {MAIN_METRIC}"])}),
                _intervals(figures),
            )
            if by_dimension
            else systems[name]
            for name, figures in results.items()
        }
    return EvaluationReport(
        queries=tuple(map(_query, _rows(table))),
        qrels={row["query-id"]: dict(zip(row["corpus-ids"], row["grades"], strict=True)) for row in _rows(table)},
        pages=metrics["pages"],
        corpus=metrics.get("corpus", ""),
        left_out=metrics.get("left_out", ""),
        systems=systems,
        by_dimension=by_dimension,
        comparisons={name: _comparison(found) for name, found in metrics["comparisons"].items()},
        by_metric={name: _comparison(found) for name, found in metrics.get("by_metric", {}).items()},
        settings=EvaluateRecipe.model_validate(metrics["settings"]),
        storage=metrics["storage"],
        conditions=Conditions(**metrics["conditions"]),
        slices=_slices(metrics.get("slices"), table),
        suspects=read_suspects(folder, all=True) if (folder / SUSPECTS).exists() else (),
        guard=guard_from_json(metrics["guard"]) if metrics.get("guard") else None,
    )


def _slices(found: Mapping[str, Any] | None, table: Mapping[str, list[Any]]) -> Slices | None:
    if found is None:
        return None
    falls = {
        facet: {query: name for query, name in zip(table["query-id"], table[f"{SLICE} {facet}"], strict=True) if name}
        for facet in found["facets"]
    }
    return slices_from_json(found, falls)


def _rows(table: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in zip(*table.values(), strict=True):
        yield dict(zip(table, values, strict=True))


def _query(row: Mapping[str, Any]) -> Query:
    return Query(row["query-id"], row["query"], row["kind"], row["document"], row["page"], context=row["context"])


def load_answers(folder: Path, system: str) -> Run:
    """The run of one system, from the TREC file that was kept of it. Raises DataError, KeyError."""
    return read_quoted(folder / TREC_FILES[system])


def _comparison(found: Mapping[str, Any]) -> Comparison:
    known = {field.name for field in fields(Comparison)}
    return Comparison(**{name: value for name, value in found.items() if name in known})


def _intervals(figures: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    return {metric: (low, high) for metric, (low, high) in figures["intervals"].items()}
