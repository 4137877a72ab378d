"""The folder of a run: metrics.json, a TREC run a system and the judgements, per-query.parquet, and the report in HTML
and Markdown; and guard.json, where a general set was judged beside.

What the report tells besides the figures is kept too (story.json, heatmaps.parquet): `kept.load_run` reads a folder
back, and the report can be written again without a model.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.evaluation.evaluate import BASE, FUSED, LEXICAL, RERANKED, TUNED, EvaluationReport
from pagetune.evaluation.false_negatives import write_suspects
from pagetune.evaluation.per_query import as_table, changes, gains, losses
from pagetune.evaluation.ranking import quoted, write_trec
from pagetune.evaluation.trec import write_qrels
from pagetune.progress import SILENT, Progress
from pagetune.workspace import replace_folder, write_atomically

if TYPE_CHECKING:
    from pagetune.evaluation.report import Story

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

    from pagetune.evaluation.heatmaps import save_heatmaps
    from pagetune.evaluation.kept import load_run
    from pagetune.evaluation.report import Story
    from pagetune.machine import describe_machine

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
    from pagetune.evaluation.markdown import as_markdown
    from pagetune.evaluation.report import render_report

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
