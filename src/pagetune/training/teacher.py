"""A teacher's scores of lists: computed once, kept on disk, so that a kill costs little and a second fit nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pagetune.examples.rerank import RankedList, RerankSet, with_labels
from pagetune.models.calibration import PLAIN
from pagetune.models.encoding import fingerprint_model
from pagetune.progress import SILENT, Progress
from pagetune.training.mini_batches import Budget
from pagetune.training.rerank_pairs import PairFeed, prompts_of, score_lists
from pagetune.workspace import fingerprint, write_atomically

if TYPE_CHECKING:
    from pagetune.recipe import RerankDirection

LISTS_AT_ONCE = 64
"""Lists scored between two writes to the disk."""


def teach(
    teacher: Any,
    chosen: RerankSet,
    cache: Path | None,
    *,
    budget: Budget | None = None,
    workers: int = 0,
    progress: Progress = SILENT,
) -> RerankSet:
    """The same lists with the teacher's log-odds for labels. `cache`: a folder; without it nothing is kept."""
    prompts = prompts_of(teacher, list(chosen.lists), {})
    told = fingerprint(fingerprint_model(teacher), sorted(prompts.items()), chosen.fingerprint)
    folder = None if cache is None else cache / told
    scores: dict[RerankDirection, list[NDArray[np.float32]]] = {}
    with closing(PairFeed(teacher, chosen, prompts, workers=workers)) as feed:
        for direction, lists in chosen.lists.items():
            scores[direction] = []
            with progress.task(f"teacher, {direction}", len(lists), "lists") as task:
                for start in range(0, len(lists), LISTS_AT_ONCE):
                    some = lists[start : start + LISTS_AT_ONCE]
                    file = None if folder is None else folder / f"{direction}-{start:08d}.f32"
                    scores[direction] += _scored(direction, some, feed, budget or Budget(tokens=8192), file)
                    task.advance(len(some))
    return with_labels(chosen, {name: [own.tolist() for own in found] for name, found in scores.items()})


def as_probabilities(taught: RerankSet) -> RerankSet:
    """Log-odds for labels as probabilities, which is what cross-entropy learns from."""
    scores = {
        direction: [PLAIN.apply(np.array(each.labels, np.float32)).tolist() for each in lists]
        for direction, lists in taught.lists.items()
    }
    return with_labels(taught, scores)


def _scored(
    direction: RerankDirection, lists: Sequence[RankedList], feed: PairFeed, budget: Budget, file: Path | None
) -> list[NDArray[np.float32]]:
    """From the file where it is there whole, else from the model, and into the file."""
    widths = [len(each.candidates) for each in lists]
    if file is not None and file.is_file() and file.stat().st_size == 4 * sum(widths):
        return np.split(np.fromfile(file, dtype="<f4").astype(np.float32), np.cumsum(widths)[:-1])
    found = score_lists(direction, lists, feed, budget, exact=True)
    if file is not None:
        write_atomically(file, np.concatenate(found).astype("<f4").tobytes())
    return found
