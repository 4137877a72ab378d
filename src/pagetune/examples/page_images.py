"""The user's own pages as sets of images, rendered when they are asked for: to train on, and to judge on.

What evaluation masks on a page's text it paints over in its image. In training the query's own words stay, except
with the recipe's probability, as in the texts of `training.pairs`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError
from pagetune.examples.visual import ImageTrainSet
from pagetune.records import Example, Page, Query, Rect
from pagetune.workspace import Workspace, fingerprint

if TYPE_CHECKING:
    from PIL.Image import Image

    from pagetune.pages.store import PageStore
    from pagetune.recipe import Recipe

Bounds = Mapping[str, Any]
"""How large a page is rendered: `max_pixels`, or `long_side`."""


@dataclass(frozen=True, eq=False)
class PageEvalSet:
    """Queries and the pages that they are ranked over, each painted over where it is masked."""

    queries: dict[str, str]
    page_ids: tuple[str, ...]
    qrels: Mapping[str, Mapping[str, int]]
    store: PageStore
    masks: Mapping[str, Sequence[Rect]]
    bounds: Bounds
    excluded: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Pages to leave out of a query's answers: what a query was written from is masked instead."""

    def images(self, ids: Iterable[str] | None = None) -> Iterator[Image]:
        """The pages of these ids, or all."""
        wanted = list(self.page_ids if ids is None else ids)
        yield from (image for _, image in self.store.images(wanted, masks=self.masks, **self.bounds))

    def image(self, page_id: str) -> Image:
        """One page, by a process of its own that renders one after the other."""
        return self.store.image(page_id, mask=self.masks.get(page_id, ()), **self.bounds)

    def size(self, page_id: str) -> tuple[int, int]:
        """Width and height in pixels, as it will be rendered."""
        width, height, _ = page_size(self.store.page(page_id), self.bounds)
        return width, height

    def page_key(self, page_id: str) -> str:
        """What decides the page's picture."""
        return page_key(self.store.page(page_id), self.masks.get(page_id, ()), self.bounds)

    @property
    def fingerprint(self) -> str:
        """Equal for equal queries, pages and judgements."""
        return fingerprint(self.queries, [self.page_key(page) for page in self.page_ids], dict(self.qrels))


def page_key(page: Page, mask: Sequence[Rect], bounds: Bounds) -> str:
    """A digest of what decides a page's picture: its content, what is painted over, the size."""
    return fingerprint(page.digest or page.id, page.id, sorted(mask), sorted(bounds.items()))


def train_set_of_pages(
    examples: Sequence[Example],
    queries: Mapping[str, Query],
    store: PageStore,
    masks: Mapping[str, Sequence[Rect]],
    *,
    negatives: int,
    mask_probability: float,
    seed: int,
    bounds: Bounds,
    versions: int = 1,
) -> ImageTrainSet:
    """A row an example and version: the query, its page's picture, and those of its first `negatives` negatives.

    Examples with fewer negatives are left out. Raises DataError where none is left.
    """
    from datasets import Dataset

    usable = [example for example in examples if len(example.negatives) >= negatives]
    if not usable:
        raise DataError(
            f"none of {len(examples)} examples has {negatives} negatives; mine more, or set fit.negatives=0"
        )
    columns: dict[str, list[str]] = {name: [] for name in ("query", "image")}
    columns |= {f"negative_{place}": [] for place in range(negatives)}
    own_masks: list[tuple[Rect, ...]] = []
    for version, example in product(range(versions), usable):
        query = queries[example.query]
        draw = random.Random(f"{seed} {version} {example.query} {example.positive}")
        own = query.rects if example.positive == query.page else ()
        hidden = tuple(rect for rect in masks.get(example.positive, ()) if rect not in own)
        columns["query"].append(query.text)
        columns["image"].append(example.positive)
        own_masks.append((*hidden, *own) if draw.random() < mask_probability else hidden)
        for place in range(negatives):
            columns[f"negative_{place}"].append(example.negatives[place])
    shown: dict[str, list[tuple[Rect, ...]]] = {
        name: own_masks if name == "image" else [tuple(masks.get(page, ())) for page in pages]
        for name, pages in columns.items()
        if name != "query"
    }
    rows = Dataset.from_dict(columns | {"mask": [[list(rect) for rect in mask] for mask in own_masks]})
    rendered = rows.with_transform(_renderer(store, masks, bounds), columns=[*columns, "mask"])
    return ImageTrainSet(
        rendered,
        columns,
        negatives,
        name="pages",
        sizes={name: [page_size(store.page(page), bounds) for page in columns[name]] for name in shown},
        versions=versions,
        contents={
            name: [page_key(store.page(page), mask, bounds) for page, mask in zip(columns[name], drawn, strict=True)]
            for name, drawn in shown.items()
        },
        renderer=lambda column, row: store.image(columns[column][row], mask=shown[column][row], **bounds),
    )


def page_size(page: Page, bounds: Bounds) -> tuple[int, int, int]:
    """Width and height in pixels of a page rendered within the bounds; the bytes are not known before."""
    scale = bounds["long_side"] / max(page.width, page.height) if "long_side" in bounds else math.inf
    if "max_pixels" in bounds:
        scale = min(scale, math.sqrt(bounds["max_pixels"] / (page.width * page.height)))
    return max(1, round(page.width * scale)), max(1, round(page.height * scale)), 0


def _renderer(
    store: PageStore, masks: Mapping[str, Sequence[Rect]], bounds: Bounds
) -> Callable[[dict[str, list[Any]]], dict[str, list[Any]]]:
    def render(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {"query": batch["query"]}
        own = [[tuple(rect) for rect in mask] for mask in batch["mask"]]
        found["image"] = [
            store.image(page, mask=mask, **bounds) for page, mask in zip(batch["image"], own, strict=True)
        ]
        for name in (name for name in batch if name.startswith("negative_")):
            found[name] = [store.image(page, mask=masks.get(page, ()), **bounds) for page in batch[name]]
        return found

    return render


def rendered_pages(workspace: Workspace, recipe: Recipe) -> PageStore:
    """The pages, rendered under the limits that they were read under."""
    from pagetune.pages.store import PageStore

    read = recipe.read
    return PageStore(workspace.pages, workers=read.workers, timeout=read.timeout, memory_mb=read.memory_mb)


def answerable(pages: Sequence[Page]) -> list[Page]:
    """The pages that may answer a query: bodies of text, each content once."""
    return [page for page in pages if page.kind == "body" and page.duplicate_of is None]
