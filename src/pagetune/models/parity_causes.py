"""Why a model answers otherwise than it was trained to: what is otherwise is put right one by one until it does.

A difference that is there and does not matter is so not blamed, and two faults at once are both named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pagetune.errors import ParityError
from pagetune.models.adapters import has_adapters
from pagetune.models.answers import Difference, Encoded, Tolerance, difference, encode
from pagetune.models.parity import LEARNT, LOST, Remembered, StepReport, Stored, Way
from pagetune.models.scoring import truncate

WHERE = {
    "merged": "the model with its adapters merged",
    "saved": "the saved model, reloaded,",
    "plain": "the saved model, loaded by Sentence Transformers alone,",
    "index": "the index",
}
UNKNOWN = Difference(float("inf"), float("inf"), float("inf"))
UNMERGED = "unmerged adapter"


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that is otherwise: `name` for programs, `text` and `fix` for readers."""

    name: str
    text: str
    fix: str
    repair: Callable[[], Any] = lambda: None


def explain_merge(known: Remembered, found: Encoded, step: StepReport, half: bool) -> ParityError | None:
    """What merging the adapters spoilt; None where nothing."""
    assert known.base is not None, "only adapters are merged"
    trained, base, merged = (each.scores() for each in (known.encoded, known.base, found))
    learnt, lost = _rms(trained - base), _rms(trained - merged)
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
    named: list[Cause] = []
    before, now = _try_encode(way, loaded, known), apart or UNKNOWN
    for cause in _differences(way, loaded, model, known):
        if cause.name == UNMERGED and has_adapters(model):
            named.append(cause)  # Nothing merged is at hand to put it right with.
            now = Difference(0.0, 0.0, 0.0)
            break
        try:
            cause.repair()
        except (AttributeError, KeyError, RuntimeError, ValueError):
            continue
        after = _try_encode(way, loaded, known)
        # What moves the vectors was otherwise, wherever it moves them: another fault may still hide the gain.
        if before is None or after is None or not difference(before, after, known.spread).within(way.allowed):
            named.append(cause)
        before = after
        now = UNKNOWN if after is None else difference(known.encoded, after, known.spread)
        if now.within(way.allowed):
            break
    if not now.within(way.allowed):
        text = (
            "and something that has no name here" if named else "its prompts, pixels, modules and weights are the same"
        )
        fix = "look at its tokenizer and its configuration files beside the base model's"
        named.append(Cause("unknown", text, fix))
    return _error(way.name, named, apart or UNKNOWN, way.allowed)


def _try_encode(way: Way, loaded: Any, known: Remembered) -> Encoded | None:
    try:
        return encode(loaded, known.pairs, way.batch)
    except Exception:  # Modules that do not fit together.
        return None


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
    from pagetune.models.parity_parts import other_modules, other_pictures, other_weights

    if (shorter := getattr(loaded, "truncate_dim", None)) != way.dimension:
        yield Cause(
            "wrong truncation",
            f"it truncates to {shorter or 'nothing'} instead of {way.dimension or 'nothing'}",
            "set model.truncate_dim before saving (recipe key fit.truncate_dim)",
            partial(setattr, loaded, "truncate_dim", way.dimension),
        )
    for part in (other_modules(model, loaded), other_pictures(model, loaded)):
        yield from (Cause(*each) for each in part)
    for role in ("query", "document"):
        wanted, has = _prompt(known.prompts, None, role), _prompt(loaded.prompts, loaded.default_prompt_name, role)
        if wanted != has:
            yield Cause(
                f"{role} prompt",
                f"its {'queries' if role == 'query' else 'pages'} get the {role} prompt {has!r} instead of {wanted!r}",
                f"set model.prompts[{role!r}] before saving (recipe key model.{role}_prompt)",
                partial(loaded.prompts.update, {role: wanted}),
            )
    unmerged = None
    if known.base is not None and (leftovers := adapter_tensors(way.folder)):
        unmerged = f"{len(leftovers)} adapter tensors lie in the folder unmerged, such as {leftovers[0]}"
    elif known.base is not None and _answers_as_base(way, loaded, known):
        unmerged = "it answers as the base model does: its weights were saved without what the adapter learnt"
    if unmerged:
        fix = "merge before saving (models.adapters.merge_adapters)"
        yield Cause(UNMERGED, unmerged, fix, partial(_take_all_weights, model, loaded))
    yield from (Cause(*each) for each in other_weights(model, loaded))


def _take_all_weights(model: Any, loaded: Any) -> None:
    from pagetune.models.parity_parts import other_weights

    for *_, repair in other_weights(model, loaded):
        repair()


def adapter_tensors(folder: Path) -> list[str]:
    """Names of adapters' tensors, or of weights that still wait for one, in a saved model's own files."""
    from safetensors import safe_open

    found: list[str] = []
    for file in sorted(folder.rglob("*.safetensors")):
        if file.parent.name == "adapter":
            continue  # The copy that was asked for.
        with safe_open(file, "pt") as tensors:
            found += [name for name in tensors.keys() if "lora_" in name or ".base_layer." in name]  # noqa: SIM118
    return found


def _answers_as_base(way: Way, loaded: Any, known: Remembered) -> bool:
    assert known.base is not None
    found = _try_encode(way, loaded, known)
    return found is not None and _nearer(found, known.base, known.encoded)


def _nearer(found: Encoded, base: Encoded, trained: Encoded) -> bool:
    """Whether vectors are those of the base model rather than the trained one's."""
    to_base, to_trained = difference(base, found, 1.0), difference(trained, found, 1.0)
    return max(to_base.queries, to_base.pages) < 0.1 * max(to_trained.queries, to_trained.pages)


def _prompt(prompts: dict[str, Any], default: str | None, role: str) -> str:
    return prompts.get(role) or (prompts.get(default) if default and role not in prompts else None) or ""


def _close(one: Any, other: Any, share: float = 1e-3) -> bool:
    return one.shape == other.shape and float(np.abs(one - other).max()) <= share


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


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
