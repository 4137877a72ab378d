"""The last stage of a search: the first pages of the answer, looked at again together with the query."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pagetune.evaluation.page_pairs import READ, EveryPassage, Pictures, score_pages
from pagetune.evaluation.pair_scoring import SPARE
from pagetune.evaluation.ranking import ranking
from pagetune.evaluation.rerank_use import not_evaluated, open_reranker, use_of
from pagetune.evaluation.reranking import blend
from pagetune.progress import SILENT, Progress
from pagetune.recipe import Recipe, load_recipe
from pagetune.search.index import SearchIndex
from pagetune.workspace import Workspace

if TYPE_CHECKING:
    from pagetune.evaluation.page_pairs import Reading
    from pagetune.models.page_reader import PageReader
    from pagetune.pages.store import PageStore

SHOWN_FIRST = 4
"""Pages that are rendered before the first are scored, where there is a deadline; then twice as many each time."""


@dataclass(frozen=True, slots=True)
class Reranked:
    """An answer in its new order, best first."""

    scores: dict[str, float]
    """Page id -> what it is ordered by; below 0 where the page was not looked at."""
    relevance: dict[str, float]
    """Page id -> 0 to 1, of the pages that were looked at."""
    seconds: float


class ShortlistReranker:
    """The workspace's reranker over answers of its index. Raises WorkspaceError where there is none.

    Where its weight and its calibration were never found out, `progress` is told, once.
    """

    def __init__(
        self,
        workspace: Workspace,
        index: SearchIndex,
        store: Callable[[], PageStore],
        progress: Progress = SILENT,
    ) -> None:
        recipe = load_recipe(workspace.recipe_file) if workspace.recipe_file.exists() else Recipe()
        self.recipe = recipe.rerank
        self.model = open_reranker(workspace, recipe)
        self.use = use_of(workspace, recipe)
        if (line := not_evaluated(workspace, recipe)) is not None:
            progress.say(line)
        self._index, self._store = index, store
        self._bounds = self._rendering()

    def rerank(
        self,
        query: str,
        answer: Mapping[str, float],
        *,
        vector: NDArray[np.float32] | None = None,
        reader: PageReader | None = None,
        deadline: float | None = None,
    ) -> Reranked:
        """The first `rerank.depth` pages of `answer` (page id -> score) in a new order; the rest stays below as it was.

        `vector` and `reader` are those of the retriever, where it cuts pages into passages: of each page the nearest
        are read. `deadline`: seconds from now, none: the recipe's. The best of the shortlist are looked at first, and
        rendered a few at a time; what is left when the time is over stays below them in the shortlist's order.
        """
        began = time.monotonic()
        limit = self.recipe.deadline if deadline is None else deadline
        pages = ranking(answer)[: self.recipe.depth]
        first = len(pages) if self._bounds is None else SHOWN_FIRST
        log_odds: dict[str, float] = {}
        for some in portions(pages, began, limit, first):
            reading = self._reading(some, vector, reader)
            scores, _ = score_pages(
                self.model,
                [(query, reading.inputs("", page)) for page in some],
                budget_tokens=None if self.recipe.pair_tokens == "auto" else self.recipe.pair_tokens,
                deadline=None if limit is None else limit - (time.monotonic() - began),
            )
            log_odds |= {page: float(score) for page, score in zip(some, scores, strict=True) if not np.isnan(score)}
            if np.isnan(scores).any():
                break
        probable = self.use.calibration.apply(np.array(list(log_odds.values()), np.float32))
        return Reranked(
            blend(answer, log_odds, self.use.mixture.weight),
            dict(zip(log_odds, probable.tolist(), strict=True)),
            time.monotonic() - began,
        )

    def _rendering(self) -> dict[str, Any] | None:
        """How large pages are rendered; None where the reranker reads their words."""
        from pagetune.models.inspect import sees
        from pagetune.models.pixels import rendering

        if not sees(self.model):
            return None
        bounds: dict[str, Any] = rendering(self.model)
        # The pages' records and a worker: part of loading the reranker, not of the seconds of the first search.
        for page in list(self._index.documents)[:1]:
            list(self._store().images([page], leave_out_broken=True, **bounds))
        return bounds

    def _reading(self, pages: Sequence[str], vector: NDArray[np.float32] | None, reader: PageReader | None) -> Reading:
        if self._bounds is not None:
            return Pictures(dict(self._store().images(pages, **self._bounds)))
        texts = {page: stored.text for page, stored in self._index.pages(pages).items()}
        if vector is None or reader is None:
            return EveryPassage(self.model, texts)
        return _Nearest(texts, self._index.nearest_passages(vector, pages, READ), reader)


def portions(pages: Sequence[str], began: float, limit: float | None, first: int) -> Iterator[Sequence[str]]:
    """The pages in their order: `first` of them, then twice as many each time, as long as there is time.

    `limit`: seconds from `began`; none: all pages at once. By the pace of those before none is begun that would end
    too late.
    """
    if limit is None:
        yield pages
        return
    begun, done, size = time.monotonic(), 0, first
    while done < len(pages):
        now = time.monotonic()
        left = began + limit - now
        if done and now > begun:
            size = min(2 * size, int(left * done / (SPARE * (now - begun))))
        if left <= 0 or size < 1:
            return
        yield pages[done : done + size]
        done += size


class _Nearest:
    """The passages of each page that the index holds for nearest."""

    def __init__(self, texts: Mapping[str, str], numbers: Mapping[str, Sequence[int]], reader: PageReader) -> None:
        cut = dict(zip(texts, reader.passages(list(texts.values())), strict=True))
        self._inputs = {
            page: [
                texts[page][cut[page][number].start : cut[page][number].stop]
                for number in found
                if number < len(cut[page])
            ]
            or [texts[page]]
            for page, found in numbers.items()
        }

    def inputs(self, query: str, page: str) -> Sequence[Any]:
        """Whatever the query: it was asked for already."""
        return self._inputs[page]
