"""Two gloo processes, each with a copy of a model in DistributedDataParallel: upstream's gradients and the engine's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import _engine
from _engine import Case, Judged, apart, embedded, measured, scorer, taken, with_dropout
from pagetune.training.feeding import Feeder
from pagetune.training.gradient_cache import Budget, StreamingCachedLoss

WORLD = 2
ROWS = 4
"""Rows a process."""


def compare(names: Sequence[str], folder: Path) -> dict[str, float]:
    """For the models `_engine.NAME` each check's largest difference in any process."""
    for name in names:
        getattr(_engine, name)(folder / name)  # Written once: tokenizers are not trained to the same end twice.
    torch.multiprocessing.spawn(_process, (tuple(names), str(folder)), nprocs=WORLD)
    parts = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(WORLD)]
    return {name: max(part[name] for part in parts) for name in parts[0]}


def _process(rank: int, names: Sequence[str], folder: str) -> None:
    torch.set_num_threads(1)
    cases = {name: getattr(_engine, name)(Path(folder) / name, WORLD * ROWS) for name in names}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    found = {f"{name}, {check}": value for name, case in cases.items() for check, value in _checks(case, rank)}
    (Path(folder) / f"rank-{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def _checks(case: Case, rank: int) -> Iterator[tuple[str, float]]:
    case = case.part(rank * ROWS, (rank + 1) * ROWS)
    wrapped = DistributedDataParallel(case.model, find_unused_parameters=True)
    with_dropout(case.model)
    for gather in (False, True):
        name = "gathered" if gather else "each by itself"
        loss = _with(case.upstream(2, gather_across_devices=gather), wrapped)
        expected, gradients = measured(case, loss, case.preprocessed(), seed=5 + rank)
        for keep in (0, 10**12):
            engine = _with(
                StreamingCachedLoss(case.upstream(2, gather_across_devices=gather), Budget(items=2, keep_bytes=keep)),
                wrapped,
            )
            value, found = measured(case, engine, case.preprocessed(), seed=5 + rank)
            yield f"{name}, {'all' if keep else 'no'} graphs kept", max(apart(gradients, found), abs(value - expected))
    loss = _with(case.upstream(2), wrapped)
    engine = _with(StreamingCachedLoss(case.upstream(2), Budget(items=2)), wrapped)
    yield "accumulated", apart(_accumulated(case, loss, wrapped, rank), _accumulated(case, engine, wrapped, rank))
    # Twice the precision: by other mini-batches, or written out, rounding is all that differs.
    case.model.eval().double()
    yield "masked, gathered", _masked(case, wrapped, rank)
    yield "out of memory in one of two", _interrupted(case, wrapped, rank)


def _with(loss: Any, model: Any) -> Any:
    """The loss, holding the wrapped model as a trainer would have it."""
    from sentence_transformers.base.trainer import BaseTrainer

    class Rewiring:
        override_model_in_loss = BaseTrainer.override_model_in_loss

    return Rewiring().override_model_in_loss(loss, model)  # type: ignore[arg-type]


def _accumulated(case: Case, loss: Any, wrapped: Any, rank: int) -> Any:
    """Of two halves of the batch, the gradients exchanged with the second."""
    torch.manual_seed(5 + rank)
    for half, context in ((case.part(0, 2), wrapped.no_sync()), (case.part(2, 4), nullcontext())):
        with context:
            (loss(half.preprocessed(), None) / 2).backward()
    return taken(case.model)


def _masked(case: Case, wrapped: Any, rank: int) -> float:
    """The engine's masks, in batches that are gathered, against the loss written out."""
    judged = Judged(
        [f"q{row}" for row in range(WORLD * ROWS)],
        # A positive that stands twice, in two processes; a negative that answers a query of the other process.
        [["p0", "p1", "p2", "p3", "p4", "p1", "p6", "p7"], ["n0", "n1", "p4", "n3", "n4", "n5", "n6", "p2"]],
        {"q1": frozenset(["p6"]), "q7": frozenset(["p0", "p7"])},
    )
    own = range(rank * ROWS, (rank + 1) * ROWS)
    options: dict[str, Any] = {"scale": 1.0 if case.late else 20.0}
    if not case.late:
        options["directions"] = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
    values, masks = embedded(case)
    values, masks = _gathered(values, masks)
    sizes = [None] if case.late else case.matryoshka
    scores = [scorer(values, masks, size) for size in sizes]
    expected = torch.stack([judged.masked_loss(score, own, *options.values()) for score in scores]).sum()
    expected.backward()
    gradients = taken(case.model)
    for gradient in gradients.values():
        dist.all_reduce(gradient)
        gradient /= WORLD
    keys = [[column[row] for row in own] for column in (judged.queries, *judged.pages)]
    relevant = {query: judged.relevant[query] for query in keys[0] if query in judged.relevant}
    # Rows of equal keys are of equal content, as the engine may take for granted.
    with Feeder(case.preparer(), workers=0) as feeder:
        loss = case.upstream(3, gather_across_devices=True, **options)
        engine = _with(StreamingCachedLoss(loss, Budget(tokens=60)), wrapped)
        value, found = measured(case, engine, case.referenced(feeder, keys, relevant))
    return max(apart(gradients, found), abs(value - expected.item()) / expected.item())


def _gathered(values: list[torch.Tensor], masks: list[Any]) -> tuple[list[torch.Tensor], list[Any]]:
    from sentence_transformers.util import all_gather_padded, all_gather_with_grad

    if masks[0] is None:
        return [all_gather_with_grad(each) for each in values], masks
    pairs = [all_gather_padded(each, mask, with_grad=True) for each, mask in zip(values, masks, strict=True)]
    return [each for each, _ in pairs], [mask for _, mask in pairs]


def _interrupted(case: Case, wrapped: Any, rank: int) -> float:
    """One process runs out of memory in its backward pass, and both make their step again."""
    found = []
    for broken in (False, True):
        engine = _with(StreamingCachedLoss(case.upstream(2, gather_across_devices=True), Budget(items=2)), wrapped)
        first = next(case.model.parameters())  # Of the first layer: its gradient comes last.
        calls: list[int] = []

        def out(gradient: torch.Tensor, broken: bool = broken, calls: list[int] = calls) -> None:
            calls.append(1)
            if broken and rank == 1 and len(calls) == 2:
                raise torch.OutOfMemoryError("out of memory")

        hook = first.register_hook(out)
        found.append(measured(case, engine, case.preprocessed())[1])
        hook.remove()
        if broken and rank == 1 and engine.account.attempts_lost != 1:
            return float("inf")
    return apart(*found)
