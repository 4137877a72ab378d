"""Ways to train on this machine: what each would take, counted from what was tried, and which one to choose."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pagetune.training.budget import Trial
from pagetune.training.memory import SHARE_OF_FREE
from pagetune.training.mini_batches import Budget, cut, padded

if TYPE_CHECKING:
    from pagetune.recipe import Recipe
    from pagetune.training.arguments import Plan
    from pagetune.training.trials import Costs, Machine, Weights

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Work:
    """What a fit has to do. `judged`: pages encoded in each of its `evaluations`."""

    steps: int
    batch_size: int
    columns: int
    """Of pages, in a row."""
    judged: int = 0
    evaluations: int = 0

    @classmethod
    def of(cls, planned: Plan, columns: int, judged: int) -> Work:
        """From the training plan: judged before, and then at every interval and at the end."""
        times = 1 + -(-planned.steps // planned.interval) if judged else 0
        return cls(planned.steps, planned.batch_size, columns, judged, times)


@dataclass(frozen=True, slots=True)
class Option:
    """A way to train: what it would take, and whether it fits."""

    pixels: int | None
    """The upper bound on a page; None where the model scales every page alike."""
    rank: int
    """Of the adapters; 0: every weight is trained."""
    fits: bool = False
    why_not: str = ""
    tokens_a_page: float = 0.0
    longest_page: int = 0
    mini_batch_tokens: int = 0
    mini_batch_pages: int = 0
    batch_size: int = 0
    graph_bytes: int = 0
    """That kept graphs may take."""
    graphs_kept: float = 0.0
    """The share of the mini-batches that go through the model once."""
    padding: float = 0.0
    pages_a_second: float = 0.0
    step_seconds: float = 0.0
    training_hours: float = 0.0
    evaluation_hours: float = 0.0
    held_up_by_pages: bool = False
    """Opening the pages takes longer than training on them."""
    bytes: int = 0
    """At its peak: weights, gradients, optimizer, kept graphs and one mini-batch."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """What the peak consists of."""
    measured_on: str = ""

    @property
    def hours(self) -> float:
        return self.training_hours + self.evaluation_hours

    @property
    def trains(self) -> str:
        """What is trained, in words."""
        return f"LoRA {self.rank}" if self.rank else "full"

    @property
    def size(self) -> str:
        """The pixels, in words."""
        return "the model's own size" if self.pixels is None else f"{self.pixels:,} pixels"

    def summary(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**asdict(self), "hours": self.hours, "trains": self.trains}


def forecast(
    pixels: int | None, rank: int, costs: Costs, weights: Weights, work: Work, machine: Machine, graphs: float | None
) -> Option:
    """What a fit would take. `graphs`: bytes of graphs that the recipe allows; None: what is left.

    A batch of the sampled lengths is cut as the engine cuts it, and each mini-batch costs what the tried ones did.
    """
    held = {
        "model" if machine.gpu else "process and model": weights.held,
        "gradients": weights.gradients,
        "optimizer": weights.optimizer,
    }
    room = machine.usable - sum(held.values())
    trial = next((one for one in reversed(costs.trials) if _passing(one) <= room), None)
    measured_on = (
        f"{len(costs.pages)} pages' lengths; mini-batches of {', '.join(str(one.items) for one in costs.trials)} "
        f"of the longest; 2 steps of {costs.rows} rows"
    )
    if trial is None:
        needs = sum(held.values()) + _passing(costs.trials[0])
        return Option(
            pixels,
            rank,
            why_not=f"one page at a time needs {told_bytes(needs)}",
            bytes=needs,
            longest_page=max(costs.pages),
            tokens_a_page=_mean(costs.pages),
            parts=held | {"mini-batch": _passing(costs.trials[0])},
            measured_on=measured_on,
        )
    slower = _pace(trial) / _pace(costs.trials[-1])
    allowed = _for_graphs(room, trial, machine)
    keep = allowed if graphs is None else min(int(graphs), allowed)
    lengths, kinds = _batch(costs, work)
    groups = cut(lengths, kinds, Budget(tokens=trial.tokens))
    tokens = sum(padded(lengths, group) for group in groups)
    wanted = tokens * trial.graph_bytes / trial.tokens
    share = min(1.0, keep / wanted) if wanted else 1.0
    pages = work.batch_size * work.columns
    computing = tokens * slower * (share * costs.kept_pace + (1 - share) * costs.twice_pace) + weights.update_seconds
    opening = pages * (2 - share) * costs.open_seconds / costs.workers
    seconds = max(computing, opening)
    forward = max(costs.twice_pace - costs.kept_pace, costs.kept_pace / 4) * _mean(costs.pages)
    judging = max(forward, costs.open_seconds / costs.workers)
    parts = held | {"kept graphs": int(share * wanted), "mini-batch": _passing(trial)}
    return Option(
        pixels=pixels,
        rank=rank,
        fits=True,
        tokens_a_page=_mean(costs.pages),
        longest_page=max(costs.pages),
        mini_batch_tokens=trial.tokens,
        mini_batch_pages=trial.items,
        batch_size=work.batch_size,
        graph_bytes=keep,
        graphs_kept=share,
        padding=1 - sum(lengths) / tokens,
        pages_a_second=pages / seconds,
        step_seconds=seconds,
        training_hours=work.steps * seconds / 3600,
        evaluation_hours=work.evaluations * work.judged * judging / 3600,
        held_up_by_pages=opening > computing,
        bytes=sum(parts.values()),
        parts=parts,
        measured_on=measured_on,
    )


def one_page(costs: Costs) -> int:
    """Bytes that the longest page takes while it is computed."""
    return _passing(costs.trials[0])


def choose(options: Sequence[Option], recipe: Recipe, own: int | None, hours: float | None = None) -> Option | None:
    """The most pixels up to the model's `own` bound that fit in memory and, where given, in `hours`; of two ways to
    train on them, the recipe's. None: nothing fits."""
    good = [
        option
        for option in options
        if option.fits and (hours is None or option.hours <= hours) and (not own or (option.pixels or 0) <= own)
    ]
    return max(good, key=lambda option: (option.pixels or 0, bool(option.rank) == bool(recipe.lora.rank)), default=None)


