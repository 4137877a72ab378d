"""Lists with a teacher's scores on their way into a retriever: references by column, and the scores as labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pagetune.examples.rerank import Input, RankedList, RerankSet
from pagetune.progress import SILENT, Progress
from pagetune.recipe import FitRecipe
from pagetune.training.budget_finding import find_budget
from pagetune.training.feeding import Features, Feeder, Preparer, Reference, Route
from pagetune.training.lengths import Lengths
from pagetune.training.mini_batches import Budget
from pagetune.training.page_cache import kept_pages
from pagetune.training.references import References
from pagetune.training.streaming import feeding_workers

if TYPE_CHECKING:
    from datasets import Dataset


class TaughtFeed:
    """The data collator of a distillation, over lists of one width; close it when the training is over."""

    valid_label_columns = ("label", "score")

    def __init__(
        self,
        model: Any,
        taught: RerankSet,
        lists: Sequence[RankedList],
        recipe: FitRecipe,
        cache: Path | None = None,
    ) -> None:
        self._model, self._taught, self._recipe = model, taught, recipe
        self.lists = lists
        self._sees = taught.pictures is not None
        self._lengths = Lengths(model)
        self._kept = kept_pages(cache, model, recipe.page_cache) if self._sees else None
        workers = feeding_workers(recipe, model) if self._sees else 0  # Texts are ready at once.
        self.feeder = Feeder(Preparer(model.preprocess, self._open), workers=workers)
        self.columns = ["positive", *(f"negative_{place}" for place in range(1, len(lists[0].candidates)))]
        page = Route("document", model.prompts.get("document") or None, pictures=self._sees)
        query = Route("query", model.prompts.get("query") or None)
        self.routes: dict[str, Route] = {"query": query, **dict.fromkeys(self.columns, page)}

    def dataset(self) -> Dataset:
        """What the trainer draws from: the number of the list, in each column."""
        from datasets import Dataset

        return Dataset.from_dict({name: list(range(len(self.lists))) for name in (*self.routes, "label")})

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Features:
        """A batch, as Sentence Transformers' trainer looks for its columns and labels."""
        chosen = [self.lists[row["label"]] for row in rows]
        found: Features = {
            f"{name}_input_ids": References(
                [self._refer(each.asked if place < 0 else each.candidates[place], route) for each in chosen],
                route,
                self.feeder,
            )
            for place, (name, route) in enumerate(self.routes.items(), start=-1)
        }
        return found | {"label": torch.tensor([each.labels for each in chosen])}

    def budget(self, noted: dict[str, Any], progress: Progress = SILENT) -> Budget:
        """Pictures: as `find_budget` has it. Passages are of one length: as many tokens as so many have."""
        if not self._sees:
            recipe = self._recipe
            if isinstance(recipe.mini_batch_tokens, int):
                return Budget(tokens=recipe.mini_batch_tokens)
            return Budget(tokens=recipe.mini_batch_size * recipe.passage_tokens)
        return find_budget(self._model, self._recipe, self.feeder.prepare, self._longest, noted, progress)

    def _longest(self) -> tuple[Reference, Route]:
        route = self.routes["positive"]
        pages = {content for each in self.lists for content in each.candidates}
        return max((self._refer(page, route) for page in pages), key=lambda page: page.length), route

    def close(self) -> None:
        """End the workers."""
        self.feeder.close()

    def _refer(self, content: Input, route: Route) -> Reference:
        if isinstance(content, str):
            return Reference(content, content, self._lengths.text(content, route))
        assert self._taught.pictures is not None, "a number is one of a picture"
        length = self._lengths.picture(*self._taught.pictures.size(content), route)
        return Reference(content, self._taught.key(content), length, f"picture {content}")

    def _open(self, number: int) -> Any:
        load = partial(self._taught.open, number)
        return load() if self._kept is None else self._kept.open(self._taught.key(number), load)
