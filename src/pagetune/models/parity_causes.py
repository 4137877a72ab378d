"""Why a model answers otherwise than it was trained to: what is otherwise is put right one by one until it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from pagetune.errors import ParityError
from pagetune.models.answers import (
    LEARNT,
    LOST,
    Difference,
    Encoded,
    Remembered,
    StepReport,
    Stored,
    Tolerance,
    Way,
    difference,
    encode,
    root_mean_square,
)
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
from pagetune.models.scoring import truncate

WHERE = {
    "merged": "the model with its adapters merged",
    "saved": "the saved model, reloaded,",
    "plain": "the saved model, loaded by Sentence Transformers alone,",
    "index": "the index",
}
UNKNOWN = Difference(float("inf"), float("inf"), float("inf"))


def explain_merge(known: Remembered, found: Encoded, step: StepReport, half: bool) -> ParityError | None:
    """What merging the adapters spoilt; None where nothing."""
    assert known.base is not None, "only adapters are merged"
    trained, base, merged = (each.scores() for each in (known.encoded, known.base, found))
    learnt, lost = root_mean_square(trained - base), root_mean_square(trained - merged)
    changed = difference(known.encoded, known.base, known.spread).scores > LEARNT
    if not step.difference.within(step.allowed) and _nearer(found, known.base, known.encoded):
        cause = Cause(
            UNMERGED,
            "it answers as the base model did: the adapter was taken off, not merged into the weights",
            "merge it before it is taken off (models.adapters.merge_adapters)",
        )
    elif half and (lost > LOST * learnt if changed else not step.difference.within(step.allowed)):
        cause = Cause(
            "merge precision",
            f"rounding to half precision loses {lost / max(learnt, 1e-12):.0%} of what the adapter changed",
            "train and save in full precision: model.dtype=float32",
        )
    elif not step.difference.within(step.allowed):
        cause = Cause(
            "merge", "the merged weights are not the base's plus the adapter's", "train without LoRA, and tell us"
        )
    else:
        return None
    return _error("merged", [cause], step.difference, step.allowed)


def cannot_load(way: Way, error: Exception) -> ParityError:
    """The folder does not even load."""
    line = " ".join(str(error).split())[:200]
    cause = Cause("loading", f"it cannot be loaded: {line}", "save it with the versions that load it")
    return _error(way.name, [cause], UNKNOWN, way.allowed)


def explain_folder(way: Way, loaded: Any, model: Any, known: Remembered, apart: Difference | None) -> ParityError:
    """What the reloaded model has otherwise than the one in memory; `loaded` is put right on the way."""

    def alike(one: Encoded, other: Encoded) -> bool:
        return difference(one, other, known.spread).within(way.allowed)

    named = find_causes(
        _differences(way, loaded, model, known),
        model,
        partial(encode, loaded, known.pairs, way.batch),
        alike,
        partial(alike, known.encoded),
    )
    return _error(way.name, named, apart or UNKNOWN, way.allowed)


def explain_index(pages: Any, stored: Stored, width: int, step: StepReport) -> ParityError:
    """What the index did to the vectors, or to the scores."""
    given, kept = pages.vectors, stored.vectors.vectors
    found_width = kept.shape[1] if kept.ndim == 2 else 0
    wanted = truncate(given, width)
    fix = "build the index by `pagetune index`"
    if len(kept) != len(given) or not np.array_equal(stored.vectors.owner, pages.owner):
        cause = Cause("index rows", f"it holds {len(kept)} vectors, not {len(given)}, or under other pages", fix)
    elif found_width != width:
        text = f"its vectors have {found_width} dimensions, not {width}"
        cause = Cause("wrong truncation", text, f"set index.dimension={width} and {fix}")
    elif _close(truncate(kept, None), wanted) and not _close(kept, wanted):
        shortest = float(np.linalg.norm(kept, axis=1).min())
        text = f"its vectors are truncated, but not brought to length 1 again (the shortest is {shortest:.2f} long)"
        cause = Cause("un-normalised vectors", text, "normalise after truncating (models.scoring.truncate)")
    elif _close(kept, wanted):
        cause = Cause("index scores", "the vectors are right, the scores are not their cosines", "search it by cosine")
    elif _close(kept, truncate(given[:, -width:], None)):
        text = f"its vectors hold other numbers than the first {width}"
        cause = Cause("wrong truncation", text, "keep the first numbers (models.scoring.truncate)")
    elif any(_close(row, other) for row in kept[:1] for other in wanted[1:]):
        cause = Cause("index rows", "pages' vectors stand under other pages", fix)
    elif _close(kept, wanted, 0.05):
        cause = Cause("other precision", "its vectors are rounded to fewer bits", "store them as float32")
    else:
        cause = Cause("unknown", "its vectors are not the model's", fix)
    return _error("index", [cause], step.difference, step.allowed)


def _differences(way: Way, loaded: Any, model: Any, known: Remembered) -> Iterator[Cause]:
    """What is otherwise: what changes the vectors' shape first, the weights last."""
    if (shorter := getattr(loaded, "truncate_dim", None)) != way.dimension:
        yield Cause(
            "wrong truncation",
            f"it truncates to {shorter or 'nothing'} instead of {way.dimension or 'nothing'}",
            "set model.truncate_dim before saving (recipe key fit.truncate_dim)",
            partial(setattr, loaded, "truncate_dim", way.dimension),
        )
    yield from other_modules(model, loaded)
    yield from other_pictures(model, loaded)
    for role in ("query", "document"):
        wanted, has = _prompt(known.prompts, None, role), _prompt(loaded.prompts, loaded.default_prompt_name, role)
        if wanted != has:
            yield Cause(
                f"{role} prompt",
                f"its {'queries' if role == 'query' else 'pages'} get the {role} prompt {has!r} instead of {wanted!r}",
                f"set model.prompts[{role!r}] before saving (recipe key model.{role}_prompt)",
                partial(loaded.prompts.update, {role: wanted}),
            )
    if known.base is not None:
        yield from other_adapters(way.folder, loaded, model, partial(_answers_as_base, way, loaded, known))
    yield from other_weights(model, loaded)


