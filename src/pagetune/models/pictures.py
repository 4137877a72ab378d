"""Page images and queries into vectors, by any model that takes images: one vector an input, or one a token.

A page is encoded once: its vectors are kept under its content, the model's weights and what it is loaded with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pagetune.errors import ModelError
from pagetune.models.encoding import Matrix, PageVectors, fingerprint_model
from pagetune.models.hardware import bfloat16_where_fast, has_bfloat16
from pagetune.models.late_interaction import is_late
from pagetune.models.vector_cache import VectorCache
from pagetune.progress import SILENT, Progress

if TYPE_CHECKING:
    from PIL.Image import Image

Load = Callable[[Sequence[str]], Iterator["Image"]]
"""Page ids -> their images, in that order."""

PAGES_AT_ONCE = 64
"""Pages encoded between two writes to the disk: what a kill can cost."""


def encode_pictures(
    model: Any,
    keys: Mapping[str, str],
    load: Load,
    *,
    batch_size: int = 8,
    token_pooling: int = 1,
    cache: Path | None = None,
    progress: Progress = SILENT,
) -> PageVectors:
    """Encode the page images that `load` gives for the ids of `keys` (page id -> hash of its content).

    A dense model gives a vector a page, a late-interaction one a vector a token, of which `token_pooling` leaves one
    in so many (hierarchical clustering; Clavié et al., 2024). Vectors have length 1. Pages of the same content are
    encoded once. Raises ModelError for a model that takes no images.
    """
    if not model.supports("image"):
        raise ModelError(f"the model takes {model.modalities}, not images; choose one that does, or read the pages")
    named = {page: _key(key) for page, key in keys.items()}
    store = VectorCache(None if cache is None else cache / f"{identity(model)}-pool{token_pooling}")
    found = store.find(set(named.values()))
    missing: dict[bytes, str] = {}
    for page, key in named.items():
        if key not in found:
            missing.setdefault(key, page)
    with progress.task("encode pages", len(missing), "pages") as task:
        todo = list(missing.items())
        for start in range(0, len(todo), PAGES_AT_ONCE):
            group = todo[start : start + PAGES_AT_ONCE]
            images = list(load([page for _, page in group]))
            made = _encode_pages(model, images, batch_size, token_pooling)
            fresh = {key: vectors for (key, _), vectors in zip(group, made, strict=True)}
            store.add(fresh)
            found.update(fresh)
            task.advance(len(group))
    return _gather(list(named), [found[key] for key in named.values()])


def encode_texts(model: Any, texts: Sequence[str], batch_size: int = 32) -> list[Matrix]:
    """float32 [vectors, dimension] for each query, each vector of length 1; a dense model gives one."""
    if not len(texts):
        return []
    with bfloat16_where_fast(model.device, _autocast(model)):
        found = model.encode_query(list(texts), batch_size=batch_size, show_progress_bar=False, **_options(model))
    return _matrices(found)


def identity(model: Any) -> str:
    """A digest of what decides a vector: weights, settings, prompts, pixel bounds, precision."""
    bounds = getattr(getattr(model[0], "processor", None), "image_processor", None)
    told = [model.prompts, str(getattr(bounds, "size", "")), has_bfloat16(model.device), str(model.dtype)]
    return hashlib.sha256(f"{fingerprint_model(model)}{told}".encode()).hexdigest()[:32]


def _encode_pages(model: Any, images: list[Image], batch_size: int, pooling: int) -> list[Matrix]:
    with bfloat16_where_fast(model.device, _autocast(model)):
        found = model.encode_document(images, batch_size=batch_size, show_progress_bar=False, **_options(model))
    if is_late(model) and pooling > 1:
        from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

        # Here, not inside `encode_document`: its distances are not made for autocast.
        found = HierarchicalTokenPooling(pooling).pool([tokens.float() for tokens in found])
    return _matrices(found)


def _options(model: Any) -> dict[str, Any]:
    return {} if is_late(model) else {"convert_to_tensor": True, "normalize_embeddings": True}


def _autocast(model: Any) -> bool | None:
    """No autocast over weights that are of half precision already."""
    import torch

    return None if model.dtype in (None, torch.float32) else False


def _matrices(found: Any) -> list[Matrix]:
    made = []
    for entry in found:
        vectors = np.atleast_2d(entry.detach().float().cpu().numpy() if hasattr(entry, "detach") else np.asarray(entry))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        made.append(np.ascontiguousarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32))
    return made


def _key(content: str) -> bytes:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()


def _gather(ids: list[str], parts: list[Matrix]) -> PageVectors:
    vectors = np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
    bounds = np.cumsum([0, *(len(part) for part in parts)])
    owner = np.repeat(np.arange(len(parts), dtype=np.int64), [stop - start for start, stop in pairwise(bounds)])
    return PageVectors(tuple(ids), vectors, owner)
