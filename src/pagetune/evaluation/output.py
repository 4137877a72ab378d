"""The folder of a run: metrics.json, a TREC run a system, per-query.parquet, report.html."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.evaluation.evaluate import BASE, FUSED, LEXICAL, TUNED, EvaluationReport
from pagetune.evaluation.metrics import METRICS
from pagetune.evaluation.ranking import ranking, write_trec
from pagetune.workspace import replace_folder

if TYPE_CHECKING:
    import pyarrow

    from pagetune.evaluation.report import Story

TREC_FILES = {TUNED: "run.trec", BASE: "base.trec", LEXICAL: "bm25.trec", FUSED: "fused.trec"}
"""The TREC file of each system; `run.trec` is the tuned model's."""


def write_run(report: EvaluationReport, folder: Path, story: Story | None = None) -> None:
    """Write everything that was measured. The folder is replaced as a whole, or not at all.

    `story` is what the HTML report tells besides the figures: the documents, the queries, the training, the machine.
    """
    from pagetune.evaluation.report import Story, render_report

    with replace_folder(folder) as fresh:
        (fresh / "metrics.json").write_text(
            json.dumps(report.summary(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        for system, name in TREC_FILES.items():
            tag = name.removesuffix(".trec") if system != TUNED else TUNED
            (fresh / name).write_text(write_trec(report.systems[system].run, tag), encoding="utf-8")
        _write_table(per_query(report), fresh / "per-query.parquet")
        (fresh / "report.html").write_text(render_report(report, story or Story()), encoding="utf-8")


def per_query(report: EvaluationReport) -> pyarrow.Table:
    """One row a query: its text and kind, and for each system every metric, the rank of its page, the first answer."""
    import pyarrow as pa

    ids = [query.id for query in report.queries]
    columns: dict[str, Any] = {
        "query-id": ids,
        "query": [query.text for query in report.queries],
        "kind": [query.kind for query in report.queries],
        "document": [query.document for query in report.queries],
        "corpus-ids": [sorted(page for page, grade in report.qrels[query].items() if grade > 0) for query in ids],
    }
    for name, result in report.systems.items():
        for metric in METRICS:
            columns[f"{name} {metric}"] = result.scores.of(ids).values[metric]
        columns[f"{name} rank"] = pa.array([report.rank_of(name, query) for query in ids], pa.int32())
        columns[f"{name} first"] = [next(iter(ranking(result.run.get(query, {}))), None) for query in ids]
    return pa.table(columns)


def _write_table(table: pyarrow.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path)
