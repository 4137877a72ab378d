"""Pages that every model ranks above the judged one: perhaps they answer too, and nobody judged them.

A set whose judgements name one page a query counts every other answer as wrong. Where models that have nothing in
common, BM25 among them, all prefer another page, a look is worth it. What is confirmed becomes a judgement, what is
rejected a judgement of 0, each with who decided, when, and over which models; the judgements that were there are kept.
Looking only where the models under test point favours them a little (pooling bias: Zobel, 1998), all of them alike,
since all must agree.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pagetune.errors import DataError
from pagetune.evaluation.ranking import Qrels, Run, ranking
from pagetune.workspace import write_atomically

SUSPECTS, DECISIONS = "suspects.json", "decisions.jsonl"
"""The two files of a review's folder: what is to be looked at, and what was decided, line after line."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A page that nobody judged and all models put above the judged one. Ranks count from 1."""

    query: str
    text: str
    page: str
    judged: str
    """The judged page of the highest grade."""
    ranks: dict[str, int]
    """Model -> rank of the page."""
    judged_ranks: dict[str, int | None]
    """Model -> rank of the judged page, None below the run's depth."""
    scores: dict[str, float] = field(default_factory=dict)
    """Model -> its score of the page."""
    judged_scores: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """Somebody looked. `grade` 0: no answer, None: undecided again; `was`: the grade it had, None for none.

    What was looked at stays beside it: the query's text, the judged page, where the models had put the page, and how
    they scored it.
    """

    query: str
    page: str
    grade: int | None
    by: str
    at: str
    models: tuple[str, ...]
    was: int | None = None
    note: str = ""
    text: str = ""
    judged: str = ""
    ranks: dict[str, int] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def suspect(self) -> Suspect:
        """What was decided on, as far as it was kept."""
        return Suspect(self.query, self.text, self.page, self.judged, dict(self.ranks), {}, dict(self.scores))


def find_suspects(
    runs: Mapping[str, Run], qrels: Qrels, texts: Mapping[str, str], *, most: int = 3
) -> tuple[Suspect, ...]:
    """At most `most` pages a query that are above the best-ranked judged page in every run, the surest first.

    Pages that were judged, with a grade of 0 too, are no suspects. The surest are those whose worst rank is best.
    Raises DataError for fewer than two runs: one model alone is no witness.
    """
    if len(runs) < 2:
        raise DataError(f"{len(runs)} run(s): a page is suspected where several models agree; give at least 2")
    found: list[Suspect] = []
    for query, grades in qrels.items():
        answers = [page for page, grade in grades.items() if grade > 0]
        if not answers:
            continue
        places = {
            name: {page: place for place, page in enumerate(ranking(run.get(query, {})), start=1)}
            for name, run in runs.items()
        }
        beyond = {
            name: min((own[page] for page in answers if page in own), default=None) for name, own in places.items()
        }
        above = [
            {page for page, place in own.items() if (limit := beyond[name]) is None or place < limit}
            for name, own in places.items()
        ]
        unjudged = set.intersection(*above) - grades.keys()
        best = min(answers, key=lambda page: (-grades[page], page))
        own = [
            Suspect(
                query,
                texts.get(query, ""),
                page,
                best,
                {name: places[name][page] for name in runs},
                {name: places[name].get(best) for name in runs},
                {name: round(float(run[query][page]), 6) for name, run in runs.items()},
                {name: _rounded(run[query].get(best)) for name, run in runs.items()},
            )
            for page in unjudged
        ]
        found += sorted(own, key=_doubt)[:most]
    return tuple(sorted(found, key=lambda suspect: (*_doubt(suspect)[:2], suspect.query, suspect.page)))


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(float(score), 6)


def _doubt(suspect: Suspect) -> tuple[int, int, str]:
    return max(suspect.ranks.values()), sum(suspect.ranks.values()), suspect.page


def write_suspects(suspects: Sequence[Suspect], folder: Path) -> None:
    """The list for a look; decisions that lie in the folder stay."""
    rows = [asdict(suspect) for suspect in suspects]
    write_atomically(folder / SUSPECTS, json.dumps({"suspects": rows}, indent=1, ensure_ascii=False) + "\n")


