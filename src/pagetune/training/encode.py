"""A workspace's pages, and what is asked of them, as vectors: by whichever way the model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pagetune.examples.page_images import PageEvalSet, rendered_pages
from pagetune.models.encoding import Matrix, PageVectors, encode_pages, encode_queries
from pagetune.models.inspect import by_image, is_late
from pagetune.models.pictures import encode_texts
from pagetune.models.pixels import rendering
from pagetune.training.page_cache import kept_pages
from pagetune.training.page_encoding import PageImages, encode_pictures

if TYPE_CHECKING:
    from pagetune.context import Context
    from pagetune.records import Page, Rect


def encode(context: Context, model: Any, pages: Sequence[Page], masks: Mapping[str, Sequence[Rect]]) -> PageVectors:
    """The pages' vectors, from the workspace's cache where it has them."""
    recipe, cache, progress = context.recipe, context.workspace.cache, context.progress
    if not by_image(model):
        return encode_pages(model, pages, masks, recipe.model, cache / "vectors", progress)
    shown = PageEvalSet(
        {},
        tuple(page.id for page in pages),
        {},
        rendered_pages(context.workspace, recipe),
        masks,
        rendering(model),
    )
    return encode_pictures(
        model,
        PageImages.of(shown),
        recipe.model,
        cache=cache / "vectors",
        kept=kept_pages(cache / "pixels", model, recipe.fit.page_cache),
        progress=progress,
    )


def encode_asked(model: Any, texts: Sequence[str]) -> Matrix | list[Matrix]:
    """The queries' vectors: one each, or with late interaction one for each of their tokens."""
    return encode_texts(model, texts) if is_late(model) else encode_queries(model, texts)
