"""The published experiment's step on a GPU, and encoding: Sentence Transformers' own against Pagetune's.

    PYTHONPATH=src python3 benchmarks/gpu_throughput.py full
    PYTHONPATH=src python3 benchmarks/gpu_throughput.py lora
    PYTHONPATH=src python3 benchmarks/gpu_throughput.py encode

It needs CUDA (written for an H200 or H100), torch, transformers, peft, pillow, and sentence-transformers 6.2 or newer,
as Pagetune does; no download, no `datasets`, no `pydantic`. Where an older sentence-transformers is installed, bring
its wheel along and put it in front: `pip install --no-index --no-deps --target site WHEEL`, PYTHONPATH=site:src.

Each part is a run of its own and is to end in under four minutes, which has not been tried: none has met a GPU yet. It
tries the likely best sizes first and begins nothing new when its time is up; what it has until then is printed and
judged, and a claim that lacks a side is said to be open. The last line is the verdict.

The model is Qwen3-VL-Embedding-2B's architecture in bfloat16 with random weights, at the published pixel bounds (784 to
600 x 600), batch (64 triplets, all pages different) and Matryoshka dimensions. A step is what the trainer makes:
collate, embed, loss, gradients, AdamW, the forward pass inside autocast.

- plain: upstream's collator, which preprocesses the batch in the training process, and its cached loss, one page at a
  time, as published; then at its best fixed mini-batch. The same without the collator's time stands beside it.
- engine: Pagetune's loss on the model as Pagetune loads it (vision patches multiplied), which opens and preprocesses
  every page in its workers, at the budget that it finds by itself before the optimizer has its numbers, as a fit does.
- encode: upstream's `encode_document`, one page at a time and at its best batch size, against Pagetune's
  `encode_pictures`, which finds its size on the way and starts its workers anew.

Workers: as many as `auto` gives, then 14 where there are more cores; the faster counts, and is named.

The share of the card's peak is that of the work a step needs: forward and backward once, whatever is computed twice
(6 operations a weight and token, 4 with frozen weights, and attention: see `_qwen3_vl_2b.work`), over 989 TFLOP/s.

Claim: at least 5 times the triplets (pages) a second of the plain recipe, one page at a time, and 1.5 times those of
upstream's best fixed mini-batch: all weights trained, adapters of rank 32, and encoding; both sides computing the same.

With PAGETUNE_TINY=1 everything runs on a tiny model, on a CPU too, to see that it runs; nothing is claimed then.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

import _qwen3_vl_2b
from _gpu_sides import (
    Engine,
    Optimizer,
    Step,
    Upstream,
    as_trained,
    decode,
    encode_here,
    encode_plain,
    free,
    timed,
)

TINY = bool(os.environ.get("PAGETUNE_TINY"))
PARTS = ("full", "lora", "encode")
TRIPLETS, STEPS, RANK = (4, 1, 4) if TINY else (64, 3, 32)
SIZES = (1, 2) if TINY else (1, 16, 8, 32, 4, 2)
"""Of mini-batches and of batches to encode, in the order in which they are tried: the likely best soon."""
PIXELS = (784, 128 * 128) if TINY else (784, 600 * 600)
PAGE = (170, 220) if TINY else (850, 1100)
"""Pixels of a page as it lies in the dataset."""
ENCODED = 30 if TINY else 512
SOME = 4 if TINY else 96
"""Pages by which upstream's batch sizes are compared."""
WORKERS = 2 if TINY else 14
"""Tried beside `auto`."""
PLAIN, BEST = 5.0, 1.5
LOSS, COSINE = 0.02, 0.98
"""How far apart losses may be, and how near vectors have to be: bfloat16 in other mini-batches, nothing else."""
PEAK = 989e12
"""Dense bfloat16 operations a second of an H200 or an H100 (SXM), by their datasheets."""
LIMIT = float(os.environ.get("PAGETUNE_SECONDS", 195))
"""Seconds after which a part begins nothing new: the longest thing, a plain step, takes about half a minute."""
BEGAN = time.monotonic()
GIB = 2**30

