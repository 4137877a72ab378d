"""Page images into vectors through the engine that trains: prepared ahead of the model, cut by tokens, each page once.

`mine`, `evaluate` and `index` encode so. It is in this room because the feeder is; the models' room knows what a model
makes of a page, and nothing of workers and budgets. A page's vectors are kept under its content, the model's weights
and what it is loaded with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from pagetune.errors import ModelError
from pagetune.models.encoding import Matrix, PageVectors
from pagetune.models.inspect import is_late
from pagetune.models.pictures import document_prompt, gather, identity, pool_tokens
from pagetune.models.vector_cache import VectorCache
from pagetune.progress import SILENT, Progress
from pagetune.training.feeding import Feeder, Preparer, Reference, Route, cores, workers_beside
from pagetune.training.lengths import Lengths
from pagetune.training.mini_batches import Budget
from pagetune.training.page_cache import ResizedPages
from pagetune.training.passes import Passes

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from pagetune.examples.visual import JudgedImages
    from pagetune.recipe import ModelRecipe

PAGES_AT_ONCE = 64
"""Pages encoded between two writes to the disk: what a kill can cost."""

FEW = 24
"""Fewer pages than these are prepared where the model is: starting a process would take longer than it saves."""


_FOUND: WeakKeyDictionary[Any, dict[tuple[str, str], Budget]] = WeakKeyDictionary()
"""Of each model the budget that was found for it on a device, in a precision: the evaluations inside a fit look for it
once. (Where memory is shorter than it was then, it is halved on the way.)"""


@dataclass(frozen=True, eq=False)
class PageImages:
    """Pages to encode: `keys` has for each page id a hash of its content, `image` opens one, `size` is its width and
    height, which nothing is decoded for. `name` is what errors call the set."""

    keys: Mapping[str, str]
    image: Callable[[str], Image]
    size: Callable[[str], tuple[int, int]]
    name: str = ""

    @classmethod
    def of(cls, chosen: JudgedImages) -> PageImages:
        """All pages of a set."""
        keys = {page: chosen.page_key(page) for page in chosen.page_ids}
        return cls(keys, chosen.image, chosen.size, getattr(chosen, "name", ""))

    def named(self, page: str) -> str:
        """A page as errors call it."""
        return f"{self.name}: page {page!r}" if self.name else f"page {page!r}"


def encode_pictures(
    model: Any,
    pages: PageImages,
    recipe: ModelRecipe | None = None,
    *,
    cache: Path | None = None,
    kept: ResizedPages | None = None,
    workers: int | Literal["auto"] = "auto",
    progress: Progress = SILENT,
) -> PageVectors:
    """Encode page images, each content once, as `encode_document` would.

    A dense model gives a vector a page, a late-interaction one a vector a token, of which `recipe.token_pooling` leaves
    one in so many. Vectors have length 1. What goes through the model together is `recipe.encode_batch` pages, or
    `recipe.encode_tokens`. `cache` is a folder for vectors, where what was encoded before a kill is found; `kept` has
    pages as the model scales them. Raises ModelError for a model that takes no images, and DataError that names a page
    which cannot be opened.
    """
    if recipe is None:
        from pagetune.recipe import ModelRecipe

        recipe = ModelRecipe()
    if not model.supports("image"):
        raise ModelError(f"the model takes {model.modalities}, not images; choose one that does, or read the pages")
    digests = {page: _digest(key) for page, key in pages.keys.items()}
    store = VectorCache(None if cache is None else cache / f"{identity(model)}-pool{recipe.token_pooling}")
    found = store.find(set(digests.values()))
    missing: dict[bytes, str] = {}
    for page, digest in digests.items():
        if digest not in found:
            missing.setdefault(digest, page)
    fresh: dict[bytes, Matrix] = {}
    with progress.task("encode pages", len(missing), "pages") as task:

        def keep() -> None:
            store.add(fresh)
            task.advance(len(fresh))
            fresh.clear()

        try:
            for page, vectors in _encode(model, pages, list(missing.values()), recipe, kept, workers, progress):
                found[digests[page]] = fresh[digests[page]] = vectors
                if len(fresh) == PAGES_AT_ONCE:
                    keep()
        finally:
            keep()
    return gather(list(digests), [found[digest] for digest in digests.values()])


def _encode(
    model: Any,
    pages: PageImages,
    chosen: Sequence[str],
    recipe: ModelRecipe,
    kept: ResizedPages | None,
    workers: int | Literal["auto"],
    progress: Progress,
) -> Iterator[tuple[str, Matrix]]:
    """The chosen pages and their vectors, the longest first."""
    if not chosen:
        return
    lengths, route = Lengths(model), Route("document", document_prompt(model), pictures=True)
    references = [
        Reference(page, pages.keys[page], lengths.picture(*pages.size(page), route), pages.named(page))
        for page in chosen
    ]
    count = auto_workers(model.device, len(chosen)) if workers == "auto" else workers
    pooling = recipe.token_pooling if is_late(model) else 1
    asked, known = _budget(recipe), _FOUND.setdefault(model, {})
    place = (str(model.device), str(model.dtype))
    with Feeder(Preparer(model.preprocess, partial(_open, pages, kept)), workers=count) as feeder:
        passes = Passes(model, feeder, route, asked or known.get(place), progress)
        for some, vectors in passes(references):
            pooled = pool_tokens(vectors, pooling) if pooling > 1 else vectors
            yield from zip((reference.place for reference in some), pooled, strict=True)
    if asked is None and passes.budget is not None and passes.settled:
        known[place] = passes.budget


def auto_workers(device: torch.device, pages: int) -> int:
    """Processes that prepare so many pages: none for a few, nor beside a model that has two cores, or one, to itself:
    without a backward pass it does not wait long enough for a page to make up for the core that is taken from it."""
    if pages < FEW or (device.type != "cuda" and cores() <= 2):
        return 0
    return workers_beside(device)


def _open(pages: PageImages, kept: ResizedPages | None, page: str) -> Image:
    load = partial(pages.image, page)
    return load() if kept is None else kept.open(pages.keys[page], load)


def _budget(recipe: ModelRecipe) -> Budget | None:
    if recipe.encode_batch is not None:
        return Budget(items=recipe.encode_batch)
    return None if recipe.encode_tokens == "auto" else Budget(tokens=recipe.encode_tokens)


def _digest(content: str) -> bytes:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()