def _answers_as_base(way: Way, loaded: Any, known: Remembered) -> bool:
    assert known.base is not None
    found = attempt(partial(encode, loaded, known.pairs, way.batch))
    return found is not None and _nearer(found, known.base, known.encoded)


def _nearer(found: Encoded, base: Encoded, trained: Encoded) -> bool:
    """Whether vectors are those of the base model rather than the trained one's."""
    to_base, to_trained = difference(base, found, 1.0), difference(trained, found, 1.0)
    return max(to_base.queries, to_base.pages) < 0.1 * max(to_trained.queries, to_trained.pages)


def _prompt(prompts: dict[str, Any], default: str | None, role: str) -> str:
    return prompts.get(role) or (prompts.get(default) if default and role not in prompts else None) or ""


def _close(one: Any, other: Any, share: float = 1e-3) -> bool:
    return one.shape == other.shape and float(np.abs(one - other).max()) <= share


def _error(step: str, causes: list[Cause], apart: Difference, allowed: Tolerance) -> ParityError:
    parts = {"queries": apart.queries, "pages": apart.pages}
    worst = max(parts, key=lambda part: parts[part])
    size = f"vectors of {worst} are of another shape"
    if np.isfinite(parts[worst]):
        size = (
            f"vectors of {worst} differ by up to {parts[worst]:.2g} of their length ({allowed.vectors:g} allowed), "
            f"scores by {apart.scores:.2g} of their spread ({allowed.scores:g})"
        )
    text = "; ".join(f"{cause.name}: {cause.text}" for cause in causes)
    message = f"parity, step {step}: {WHERE[step]} does not answer as the trained one: {text}; {size}; {causes[0].fix}"
    return ParityError(message, step, tuple(cause.name for cause in causes), asdict(apart))
