"""A fit on page images through the streaming gradient cache: its references, its feeder, its budget, its loss."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.progress import SILENT, Progress
from pagetune.recipe import FitRecipe
from pagetune.training.budget_finding import find_budget
from pagetune.training.feeding import Feeder, Preparer, Reference, Route, workers_beside
from pagetune.training.gradient_cache import StreamingCachedLoss
from pagetune.training.lengths import Lengths
from pagetune.training.losses import ranking_loss
from pagetune.training.mini_batches import Budget
from pagetune.training.page_cache import kept_pages
from pagetune.training.references import Column, ReferenceCollator

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

    from pagetune.examples.visual import ImageTrainSet

LOSS_ROWS = 256
"""Queries whose similarities are made at a time: a matrix of so many times the pages of a batch is small."""

Place = tuple[str, int]
"""Column and row of a picture."""


class Streaming:
    """Everything that a trainer needs besides the model. Close it when the training is over."""

    def __init__(
        self, model: Any, train: ImageTrainSet, prompts: Mapping[str, str], recipe: FitRecipe, cache: Path | None = None
    ) -> None:
        self._model, self._train, self._recipe = model, train, recipe
        self._lengths = Lengths(model)
        self._kept = kept_pages(cache, model, recipe.page_cache)
        self.feeder = Feeder(Preparer(model.preprocess, self._open), workers=feeding_workers(recipe, model))
        self.routes = {
            name: Route("query" if name == "query" else "document", prompts.get(name), pictures=name != "query")
            for name in train.keys
        }
        columns = {name: Column(route, partial(self._refer, name)) for name, route in self.routes.items()}
        self.collator = ReferenceCollator(columns, self.feeder, _relevant(train))

    def dataset(self) -> Dataset:
        """What the trainer draws from: texts, and for each picture the number of its row."""
        from datasets import Dataset

        rows = list(range(len(self._train)))
        return Dataset.from_dict({name: self._queries if name == "query" else rows for name in self._train.keys})

    def loss(self, budget: Budget) -> StreamingCachedLoss:
        """The recipe's ranking loss, embedding within the budget."""
        rows = None if budget.tokens is None else LOSS_ROWS
        return StreamingCachedLoss(ranking_loss(self._model, self._recipe, cached=True, rows=rows), budget)

    def budget(self, noted: dict[str, Any], progress: Progress = SILENT) -> Budget:
        """As `find_budget` has it, by the longest page."""
        return find_budget(self._model, self._recipe, self.feeder.prepare, lambda: self.longest, noted, progress)

    @cached_property
    def longest(self) -> tuple[Reference, Route]:
        """The page of the most tokens, of every row and column."""
        # Of each size once: there are few, and of a size all are as long.
        rows, columns = range(len(self._train)), self._train.columns
        places = {(column, self._train.size(column, row)): row for column in columns for row in rows}
        pages = ((self._refer(column, row), self.routes[column]) for (column, _), row in places.items())
        return max(pages, key=lambda page: page[0].length)

    def close(self) -> None:
        """End the workers."""
        self.feeder.close()

    @property
    def _queries(self) -> list[str]:
        return [*self._train.dataset.with_format(None)["query"]]

    def _refer(self, column: str, cell: Any) -> Reference:
        route = self.routes[column]
        if not route.pictures:
            return Reference(cell, cell, self._lengths.text(cell, route))
        width, height = self._train.size(column, cell)
        length = self._lengths.picture(width, height, route)
        return Reference((column, cell), self._train.content(column, cell), length, f"row {cell}, {column}")

    def _open(self, place: Place) -> Image:
        column, row = place
        load = partial(self._train.image, row, column)
        return load() if self._kept is None else self._kept.open(self._train.content(column, row), load)


def _relevant(train: ImageTrainSet) -> dict[str, frozenset[str]]:
    """For each query's text the content of every page that answers it, in any row and however masked."""
    looks: dict[str, set[str]] = {}
    for column in train.columns:
        for row, page in enumerate(train.keys[column]):
            looks.setdefault(page, set()).add(train.content(column, row))
    answers: dict[str, set[str]] = {}
    for query, page in zip(train.dataset.with_format(None)["query"], train.keys["image"], strict=True):
        answers.setdefault(query, set()).update(looks[page])
    return {query: frozenset(found) for query, found in answers.items()}


def feeding_workers(recipe: FitRecipe, model: Any) -> int:
    """As the recipe has it, else what suits the model's device."""
    if recipe.workers != "auto":
        return recipe.workers
    return workers_beside(next(model.parameters()).device)
