"""Pagetune: a folder of documents in, a finetuned and measured page retriever out.

    from pagetune import Pipeline, SearchEngine, load_recipe

    Pipeline("ws", load_recipe(overrides=["fit.epochs=2"]), documents=["manuals/"]).run()
    hits = SearchEngine("ws").search("how do I reverse a transaction")

Names are imported when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pagetune.errors import PagetuneError
    from pagetune.pages.store import PageStore
    from pagetune.pipeline import Pipeline
    from pagetune.recipe import Recipe, load_recipe
    from pagetune.records import Document, Example, Hit, Judgement, Page, Query
    from pagetune.search.engine import SearchEngine
    from pagetune.workspace import Workspace

_PLACES = {
    "Document": "pagetune.records",
    "Example": "pagetune.records",
    "Hit": "pagetune.records",
    "Judgement": "pagetune.records",
    "Page": "pagetune.records",
    "PageStore": "pagetune.pages.store",
    "PagetuneError": "pagetune.errors",
    "Pipeline": "pagetune.pipeline",
    "Query": "pagetune.records",
    "Recipe": "pagetune.recipe",
    "SearchEngine": "pagetune.search.engine",
    "Workspace": "pagetune.workspace",
    "load_recipe": "pagetune.recipe",
}

__all__ = [
    "Document",
    "Example",
    "Hit",
    "Judgement",
    "Page",
    "PageStore",
    "PagetuneError",
    "Pipeline",
    "Query",
    "Recipe",
    "SearchEngine",
    "Workspace",
    "load_recipe",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'pagetune' has no attribute {name!r}")
    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return sorted(__all__)
