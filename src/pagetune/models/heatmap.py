"""Where on a page a late-interaction model finds the words of a query: its token vectors, and their places.

Only where the places are known for certain: from the grid that the processor itself reports (Qwen-VL), or from its
fixed square of patches (PaliGemma). A model that cuts a page into tiles gives no such grid, and then no map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import ModelError
from pagetune.models.hardware import bfloat16_where_fast

if TYPE_CHECKING:
    from PIL.Image import Image

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class QueryTokens:
    """The tokens of a query's own text, as they are read, and their vectors: float32 [tokens, dimension], length 1."""

    texts: tuple[str, ...]
    vectors: Array


def page_patches(model: Any, image: Image) -> Array:
    """float32 [rows, columns, dimension]: a page's vectors by their places from the top left, each of length 1.

    Raises ModelError, with the reason, where it is not known which vector stands for which part of the page.
    """
    columns, rows = _grid(model, image)
    features = _features(model, image, "document")
    ids = features.get("input_ids")
    marker = _image_token(model)
    if ids is None or marker is None:
        raise ModelError("the model does not say which of its vectors are of the picture")
    vectors = _vectors(features)[(ids == marker).cpu().numpy()]
    if len(vectors) != rows * columns:
        raise ModelError(f"the model has {len(vectors)} vectors of the picture for a grid of {rows} × {columns}")
    return vectors.reshape(rows, columns, -1)


def query_tokens(model: Any, text: str) -> QueryTokens:
    """The query's own tokens, without what the model writes around it; all that count, where its own are not found."""
    features = _features(model, text, "query")
    counted = features["attention_mask"].bool().cpu().numpy()
    vectors = _vectors(features)[counted]
    ids = features["input_ids"].cpu().tolist()
    ids = [token for token, counts in zip(ids, counted, strict=True) if counts]
    own = own_tokens([model.tokenizer.decode(ids[:end]) for end in range(1, len(ids) + 1)], text)
    return QueryTokens(tuple(model.tokenizer.decode([token]).removeprefix("##") for token in ids[own]), vectors[own])


def similarity(tokens: QueryTokens, patches: Array) -> Array:
    """float32 [tokens, rows, columns]: the cosine of each token with each part of the page."""
    return np.einsum("td,rcd->trc", tokens.vectors, patches)


def own_tokens(read: list[str], text: str) -> slice:
    """Which tokens make up `text`, spaces and case aside; all where it is not found.

    `read` holds what is read up to and with each token: a character may be written by several of them. Comparing the
    input with that of an empty query would be simpler, but words are cut otherwise at such an edge.
    """
    wanted = _squeezed(text)
    start = _squeezed(read[-1]).rfind(wanted) if read else -1
    if not wanted or start < 0:
        return slice(0, len(read))
    # What stands for a character of which some bytes are still to come counts for nothing.
    ends = np.maximum.accumulate([len(_squeezed(part.rstrip("\ufffd"))) for part in read])
    first = int(np.searchsorted(ends, start, side="right"))
    return slice(first, int(np.searchsorted(ends, start + len(wanted), side="left")) + 1)


def _squeezed(text: str) -> str:
    return "".join(text.split()).casefold()


def _grid(model: Any, image: Image) -> tuple[int, int]:
    from sentence_transformers.multi_vector_encoder.interpretability import get_n_patches

    try:
        columns, rows = get_n_patches(model, image.size)
    except NotImplementedError:
        raise ModelError("the model cuts a page into tiles, whose vectors stand in no one grid") from None
    except Exception:
        raise ModelError("the model's processor does not say on which grid of patches it lays a page") from None
    return columns, rows


def _image_token(model: Any) -> int | None:
    """The id that the tokenizer gives the mark of a patch: the processor's own number is not everywhere right."""
    mark = getattr(model.processor, "image_token", None)
    return None if mark is None else int(model.tokenizer.convert_tokens_to_ids(mark))


def _features(model: Any, given: Any, task: str) -> dict[str, Any]:
    """One input through the model, token by token, as `encode_document` and `encode_query` see it."""
    import torch

    # Weights of half precision need no autocast.
    wanted = None if model.dtype in (None, torch.float32) else False
    encode = model.encode_query if task == "query" else model.encode_document
    with bfloat16_where_fast(model.device, wanted):
        found: dict[str, Any] = encode([given], output_value=None, show_progress_bar=False)[0]
    return found


def _vectors(features: dict[str, Any]) -> Array:
    vectors = features["token_embeddings"].detach().float().cpu().numpy()
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
