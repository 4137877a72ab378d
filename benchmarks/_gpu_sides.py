"""Both sides of the GPU benchmark: Sentence Transformers' own step and encoding, and those of Pagetune."""

from __future__ import annotations

import gc
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
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
    """The same loss, streaming. Made before the optimizer has its numbers: a fit finds its budget before its first
    step too, with room set aside for them."""

    def __init__(self, model: Any, queries: list[str], pages: list[bytes], device: torch.device) -> None:
        from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

        from pagetune.training.budget import measure
        from pagetune.training.feeding import Preparer, Reference, Route, workers_beside
        from pagetune.training.gradient_cache import StreamingCachedLoss
        from pagetune.training.lengths import Lengths
        from pagetune.training.references import Column
        from pagetune.training.representations import Vectors

        self.model, self.device = model, device
        asked, shown, lengths = Route(), Route(pictures=True), Lengths(model)
        width, height = size_of(pages[0])

        def refer(place: int) -> Reference:
            return Reference(place, f"page {place}", lengths.picture(width, height, shown), f"page {place}")

        self.columns = {
            "query": Column(asked, lambda text: Reference(text, text, lengths.text(text, asked))),
            "image": Column(shown, refer),
            "negative_0": Column(shown, refer),
        }
        self.rows = [
            {"query": query, "image": place, "negative_0": len(queries) + place} for place, query in enumerate(queries)
        ]
        self.prepare = Preparer(model.preprocess, lambda place: decode(pages[place]))
        self.feeder: Any = None
        self.employ(workers_beside(device))
        with as_loaded(model):
            budget, trials = measure(model, Vectors, self.prepare, [refer(0)], shown)
        inner = CachedMultipleNegativesRankingLoss(model, mini_batch_size=256)
        self.loss = StreamingCachedLoss(matryoshka(model, inner), budget)
        pace = ", ".join(f"{trial.items}: {trial.tokens / trial.seconds:,.0f}" for trial in trials)
        self.told = (
            f"engine's budget: {budget.tokens:,} tokens, {trials[-1].items} pages (tokens a second by pages: {pace}); "
            f"{budget.keep_bytes / 2**30:.1f} GiB of graphs"
        )

    def employ(self, workers: int) -> None:
        """From the next step on, with so many workers."""
        from pagetune.training.feeding import Feeder
        from pagetune.training.references import ReferenceCollator

        if self.feeder is not None:
            self.feeder.close()
        self.feeder = Feeder(self.prepare, workers=workers)
        collate = ReferenceCollator(self.columns, self.feeder)
        self.collate = lambda: [{"input_ids": column} for column in collate(self.rows).values()]

    def step(self, optimizer: Optimizer) -> Step:
        with as_loaded(self.model):
            return made(self.device, self.collate, self.loss, optimizer)

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


@contextmanager
def as_loaded(model: Any) -> Iterator[None]:
    """The model as Pagetune's `load_model` has it, its vision patches multiplied; upstream's again afterwards."""
    from pagetune.models.patches import PatchConvolution, multiply_patches

    multiply_patches(model)
    try:
        yield
    finally:
        for module in model.modules():
            if type(module) is PatchConvolution:
                module.__class__ = torch.nn.Conv3d


def encode_plain(model: Any, pages: list[bytes], size: int) -> Any:
    """Upstream's: float32 vectors, `size` pages at a time."""
    return model.encode_document(
        [decode(page) for page in pages], batch_size=size, convert_to_tensor=True, show_progress_bar=False
    )


def encode_here(model: Any, pages: list[bytes], workers: int) -> Any:
    """Pagetune's own, as `evaluate`, `mine` and `index` call it, nothing kept on disk; its workers are begun too."""
    from pagetune.training.page_encoding import PageImages, encode_pictures

    size = size_of(pages[0])
    images = PageImages(
        keys={str(place): f"page {place}" for place in range(len(pages))},
        image=lambda page: decode(pages[int(page)]),
        size=lambda page: size,
    )
    # The defaults of the recipe's keys, whose own class needs pydantic.
    recipe: Any = SimpleNamespace(encode_batch=None, encode_tokens="auto", token_pooling=1)
    with as_loaded(model):
        return torch.from_numpy(encode_pictures(model, images, recipe, workers=workers).vectors)


def size_of(content: bytes) -> tuple[int, int]:
    """Of a page, as it lies there."""
    return Image.open(io.BytesIO(content)).size


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
