"""What a model answered, kept beside its result: a run for trec_eval and its like, and a row a query."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pagetune.evaluation.ranking import Qrels, quoted, ranking, write_trec
from pagetune.workspace import write_atomically

if TYPE_CHECKING:
    import pyarrow

    from pagetune.evaluation.comparison.grid import Result
    from pagetune.examples.visual import JudgedImages

RUN, PER_QUERY = ".trec", ".parquet"
"""Endings of the two files; before them stands what the result is called, the fingerprint at its end."""


def write_answers(result: Result, chosen: JudgedImages, place: Path) -> None:
    """Write `result.run` and its figures beside `place`, the result's own file, which is to be written after them."""
    import io

    import pyarrow.parquet as pq

    tag = "".join("-" if letter.isspace() else letter for letter in result.label)
    write_atomically(beside(place, RUN), write_trec(quoted(result.run), tag))
    out = io.BytesIO()
    pq.write_table(_table(result, chosen), out)
    write_atomically(beside(place, PER_QUERY), out.getvalue())


def beside(place: Path, ending: str) -> Path:
    """The file of that ending beside a result's; its name may have dots of its own."""
    return place.with_name(place.name.removesuffix(".json") + ending)


def _table(result: Result, chosen: JudgedImages) -> pyarrow.Table:
    """A row a query: its text and pages, every metric, the rank of the first page that answers, what stood first."""
    import pyarrow as pa

    ids = [*result.scores.queries]
    answers = {query: ranking(result.run.get(query, {})) for query in ids}
    right = [{page: grade for page, grade in sorted(chosen.qrels[query].items()) if grade > 0} for query in ids]
    return pa.table(
        {
            "query-id": ids,
            "query": [chosen.queries[query] for query in ids],
            "corpus-ids": pa.array([list(grades) for grades in right], pa.list_(pa.string())),
            "grades": pa.array([list(grades.values()) for grades in right], pa.list_(pa.int32())),
            **result.scores.values,
            "rank": pa.array([first_right(answers[query], chosen.qrels, query) for query in ids], pa.int32()),
            "first": pa.array([next(iter(answers[query]), None) for query in ids], pa.string()),
        }
    )


def first_right(answers: list[str], qrels: Qrels, query: str) -> int | None:
    """The place, from 1, of the first page of a grade above 0; None where none was found."""
    return next((place for place, page in enumerate(answers, 1) if qrels[query].get(page, 0) > 0), None)
