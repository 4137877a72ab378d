"""The parity gate for rerankers: a pair scores the same alone and in a batch, on either side of the padding, merged
and saved.

The same pairs of a query and a document go through the model one by one, in a batch, padded on the left and on the
right, with its adapters merged, and through the saved folder as Pagetune and as plain Sentence Transformers load it
(the latter not where a module is Pagetune's own, as the head of `light` is). Log-odds are compared, as a share of their
spread; `rerank_parity_causes` then finds by name what is otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pagetune.errors import ModelError
from pagetune.models.adapters import adapters_off, has_adapters
from pagetune.models.answers import FLOOR
from pagetune.models.inspect import DIRECTIONS, architecture_of, task_prompt
from pagetune.models.own_modules import names_own, read_json
from pagetune.models.parity import is_half, parked
from pagetune.models.quiet import quiet
from pagetune.models.rerank_answers import RerankPair, Scores, direction_of, pair_scores
from pagetune.models.reranker import load_reranker
from pagetune.recipe import RerankDirection, RerankRecipe

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

PAIRS = 16
"""Pairs that are compared, at most."""

EXACT = 0.01
"""Share of the scores' spread that may differ in float32."""

HALF = 0.1
"""The same in bfloat16 or float16: on the same machine nothing differs, but another attention kernel adds in another
order."""

HALF_BATCHED = 0.25
"""In a batch of another shape every sum may round otherwise: 0.03 was measured behind 4 layers in bfloat16. A model
that looks at its padding is off by about the spread."""

HALF_MERGED = 0.5
"""Adapters merged into weights of half precision round each of them anew: in bfloat16 0.07 was measured behind 2
layers, 0.15 behind 8, 0.17 behind 24, whatever the adapter's size. `LOST` judges what survives."""

LEARNT = 0.2
"""An adapter that moves no score by more than this share of the spread has learnt nothing that could be lost."""

LOST = 0.5
"""Share of the change that the adapter makes to the scores (root mean square) above which merging has lost it. Rounding
takes 0.34 of one that moves scores by 0.4 of their spread, 0.1 of one that moves them by all of it."""


@dataclass(frozen=True, slots=True, eq=False)
class RememberedScores:
    """How a reranker scores as it was trained. `base`: without its adapters; None where it has none."""

    pairs: tuple[RerankPair, ...]
    scores: Scores
    base: Scores | None
    prompts: dict[RerankDirection, str | None]

    @property
    def spread(self) -> float:
        """Standard deviation of the scores: what a difference has to be small beside."""
        return float(max(np.std(self.scores), FLOOR * np.abs(self.scores).mean(), 1e-12))

    def apart(self, found: Scores) -> float:
        """The largest difference to other scores, as a share of the spread; infinite where they are no numbers."""
        worst = float(np.abs(self.scores - found).max() / self.spread)
        return worst if np.isfinite(worst) else float("inf")


@dataclass(frozen=True, slots=True)
class RerankStep:
    """One comparison that held: the largest difference of two scores, and what is allowed, as shares of the spread."""

    name: str
    difference: float
    allowed: float


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


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One way to load the saved folder."""

    name: str
    load: Callable[[], CrossEncoder]
    folder: Path


def _ways(folder: Path, recipe: RerankRecipe) -> tuple[Way, ...]:
    trust = recipe.trust_remote_code
    saved = Way("saved", lambda: load_reranker(recipe, folder), folder)
    if names_own(read_json(folder / "modules.json")):
        return (saved,)  # Sentence Transformers alone does not know all of its modules.
    return saved, Way("plain", lambda: _load_plain(folder, trust), folder)


def _load_plain(folder: Path, trust: bool) -> CrossEncoder:
    """The reranker in a folder as somebody without Pagetune loads it, but that patches are multiplied: a convolution
    rounds otherwise in half precision."""
    from sentence_transformers import CrossEncoder

    from pagetune.models.patches import multiply_patches

    with quiet():
        model = CrossEncoder(str(folder), local_files_only=True, trust_remote_code=trust)
    multiply_patches(model)
    return model


def _check_merged(model: CrossEncoder, known: RememberedScores) -> tuple[RerankStep, Scores]:
    from pagetune.models.rerank_parity_causes import explain_merge

    found = pair_scores(model, known.pairs, 1)
    step = RerankStep("merged", known.apart(found), HALF_MERGED if is_half(model) else EXACT)
    fault = explain_merge(known, found, step, is_half(model))
    if fault is not None:
        raise fault
    return step, found


def _check_batches(model: CrossEncoder, known: RememberedScores, allowed: float) -> list[RerankStep]:
    """Alone against in a batch; with a chat template, whose end is what is read, also left against right."""
    from pagetune.models.rerank_parity_causes import explain_batch

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
    from pagetune.models.rerank_parity_causes import cannot_load, explain_folder

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
