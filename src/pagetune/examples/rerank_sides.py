"""Pages inside a reranker's pairs: pictures of documents or of a dataset, or passages of their words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pagetune.examples.page_images import Bounds, page_key, page_size
from pagetune.layout.words import split
from pagetune.records import Query, Rect

if TYPE_CHECKING:
    from PIL.Image import Image

    from pagetune.examples.visual import ImageTrainSet
    from pagetune.pages.store import PageStore

OPEN = 32
"""Pictures kept decoded: one stands in several pairs of a mini-batch."""


class PagePictures:
    """Pages of documents as they look, painted over where they are masked. A number is a page and its mask."""

    def __init__(self, store: PageStore, masks: Mapping[str, Sequence[Rect]], bounds: Bounds) -> None:
        self.store, self.masks, self.bounds = store, masks, bounds
        self._numbers: dict[tuple[str, tuple[Rect, ...]], int] = {}
        self._shown: list[tuple[str, tuple[Rect, ...]]] = []
        self._image = lru_cache(OPEN)(self._render)

    def shown(self, page: str, query: Query, masked: bool) -> int:
        """Its number: as evaluation shows it, or whole."""
        return self._number(page, tuple(self.masks.get(page, ())) if masked else ())

    def image(self, number: int) -> Image:
        """Rendered now, RGB."""
        return self._image(number)

    def key(self, number: int) -> str:
        """What decides the page's picture."""
        page, mask = self._shown[number]
        return page_key(self.store.page(page), mask, self.bounds)

    def size(self, number: int) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height, _ = page_size(self.store.page(self._shown[number][0]), self.bounds)
        return width, height

    def _number(self, page: str, mask: tuple[Rect, ...]) -> int:
        if (page, mask) not in self._numbers:
            self._numbers[page, mask] = len(self._shown)
            self._shown.append((page, mask))
        return self._numbers[page, mask]

    def _render(self, number: int) -> Image:
        page, mask = self._shown[number]
        return self.store.image(page, mask=mask, **self.bounds)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_image"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._image = lru_cache(OPEN)(self._render)


class PagePassages:
    """Pages as a passage each, the one that a reranker is given first for the query. Always masked: the passages are
    those that the retriever cut and compared."""

    def __init__(self, inputs: Callable[[str, str], Sequence[str]], *, nearest_first: bool) -> None:
        """`inputs`: of a query's id and a page's, the page's passages, in their order or the nearest first."""
        self.inputs, self.nearest_first = inputs, nearest_first

    def shown(self, page: str, query: Query, masked: bool) -> str:
        """The nearest passage; where nobody says which that is, the one that shares most words with the query."""
        passages = self.inputs(query.id, page)
        if self.nearest_first:
            return passages[0]
        wanted = set(split(query.text.lower()))
        return max(passages, key=lambda passage: len(wanted.intersection(split(passage.lower()))))


class RowPictures:
    """The pages of a training set, each content once: page ids are content keys."""

    def __init__(self, train: ImageTrainSet) -> None:
        self.train = train
        self._places: list[tuple[str, int]] = []
        self.numbers: dict[str, int] = {}
        for column in train.columns:
            for row, key in enumerate(train.keys[column]):
                if key not in self.numbers:
                    self.numbers[key] = len(self._places)
                    self._places.append((column, row))
        self._keys = list(self.numbers)
        self._image = lru_cache(OPEN)(self._decode)

    def shown(self, page: str, query: Query, masked: bool) -> int:
        """As it is: nothing of a dataset is masked."""
        return self.numbers[page]

    def image(self, number: int) -> Image:
        """Decoded now, RGB."""
        return self._image(number)

    def key(self, number: int) -> str:
        """The content key."""
        return self._keys[number]

    def size(self, number: int) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.train.size(*self._places[number])

    def _decode(self, number: int) -> Image:
        column, row = self._places[number]
        return self.train.image(row, column)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_image"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._image = lru_cache(OPEN)(self._decode)
