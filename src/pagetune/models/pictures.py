"""Page images and queries into vectors, by any model that takes images: one vector an input, or one a token.

Here is what a model makes of inputs; which pages go through it when is the engine's affair, `training.page_encoding`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pagetune.models.encoding import Matrix, PageVectors, fingerprint_model
from pagetune.models.hardware import bfloat16_where_fast, has_bfloat16
from pagetune.models.inspect import is_late

TEXT_TOKENS = 8192
"""Of queries, padding included, that go through a model together: about those of one large page."""


def encode_texts(model: Any, texts: Sequence[str]) -> list[Matrix]:
    """float32 [vectors, dimension] for each query, each vector of length 1; a dense model gives one.

    Sentence Transformers sorts them by length; how many go through the model together is found by the longest. They are
    too short to be worth processes that prepare them, and to count the tokens of each would take longer than it saves.
    """
    if not len(texts):
        return []
    batch_size = _texts_at_once(model, texts)
    with bfloat16_where_fast(model.device, _autocast(model)):
        found = model.encode_query(list(texts), batch_size=batch_size, show_progress_bar=False, **_options(model))
    return matrices(found)


def identity(model: Any) -> str:
    """A digest of what decides a vector: weights, settings, prompts, pixel bounds, precision."""
    bounds = getattr(getattr(model[0], "processor", None), "image_processor", None)
    told = [model.prompts, str(getattr(bounds, "size", "")), has_bfloat16(model.device), str(model.dtype)]
    return hashlib.sha256(f"{fingerprint_model(model)}{told}".encode()).hexdigest()[:32]


def document_prompt(model: Any) -> str | None:
    """What `encode_document` puts before a page."""
    names = ("document", "passage", "corpus")
    return next((model.prompts[name] for name in names if name in model.prompts), None)


def forward_pages(model: Any, features: dict[str, Any]) -> tuple[Any, Any]:
    """Preprocessed pages through the model, as `encode_document` leads them: a tensor [pages, vectors, dimension] on
    its device, and bool [pages, vectors], which of them count; None: all do."""
    import torch

    with torch.inference_mode(), bfloat16_where_fast(model.device, _autocast(model)):
        made = model(features, task="document")
        if is_late(model):
            return made["token_embeddings"], made["attention_mask"].bool()
        return made["sentence_embedding"][:, None, : model.truncate_dim], None


def split_pages(vectors: Any, counts: Any) -> list[Matrix]:
    """Of each page what `forward_pages` made of it, on the host: float32, each vector of length 1."""
    return matrices(vectors if counts is None else (page[own] for page, own in zip(vectors, counts, strict=True)))


def pool_tokens(pages: Sequence[Matrix], pooling: int) -> list[Matrix]:
    """Of a page's token vectors one in so many (hierarchical clustering; Clavié et al., 2024), each of length 1."""
    import torch
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    return matrices(HierarchicalTokenPooling(pooling).pool([torch.from_numpy(tokens) for tokens in pages]))


def matrices(found: Any) -> list[Matrix]:
    """float32 [vectors, dimension] for each entry, a tensor or an array, each vector of length 1."""
    made = []
    for entry in found:
        vectors = np.atleast_2d(entry.detach().float().cpu().numpy() if hasattr(entry, "detach") else np.asarray(entry))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        made.append(np.ascontiguousarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32))
    return made


def gather(ids: Sequence[str], parts: Sequence[Matrix]) -> PageVectors:
    """The pages' vectors as one collection."""
    vectors = np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
    bounds = np.cumsum([0, *(len(part) for part in parts)])
    owner = np.repeat(np.arange(len(parts), dtype=np.int64), [stop - start for start, stop in pairwise(bounds)])
    return PageVectors(tuple(ids), vectors, owner)


def _texts_at_once(model: Any, texts: Sequence[str]) -> int:
    """On a CPU more at a time are no faster."""
    longest = model.preprocess([max(texts, key=len)], prompt=model.prompts.get("query"), task="query")
    tokens = max(1, longest["attention_mask"].numel()) if "attention_mask" in longest else 1
    return max(1, min(256 if model.device.type == "cuda" else 32, TEXT_TOKENS // tokens))


def _options(model: Any) -> dict[str, Any]:
    return {} if is_late(model) else {"convert_to_tensor": True, "normalize_embeddings": True}


def _autocast(model: Any) -> bool | None:
    """No autocast over weights that are of half precision already."""
    import torch

    return None if model.dtype in (None, torch.float32) else False
