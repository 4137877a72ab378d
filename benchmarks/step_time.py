"""A training step: upstream's cached loss at its best mini-batch size against the same loss through the engine.

    python benchmarks/step_time.py

A random Qwen3-VL trains on triplets of a query and two pages of 600 x 600 pixels, all different, at every Matryoshka
dimension. Upstream is tried at several mini-batch sizes, and its best is taken; it gets its batches preprocessed, as if
loading them cost nothing. The engine opens and preprocesses every page in its worker, at the budget that it finds by
itself. Steps of both sides alternate. Claim: upstream's step takes at least 1.25 times as long as the engine's, whose
model waits for pages for under 5% of it; the losses are equal to 1e-5.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss, MatryoshkaLoss

from _drawn import choose_pages, draw, vocabulary
from _tiny import tiny_qwen3_vl
from pagetune.models.loading import load_model
from pagetune.recipe import ModelRecipe
from pagetune.training.budget import measure
from pagetune.training.feeding import Feeder, Preparer, Reference, Route
from pagetune.training.gradient_cache import StreamingCachedLoss
from pagetune.training.lengths import Lengths
from pagetune.training.references import Column, ReferenceCollator
from pagetune.training.representations import Vectors

TRIPLETS, SIDE, STEPS = 8, 600, 6
SIZES = (1, 2, 4, 8)
DIMENSIONS = [256, 128, 64]
CLAIM, STALL = 1.25, 0.05


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = tiny_qwen3_vl(
            Path(name) / "model", hidden=256, layers=4, heads=4, vision_hidden=256, vision_layers=4, words=vocabulary()
        )
        model = load_model(ModelRecipe(name=str(folder), min_pixels=784, max_pixels=SIDE * SIDE))
        bounds = {"min_pixels": 784, "max_pixels": SIDE * SIDE}
        upstream = SentenceTransformer(str(folder), processor_kwargs=bounds, local_files_only=True)
        queries, pages = write_pages()
        plain = Upstream(upstream.train(), queries, pages)
        model.train()
        tried = {size: plain.step(size)[0] for size in (SIZES[0], *SIZES)}
        best = min(tried, key=lambda size: tried[size])
        with Engine(model, queries, pages) as engine:
            engine.step()
            engine.feeder.waited = 0.0
            theirs, ours = [], []
            for _ in range(STEPS):
                theirs.append(plain.step(best))
                ours.append(engine.step())
            stall = engine.feeder.waited / sum(seconds for seconds, _ in ours)
            told = f"{engine.told}, {engine.loss.account.summary()['graphs_kept']:.0%} of the mini-batches' kept"
    slow, fast = (statistics.median(seconds for seconds, _ in side) for side in (theirs, ours))
    apart = max(abs(one - other) / abs(one) for (_, one), (_, other) in zip(theirs, ours, strict=True))
    sizes = ", ".join(f"{size}: {seconds:.2f} s" for size, seconds in tried.items())
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"{parameters:.1f}M parameters, {torch.get_num_threads()} threads, {TRIPLETS} triplets; upstream: {sizes}")
    print(told)
    taken = [[round(seconds, 2) for seconds, _ in side] for side in (theirs, ours)]
    print(f"upstream {taken[0]}, engine {taken[1]}; losses {apart:.0e} apart")
    holds = slow / fast >= CLAIM and stall < STALL and apart < 1e-5
    print(
        f"step {slow:.2f} s against {fast:.2f} s: {slow / fast:.2f} times as fast, {stall:.1%} of it waiting; "
        f"claim {CLAIM} and under {STALL:.0%}: {'holds' if holds else 'FAILS'}"
    )
    return 0 if holds else 1


def write_pages() -> tuple[list[str], list[bytes]]:
    """Queries, and twice as many pages as PNG."""
    drawn, _ = choose_pages(2 * TRIPLETS, 0, seed=11)
    pages = []
    for page in drawn:
        buffer = io.BytesIO()
        draw(page, 1).resize((SIDE, SIDE)).save(buffer, "PNG")
        pages.append(buffer.getvalue())
    return [page.query for page in drawn[:TRIPLETS]], pages


def decode(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


class Upstream:
    """The loss as Sentence Transformers makes it."""

    def __init__(self, model: Any, queries: list[str], pages: list[bytes]) -> None:
        self.model = model
        images = [decode(page) for page in pages]
        columns: list[list[Any]] = [list(queries), images[:TRIPLETS], images[TRIPLETS:]]
        tasks = ("query", "document", "document")
        self.columns = [model.preprocess(column, task=task) for column, task in zip(columns, tasks, strict=True)]

    def step(self, size: int) -> tuple[float, float]:
        """Seconds, and the loss."""
        inner = CachedMultipleNegativesRankingLoss(self.model, mini_batch_size=size)
        return timed(self.model, MatryoshkaLoss(self.model, inner, DIMENSIONS), [dict(each) for each in self.columns])


class Engine:
    """The same loss, streaming."""

    def __init__(self, model: Any, queries: list[str], pages: list[bytes]) -> None:
        self.model = model
        lengths = Lengths(model)
        asked, shown = Route("query"), Route("document", pictures=True)
        self.feeder = Feeder(Preparer(model.preprocess, lambda place: decode(pages[place])))

        def refer(place: int) -> Reference:
            return Reference(place, str(place), lengths.picture(SIDE, SIDE, shown), f"page {place}")

        columns = {
            "query": Column(asked, lambda text: Reference(text, text, lengths.text(text, asked))),
            "image": Column(shown, refer),
            "negative_0": Column(shown, refer),
        }
        collate = ReferenceCollator(columns, self.feeder)
        rows = [{"query": query, "image": place, "negative_0": TRIPLETS + place} for place, query in enumerate(queries)]
        budget, trials = measure(model, Vectors, self.feeder.prepare, [refer(0)], shown)
        self.loss = StreamingCachedLoss(
            MatryoshkaLoss(model, CachedMultipleNegativesRankingLoss(model, mini_batch_size=64), DIMENSIONS), budget
        )
        self.batch = lambda: [{"input_ids": column} for column in collate(rows).values()]
        self.told = (
            f"engine: {budget.tokens} tokens, {trials[-1].items} pages; {budget.keep_bytes / 2**30:.1f} GiB of graphs"
        )

    def step(self) -> tuple[float, float]:
        """Seconds, and the loss."""
        return timed(self.model, self.loss, self.batch())

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.feeder.close()


def timed(model: Any, loss: Any, features: Any) -> tuple[float, float]:
    """One step without the optimizer's part, which is the same."""
    torch.manual_seed(3)
    began = time.perf_counter()
    value = loss(features, None)
    value.backward()
    seconds = time.perf_counter() - began
    model.zero_grad(set_to_none=True)
    return seconds, value.item()


if __name__ == "__main__":
    sys.exit(main())