def explain(
    chosen: Option | None,
    options: Sequence[Option],
    recipe: Recipe,
    own: int | None,
    machine: Machine,
    hours: float | None = None,
    *,
    free: bool = False,
) -> str:
    """The advice in one sentence, with its reason. `free`: the recipe asks for what fits, `own` being the most."""
    within = f" in {told_hours(hours)}" if hours is not None else ""
    if chosen is None:
        if hours is not None and any(option.fits for option in options):
            quickest = min((option for option in options if option.fits), key=lambda option: option.hours)
            return (
                f"Nothing is done{within}: the quickest, {_way(quickest)}, takes "
                f"{told_hours(quickest.hours)}; allow more, or train on fewer rows or epochs."
            )
        least = min((option.bytes for option in options if option.bytes), default=0)
        needs = f": the least needs {told_bytes(least)}" if least else ""
        return (
            f"Nothing fits into {told_bytes(machine.usable)} of {machine.name}{needs}; choose a smaller model, "
            "model.dtype=bfloat16, or lora.quantise=4bit."
        )
    takes = f"{told_bytes(chosen.bytes)} of {told_bytes(machine.usable)} and {told_hours(chosen.hours)}"
    how = f"{_way(chosen)}, mini-batches of {chosen.mini_batch_tokens:,} tokens: {takes}"
    asked = next((one for one in options if one.pixels == own and bool(one.rank) == bool(recipe.lora.rank)), None)
    if asked is chosen:
        why = "the most that the model takes" if free else "what the recipe asks for"
        return f"Train {how}; it is {why}, and it fits{within}."
    if asked is None:
        return f"Train {how}; these are the most pixels that were tried and fit{within}."
    wanted = _way(asked) if free else f"{_way(asked)}, as the recipe asks,"
    if not asked.fits:
        why = f"{wanted} does not fit: {asked.why_not}"
    else:
        why = f"{wanted} would take {told_hours(asked.hours)}"
    return f"Train {how}; these are the most pixels that fit{within} ({why})."


def _way(option: Option) -> str:
    return f"{'adapters of rank ' + str(option.rank) if option.rank else 'all weights'} on {option.size}"


def overrides(chosen: Option, recipe: Recipe, free: Sequence[str] = ()) -> dict[str, Any]:
    """The keys of the recipe to set, and what to; `free`: those that are set whatever the recipe has."""
    fit: dict[str, Any] = {
        "fit.mini_batch_tokens": chosen.mini_batch_tokens,
        # Down, to what is surely there.
        "fit.graph_memory": int(100 * chosen.graph_bytes / GIB) / 100,
    }
    if "model.max_pixels" in free or (chosen.pixels is not None and chosen.pixels != recipe.model.max_pixels):
        fit["model.max_pixels"] = chosen.pixels
    if "lora.rank" in free or chosen.rank != recipe.lora.rank:
        fit["lora.rank"] = chosen.rank
        if not chosen.rank and recipe.lora.quantise != "none":
            fit["lora.quantise"] = "none"
    return fit


def told_bytes(count: float) -> str:
    """As a person reads it."""
    return f"{count / GIB:,.1f} GiB" if count >= GIB / 10 else f"{count / 2**20:,.0f} MiB"


def told_hours(hours: float) -> str:
    """As a person reads it."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 2 / 60 else f"{3600 * hours:.0f} s"


def _batch(costs: Costs, work: Work) -> tuple[list[int], list[str]]:
    """Lengths of a batch like those that were looked at, and which may share a mini-batch."""
    draw = random.Random(0)
    pages = draw.choices(costs.pages, k=work.batch_size * work.columns)
    queries = draw.choices(costs.queries, k=work.batch_size)
    return [*queries, *pages], ["query"] * len(queries) + ["page"] * len(pages)


def _for_graphs(room: int, trial: Trial, machine: Machine) -> int:
    """What kept graphs may take of the room beside one mini-batch, as `fit` has it."""
    if machine.gpu:
        return max(0, room - 2 * trial.peak_bytes)
    return max(0, int(SHARE_OF_FREE * room) - trial.graph_bytes)


def _passing(trial: Trial) -> int:
    """What a mini-batch takes while it is computed."""
    return max(trial.peak_bytes, trial.graph_bytes)


def _pace(trial: Trial) -> float:
    return trial.seconds / trial.tokens


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)