Made = TypeVar("Made")
Verdicts = list[tuple[str, bool | None]]
"""What is claimed, and whether it holds; None: it was not measured."""


@dataclass
class Clock:
    """What is left of a part's time."""

    began: float
    told: bool = False
    skipped: bool = False
    """A size was not tried: nobody knows which is the best."""

    def has(self, share: float = 1.0) -> bool:
        """Whether less than this share of the time is over; says so, once, where it is not."""
        over = time.monotonic() - self.began
        if over >= share * LIMIT and not self.told:
            say(f"{over:.0f} s are over: on with what has been measured")
            self.told = True
        return over < share * LIMIT


def main(asked: Sequence[str]) -> int:
    if not TINY and not torch.cuda.is_available():
        print("gpu_throughput.py needs a GPU with CUDA, and there is none (PAGETUNE_TINY=1 tries its code on a CPU)")
        return 2
    if unknown := set(asked) - set(PARTS):
        print(f"{', '.join(sorted(unknown))}: no part of this; give some of {', '.join(PARTS)}")
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    have = metadata.version("sentence-transformers")
    if [int(part) for part in have.split(".")[:2]] < [6, 2]:
        print(f"sentence-transformers {have} is here, Pagetune needs 6.2: bring its wheel along, as the docstring says")
        return 2
    say(f"{machine(device)}; {TRIPLETS} triplets, pages of {PAGE[0]} x {PAGE[1]} within {PIXELS[1]:,} pixels")
    queries, pages = write_pages()
    verdicts: Verdicts = []
    with tempfile.TemporaryDirectory() as name:
        model = make_model(Path(name), device)
        clock = Clock(BEGAN)
        # Encoding first, of the weights as they are; adapters last, which stay.
        for part in ("encode", "full", "lora"):
            if asked and part not in asked:
                continue
            if part == "encode":
                verdicts += compare_encoding(model, pages, device, clock)
            else:
                verdicts += compare_training(model, queries, pages, device, clock, adapted=part == "lora")
            say(f"{part}: {time.monotonic() - clock.began:.0f} s in all")
            clock = Clock(time.monotonic())
    words = {True: "holds", False: "FAILS", None: "OPEN, not measured"}
    told = "; ".join(f"{claim}: {words[holds]}" for claim, holds in verdicts)
    if TINY:
        print(f"tiny, nothing is claimed; on a GPU it would be: {told}")
        return 0
    print(told)
    return 0 if all(holds for _, holds in verdicts) else 1


def make_model(folder: Path, device: torch.device) -> Any:
    """Of the published sizes, within the published bounds."""
    from pagetune.models.pixels import bound_pixels

    began = time.monotonic()
    model = _qwen3_vl_2b.build(folder, device, tiny=TINY)
    bound_pixels(model, *PIXELS)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    published = _qwen3_vl_2b.PARAMETERS
    say(f"{millions:,.1f}M parameters (published: {published}M), made in {time.monotonic() - began:.0f} s")
    if not TINY and abs(millions / published - 1) > 0.01:
        raise SystemExit("these are not the published sizes")
    return model


