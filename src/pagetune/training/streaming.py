"""A fit on page images through the streaming gradient cache: its references, its feeder, its budget, its loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.models.late_interaction import is_late
from pagetune.progress import SILENT, Progress
from pagetune.recipe import FitRecipe
from pagetune.training.budget import Trial, left_for_graphs, measure, room
from pagetune.training.feeding import Feeder, Preparer, Reference, Route, workers_beside
from pagetune.training.gradient_cache import StreamingCachedLoss
from pagetune.training.lengths import Lengths
from pagetune.training.loop import as_trained
from pagetune.training.losses import ranking_loss
from pagetune.training.memory import forget_frames, is_out_of_memory, release
from pagetune.training.mini_batches import Budget
from pagetune.training.page_cache import kept_pages
from pagetune.training.references import Column, ReferenceCollator
from pagetune.training.representations import Tokens, Vectors

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
        """As the recipe has it; what is "auto" in it is measured once, and noted for a fit that goes on later."""
        recipe = self._recipe
        if "budget" in noted:
            return Budget(**noted["budget"])
        keep = None if recipe.graph_memory == "auto" else round(recipe.graph_memory * 2**30)
        if recipe.mini_batch_tokens == "auto":
            found, trials = self._measured()
            budget = Budget(tokens=found.tokens, keep_bytes=found.keep_bytes if keep is None else keep)
            tried = ", ".join(f"{trial.items}: {trial.tokens / trial.seconds:,.0f}" for trial in trials)
            progress.say(
                f"fit: mini-batches of {budget.tokens:,} tokens, {trials[-1].items} of the longest pages "
                f"(tokens a second by pages: {tried}); graphs of {budget.keep_bytes / 2**30:.1f} GiB are kept"
            )
        else:
            items = recipe.mini_batch_size if recipe.mini_batch_tokens is None else None
            budget = Budget(tokens=recipe.mini_batch_tokens, items=items)
            budget = replace(budget, keep_bytes=self._left_beside(budget) if keep is None else keep)
        noted["budget"] = asdict(budget)
        return budget

    @cached_property
    def longest(self) -> tuple[Reference, Route]:
        """The page of the most tokens, of every row and column."""
        # Of each size once: there are few, and of a size all are as long.
        rows, columns = range(len(self._train)), self._train.columns
        places = {(column, self._train.size(column, row)): row for column in columns for row in rows}
        pages = ((self._refer(column, row), self.routes[column]) for (column, _), row in places.items())
        return max(pages, key=lambda page: page[0].length)

    def _measured(self, items: int | None = None) -> tuple[Budget, list[Trial]]:
        page, route = self.longest
        kind = Tokens if is_late(self._model) else Vectors
        with as_trained(self._model, self._recipe):
            return measure(self._model, kind, self.feeder.prepare, [page], route, items=items)

    def _left_beside(self, budget: Budget) -> int:
        """For graphs beside mini-batches of a budget that is given: on a GPU one is tried, on a CPU its part of the
        memory goes by the whole."""
        device = self._model.device
        if device.type != "cuda":
            return left_for_graphs(room(self._model), device)
        items = budget.items or max(1, (budget.tokens or 0) // self.longest[0].length)
        try:
            return self._measured(items)[0].keep_bytes
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            forget_frames(error)
            release(device)
            return 0  # Where memory runs out in a step, its mini-batches get smaller.

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
