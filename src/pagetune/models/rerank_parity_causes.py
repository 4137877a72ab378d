"""Why a reranker scores otherwise than it was trained to: what is otherwise is put right one by one until it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from pagetune.errors import ParityError
from pagetune.models.answers import LEARNT, LOST, root_mean_square
from pagetune.models.inspect import task_prompt
from pagetune.models.parity_parts import (
    UNMERGED,
    Cause,
    attempt,
    find_causes,
    other_adapters,
    other_modules,
    other_pictures,
    other_weights,
)
from pagetune.models.rerank_answers import RememberedScores, RerankStep, Scores, Way, pair_scores
from pagetune.models.reranker_specs import DIRECTIONS

WHERE = {
    "merged": "the reranker with its adapters merged",
    "batched": "a pair in a batch",
    "padded left": "a pair with its padding on the left",
    "padded right": "a pair with its padding on the right",
    "saved": "the saved reranker, reloaded,",
    "plain": "the saved reranker, loaded by Sentence Transformers alone,",
}
SAVE_AGAIN = "save it again from memory (models.saving.save_reranker)"


def explain_merge(known: RememberedScores, found: Scores, step: RerankStep, half: bool) -> ParityError | None:
    """What merging the adapters spoilt; None where nothing."""
    assert known.base is not None, "only adapters are merged"
    learnt, lost = root_mean_square(known.scores - known.base), root_mean_square(known.scores - found)
    changed = known.apart(known.base) > LEARNT
    fits = step.difference <= step.allowed
    if not fits and root_mean_square(found - known.base) < 0.1 * lost:
        cause = Cause(
            UNMERGED,
            "it scores as the base model did: the adapter was taken off, not merged into the weights",
            "merge it before it is taken off (models.adapters.merge_adapters)",
        )
    elif half and (lost > LOST * learnt if changed else not fits):
        cause = Cause(
            "merge precision",
            f"rounding to half precision loses {lost / max(learnt, 1e-12):.0%} of what the adapter changed",
            "train and save in full precision: rerank.dtype=float32",
        )
    elif not fits:
        cause = Cause("merge", "the merged weights are not the base's plus the adapter's", "train without LoRA")
    else:
        return None
    return _error(step, [cause])


def explain_batch(model: Any, known: RememberedScores, step: RerankStep) -> ParityError:
    """What the padding does to a pair."""
    mask = model.preprocess([known.pairs[0]]).get("attention_mask")
    if mask is None:
        cause = Cause(
            "attention mask",
            "its processor gives no attention mask, so that padding is read as input",
            "score pairs one by one, or give the processor one (return_attention_mask)",
        )
    elif not np.isfinite(step.difference):
        cause = Cause("not finite", "scores are not finite", "load it with rerank.dtype=float32")
    else:
        cause = Cause(
            "padding",
            "what stands beside a pair changes its score: the model does not tell padding from input",
            "try rerank.attention=eager, and the versions of transformers that the checkpoint was made with",
        )
    return _error(step, [cause])


def cannot_load(name: str, error: Exception, allowed: float) -> ParityError:
    """The folder does not even load."""
    line = " ".join(str(error).split())[:240]
    cause = Cause("loading", f"it cannot be loaded: {line}", SAVE_AGAIN)
    return _error(RerankStep(name, float("inf"), allowed), [cause])


def explain_folder(way: Way, loaded: Any, model: Any, known: RememberedScores, step: RerankStep) -> ParityError:
    """What the reloaded reranker has otherwise than the one in memory; `loaded` is put right on the way."""
    named = find_causes(
        _differences(way, loaded, model, known),
        model,
        partial(pair_scores, loaded, known.pairs, 1),
        lambda before, after: known.apart(after, before) <= step.allowed,
        lambda found: known.apart(found) <= step.allowed,
    )
    return _error(step, named)


def _differences(way: Way, loaded: Any, model: Any, known: RememberedScores) -> Iterator[Cause]:
    """What is otherwise: modules and input first, the weights last."""
    for cause in chain(other_modules(model, loaded), other_pictures(model, loaded)):
        yield replace(cause, fix=SAVE_AGAIN)
    for direction in DIRECTIONS:
        wanted, has = known.prompts[direction] or "", task_prompt(loaded, direction) or ""
        if wanted != has:
            yield Cause(
                f"{direction} prompt",
                f"it is told {has!r} instead of {wanted!r}",
                f"set model.prompts[{direction!r}] before saving (recipe key rerank.prompts)",
                partial(loaded.prompts.update, {direction: wanted}),
            )
    if known.base is not None:
        yield from other_adapters(way.folder, loaded, model, partial(_scores_as_base, loaded, known))
    yield from other_weights(model, loaded)


def _scores_as_base(loaded: Any, known: RememberedScores) -> bool:
    assert known.base is not None
    found = attempt(partial(pair_scores, loaded, known.pairs, 1))
    return found is not None and root_mean_square(found - known.base) < 0.1 * root_mean_square(found - known.scores)


def _error(step: RerankStep, causes: list[Cause]) -> ParityError:
    size = "scores cannot be compared"
    if np.isfinite(step.difference):
        size = f"scores differ by up to {step.difference:.2g} of their spread ({step.allowed:g} allowed)"
    text = "; ".join(f"{cause.name}: {cause.text}" for cause in causes)
    message = (
        f"parity, step {step.name}: {WHERE[step.name]} does not score as the trained one: {text}; {size}; "
        f"{causes[0].fix}"
    )
    figures = {"scores": step.difference, "allowed": step.allowed}
    return ParityError(message, step.name, tuple(cause.name for cause in causes), figures)
