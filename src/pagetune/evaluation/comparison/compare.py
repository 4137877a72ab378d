"""Many models on one evaluation set: each in its own process, what is finished kept, all of it in one table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pagetune.errors import WorkspaceError
from pagetune.evaluation.benchmarks import name_of
from pagetune.evaluation.comparison.entries import Entry, find_entries
from pagetune.evaluation.comparison.grid import Failure, Grid, Result, make_grid
from pagetune.evaluation.comparison.keeping import RUN, beside
from pagetune.evaluation.comparison.page_texts import known_texts
from pagetune.evaluation.comparison.process import WORKER, run_job
from pagetune.evaluation.comparison.report import write_comparison
from pagetune.evaluation.comparison.wins import make_contest
from pagetune.evaluation.dataset import dataset_facets, dataset_queries
from pagetune.evaluation.metrics import MAIN_METRIC
from pagetune.examples.loading import load_eval_set
from pagetune.examples.visual import ImageEvalSet
from pagetune.machine import describe_machine
from pagetune.progress import SILENT, Progress
from pagetune.recipe import Recipe
from pagetune.records import Query
from pagetune.workspace import write_atomically


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """The table, and the labels of what was run for it now; everything else had been finished before."""

    grid: Grid
    ran: tuple[str, ...]


def compare_models(
    recipe: Recipe, folder: Path, progress: Progress = SILENT, *, retry: bool = False, worker: str = WORKER
) -> Compared:
    """Judge every model of `recipe.compare` on `recipe.dataset.eval` and write the comparison into `folder`.

    What is finished there is not done again; what failed is tried again with `retry`, or with more time where that
    was wanting. A model that fails is a line of the table. Raises RecipeError, DataError for the set, WorkspaceError
    where the folder is held by another comparison.
    """
    chosen = load_eval_set(recipe.dataset)
    entries = find_entries(recipe, chosen.fingerprint)
    facts = {
        "set": name_of(chosen.name),
        "queries": len(chosen.queries),
        "pages": len(chosen.page_ids),
        "judgements": sum(len(grades) for grades in chosen.qrels.values()),
        "machine": describe_machine(),
    }
    job = {"recipe": recipe.model_dump(mode="json"), "set": chosen.fingerprint}
    results: list[Result] = []
    failures: list[Failure] = []
    ran: list[str] = []
    with _held(folder):
        for number, entry in enumerate(entries, start=1):
            place = _Place(folder, entry)
            found = place.kept(None if retry else recipe.compare.timeout)
            if found is None:
                progress.say(f"compare: {number} of {len(entries)}, {entry.label}")
                found = _run(entry, place, job, recipe.compare.timeout, progress, worker)
                ran.append(entry.label)
            else:
                progress.say(f"compare: {number} of {len(entries)}, {entry.label}: kept from before")
            progress.say(f"  {_told(found)}")
            if isinstance(found, Result):
                results.append(found)
            else:
                failures.append(found)
        queries = dataset_queries(chosen, recipe.dataset)
        facets = _facets(recipe, chosen, queries, folder) if len(results) > 1 else None
        grid = make_grid(results, failures, recipe.evaluate, facts, facets)
        contest = make_contest(grid, queries, chosen.qrels, entries[0].label, folder)
        write_comparison(grid, folder, contest, chosen.image, progress)
    return Compared(grid, tuple(ran))


def _facets(recipe: Recipe, chosen: ImageEvalSet, queries: Sequence[Query], folder: Path) -> dict[str, dict[str, str]]:
    """What the set says of its queries and, where the pages' words are known by now, what those say."""
    texts = known_texts(chosen, recipe.dataset, recipe.compare.text_column, _texts(folder) / "texts")
    return dataset_facets(queries, chosen.qrels, chosen, recipe.dataset, texts)


def _texts(folder: Path) -> Path:
    """What is read on the pages serves BM25, every model that reads, and the slices."""
    return folder / "cache" / "text"


class _Place:
    """Where one entry's files lie."""

    def __init__(self, folder: Path, entry: Entry) -> None:
        self.label = entry.label
        self.result = folder / "models" / f"{entry.file_name}.json"
        self.failure = folder / "models" / f"{entry.file_name}.failed.json"
        self.log = folder / "logs" / entry.file_name
        self.cache = folder / "cache" / entry.file_name
        self.texts = _texts(folder)

    def kept(self, timeout: float | None) -> Result | Failure | None:
        """What was found before. A failure counts unless `timeout` is None, or longer than the time it had."""
        try:
            found = Result.from_json(json.loads(self.result.read_text(encoding="utf-8")))
            kept = f"{self.result.parent.name}/{self.result.name.removesuffix('.json')}"
            return replace(found, kept=kept) if beside(self.result, RUN).is_file() else found
        except (OSError, ValueError, KeyError, TypeError):
            pass
        try:
            failed = json.loads(self.failure.read_text(encoding="utf-8"))
            had = float(failed["timeout"])
            return Failure(self.label, failed["reason"]) if timeout is not None and timeout <= had else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _run(
    entry: Entry, place: _Place, common: dict[str, Any], timeout: float, progress: Progress, worker: str
) -> Result | Failure:
    job = common | {
        "label": entry.label,
        "model": entry.model.model_dump(mode="json") if entry.model else None,
        "cache": str(place.cache),
        "texts": str(place.texts),
        "result": str(place.result),
    }
    place.failure.unlink(missing_ok=True)
    reason = run_job(job, place.log, timeout=timeout, progress=progress, worker=worker)
    found = place.kept(None)
    if isinstance(found, Result):
        shutil.rmtree(place.cache, ignore_errors=True)
        return found
    reason = reason or "its result is not readable"
    write_atomically(place.failure, json.dumps({"label": entry.label, "reason": reason, "timeout": timeout}))
    return Failure(entry.label, reason)


def _told(found: Result | Failure) -> str:
    if isinstance(found, Failure):
        return f"left out: {found.reason}"
    rate = f", {found.pages_per_second:.3g} pages/s" if found.pages_per_second else ""
    return f"{MAIN_METRIC} {found.scores.means()[MAIN_METRIC]:.3f}{rate}"


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"{folder} is a file; give a folder for the comparison")
    for name in ("models", "logs", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise WorkspaceError(
            f"{folder} is being written by another comparison; wait for it, or give another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()
