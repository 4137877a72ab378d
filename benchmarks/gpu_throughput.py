"""The published experiment's step on a GPU: Sentence Transformers' cached loss against the same loss streaming.

    PYTHONPATH=src python3 benchmarks/gpu_throughput.py [full] [lora] [encode]

It needs CUDA (written for an H200), peft, and about 8 minutes; no `datasets`, no download. The model is
Qwen3-VL-Embedding-2B's architecture in bfloat16 with random weights, at the published pixel bounds (784 to 600 x 600),
batch (64 triplets, all pages different) and Matryoshka dimensions. A step is what the trainer makes: collate, embed,
loss, gradients, AdamW, the forward pass inside autocast.

- plain: upstream's collator, which preprocesses the batch in the training process, and its cached loss, one page at a
  time, as published; then at its best fixed mini-batch. The same without the collator's time stands beside it.
- engine: Pagetune's, which opens and preprocesses every page in its workers, at the budget that it finds by itself.
- encode: upstream's `encode_document` against the engine's feeder and cutting by tokens, each at its best batch size.

The share of the card's peak is that of the work a step needs: forward and backward once, whatever is computed twice
(6 operations a weight and token, 4 with frozen weights, and attention: see `_qwen3_vl_2b.work`), over 989 TFLOP/s.

Claim: the engine makes at least 5 times the triplets a second of the plain recipe, and 1.5 times those of upstream's
best mini-batch, all weights trained and with adapters of rank 32; and encodes no fewer pages a second than upstream.

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
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

import _qwen3_vl_2b
from _gpu_sides import (
    Engine,
    Optimizer,
    Step,
    StreamingEncoder,
    Upstream,
    as_trained,
    decode,
    encode_plain,
    free,
    timed,
)

TINY = bool(os.environ.get("PAGETUNE_TINY"))
PARTS = ("full", "lora", "encode")
TRIPLETS, STEPS, RANK = (4, 1, 4) if TINY else (64, 3, 32)
SIZES = (1, 2) if TINY else (1, 2, 4, 8, 16, 32)
BATCHES = (1, 2) if TINY else (1, 4, 8, 16, 32, 64)
PIXELS = (784, 128 * 128) if TINY else (784, 600 * 600)
PAGE = (170, 220) if TINY else (850, 1100)
"""Pixels of a page as it lies in the dataset."""
ENCODED = 8 if TINY else 512
PLAIN, BEST, ENCODING = 5.0, 1.5, 1.0
PEAK = 989e12
"""Dense bfloat16 operations a second of an H200, by its datasheet."""
GIB = 2**30


def main(asked: Sequence[str]) -> int:
    if not TINY and not torch.cuda.is_available():
        print("gpu_throughput.py needs a GPU with CUDA, and there is none (PAGETUNE_TINY=1 tries its code on a CPU)")
        return 2
    if unknown := set(asked) - set(PARTS):
        print(f"{', '.join(sorted(unknown))}: no part of this; give some of {', '.join(PARTS)}")
        return 2
    parts = [part for part in PARTS if part in asked or not asked]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    from pagetune.models.pixels import bound_pixels

    say(f"{machine(device)}; {TRIPLETS} triplets, pages of {PAGE[0]} x {PAGE[1]} within {PIXELS[1]:,} pixels")
    queries, pages = write_pages()
    verdicts: list[tuple[str, bool]] = []
    with tempfile.TemporaryDirectory() as name:
        began = time.monotonic()
        model = _qwen3_vl_2b.build(Path(name), device, tiny=TINY)
        bound_pixels(model, *PIXELS)
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        published, seconds = _qwen3_vl_2b.PARAMETERS, time.monotonic() - began
        say(f"{millions:,.1f}M parameters (published: {published}M), made in {seconds:.0f} s")
        if not TINY and abs(millions / published - 1) > 0.01:
            say("these are not the published sizes")
            return 1
        if "encode" in parts:  # First: of the weights as they are.
            verdicts += compare_encoding(model, pages, device)
        if "full" in parts:
            verdicts += compare_training(model, queries, pages, device, "all weights", adapted=False)
        if "lora" in parts:
            weights = _qwen3_vl_2b.put_adapters(model, RANK)
            say(f"adapters of rank {RANK}: {weights / 1e6:.1f}M weights to train")
            verdicts += compare_training(model, queries, pages, device, f"rank {RANK}", adapted=True)
    told = "; ".join(f"{claim}: {'holds' if holds else 'FAILS'}" for claim, holds in verdicts)
    if TINY:
        print(f"tiny, nothing is claimed; on a GPU it would be: {told}")
        return 0
    print(told)
    return 0 if all(holds for _, holds in verdicts) else 1


def compare_training(
    model: Any, queries: list[str], pages: list[bytes], device: torch.device, name: str, *, adapted: bool
) -> list[tuple[str, bool]]:
    """Upstream at every mini-batch size, its best and the plain recipe again beside the engine; the two claims."""
    model.train()
    useful = work_of(model, queries, pages, adapted)
    with as_trained(model, device), Optimizer(model) as optimizer:
        upstream = Upstream(model, queries, pages, device, optimizer)
        tried: dict[int, Step] = {}
        for size in SIZES:
            try:
                upstream.step(size, rows=min(TRIPLETS, 2 * size))  # Not counted.
                tried[size] = upstream.step(size)
            except torch.OutOfMemoryError:
                say(f"{name}, upstream, {size} at a time: out of memory")
                break
            say(f"{name}, upstream, {size} at a time: {describe(tried[size], useful)}")
        free()
        best = min(tried, key=lambda size: tried[size].seconds)
        with Engine(model, queries, pages, device, optimizer) as engine:
            say(f"{name}, {engine.told}")
            engine.step()
            engine.feeder.waited = 0.0
            ours, theirs = [], []
            for _ in range(STEPS):
                ours.append(engine.step())
                theirs.append(upstream.step(best))
            stall = engine.feeder.waited / sum(step.seconds for step in ours)
            kept = engine.loss.account.summary()
    fast, slow, plain = middle(ours), middle(theirs), tried[SIZES[0]]
    say(f"{name}, engine: {describe(fast, useful)}; {stall:.1%} of it waiting for pages, {kept}")
    say(f"{name}, upstream again, {best} at a time: {describe(slow, useful)}")
    apart = abs(fast.loss - slow.loss) / abs(slow.loss)
    computed = (slow.seconds - slow.collating) / fast.seconds
    say(f"{name}: losses {apart:.1e} apart (bfloat16); {computed:.2f} times upstream's best without its collator")
    found = []
    for told, other, claim in (("plain", plain, PLAIN), (f"best mini-batch ({best})", slow, BEST)):
        times = other.seconds / fast.seconds
        found.append((f"{name} {times:.2f} times {told}, claim {claim:g}", times >= claim))
    return found


def compare_encoding(model: Any, pages: list[bytes], device: torch.device) -> list[tuple[str, bool]]:
    """Pages a second, each opened and preprocessed on the way; both sides at their best batch size."""
    model.eval()
    many = [pages[place % len(pages)] for place in range(ENCODED)]
    with StreamingEncoder(model, many, device) as streaming:
        sides = {"upstream": lambda count, size: encode_plain(model, many[:count], size), "engine": streaming}
        speeds = {side: encoding_speed(side, encode, device) for side, encode in sides.items()}
    times = speeds["engine"] / speeds["upstream"]
    return [(f"encoding {times:.2f} times upstream, claim {ENCODING:g}", times >= ENCODING)]


def encoding_speed(side: str, encode: Callable[[int, int], Any], device: torch.device) -> float:
    """Pages a second of all pages, at the batch size that some pages go through the fastest in."""
    tried: dict[int, float] = {}
    for size in BATCHES:
        count = min(ENCODED, max(size, min(128, 16 * size)))
        try:
            encode(size, size)  # Not counted.
            tried[size] = count / timed(device, partial(encode, count, size))
        except torch.OutOfMemoryError:
            break
    free()
    best = max(tried, key=lambda size: tried[size])
    speed = ENCODED / timed(device, partial(encode, ENCODED, best))
    told = ", ".join(f"{size}: {each:.1f}" for size, each in tried.items())
    say(f"encode, {side}, pages a second by batch size {told}; {ENCODED} pages at {best}: {speed:.1f}")
    return speed


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
    from importlib.metadata import version

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    libraries = ("torch", "transformers", "sentence-transformers", "peft")
    return f"{name}, {os.cpu_count()} cores, {', '.join(f'{each} {version(each)}' for each in libraries)}"


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
