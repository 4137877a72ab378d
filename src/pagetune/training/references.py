"""Batches of references: what the collator hands to the trainer, and the loss makes mini-batches of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from pagetune.training.feeding import Features, Feeder, Job, Reference, Route, Stream
from pagetune.training.relevance import FalseNegatives

Relevant = Mapping[str, frozenset[str]]
"""Query key -> keys of every page that answers it."""


class References:
    """A column of a batch. (No list: what takes batches apart to move tensors shall leave it alone.)"""

    __slots__ = ("entries", "feeder", "relevant", "route")

    def __init__(
        self, entries: Sequence[Reference], route: Route, feeder: Feeder, relevant: Relevant | None = None
    ) -> None:
        self.entries, self.route, self.feeder, self.relevant = tuple(entries), route, feeder, relevant


@dataclass(frozen=True)
class Column:
    """How a column of the dataset becomes references: `refer` makes one of a cell."""

    route: Route
    refer: Callable[[Any], Reference]


class ReferenceCollator:
    """The data collator of a trainer whose loss is a StreamingCachedLoss: a batch of references, by column.

    `relevant`: for each query's key the keys of all pages that answer it, so that none of them counts as a negative;
    None: nothing is masked, as upstream.
    """

    valid_label_columns = ("label", "score")

    def __init__(self, columns: Mapping[str, Column], feeder: Feeder, relevant: Relevant | None = None) -> None:
        self.columns, self.feeder, self.relevant = dict(columns), feeder, relevant

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Features:
        """`COLUMN_input_ids` is where Sentence Transformers' trainer looks for a column's features."""
        return {
            f"{name}_input_ids": self._references([column.refer(row[name]) for row in rows], column.route)
            for name, column in self.columns.items()
        }

    def _references(self, entries: Sequence[Reference], route: Route) -> References:
        if self.relevant is None:
            return References(entries, route, self.feeder)
        # What is of use here alone: the whole is as large as the dataset.
        relevant = {entry.key: self.relevant[entry.key] for entry in entries if entry.key in self.relevant}
        return References(entries, route, self.feeder, relevant)


class ReferencedBatch:
    """Columns of references: rows of equal content and route are one row."""

    in_order = False

    def __init__(self, columns: Sequence[References]) -> None:
        self._rows: list[tuple[Reference, Route]] = []
        self._feeder = columns[0].feeder
        known: dict[tuple[Route, str], int] = {}
        self.columns = []
        for column in columns:
            places = []
            for reference in column.entries:
                place = known.setdefault((column.route, reference.key), len(known))
                if place == len(self._rows):
                    self._rows.append((reference, column.route))
                places.append(place)
            self.columns.append(places)
        self.kinds = [route for _, route in self._rows]
        self.lengths = [max(1, reference.length) for reference, _ in self._rows]
        self._negatives = _false_negatives(columns)

    @classmethod
    def of(cls, features: Sequence[Features], *, late: bool) -> ReferencedBatch:
        """From what the trainer makes of the collator's batch. `late`: for a late-interaction model, which treats
        queries and pages differently; columns without a task have theirs by their places, as upstream."""
        columns = [column["input_ids"] for column in features]
        return cls([_with_task(column, place) for place, column in enumerate(columns)] if late else columns)

    def stream(self, groups: Sequence[Sequence[int]], device: torch.device) -> Stream:
        """Prepared by the feeder's workers."""
        jobs = [Job(tuple(self._rows[row][0] for row in rows), self.kinds[rows[0]]) for rows in groups]
        return self._feeder.stream(jobs, device)

    def masked(self, cached: Any) -> AbstractContextManager[None]:
        """Pages that answer a query are no negatives of it."""
        return self._negatives.masking(cached) if self._negatives else nullcontext()


def _with_task(column: References, place: int) -> References:
    if column.route.task is not None:
        return column
    route = replace(column.route, task="document" if place else "query")
    return References(column.entries, route, column.feeder, column.relevant)


def _false_negatives(columns: Sequence[References]) -> FalseNegatives | None:
    queries, *pages = columns
    if queries.relevant is None:
        return None
    keys = [[entry.key for entry in column.entries] for column in pages]
    return FalseNegatives([entry.key for entry in queries.entries], keys, queries.relevant)
