"""Sets of page images: one to train on, one to judge on.

Pictures stay encoded until they are used, and each has a content key, so that duplicates are known without decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pagetune.workspace import fingerprint

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

    from pagetune.examples.encoded import EncodedPages


class JudgedImages(Protocol):
    """What judging on images needs: `ImageEvalSet`, or the user's own pages."""

    @property
    def queries(self) -> dict[str, str]: ...

    @property
    def page_ids(self) -> tuple[str, ...]: ...

    @property
    def qrels(self) -> Mapping[str, Mapping[str, int]]: ...

    @property
    def excluded(self) -> Mapping[str, Sequence[str]]: ...

    @property
    def fingerprint(self) -> str: ...

    def images(self, ids: Iterable[str] | None = None) -> Iterator[Image]: ...

    def image(self, page_id: str) -> Image: ...

    def size(self, page_id: str) -> tuple[int, int]: ...

    def page_key(self, page_id: str) -> str: ...


@dataclass(frozen=True, eq=False)
class ImageTrainSet:
    """Examples to train on.

    `dataset` has the columns query (string), image, negative_0 … negative_{n-1} (Image, RGB when decoded), and label
    if there is one, in this order. `keys` has for each but label a list over the rows of content keys: the sha256 of
    the query's text or of the picture's encoded bytes. `sizes` has for each picture its width, height and bytes.
    `broken` says of each row left out why.
    """

    dataset: Dataset
    keys: dict[str, list[str]]
    negatives: int
    name: str = "rows"
    sizes: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    versions: int = 1
    """How many times over the rows stand, drawn anew each time: an epoch is a part of them."""
    contents: dict[str, list[str]] = field(default_factory=dict)
    """For each column of pictures what decides them, where keys are not of their bytes but say which page it is."""
    renderer: Callable[[str, int], Image] | None = None
    """Column and row -> the picture, where it is not in the dataset."""

    _encoded: dict[str, Dataset] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.dataset)

    def image(self, row: int, column: str = "image") -> Image:
        """The picture of a row, decoded now: RGB. Raises DataError for a damaged picture."""
        from pagetune.examples.pictures import to_rgb

        if self.renderer is not None:
            return self.renderer(column, row)
        return to_rgb(self._cells(column)[row][column], f"{self.name}: example {row}: {column}")

    def content(self, column: str, row: int) -> str:
        """What decides the picture: equal for equal ones."""
        return self.contents.get(column, self.keys[column])[row]

    def size(self, column: str, row: int) -> tuple[int, int]:
        """Width and height of the picture."""
        width, height, _ = self.sizes[column][row]
        return width, height

    def _cells(self, column: str) -> Dataset:
        from datasets import Image as Encoded

        if column not in self._encoded:
            self._encoded[column] = self.dataset.select_columns([column]).cast_column(column, Encoded(decode=False))
        return self._encoded[column]

    @property
    def columns(self) -> list[str]:
        """The columns of pictures, in order."""
        return ["image", *(f"negative_{slot}" for slot in range(self.negatives))]

    @property
    def fingerprint(self) -> str:
        """Equal for equal content, wherever it was read from."""
        labels = [*self.dataset["label"]] if self.has_label else None
        return fingerprint("image train set", self.keys, self.negatives, labels, self.contents)

    def pairs(self, count: int) -> list[tuple[str, Image]]:
        """The first query and the picture of each of the first `count` different pages."""
        first: dict[str, int] = {}
        for row, key in enumerate(self.keys["image"]):
            first.setdefault(key, row)
        rows = [self.dataset[row] for row in list(first.values())[:count]]
        return [(row["query"], row["image"]) for row in rows]

    @property
    def has_label(self) -> bool:
        return "label" in self.dataset.column_names

    @property
    def form(self) -> str:
        """What the rows are, in words."""
        kind = f"triplets with {self.negatives} negative(s)" if self.negatives else "pairs"
        return f"labelled {kind}" if self.has_label else kind


@dataclass(frozen=True, eq=False)
class ImageEvalSet:
    """Queries, the pages to find them among, and which pages answer which query (query id -> page id -> grade).

    `form` is "rows" (a query's answers are the images of its rows) or "BEIR" (corpus, queries, qrels).
    """

    queries: dict[str, str]
    page_ids: tuple[str, ...]
    qrels: dict[str, dict[str, int]]
    pages: EncodedPages
    name: str = "rows"
    form: str = "rows"
    broken: tuple[str, ...] = ()
    excluded: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Query id -> pages to leave out of its answers, such as the one that it was written from; others have none."""

    def __len__(self) -> int:
        return len(self.queries)

    def image(self, page_id: str) -> Image:
        """The page, decoded now: RGB. Raises DataError for an unknown page or a damaged picture."""
        from pagetune.examples.pictures import to_rgb

        return to_rgb(self.pages.cell(page_id), f"{self.name}: page {page_id!r}: image")

    def images(self, ids: Iterable[str] | None = None) -> Iterator[Image]:
        """The pages of these ids, or all in order, each decoded when it is asked for."""
        for page_id in self.page_ids if ids is None else ids:
            yield self.image(page_id)

    def size(self, page_id: str) -> tuple[int, int]:
        """Width and height of the page. Raises DataError for an unknown page."""
        width, height, _ = self.pages.size(page_id)
        return width, height

    def page_key(self, page_id: str) -> str:
        """The sha256 of the page's encoded bytes. Raises DataError for an unknown page."""
        return self.pages.key(page_id)

    @property
    def fingerprint(self) -> str:
        """Equal for equal content, wherever it was read from."""
        pages = [(page, self.page_key(page)) for page in self.page_ids]
        excluded = [self.excluded] if self.excluded else []
        return fingerprint("image eval set", [*self.queries.items()], pages, self.qrels, *excluded)
