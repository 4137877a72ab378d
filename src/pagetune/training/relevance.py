"""False negatives inside a batch: pages that do answer a query, though they stand beside it for another.

Upstream's losses take every other page of the batch for a negative. Here the similarity that they are given hides, as
-inf, what is none: another row's page of the same content, and the query's other relevant pages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
"""The order in which upstream's loss asks for similarities."""

Cells = list[tuple[int, int]]


class FalseNegatives:
    """Which pairs of a batch are no negatives. `queries`: their keys; `pages`: those of each column of pages;
    `relevant`: query key -> page keys."""

    def __init__(
        self, queries: Sequence[str], pages: Sequence[Sequence[str]], relevant: Mapping[str, Collection[str]]
    ) -> None:
        self.queries, self.pages, self.relevant = list(queries), [list(column) for column in pages], relevant

    @contextmanager
    def masking(self, cached: Any) -> Iterator[None]:
        """Inside, the loss does not see them."""
        late = hasattr(cached, "score_mini_batch_size")
        rows = cached.score_mini_batch_size if late else cached.mini_batch_size
        directions = () if late else cached.directions
        own = cached.similarity_fct
        cached.similarity_fct = _Hidden(own, self._cells(cached, late), rows, directions, len(self.queries))
        try:
            yield
        finally:
            cached.similarity_fct = own

    def _cells(self, cached: Any, late: bool) -> dict[str, Cells]:
        """For each direction the (row of this process, column) to hide."""
        queries, pages, offset = self._everywhere(cached)
        world, columns = len(queries), len(pages)
        stands: dict[str, Cells] = defaultdict(list)
        for number, column in enumerate(pages):
            for place, key in enumerate(column):
                stands[key].append((number, place))
        found: dict[str, Cells] = {direction: [] for direction in DIRECTIONS}
        for row in range(len(self.queries)):
            here = row + offset
            answers = {*self.relevant.get(queries[here], ()), pages[0][here]}
            others = [cell for key in answers for cell in stands[key] if cell != (0, here)]
            for number, place in others:
                flat = place * columns + number if late else number * world + place
                found["query_to_doc"].append((row, flat))
                if place != here:
                    found["doc_to_doc"].append((row, flat))
                    if number == 0:
                        found["query_to_query"].append((row, place))
            for place in range(world):
                if place != here and pages[0][here] in (pages[0][place], *self.relevant.get(queries[place], ())):
                    found["doc_to_query"].append((row, place))
        return found

    def _everywhere(self, cached: Any) -> tuple[list[str], list[list[str]], int]:
        """The keys of all processes' batches, where the loss gathers them, and where this one's begin."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not (cached.gather_across_devices and distributed):
            return self.queries, self.pages, 0
        gathered: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(gathered, (self.queries, self.pages))
        queries = [key for part, _ in gathered for key in part]
        pages = [[key for _, part in gathered for key in part[number]] for number in range(len(self.pages))]
        return queries, pages, torch.distributed.get_rank() * len(self.queries)


class _Hidden:
    """A similarity for one batch. Upstream goes through its rows a mini-batch at a time, and for each through its
    directions; so the calls are told apart by their order."""

    def __init__(
        self,
        own: Callable[..., Tensor],
        cells: Mapping[str, Cells],
        rows: int,
        directions: Sequence[str],
        total: int,
    ) -> None:
        self.own, self.cells = own, cells
        asked = [direction for direction in DIRECTIONS if direction in directions] or ["query_to_doc"]
        self._calls = cycle([(begin, direction) for begin in range(0, total, rows) for direction in asked])
        self._rows, self._total = rows, total

    def __call__(self, first: Tensor, second: Tensor, **masks: Any) -> Tensor:
        scores = self.own(first, second, **masks)
        begin, direction = next(self._calls)
        end = min(begin + self._rows, self._total)
        # Asked from a page's side, upstream turns the matrix round afterwards.
        rows = scores.T if direction.startswith("doc") else scores
        cells = [(row - begin, place) for row, place in self.cells[direction] if begin <= row < end]
        if not cells:
            return scores
        hidden = torch.zeros_like(rows, dtype=torch.bool)
        hidden[tuple(torch.tensor(cells, device=rows.device).T)] = True
        masked = rows.masked_fill(hidden, -torch.inf)
        return masked.T if direction.startswith("doc") else masked


__all__ = ["FalseNegatives"]