def compare_training(
    model: Any, queries: list[str], pages: list[bytes], device: torch.device, clock: Clock, *, adapted: bool
) -> Verdicts:
    """Upstream one page at a time and at every mini-batch size, its best again beside the engine; the two claims."""
    name = f"rank {RANK}" if adapted else "all weights"
    if adapted:
        say(f"adapters of rank {RANK}: {_qwen3_vl_2b.put_adapters(model, RANK) / 1e6:.1f}M weights to train")
    model.train()
    useful = work_of(model, queries, pages, adapted)
    with as_trained(model, device), Engine(model, queries, pages, device) as engine:
        say(f"{name}, {engine.told}")
        with Optimizer(model) as optimizer:
            upstream = Upstream(model, queries, pages, device, optimizer)

            def step(size: int) -> Step:
                model.zero_grad(set_to_none=True)  # Where memory has run out, half of a gradient is there.
                upstream.step(size, rows=min(TRIPLETS, size))  # Not counted.
                return upstream.step(size)

            tried = by_size(f"{name}, upstream", step, lambda made: describe(made, useful), clock)
            model.zero_grad(set_to_none=True)
            if not tried:
                return verdicts_of(name, {}, None, None)
            best = min(tried, key=lambda size: tried[size].seconds)
            theirs, ours = side_by_side(name, engine, upstream, best, optimizer, clock)
    slow = middle([*theirs, tried[best]])
    speeds = {size: 1 / each.seconds for size, each in tried.items()} | {best: 1 / slow.seconds}
    workers = min(ours, key=lambda count: ours[count][0].seconds)
    for count, (each, stall) in ours.items():
        say(f"{name}, engine, {count} workers: {describe(each, useful)}; {stall:.1%} of it waiting for pages")
    say(f"{name}, engine: {engine.loss.account.summary()}")
    say(f"{name}, upstream again, {best} at a time: {describe(slow, useful)}")
    fast = ours[workers][0]
    apart = abs(fast.loss - slow.loss) / abs(slow.loss)
    computed = (slow.seconds - slow.collating) / fast.seconds
    say(f"{name}: losses {apart:.1e} apart (bfloat16); {computed:.2f} times upstream's best without its collator")
    known = None if clock.skipped else best
    return verdicts_of(name, speeds, known, (workers, 1 / fast.seconds), apart <= LOSS)


def side_by_side(
    name: str, engine: Engine, upstream: Upstream, best: int, optimizer: Optimizer, clock: Clock
) -> tuple[list[Step], dict[int, tuple[Step, float]]]:
    """Steps of both sides by turns, then the engine's alone with more workers: upstream's, and the engine's middle one
    with the share of its time that it waited, by the number of workers."""
    theirs: list[Step] = []
    ours: dict[int, tuple[Step, float]] = {}
    for workers in crews(engine.feeder.workers):
        if ours and not clock.has():
            break
        engine.employ(workers)
        engine.step(optimizer)  # Not counted: workers begin.
        engine.feeder.waited = 0.0
        made = []
        for _ in range(STEPS):
            if made and not clock.has():
                break
            made.append(engine.step(optimizer))
            if not ours and clock.has():
                theirs.append(upstream.step(best))
        ours[workers] = middle(made), engine.feeder.waited / sum(step.seconds for step in made)
    return theirs, ours


def crews(auto: int) -> list[int]:
    """Numbers of workers to try."""
    from pagetune.training.feeding import cores

    return [auto, WORKERS] if auto < WORKERS and (TINY or cores() > WORKERS) else [auto]


def by_size(side: str, work: Callable[[int], Made], describe: Callable[[Made], str], clock: Clock) -> dict[int, Made]:
    """What comes of each size; for the rest of the comparison a part of the time is left."""
    tried: dict[int, Made] = {}
    too_much = float("inf")
    for size in SIZES:
        if size >= too_much:
            continue
        if tried and not clock.has(0.7):
            clock.skipped = True
            break
        try:
            tried[size] = work(size)
        except torch.OutOfMemoryError:
            too_much = size
        free()
        say(f"{side}, {size} at a time: {describe(tried[size]) if size in tried else 'out of memory'}")
    return tried


