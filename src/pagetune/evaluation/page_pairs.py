"""Pages inside a reranker's pairs: a picture each, or passages of the page's words; a page counts by its best passage.

A text reranker reads a few hundred tokens, a page has more. Scoring every passage of fifty pages costs seconds a query,
so of each page those are read that the retriever holds for nearest to the query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pagetune.evaluation.pair_scoring import Scores, score_pairs
from pagetune.models.passages import cut_texts
from pagetune.models.scoring import truncate

if TYPE_CHECKING:
    from PIL.Image import Image

    from pagetune.models.encoding import PageVectors
    from pagetune.models.page_reader import PageReader

READ = 2
"""Passages of a page that are scored for a query, where the retriever says which."""

QUERY_TOKENS = 48
"""Of the tokens that a text reranker takes, so many are left for the query."""

OVERLAP = 32
"""Tokens that neighbouring passages share."""


class Reading(Protocol):
    """What a reranker is given of a page for a query."""

    def inputs(self, query: str, page: str) -> Sequence[Any]:
        """One picture, or some passages; by the ids of query and page."""
        ...


class EveryPassage:
    """All passages of a page, cut by the reranker's own tokenizer."""

    def __init__(self, model: Any, texts: Mapping[str, str]) -> None:
        self.texts = texts
        room = max(16, (model.max_seq_length or 512) - QUERY_TOKENS - 3)
        self._cut = lru_cache(4096)(
            lambda page: [
                texts[page][passage.start : passage.stop]
                for passage in cut_texts(model.tokenizer, [texts[page]], room, min(OVERLAP, room // 4))[0]
            ]
        )

    def inputs(self, query: str, page: str) -> Sequence[str]:
        """Whatever the query."""
        return self._cut(page)


class NearestPassages:
    """The passages of a page that the retriever holds for nearest to the query, the nearest first."""

    def __init__(
        self,
        reader: PageReader,
        texts: Mapping[str, str],
        vectors: PageVectors,
        queries: Mapping[str, NDArray[np.float32]],
        most: int = READ,
    ) -> None:
        """`reader` cut `texts` into the passages of `vectors`; `queries`: id -> float32 [dim]."""
        self.texts, self.vectors, self.queries, self.most = texts, vectors, queries, most
        bounds = np.searchsorted(vectors.owner, np.arange(len(vectors.ids) + 1))
        self._rows = {page: slice(*ends) for page, ends in zip(vectors.ids, pairwise(bounds), strict=True)}
        self._cut = lru_cache(4096)(lambda page: reader.passages([texts[page]])[0])

    def inputs(self, query: str, page: str) -> Sequence[str]:
        """The texts of the nearest passages."""
        own = truncate(self.vectors.vectors[self._rows[page]], None)
        near = np.argsort(-(own @ self.queries[query][: own.shape[1]]), kind="stable")[: self.most]
        cut = self._cut(page)
        if len(cut) != len(own):  # One vector for the whole page.
            near = np.arange(min(self.most, len(cut)))
        return [self.texts[page][cut[place].start : cut[place].stop] for place in near]


class Pictures:
    """Pages as they look."""

    def __init__(self, images: Mapping[str, Image]) -> None:
        self.images = images

    def inputs(self, query: str, page: str) -> Sequence[Image]:
        """Whatever the query."""
        return [self.images[page]]


def score_pages(
    model: Any, asked: Sequence[tuple[str, Sequence[Any]]], **how: Any
) -> tuple[NDArray[np.float32], Scores]:
    """float32 [asked]: the log-odds of each page for its query, by the page's best input; and what it took.

    An entry is a query's text and the page's inputs. `how` is that of `score_pairs`; passages are scored in bfloat16
    where the hardware is fast at it, as a retriever's are, unless it says otherwise. A page of which an input was not
    scored before the deadline is NaN.
    """
    pairs = [(query, content) for query, inputs in asked for content in inputs]
    how.setdefault("bfloat16", None if all(isinstance(content, str) for _, content in pairs) else False)
    scores = score_pairs(model, pairs, **how)
    bounds = np.cumsum([0, *(len(inputs) for _, inputs in asked)])
    found = np.full(len(asked), np.nan, dtype=np.float32)
    for place, (start, stop) in enumerate(pairwise(bounds)):
        if start < stop:
            found[place] = scores.log_odds[start:stop].max()  # NaN, where one of them is.
    return found, scores
