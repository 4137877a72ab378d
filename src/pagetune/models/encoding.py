"""Pages and queries into vectors, each page once: kept on disk by content, continued after a kill.

A page's vectors depend on the model, its settings and the page's masked text, and are kept under a digest of
these three; mining, evaluation and the index so share them wherever they see the same text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import ModelError
from pagetune.models.hardware import bfloat16_where_fast, has_bfloat16
from pagetune.models.placement import stored_tensors
from pagetune.models.vector_cache import VectorCache
from pagetune.progress import SILENT, Progress
from pagetune.records import Page, Rect

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pagetune.recipe import ModelRecipe

PAGES_AT_ONCE = 256
"""Pages encoded between two writes to the disk: what a kill can cost."""

TOKENS_AT_ONCE = 4096
"""Tokens, padding included, of one pass through the model."""

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PageVectors:
    """The vectors of a collection of pages.

    `vectors` is float32 [n, dimension], each of length 1; `owner` int64 [n], never falling, says which of `ids`
    a vector belongs to. Every page has at least one vector.
    """

    ids: tuple[str, ...]
    vectors: Matrix
    owner: NDArray[np.int64]


def encode_pages(
    model: SentenceTransformer,
    pages: Sequence[Page],
    masks: Mapping[str, Sequence[Rect]],
    recipe: ModelRecipe,
    cache: Path | None = None,
    progress: Progress = SILENT,
) -> PageVectors:
    """Encode the texts of the pages without the words inside `masks` (page id -> rectangles), as `encode_readings`."""
    return _encode(
        model,
        [page.id for page in pages],
        # Made when it is asked for: the texts of a large collection would be there twice.
        lambda place: pages[place].text(masks.get(pages[place].id, ())),
        recipe,
        cache,
        progress,
    )


def encode_readings(
    model: SentenceTransformer,
    texts: Mapping[str, str],
    recipe: ModelRecipe,
    cache: Path | None = None,
    progress: Progress = SILENT,
) -> PageVectors:
    """Encode pages by what has been read on them: page id -> text, a line of the page a line.

    A model that begins with a PageReader gives a vector a passage (recipe.page_vectors "chunks") or a page
    ("pooled"); any other model gives a vector a page. `cache` is a folder for the vectors; without it nothing is kept.
    Raises ModelError where the model takes no text.
    """
    read = list(texts.values())
    return _encode(model, list(texts), read.__getitem__, recipe, cache, progress)


def _encode(
    model: SentenceTransformer,
    ids: Sequence[str],
    text_of: Callable[[int], str],
    recipe: ModelRecipe,
    cache: Path | None,
    progress: Progress,
) -> PageVectors:
    encoder = _encoder(model, recipe)
    keys = [_key(text_of(place)) for place in range(len(ids))]
    store = VectorCache(None if cache is None else cache / f"{fingerprint_model(model)}-{encoder.name}")
    found = store.find(set(keys))
    missing = {key: place for place, key in enumerate(keys) if key not in found}
    with progress.task("encode pages", len(missing), "pages") as task:
        for group in _groups(list(missing.items())):
            made = encoder.encode([text_of(place) for _, place in group])
            fresh = {key: vectors for (key, _), vectors in zip(group, made, strict=True)}
            store.add(fresh)
            found.update(fresh)
            task.advance(len(group))
    return _gather(ids, [found[key] for key in keys], model.get_embedding_dimension() or 0)


def encode_queries(model: SentenceTransformer, texts: Sequence[str]) -> Matrix:
    """float32 [n, dimension], each of length 1, in the order of the texts."""
    if not len(texts):
        return np.zeros((0, model.get_embedding_dimension() or 0), dtype=np.float32)
    with bfloat16_where_fast(model.device):
        vectors = model.encode_query(
            list(texts), batch_size=64, show_progress_bar=False, convert_to_tensor=True, normalize_embeddings=True
        )
    return np.ascontiguousarray(vectors.float().cpu().numpy())


def fingerprint_model(model: SentenceTransformer) -> str:
    """A digest of everything that decides a vector: the weights, the modules and their settings."""
    import torch

    digest = hashlib.sha256()
    for module in model:
        digest.update(f"{type(module).__name__}{_settings(module)}".encode())
    prompts = sorted((name, prompt) for name, prompt in model.prompts.items() if prompt)
    shorter = getattr(model, "truncate_dim", None)
    if prompts or shorter:
        digest.update(f"{prompts}{shorter}".encode())
    for name, tensor in stored_tensors(model):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        # As bytes: numpy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


class _PassageEncoder:
    """A vector a passage, or their mean, through a model that begins with a PageReader."""

    def __init__(self, model: SentenceTransformer, pooled: bool) -> None:
        self.model = model
        self.reader: Any = model[0]
        self.pooled = pooled
        self.name = ("pooled" if pooled else "chunks") + _precision(model)

    def encode(self, texts: Sequence[str]) -> list[Matrix]:
        cut_pages = self.reader.passages(texts)
        vectors = self._embed([passage.ids for page in cut_pages for passage in page])
        bounds = np.cumsum([0, *(len(page) for page in cut_pages)])
        parts = [vectors[start:stop] for start, stop in pairwise(bounds)]
        return [_unit(part.mean(axis=0, keepdims=True)) for part in parts] if self.pooled else parts

    def _embed(self, passages: list[tuple[int, ...]]) -> Matrix:
        import torch

        order = sorted(range(len(passages)), key=lambda position: -len(passages[position]))
        vectors = np.zeros((len(passages), self.model.get_embedding_dimension() or 0), dtype=np.float32)
        device = self.model.device
        self.model.eval()
        with torch.inference_mode(), bfloat16_where_fast(device):
            for batch in _batches(order, [len(passages[position]) + 2 for position in order]):
                features = self.reader.features([[passages[position]] for position in batch])
                moved = {name: tensor.to(device) for name, tensor in features.items()}
                vectors[batch] = self.model(moved)["sentence_embedding"].float().cpu().numpy()
        return vectors


class _PageEncoder:
    """A vector a page, through any model's own `encode_document`."""

    def __init__(self, model: SentenceTransformer) -> None:
        if not model.supports("text"):
            raise ModelError(f"the model takes {model.modalities}, not text; encode_pictures encodes the pages' images")
        self.model = model
        self.name = "text" + _precision(model)

    def encode(self, texts: Sequence[str]) -> list[Matrix]:
        with bfloat16_where_fast(self.model.device):
            vectors = self.model.encode_document(
                list(texts), show_progress_bar=False, convert_to_tensor=True, normalize_embeddings=True
            )
        return list(vectors.float().cpu().numpy()[:, None, :])