def compare_encoding(model: Any, pages: list[bytes], device: torch.device, clock: Clock) -> Verdicts:
    """Pages a second, each opened and preprocessed on the way."""
    model.eval()
    many = [pages[place % len(pages)] for place in range(ENCODED)]

    def speed(size: int) -> float:
        count = max(size, SOME // 4 if size == 1 else SOME)
        encode_plain(model, many[:size], size)  # Not counted.
        return count / timed(device, partial(encode_plain, model, many[:count], size))

    tried = by_size("encode, upstream", speed, lambda made: f"{made:.1f} pages/s", clock)
    if not tried:
        return verdicts_of("encoding", {}, None, None)
    best = max(tried, key=lambda size: tried[size])
    made: dict[str, Any] = {}

    def keep(side: str, encode: Callable[[], Any]) -> None:
        made[side] = encode().float().cpu()

    tried[best] = ENCODED / timed(device, lambda: keep("upstream", lambda: encode_plain(model, many, best)))
    say(f"encode, upstream, {ENCODED} pages, {best} at a time: {tried[best]:.1f} pages/s")
    ours: dict[int, float] = {}
    from pagetune.training.page_encoding import auto_workers

    for workers in crews(auto_workers(device, ENCODED)):
        if ours and not clock.has():
            break
        seconds = timed(device, lambda count=workers: keep("here", lambda: encode_here(model, many, count)))
        ours[workers] = ENCODED / seconds
        say(f"encode, Pagetune, {ENCODED} pages, {workers} workers: {ours[workers]:.1f} pages/s")
    alike = torch.cosine_similarity(made["here"], made["upstream"]).min().item()
    say(f"encode: the two sides' vectors of a page have a cosine of {alike:.5f} at least (bfloat16)")
    workers = max(ours, key=lambda count: ours[count])
    known = None if clock.skipped else best
    return verdicts_of("encoding", tried, known, (workers, ours[workers]), alike >= COSINE)


def verdicts_of(
    name: str, speeds: dict[int, float], best: int | None, fast: tuple[int, float] | None, same: bool | None = None
) -> Verdicts:
    """The claims of a part. `speeds`: upstream's by size; `fast`: ours, by so many workers; `same`: whether both sides
    compute the same. `best`: None where a size has not been tried."""
    found: Verdicts = [(f"{name}: both sides compute the same", same)]
    tried = ", ".join(map(str, sorted(speeds)))
    sides = [("one page at a time", 1, PLAIN), (f"the best mini-batch ({best or 'unknown'} of {tried})", best, BEST)]
    for told, size, claim in sides:
        if size not in speeds or fast is None:
            found.append((f"{name} against {told}, claim {claim:g}", None))
            continue
        times = fast[1] / speeds[size]
        found.append((f"{name} {times:.2f} times {told} ({fast[0]} workers), claim {claim:g}", times >= claim))
    return found


def work_of(model: Any, queries: list[str], pages: list[bytes], adapted: bool) -> float:
    """Operations that a step needs: every input forward and backward once."""
    total = 0.0
    known: dict[tuple[int, int], float] = {}
    page = model.preprocess([decode(pages[0])])
    sizes = [(int(page["attention_mask"].sum()), len(page["pixel_values"]))] * len(pages)
    sizes += [(int(model.preprocess([query])["attention_mask"].sum()), 0) for query in queries]
    for size in sizes:
        if size not in known:
            work = _qwen3_vl_2b.work(model, *size)
            known[size] = work.adapted() if adapted else work.trained()
        total += known[size]
    say(f"a page is {sizes[0][0]} tokens of {sizes[0][1]} patches; a step needs {total / 1e12:,.3g} TFLOP")
    return total


def write_pages() -> tuple[list[str], list[bytes]]:
    """Queries, and twice as many pages as JPEG."""
    from _drawn import choose_pages, draw

    drawn, _ = choose_pages(2 * TRIPLETS, 0, seed=11)
    pages = []
    for page in drawn:
        buffer = io.BytesIO()
        draw(page, 1).resize(PAGE).save(buffer, "JPEG", quality=85)
        pages.append(buffer.getvalue())
    return [page.query for page in drawn[:TRIPLETS]], pages


def middle(steps: list[Step]) -> Step:
    """The step whose time is the median."""
    return min(steps, key=lambda step: abs(step.seconds - statistics.median_low(each.seconds for each in steps)))


def describe(step: Step, useful: float) -> str:
    return (
        f"{TRIPLETS / step.seconds:.2f} triplets/s ({step.seconds:.2f} s, {step.collating:.2f} of them collating), "
        f"peak {step.bytes / GIB:.1f} GiB, {useful / step.seconds / PEAK:.1%} of the card's bf16 peak"
    )


def machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    libraries = ("torch", "transformers", "sentence-transformers", "peft")
    return f"{name}, {os.cpu_count()} cores, {', '.join(f'{each} {metadata.version(each)}' for each in libraries)}"


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
