"""TREC's files, in and out: runs and judgements of any system, read, written, judged and compared.

A run has six columns (query, Q0, page, rank, score, tag), judgements four (query, 0, page, grade). As in trec_eval the
score decides and the rank does not, and files from elsewhere are ordered its own way (`trec_order`), so that the
figures are those that it gives. What `ranking.write_trec` writes of our own systems has no ties.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from pagetune.errors import DataError
from pagetune.evaluation.by_metric import compare_metrics
from pagetune.evaluation.excluded import read_excluded
from pagetune.evaluation.metrics import GAIN, MAIN_METRIC, MEASURED, QueryScores, rounded, score_run
from pagetune.evaluation.ranking import Qrels, Run
from pagetune.evaluation.significance import Comparison, compare_scores, interval, sampling, sentence
from pagetune.recipe import EvaluateRecipe
from pagetune.workspace import read_text

_CELL = re.compile(r"[^ \t\v\f]+")
"""What white space parts, as trec_eval has it: a space of another kind, such as a Chinese one, is part of a name."""


def read_run(file: Path) -> Run:
    """A run file. Raises DataError, naming the line."""
    run: Run = {}
    for number, (query, _, page, _, score, _) in _lines(file, 6, "query, Q0, page, rank, score, tag"):
        answers = run.setdefault(query, {})
        if page in answers:
            raise DataError(f"{file}: line {number}: query {query!r} has page {page!r} twice; keep one")
        try:
            answers[page] = float(score)
        except ValueError:
            answers[page] = math.nan
        if not math.isfinite(answers[page]):
            raise DataError(f"{file}: line {number}: score {score!r} is not a number; write one")
    return run


def read_quoted(file: Path) -> Run:
    """A run whose names `ranking.quoted` wrote, under its own names. Raises DataError, naming the line."""
    found = read_run(file)
    return {unquote(query): {unquote(page): score for page, score in pages.items()} for query, pages in found.items()}


def read_qrels(file: Path) -> dict[str, dict[str, int]]:
    """A file of judgements, grades of 0 and below included. Raises DataError, naming the line."""
    qrels: dict[str, dict[str, int]] = {}
    for number, (query, _, page, grade) in _lines(file, 4, "query, 0, page, grade"):
        grades = qrels.setdefault(query, {})
        try:
            value = int(grade)
        except ValueError:
            raise DataError(
                f"{file}: line {number}: grade {grade!r} is not a whole number; write 0 (no answer), 1, 2 …"
            ) from None
        if grades.setdefault(page, value) != value:
            raise DataError(
                f"{file}: line {number}: query {query!r} has page {page!r} with grade {value} "
                f"and {grades[page]}; keep one"
            )
    return qrels


def trec_order(scores: Mapping[str, float]) -> list[str]:
    """The pages from best to worst as trec_eval has them: by score in single precision, ties by page id from the end.

    It compares names as bytes, of which UTF-8 keeps the order of the letters.
    """
    pages = sorted(scores, reverse=True)
    # A score too large for single precision is infinite there, and ties with others like it.
    with np.errstate(over="ignore"):
        single = np.array([scores[page] for page in pages], dtype=np.float64).astype(np.float32)
    return [pages[place] for place in np.argsort(-single, kind="stable")]


def write_qrels(qrels: Qrels) -> str:
    """The judgements as TREC lines, in their order."""
    lines = []
    for query, grades in qrels.items():
        for page, grade in grades.items():
            for name in (query, page):
                if not name or any(character.isspace() for character in name):
                    raise ValueError(f"TREC judgements cannot hold the name {name!r}: use names without spaces")
            lines.append(f"{query} 0 {page} {int(grade)}")
    return "\n".join(lines) + ("\n" if lines else "")


@dataclass(frozen=True, slots=True, eq=False)
class FilesReport:
    """One run judged, and perhaps compared with another on the same judgements."""

    name: str
    scores: QueryScores
    intervals: dict[str, tuple[float, float]]
    against: str | None
    comparisons: dict[str, Comparison]
    """By metric, corrected but for NDCG@10 (Holm); one that says nothing of its own has none, and there are none at all
    where there is nothing to compare with."""
    notes: tuple[str, ...]
    """What was left out, and what counts as 0."""

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.comparisons:
            return sentence(self.comparisons[MAIN_METRIC])
        low, high = self.intervals[MAIN_METRIC]
        mean = self.scores.means()[MAIN_METRIC]
        return f"{self.name}: {MAIN_METRIC} {mean:.3f} ({low:.3f} to {high:.3f}), {len(self.scores.queries)} queries."

    def to_json(self) -> dict[str, Any]:
        """Everything, for JSON."""
        from dataclasses import asdict

        return {
            "verdict": self.verdict,
            "queries": len(self.scores.queries),
            "gain": GAIN,
            "run": self.name,
            "metrics": rounded(self.scores.means()),
            "intervals": {name: [round(low, 6), round(high, 6)] for name, (low, high) in self.intervals.items()},
            "against": self.against,
            "comparisons": {
                name: asdict(found) | {"outcome": found.outcome} for name, found in self.comparisons.items()
            },
            "notes": list(self.notes),
        }

    def rows(self) -> list[list[str]]:
        """The table: its headings, then a row a metric."""
        heads = ["metric", self.name, "interval"]
        heads += [str(self.against), "difference", "interval", "p", "p, Holm"] if self.comparisons else []
        rows = [heads]
        for name, mean in self.scores.means().items():
            low, high = self.intervals[name]
            row = [name + (f" ({GAIN} gain)" if name == MAIN_METRIC else ""), f"{mean:.4f}", f"{low:.3f}–{high:.3f}"]
            if self.comparisons:
                row += _compared(self.comparisons.get(name))
            rows.append(row)
        return rows

    def to_markdown(self) -> str:
        """The verdict, the table, what was left out."""
        heads, *rows = self.rows()
        ruled = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
        table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in ruled)
        return "\n\n".join([self.verdict, table, *self.notes]) + "\n"


def _compared(c: Comparison | None) -> list[str]:
    """The cells of a comparison; of the question, which was asked beforehand, without a corrected p."""
    if c is None:
        return ["–"] * 5
    span = f"{c.low:+.3f} to {c.high:+.3f}"
    corrected = "–" if c.holm is None else f"{c.holm:.4f}"
    return [f"{c.old_mean:.4f}", f"{c.difference:+.4f}", span, f"{c.p:.4f}", corrected]


def evaluate_files(
    run: Path,
    qrels: Path,
    against: Path | None = None,
    settings: EvaluateRecipe | None = None,
    *,
    exclude: Path | None = None,
) -> FilesReport:
    """Judge a run file, and compare it with another where one is given. Raises DataError.

    Ties go as trec_eval has them. A judged query that a run does not answer counts as 0 (trec_eval -c); a query without
    a relevant page is left out; what is answered beyond the judgements is not looked at. `exclude` is a file as
    `read_excluded` reads.
    """
    chosen = settings or EvaluateRecipe()
    chance = sampling(chosen)
    judged = read_qrels(qrels)
    left_out = read_excluded(exclude, judged) if exclude is not None else {}
    empty = [query for query, grades in judged.items() if not any(grade > 0 for grade in grades.values())]
    graded = {query: grades for query, grades in judged.items() if query not in set(empty)}
    if not graded:
        raise DataError(f"{qrels}: no judged queries with a page of a grade above 0; give at least one")
    notes = [f"Left out: {len(empty)} queries without a relevant page."] if empty else []
    pages = sum(len(found) for found in left_out.values())
    notes += [f"Left out of the answers: {pages} pages of {len(left_out)} queries ({exclude})."] if left_out else []
    scores = {}
    names = _names(run, against)
    for name, file in zip(names, (run, against), strict=False):
        if file is None:
            continue
        answers = read_run(file)
        missing = sum(query not in answers for query in graded)
        if missing == len(graded):
            raise DataError(
                f"{file} answers none of the {len(graded)} queries of {qrels}; give a run and judgements of one set"
            )
        notes += [f"{name} does not answer {missing} judged queries: they count as 0."] if missing else []
        scores[name] = score_run(answers, graded, left_out, order=trec_order)
    new = scores[names[0]]
    other = names[1] if against is not None else None
    compared: dict[str, Comparison] = {}
    if other is not None:
        pair = (names[0], new), (other, scores[other])
        question = compare_scores(*pair, (MAIN_METRIC,), **chance)[MAIN_METRIC]
        compared = compare_metrics(*pair, question, graded, **chance)
    return FilesReport(
        names[0],
        new,
        {metric: interval(new.values[metric], **chance) for metric in MEASURED},
        other,
        compared,
        tuple(notes),
    )


def _names(run: Path, against: Path | None) -> tuple[str, str]:
    """The files' names without their endings; with the folder's where the two are the same."""
    if against is None or against.stem != run.stem:
        return run.stem, against.stem if against else ""
    named = f"{run.parent.name}/{run.stem}", f"{against.parent.name}/{against.stem}"
    return named if named[0] != named[1] else (str(run), str(against))


def _lines(file: Path, columns: int, form: str) -> Iterator[tuple[int, list[str]]]:
    try:
        text = read_text(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{file}: not readable ({reason}); give a TREC file of lines {form}, in UTF-8") from None
    for number, line in enumerate(text.split("\n"), start=1):
        cells = _CELL.findall(line)
        if not cells:
            continue
        if len(cells) != columns:
            raise DataError(f"{file}: line {number}: {line.strip()[:80]!r} has {len(cells)} columns; write {form}")
        yield number, cells