def read_suspects(folder: Path, *, all: bool = False) -> tuple[Suspect, ...]:
    """What nobody has decided yet, or all. Raises DataError."""
    file = folder / SUSPECTS
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["suspects"]
        found = tuple(Suspect(**row) for row in rows)
    except FileNotFoundError:
        raise DataError(f"{file} is not there; list the pages to look at first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not a list of suspects ({' '.join(str(error).split())}); list them again") from None
    done = set() if all else {(one.query, one.page) for one in latest(read_decisions(folder))}
    return tuple(suspect for suspect in found if (suspect.query, suspect.page) not in done)


def confirm(
    folder: Path, query: str, page: str, *, by: str, grade: int = 2, note: str = "", at: datetime | None = None
) -> Decision:
    """The page answers the query: with grade 2 it is the page, with 1 the answer goes on there. Raises DataError."""
    if grade not in (1, 2):
        raise DataError(f"grade {grade!r} is none of an answer; use 2 (the page) or 1 (it goes on there), or reject it")
    return _decide(folder, query, page, grade, by, note, at)


def reject(folder: Path, query: str, page: str, *, by: str, note: str = "", at: datetime | None = None) -> Decision:
    """The page does not answer the query: it is not suspected again. Raises DataError."""
    return _decide(folder, query, page, 0, by, note, at)


def withdraw(folder: Path, query: str, page: str, *, by: str, at: datetime | None = None) -> Decision:
    """Nobody has decided any more. What had been decided stays in the file. Raises DataError."""
    return _decide(folder, query, page, None, by, "", at)


def _decide(
    folder: Path, query: str, page: str, grade: int | None, by: str, note: str, at: datetime | None
) -> Decision:
    from filelock import FileLock

    if not by.strip():
        raise DataError(f"by {by!r} names nobody; say who decides")
    # Two may decide at once: what one writes, the other must have read.
    with FileLock(folder / ".lock"):
        before = read_decisions(folder)
        last = next((one for one in reversed(before) if (one.query, one.page) == (query, page)), None)
        listed = (one for one in read_suspects(folder, all=True) if (one.query, one.page) == (query, page))
        # What is decided is judged from then on, and suspected no more: it can still be decided otherwise.
        suspect = next(listed, last.suspect if last else None)
        if suspect is None:
            raise DataError(
                f"query {query!r} with page {page!r} is not in {folder / SUSPECTS}; decide on what is listed"
            )
        decision = Decision(
            query,
            page,
            grade,
            by,
            (at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
            tuple(suspect.ranks) or (last.models if last else ()),
            last.grade if last else None,
            note,
            suspect.text,
            suspect.judged,
            suspect.ranks,
            suspect.scores,
        )
        lines = [json.dumps(asdict(one), ensure_ascii=False) for one in (*before, decision)]
        write_atomically(folder / DECISIONS, "\n".join(lines) + "\n")
    return decision


def read_decisions(folder: Path) -> tuple[Decision, ...]:
    """Everything that was decided, the oldest first; what was decided twice stands twice. Raises DataError."""
    file = folder / DECISIONS
    if not file.exists():
        return ()
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found.append(Decision(**{**row, "models": tuple(row["models"])}))
        except (ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{file}: line {number}: no decision ({reason}); correct or remove it") from None
    return tuple(found)


def latest(decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """What holds: of several decisions on one page the last, without those that were withdrawn."""
    last = {(one.query, one.page): one for one in decisions}
    return tuple(one for one in last.values() if one.grade is not None)


def reviewed(
    qrels: Qrels,
    decisions: Sequence[Decision],
    texts: Mapping[str, str] | None = None,
    pages: Collection[str] | None = None,
) -> dict[str, dict[str, int]]:
    """The judgements with the decisions, of several on one page the last; `qrels` itself is not changed.

    Left out are decisions on queries that are not there (they belong to another split), on those that have another
    text in `texts` by now (an id that was given anew), and on pages that are not among `pages`.
    """
    found = {query: dict(grades) for query, grades in qrels.items()}
    for one in holding(decisions, found, texts, pages):
        assert one.grade is not None
        found[one.query][one.page] = one.grade
    return found


def holding(
    decisions: Sequence[Decision],
    queries: Collection[str],
    texts: Mapping[str, str] | None = None,
    pages: Collection[str] | None = None,
) -> tuple[Decision, ...]:
    """Those of the latest decisions that `reviewed` takes."""
    return tuple(
        one
        for one in latest(decisions)
        if one.query in queries
        and (texts is None or not one.text or texts.get(one.query) == one.text)
        and (pages is None or one.page in pages)
    )
