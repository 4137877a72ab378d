"""The folder of a run: metrics.json, a TREC run a system and the judgements, per-query.parquet, and the report in HTML
and Markdown; and guard.json, where a general set was judged beside.

What the report tells besides the figures is kept too (story.json, heatmaps.parquet): `load_run` reads a folder back,
and the report can be written again without a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pagetune.errors import DataError
from pagetune.evaluation.evaluate import (
    BASE,
    FUSED,
    LEXICAL,
    RERANKED,
    TUNED,
    Conditions,
    EvaluationReport,
    SystemResult,
)
from pagetune.evaluation.false_negatives import SUSPECTS, read_suspects, write_suspects
from pagetune.evaluation.guard import guard_from_json
from pagetune.evaluation.heatmaps import load_heatmaps, save_heatmaps
from pagetune.evaluation.markdown import as_markdown
from pagetune.evaluation.metrics import MAIN_METRIC, MEASURED, QueryScores
from pagetune.evaluation.per_query import SLICE, as_table, changes, gains, losses
from pagetune.evaluation.ranking import Run, quoted, write_trec
from pagetune.evaluation.report import Story, render_report
from pagetune.evaluation.significance import Comparison
from pagetune.evaluation.slices import Slices, slices_from_json
from pagetune.evaluation.trec import read_quoted, write_qrels
from pagetune.machine import describe_machine
from pagetune.progress import SILENT, Progress
from pagetune.recipe import EvaluateRecipe
from pagetune.records import Document, Query
from pagetune.workspace import replace_folder, write_atomically

TREC_FILES = {
    TUNED: "run.trec",
    BASE: "base.trec",
    LEXICAL: "bm25.trec",
    FUSED: "fused.trec",
    RERANKED: "reranked.trec",
}
"""The TREC file of each system that was judged; `run.trec` is the tuned model's."""

QRELS = "qrels.trec"
"""The judgements that all of them were judged by."""

TOLD = ("title", "facts", "written", "dropped", "splits", "curve", "kept_step", "training", "recipe", "machine")
"""Fields of a story that are kept as they are."""


def write_run(report: EvaluationReport, folder: Path, story: Story | None = None, progress: Progress = SILENT) -> None:
    """Write everything that was measured. The folder is replaced as a whole, or not at all.

    `story` is what the report tells besides the figures: the documents, the queries, the training, the machine, the
    pages' pictures.
    """
    import pyarrow.parquet as pq

    told = story or Story()
    told = replace(told, machine=describe_machine() if told.machine is None else told.machine)
    with replace_folder(folder) as fresh:
        (fresh / "metrics.json").write_text(_json(_summary(report)), encoding="utf-8")
        for system, result in report.systems.items():
            name = TREC_FILES[system]
            tag = name.removesuffix(".trec") if system != TUNED else TUNED
            (fresh / name).write_text(write_trec(quoted(result.run), tag), encoding="utf-8")
        (fresh / QRELS).write_text(write_qrels(quoted(report.qrels)), encoding="utf-8")
        pq.write_table(as_table(report), fresh / "per-query.parquet")
        if report.suspects:
            write_suspects(report.suspects, fresh)
        if report.guard is not None:
            (fresh / "guard.json").write_text(_json(report.guard.to_json()), encoding="utf-8")
        (fresh / "story.json").write_text(_json(_kept(told)), encoding="utf-8")
        save_heatmaps(told.heatmaps, fresh)
        # From what was kept, so that it is the same when it is written again.
        kept, story = load_run(fresh)
        write_report(kept, fresh, replace(story, page_image=told.page_image, grid=told.grid), progress)


def write_report(report: EvaluationReport, folder: Path, story: Story, progress: Progress = SILENT) -> None:
    """Write report.html and report.md into a run's folder, each whole or not at all."""
    write_atomically(folder / "report.md", as_markdown(report, story))
    write_atomically(folder / "report.html", render_report(report, story, progress=progress))


def _summary(report: EvaluationReport) -> dict[str, Any]:
    """The figures, and the queries that changed most."""
    found = changes(report)
    return report.summary() | {
        "greatest_gains": [one.summary() for one in gains(found)],
        "greatest_losses": [one.summary() for one in losses(found)],
    }


def _kept(story: Story) -> dict[str, Any]:
    """The story without pictures; of a document no more than the report tells, and not where it lay."""
    documents = [
        {
            "id": document.id,
            "name": Path(document.path).name,
            "format": document.format,
            "pages": document.pages,
            "status": document.status,
            "reason": document.reason,
        }
        for document in story.documents
    ]
    return {name: getattr(story, name) for name in TOLD} | {
        "documents": documents,
        "without_heatmaps": story.heatmaps.note,
    }


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def load_run(folder: Path) -> tuple[EvaluationReport, Story]:
    """What `write_run` wrote into `folder`, but for the pages' pictures, which the story is without.

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
        comparisons={name: Comparison.from_json(found) for name, found in metrics["comparisons"].items()},
        by_metric={name: Comparison.from_json(found) for name, found in metrics.get("by_metric", {}).items()},
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


def _intervals(figures: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    return {metric: (low, high) for metric, (low, high) in figures["intervals"].items()}
