"""The parity gate: a model is finished when, merged, saved, reloaded and indexed, it scores pages as it was trained to.

The same pairs of a query and a page go through the model in memory with its adapters beside the weights (`remember`),
with them merged, through the folder as Pagetune loads it, through the folder as plain Sentence Transformers loads it,
and through the index. Query vectors, page vectors and the scores of every query with every page are compared
separately; `parity_causes` then finds by name what is otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pagetune.errors import ModelError
from pagetune.models.adapters import adapters_off, has_adapters
from pagetune.models.answers import (
    EXACT,
    HALF,
    HALF_MERGED,
    Difference,
    Encoded,
    Pair,
    Remembered,
    StepReport,
    Stored,
    Tolerance,
    Way,
    difference,
    encode,
    farthest,
    is_half,
    score_difference,
    spread_of,
    to_length_1,
    to_matrix,
)
from pagetune.models.encoding import PageVectors
from pagetune.models.inspect import is_late
from pagetune.models.loading import load_model, load_plain, parked
from pagetune.models.parity_causes import cannot_load, explain_folder, explain_index, explain_merge
from pagetune.models.scoring import Matrix, score_pages, truncate
from pagetune.recipe import ModelRecipe

PAIRS = 32
"""Pairs that are compared, at most."""


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What was compared and how far it differs; `spread` is of the scores, `adapter` what the adapters changed."""

    pairs: int
    precision: str
    dimension: int | None
    index_dimension: int | None
    spread: float
    adapter: Difference | None
    steps: tuple[StepReport, ...]

    def summary(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self) | {"steps": {step.name: asdict(step) for step in self.steps}}


Store = Callable[[PageVectors, Sequence[Matrix]], Stored]
"""The way through an index: pages' vectors and queries' -> what came out (`search.stored.through_index`)."""


def remember(model: Any, pairs: Sequence[Pair], batch_size: int = 8) -> Remembered:
    """How the model answers now: call it when training has ended, before anything is merged or saved.

    The first `PAIRS` pairs are taken. Raises ModelError where there are fewer than two.
    """
    chosen = tuple(pairs[:PAIRS])
    if len(chosen) < 2:
        raise ModelError(
            f"parity needs at least 2 pairs of a query and a page, got {len(chosen)}; or set fit.parity=false"
        )
    encoded = encode(model, chosen, batch_size, whole=True)
    base = None
    if has_adapters(model):
        with adapters_off(model):
            base = encode(model, chosen, batch_size, whole=True)
    return Remembered(chosen, encoded, base, dict(model.prompts), spread_of(encoded.scores()))


def check_parity(
    model: Any,
    pairs: Sequence[Pair],
    folder: Path,
    *,
    recipe: ModelRecipe,
    dimension: int | None = None,
    trained: Remembered | None = None,
    store: Store | None = None,
    index_dimension: int | None = None,
) -> ParityReport:
    """Compare the model in memory with the one saved in `folder`, step by step.

    `trained`: how the model answered before its adapters were merged; without it, the model as it is now. `recipe`: as
    the folder will be loaded. `dimension`: what the saved model truncates to (None: nothing). `store` leads through an
    index at `index_dimension`. The model is left as it was. Raises ParityError at the first step that differs, with
    its name, the cause, the largest difference and the fix.
    """
    batch, half = recipe.encode_batch or 8, is_half(model)
    known = trained or remember(model, pairs, batch)
    allowed = HALF if half else EXACT
    steps: list[StepReport] = []
    adapter = None if known.base is None else difference(known.encoded, known.base, known.spread)
    if known.base is not None and has_adapters(model):
        allowed = HALF_MERGED if half else EXACT
    elif known.base is not None:
        step, merged = _check_merged(model, known, batch, HALF_MERGED if half else EXACT)
        steps.append(step)
        known = replace(known, encoded=merged)
    known = known.truncated(dimension)
    vectors = known.encoded
    with parked(model):
        for name, load in _ways(folder, recipe, model):
            step, found = _check_folder(Way(name, load, folder, dimension, allowed, batch), model, known)
            steps.append(step)
            vectors = found if name == "saved" else vectors
    # An index keeps the tokens of late interaction at their width.
    asked = vectors.width if is_late(model) else index_dimension or vectors.width
    width = min(asked, vectors.width) if store is not None else None
    if store is not None and width is not None:
        steps.append(_check_index(store, _at_rest(vectors, recipe, model), width, known.spread))
    return ParityReport(
        len(known.pairs),
        str(model.dtype).removeprefix("torch."),
        dimension,
        width,
        known.spread,
        adapter,
        tuple(steps),
    )


def _check_merged(model: Any, known: Remembered, batch: int, allowed: Tolerance) -> tuple[StepReport, Encoded]:
    found = encode(model, known.pairs, batch, whole=True)
    step = StepReport("merged", difference(known.encoded, found, known.spread), allowed)
    fault = explain_merge(known, found, step, is_half(model))
    if fault is not None:
        raise fault
    return step, found


def _check_folder(way: Way, model: Any, known: Remembered) -> tuple[StepReport, Encoded]:
    try:
        loaded = way.load()
    except Exception as error:
        raise cannot_load(way, error) from error
    try:
        found = encode(loaded, known.pairs, way.batch)
        apart = difference(known.encoded, found, known.spread)
    except Exception:  # Modules that do not fit together: the causes say which.
        raise explain_folder(way, loaded, model, known, None) from None
    if not apart.within(way.allowed):
        raise explain_folder(way, loaded, model, known, apart)
    return StepReport(way.name, apart, way.allowed), found


def _check_index(store: Store, vectors: Encoded, width: int, spread: float) -> StepReport:
    pages, queries = vectors.page_vectors(), [to_length_1([query]) for query in vectors.queries]
    wanted, stored = truncate(pages.vectors, width), store(pages, queries)
    scores = score_pages(queries, pages.vectors, pages.owner, width)
    in_vectors = farthest([wanted], [stored.vectors.vectors])
    in_scores = score_difference(scores, stored.scores, spread)
    step = StepReport("index", Difference(0.0, in_vectors, in_scores), EXACT)
    if not step.difference.within(EXACT) or not np.array_equal(stored.vectors.owner, pages.owner):
        raise explain_index(pages, stored, width, step)
    return step


def _ways(folder: Path, recipe: ModelRecipe, model: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The ways to load a folder: Pagetune's, and Sentence Transformers' own where it knows all the modules."""
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    from pagetune.models.page_reader import PageReader

    yield "saved", lambda: load_model(recipe, folder)
    if not isinstance(model[0], PageReader):
        kind = MultiVectorEncoder if is_late(model) else SentenceTransformer
        yield "plain", partial(load_plain, kind, folder, trust=recipe.trust_remote_code, device_map=recipe.device_map)


def _at_rest(vectors: Encoded, recipe: ModelRecipe, model: Any) -> Encoded:
    """A late-interaction page's vectors as the index keeps them: one of so many."""
    if not is_late(model) or recipe.token_pooling == 1:
        return vectors
    import torch
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    pages = [torch.from_numpy(page) for page in vectors.pages]
    pooled = HierarchicalTokenPooling(recipe.token_pooling).pool(pages, task="document")
    return Encoded(vectors.queries, tuple(to_matrix(page) for page in pooled))
