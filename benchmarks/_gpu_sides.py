"""Both sides of the GPU benchmark: Sentence Transformers' own step and encoding, and those of the streaming engine."""

from __future__ import annotations

import gc
import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image


@dataclass(frozen=True)
class Step:
    """What a step took. `collating`: of the seconds, those in which the batch was preprocessed and moved."""

    seconds: float
    collating: float
    bytes: int
    loss: float


class Upstream:
    """As Sentence Transformers makes it: the batch preprocessed by its collator, then on the device for the step."""

    def __init__(
        self, model: Any, queries: list[str], pages: list[bytes], device: torch.device, optimizer: Optimizer
    ) -> None:
        self.model, self.device, self.optimizer = model, device, optimizer
        self.columns: list[list[Any]] = [queries, pages[: len(queries)], pages[len(queries) :]]

    def step(self, size: int, rows: int | None = None) -> Step:
        """One step of the first `rows` rows, or of all, `size` at a time."""
        from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

        loss = matryoshka(self.model, CachedMultipleNegativesRankingLoss(self.model, mini_batch_size=size))
        return made(self.device, lambda: self._collate(rows), loss, self.optimizer)

    def _collate(self, rows: int | None) -> list[dict[str, Any]]:
        queries, *columns = (column[:rows] for column in self.columns)
        found = [self.model.preprocess(queries)]
        found += [self.model.preprocess([decode(page) for page in column]) for column in columns]
        return [{name: on(value, self.device) for name, value in column.items()} for column in found]


class Engine:
    """The same loss, streaming."""

    def __init__(
        self, model: Any, queries: list[str], pages: list[bytes], device: torch.device, optimizer: Optimizer
    ) -> None:
        from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

        from pagetune.training.budget import measure
        from pagetune.training.gradient_cache import StreamingCachedLoss
        from pagetune.training.references import Column, ReferenceCollator
        from pagetune.training.representations import Vectors

        self.device, self.optimizer = device, optimizer
        asked, shown, refer, self.feeder = feed(model, pages, device)
        lengths = refer.lengths
        columns = {
            "query": Column(asked, lambda text: reference(text, text, lengths.text(text, asked))),
            "image": Column(shown, refer),
            "negative_0": Column(shown, refer),
        }
        collate = ReferenceCollator(columns, self.feeder)
        rows = [
            {"query": query, "image": place, "negative_0": len(queries) + place} for place, query in enumerate(queries)
        ]
        budget, trials = measure(model, Vectors, self.feeder.prepare, [refer(0)], shown)
        inner = CachedMultipleNegativesRankingLoss(model, mini_batch_size=256)
        self.loss = StreamingCachedLoss(matryoshka(model, inner), budget)
        self.collate = lambda: [{"input_ids": column} for column in collate(rows).values()]
        pace = ", ".join(f"{trial.items}: {trial.tokens / trial.seconds:,.0f}" for trial in trials)
        self.told = (
            f"engine's budget: {budget.tokens:,} tokens, {trials[-1].items} pages (tokens a second by pages: {pace}); "
            f"{budget.keep_bytes / 2**30:.1f} GiB of graphs; {self.feeder.workers} workers"
        )

    def step(self) -> Step:
        return made(self.device, self.collate, self.loss, self.optimizer)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.feeder.close()


class Optimizer:
    """AdamW over what is trained, its numbers there from the beginning, and all of it gone at the end."""

    def __init__(self, model: Any) -> None:
        self.model = model
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._adam: Any = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0, fused=True)
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        self.step()

    def step(self) -> None:
        """Of rate 0, so that every step has the same loss."""
        self._adam.step()
        self.model.zero_grad(set_to_none=True)

    def __enter__(self) -> Optimizer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._adam = None
        free()


def made(device: torch.device, collate: Callable[[], Any], loss: Any, optimizer: Optimizer) -> Step:
    """A step of the trainer."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    torch.manual_seed(3)
    wait(device)
    began = time.perf_counter()
    features = collate()
    wait(device)
    collated = time.perf_counter()
    value = loss(features, None)
    value.backward()
    optimizer.step()
    wait(device)
    seconds = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Step(seconds, collated - began, peak, value.detach().item())


def matryoshka(model: Any, inner: Any) -> Any:
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

    from _qwen3_vl_2b import DIMENSIONS

    width = model.get_embedding_dimension()
    return MatryoshkaLoss(model, inner, [size for size in DIMENSIONS if size <= width])


@contextmanager
def as_trained(model: Any, device: torch.device) -> Iterator[None]:
    """The forward pass inside autocast, as the trainer puts it there with bf16=True."""
    model.forward = torch.autocast(device.type, torch.bfloat16)(model.forward)
    try:
        yield
    finally:
        del model.forward


def reference(place: Any, key: str, length: int) -> Any:
    from pagetune.training.feeding import Reference

    return Reference(place, key, length, key)


class Refer:
    """From a page's number to a reference to it; how large they are is read once."""

    def __init__(self, model: Any, route: Any, pages: list[bytes]) -> None:
        from pagetune.training.lengths import Lengths

        self.lengths = Lengths(model)
        size = Image.open(io.BytesIO(pages[0])).size
        self._length = self.lengths.picture(*size, route)

    def __call__(self, place: int) -> Any:
        return reference(place, f"page {place}", self._length)


def feed(model: Any, pages: list[bytes], device: torch.device) -> tuple[Any, Any, Refer, Any]:
    """Routes of queries and of pages, references to the pages, and the feeder, with as many workers as `fit` has."""
    from pagetune.training.feeding import Feeder, Preparer, Route

    asked, shown = Route(), Route(pictures=True)
    workers = max(1, min(8, (os.cpu_count() or 1) - 1)) if device.type == "cuda" else 1
    feeder = Feeder(Preparer(model.preprocess, lambda place: decode(pages[place])), workers=workers)
    return asked, shown, Refer(model, shown, pages), feeder


def encode_plain(model: Any, pages: list[bytes], size: int) -> Any:
    return model.encode_document(
        [decode(page) for page in pages], batch_size=size, convert_to_tensor=True, show_progress_bar=False
    )


class StreamingEncoder:
    """Pages through the feeder into vectors, mini-batches cut by tokens."""

    def __init__(self, model: Any, pages: list[bytes], device: torch.device) -> None:
        self.model, self.device = model, device
        _, self.route, refer, self.feeder = feed(model, pages, device)
        self.entries = [refer(place) for place in range(len(pages))]

    def __call__(self, count: int, size: int) -> Any:
        """Vectors of the first `count` pages, as many tokens at a time as `size` pages have."""
        from pagetune.training.feeding import Job
        from pagetune.training.mini_batches import Budget, cut

        lengths = [entry.length for entry in self.entries[:count]]
        groups = cut(lengths, [self.route] * count, Budget(tokens=size * max(lengths)))
        jobs = [Job(tuple(self.entries[place] for place in group), self.route) for group in groups]
        found: list[Any] = [None] * count
        with torch.inference_mode():
            for group, features in zip(groups, self.feeder.stream(jobs, self.device), strict=True):
                vectors = self.model(features)["sentence_embedding"]
                for place, vector in zip(group, vectors, strict=True):
                    found[place] = vector
            return torch.stack(found)

    def __enter__(self) -> StreamingEncoder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.feeder.close()


def decode(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def on(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value


def timed(device: torch.device, work: Callable[[], Any]) -> float:
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