def _encoder(model: SentenceTransformer, recipe: ModelRecipe) -> _PassageEncoder | _PageEncoder:
    from pagetune.models.page_reader import PageReader

    if isinstance(model[0], PageReader):
        return _PassageEncoder(model, recipe.page_vectors == "pooled")
    return _PageEncoder(model)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _precision(model: SentenceTransformer) -> str:
    return "-bf16" if has_bfloat16(model.device) else "-fp32"


def _settings(module: Any) -> str:
    settings = module.get_config_dict() if hasattr(module, "get_config_dict") else {}
    return repr(sorted(settings.items(), key=lambda item: item[0]))


def _groups(items: list[tuple[bytes, int]]) -> Iterator[list[tuple[bytes, int]]]:
    for start in range(0, len(items), PAGES_AT_ONCE):
        yield items[start : start + PAGES_AT_ONCE]


def _batches(order: list[int], lengths: list[int]) -> Iterator[list[int]]:
    """`order`, longest first, in slices of at most TOKENS_AT_ONCE tokens."""
    begin = 0
    while begin < len(order):
        end = begin + max(1, TOKENS_AT_ONCE // lengths[begin])
        yield order[begin:end]
        begin = end


def _gather(ids: Sequence[str], parts: list[Matrix], dimension: int) -> PageVectors:
    vectors = np.concatenate(parts) if parts else np.zeros((0, dimension), dtype=np.float32)
    owner = np.repeat(np.arange(len(parts), dtype=np.int64), [len(part) for part in parts])
    return PageVectors(tuple(ids), vectors, owner)


def _unit(vectors: Matrix) -> Matrix:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
