"""Which of the mined examples a fit trains on."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from pagetune.errors import DataError
from pagetune.recipe import FitRecipe
from pagetune.records import Example, Query

LIFTED = ("sentence", "phrase")
"""Kinds of query that are words lifted off a page; an author wrote all others."""

ENOUGH = 2000
"""Examples up to which lifted ones fill the place of those that an author did not write."""


def choose_examples(examples: Sequence[Example], queries: Mapping[str, Query], recipe: FitRecipe) -> list[Example]:
    """The examples to train on, in their order, drawn at random where there are too many.

    Lifted sentences and phrases are the weaker signal: more of them than `lifted_share` of the authors' own make the
    model worse (docs/log.md), but a few authors' own alone are too little. Raises DataError for an unknown query.
    """
    for example in examples:
        if example.query not in queries:
            raise DataError(f"an example names the query {example.query!r}, which the data do not have; mine again")
    draw = random.Random(recipe.seed)
    lifted = [place for place, example in enumerate(examples) if queries[example.query].kind in LIFTED]
    written = len(examples) - len(lifted)
    enough = min(ENOUGH, recipe.max_examples or ENOUGH)
    room = max(round(recipe.lifted_share * written), enough - written)
    left_out = set(draw.sample(lifted, len(lifted) - room)) if len(lifted) > room else set()
    kept = [example for place, example in enumerate(examples) if place not in left_out]
    if recipe.max_examples is None or len(kept) <= recipe.max_examples:
        return kept
    return [kept[place] for place in sorted(draw.sample(range(len(kept)), recipe.max_examples))]
