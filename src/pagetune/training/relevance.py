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

from pagetune.training.replicas import several

DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
"""The order in which upstream's loss asks for similarities."""

Cells = list[tuple[int, int]]


class FalseNegatives:
    """Which pairs of a batch are no negatives. `queries`: their keys; `pages`: those of each column of pages;
    `relevant`: query key -> page keys."""

    def __init__(
        self, queries: Sequence[str], pages: Sequence[Sequence[str]], relevant: Mapping[str, Collection[str]]
    ) -> None:
        self.queries, self.pages = list(queries), [list(column) for column in pages]
        self.answers = [{*relevant.get(query, ()), page} for query, page in zip(queries, pages[0], strict=True)]

    @contextmanager
    def masking(self, cached: Any) -> Iterator[None]:
        """Inside, the loss does not see them."""
        late = hasattr(cached, "score_mini_batch_size")
        rows = cached.score_mini_batch_size if late else cached.mini_batch_size
        directions = ("query_to_doc",) if late else cached.directions
        # Past `Module.__setattr__`, which lets no function stand where a module stood: a similarity may be either.
        holder = vars(cached if late else cached.loss)
        before, own = dict(holder), cached.similarity_fct
        holder["similarity_fct"] = _Hidden(own, self._cells(cached, late), rows, directions, len(self.queries))
        try:
            yield
        finally:
            del holder["similarity_fct"]
            if "similarity_fct" in before:
                holder["similarity_fct"] = own

    def _cells(self, cached: Any, late: bool) -> dict[str, Cells]:
        """For each direction the (row of this process, column) to hide."""
        queries, pages, answers, offset = self._everywhere(cached)
        stands: dict[str, Cells] = defaultdict(list)
        for number, column in enumerate(pages):
            for place, key in enumerate(column):
                stands[key].append((number, place))
        # A query that stands in several rows has the answers of all.
        of_query: dict[str, set[str]] = defaultdict(set)
        for query, keys in zip(queries, answers, strict=True):
            of_query[query].update(keys & stands.keys())
        asked_by: dict[str, list[int]] = defaultdict(list)
        for row, query in enumerate(queries):
            for key in of_query[query]:
                asked_by[key].append(row)
        found: dict[str, Cells] = {direction: [] for direction in DIRECTIONS}
        for row in range(len(self.queries)):
            here = row + offset
            for number, place in (cell for key in of_query[queries[here]] for cell in stands[key]):
                flat = place * len(pages) + number if late else number * len(queries) + place
                if (number, place) != (0, here):
                    found["query_to_doc"].append((row, flat))
                if place != here:
                    found["doc_to_doc"].append((row, flat))
                    found["query_to_query"] += [(row, place)] if number == 0 else []
            found["doc_to_query"] += [(row, place) for place in asked_by[pages[0][here]] if place != here]
        return found

    def _everywhere(self, cached: Any) -> tuple[list[str], list[list[str]], list[set[str]], int]:
        """Queries, pages and answers of all processes, where the loss gathers them, and where this one's begin."""
        if not (cached.gather_across_devices and several()):
            return self.queries, self.pages, self.answers, 0
        parts: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, (self.queries, self.pages, self.answers))
        queries = [key for part in parts for key in part[0]]
        pages = [[key for part in parts for key in part[1][number]] for number in range(len(self.pages))]
        answers = [keys for part in parts for keys in part[2]]
        return queries, pages, answers, torch.distributed.get_rank() * len(self.queries)


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
        asked = [direction for direction in DIRECTIONS if direction in directions]
        self._calls = cycle([(begin, direction) for begin in range(0, total, rows) for direction in asked])
        self._rows, self._total = rows, total

    def __call__(self, first: Tensor, second: Tensor, **masks: Any) -> Tensor:
        scores = self.own(first, second, **masks)
        begin, direction = next(self._calls)
        end = min(begin + self._rows, self._total)
        # Asked from a page's side, upstream turns the matrix round afterwards.
        turned = direction.startswith("doc")
        rows = scores.T if turned else scores
        cells = [(row - begin, place) for row, place in self.cells[direction] if begin <= row < end]
        if not cells:
            return scores
        hidden = torch.zeros_like(rows, dtype=torch.bool)
        hidden[tuple(torch.tensor(cells, device=rows.device).T)] = True
        masked = rows.masked_fill(hidden, -torch.inf)
        return masked.T if turned else masked


__all__ = ["FalseNegatives"]
