"""The parity gate for rerankers: a pair scores the same alone and in a batch, on either side of the padding, merged
and saved.

The same pairs of a query and a document go through the model one by one, in a batch, padded on the left and on the
right, with its adapters merged, and through the saved folder as Pagetune and as plain Sentence Transformers load it
(the latter not where a module is Pagetune's own, as the head of `light` is). Log-odds are compared, as a share of their
spread; `rerank_parity_causes` then finds by name what is otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError
from pagetune.models.adapters import adapters_off, has_adapters
from pagetune.models.answers import is_half
from pagetune.models.inspect import architecture_of, task_prompt
from pagetune.models.loading import load_plain, parked
from pagetune.models.own_modules import names_own, read_json
from pagetune.models.rerank_answers import (
    EXACT,
    HALF,
    HALF_BATCHED,
    HALF_MERGED,
    RememberedScores,
    RerankPair,
    RerankStep,
    Scores,
    Way,
    direction_of,
    pair_scores,
)
from pagetune.models.rerank_parity_causes import cannot_load, explain_batch, explain_folder, explain_merge
from pagetune.models.reranker import load_reranker
from pagetune.models.reranker_specs import DIRECTIONS
from pagetune.recipe import RerankDirection, RerankRecipe

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

PAIRS = 16
"""Pairs that are compared, at most."""


@dataclass(frozen=True, slots=True)
class RerankParityReport:
    """What was compared and how far it differs; `spread` is of the log-odds, `adapter` what the adapters changed."""

    pairs: int
    directions: tuple[RerankDirection, ...]
    precision: str
    spread: float
    adapter: float | None
    steps: tuple[RerankStep, ...]

    def summary(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self) | {"steps": {step.name: asdict(step) for step in self.steps}}


def remember_scores(model: CrossEncoder, pairs: Sequence[RerankPair]) -> RememberedScores:
    """How the reranker scores now: call it when training has ended, before anything is merged or saved.

    The first `PAIRS` pairs are taken. Raises ModelError where there are fewer than two.
    """
    chosen = tuple(pairs[:PAIRS])
    if len(chosen) < 2:
        raise ModelError(f"parity needs at least 2 pairs of a query and a page, got {len(chosen)}; give more")
    scores = pair_scores(model, chosen, 1)
    base = None
    if has_adapters(model):
        with adapters_off(model):
            base = pair_scores(model, chosen, 1)
    return RememberedScores(chosen, scores, base, {each: task_prompt(model, each) for each in DIRECTIONS})


def check_rerank_parity(
    model: CrossEncoder,
    pairs: Sequence[RerankPair],
    folder: Path | None = None,
    *,
    recipe: RerankRecipe,
    trained: RememberedScores | None = None,
) -> RerankParityReport:
    """Compare the reranker in memory with itself in batches, and with the one saved in `folder` (None: none yet).

    `trained`: how it scored before its adapters were merged; without it, the model as it is now. The model is left as
    it was. Raises ParityError at the first step that differs, with its name, the cause, the difference and the fix.
    """
    known = trained or remember_scores(model, pairs)
    adapter = None if known.base is None else known.apart(known.base)
    steps: list[RerankStep] = []
    half = is_half(model)
    if known.base is not None and not has_adapters(model):
        step, merged = _check_merged(model, known)
        steps.append(step)
        known = replace(known, scores=merged)
    steps += _check_batches(model, known, HALF_BATCHED if half else EXACT)
    if folder is not None:
        beside = known.base is not None and has_adapters(model)
        allowed = (HALF_MERGED if beside else HALF) if half else EXACT
        with parked(model):
            steps += [_check_folder(way, model, known, allowed) for way in _ways(folder, recipe)]
    directions = tuple(each for each in DIRECTIONS if any(direction_of(pair) == each for pair in known.pairs))
    precision = str(model.dtype).removeprefix("torch.")
    return RerankParityReport(len(known.pairs), directions, precision, known.spread, adapter, tuple(steps))


def _ways(folder: Path, recipe: RerankRecipe) -> tuple[Way, ...]:
    from sentence_transformers import CrossEncoder

    saved = Way("saved", partial(load_reranker, recipe, folder), folder)
    if names_own(read_json(folder / "modules.json")):
        return (saved,)  # Sentence Transformers alone does not know all of its modules.
    return saved, Way("plain", partial(load_plain, CrossEncoder, folder, trust=recipe.trust_remote_code), folder)


def _check_merged(model: CrossEncoder, known: RememberedScores) -> tuple[RerankStep, Scores]:
    found = pair_scores(model, known.pairs, 1)
    step = RerankStep("merged", known.apart(found), HALF_MERGED if is_half(model) else EXACT)
    fault = explain_merge(known, found, step, is_half(model))
    if fault is not None:
        raise fault
    return step, found


def _check_batches(model: CrossEncoder, known: RememberedScores, allowed: float) -> list[RerankStep]:
    """Alone against in a batch; with a chat template, whose end is what is read, also left against right."""
    steps = []
    sides = (None,) if architecture_of(model) == "text" else (None, "left", "right")
    for side in sides:
        found = pair_scores(model, known.pairs, side=side)
        step = RerankStep(f"padded {side}" if side else "batched", known.apart(found), allowed)
        if step.difference > allowed:
            raise explain_batch(model, known, step)
        steps.append(step)
    return steps


def _check_folder(way: Way, model: CrossEncoder, known: RememberedScores, allowed: float) -> RerankStep:
    try:
        loaded = way.load()
    except Exception as error:
        raise cannot_load(way.name, error, allowed) from error
    try:
        apart = known.apart(pair_scores(loaded, known.pairs, 1))
    except Exception:  # Modules that do not fit together: the causes say which.
        apart = float("inf")
    step = RerankStep(way.name, apart, allowed)
    if apart > allowed:
        raise explain_folder(way, loaded, model, known, step)
    return step
