"""Encoding a collection: shapes, masks, the cache and what a kill leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pagetune.errors import ModelError
from pagetune.models import encoding
from pagetune.models.encoding import encode_pages, encode_queries, encode_readings, fingerprint_model
from pagetune.models.vector_cache import VectorCache
from pagetune.recipe import ModelRecipe
from pagetune.records import Page

RECIPE = ModelRecipe(chunk_tokens=16, chunk_overlap=4)


def count_passes(model: Any) -> list[int]:
    """The number of passages of every pass through the model, from now on."""
    passes: list[int] = []
    model[0].register_forward_pre_hook(lambda _, args: passes.append(len(args[0]["input_ids"])))
    return passes


def test_every_passage_belongs_to_its_page(tiny_model: Any, topic_pages: Sequence[Page]) -> None:
    found = encode_pages(tiny_model, topic_pages, {}, RECIPE)
    passages = tiny_model[0].passages([page.text() for page in topic_pages])
    assert found.ids == tuple(page.id for page in topic_pages)
    assert np.bincount(found.owner).tolist() == [len(entry) for entry in passages]
    assert (np.diff(found.owner) >= 0).all()
    assert found.vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    expected = tiny_model.encode(topic_pages[5], output_value="token_embeddings").numpy()
    assert (found.vectors[found.owner == 5] * expected).sum(axis=1).min() > 0.999


def test_pooled_is_one_vector_a_page(tiny_model: Any, topic_pages: Sequence[Page]) -> None:
    found = encode_pages(tiny_model, topic_pages, {}, ModelRecipe(page_vectors="pooled"))
    assert found.owner.tolist() == list(range(40))
    assert (found.vectors * tiny_model.encode(list(topic_pages))).sum(axis=1).min() > 0.999


def test_mask_takes_words_away(tiny_model: Any, page_maker: Callable[..., Page]) -> None:
    page, without = page_maker("a-0001", "lawn oboe\nhedge"), page_maker("a-0002", "lawn\nhedge")
    rect = tuple(map(float, page.boxes[1]))
    found = encode_pages(tiny_model, [page, without], {page.id: [rect]}, RECIPE)  # type: ignore[dict-item]
    np.testing.assert_array_equal(found.vectors[0], found.vectors[1])


def test_cache_gives_the_same_vectors_without_the_model(
    tiny_model: Any, topic_pages: Sequence[Page], tmp_path: Path
) -> None:
    first = encode_pages(tiny_model, topic_pages[:20], {}, RECIPE, tmp_path)
    passes = count_passes(tiny_model)
    again = encode_pages(tiny_model, topic_pages[10:20], {}, RECIPE, tmp_path)
    assert passes == []
    np.testing.assert_array_equal(again.vectors, first.vectors[first.owner >= 10])
    encode_pages(tiny_model, topic_pages[:30], {}, RECIPE, tmp_path)
    assert sum(passes) == sum(len(entry) for entry in tiny_model[0].passages([p.text() for p in topic_pages[20:30]]))


def test_killed_encoding_goes_on_from_the_last_shard(
    tiny_model: Any, topic_pages: Sequence[Page], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "PAGES_AT_ONCE", 8)
    whole = encode_pages(tiny_model, topic_pages, {}, RECIPE)
    kept = VectorCache.add

    def die_at_the_third(self: VectorCache, vectors: Any) -> None:
        if self.folder is not None and len(list(self.folder.glob("*.npz"))) == 2:
            raise KeyboardInterrupt
        kept(self, vectors)

    with monkeypatch.context() as patch:
        patch.setattr(VectorCache, "add", die_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            encode_pages(tiny_model, topic_pages, {}, RECIPE, tmp_path)
    passes = count_passes(tiny_model)
    found = encode_pages(tiny_model, topic_pages, {}, RECIPE, tmp_path)
    np.testing.assert_array_equal(found.vectors, whole.vectors)
    assert sum(passes) == int((whole.owner >= 16).sum())


def test_damaged_shard_counts_as_missing(tiny_model: Any, topic_pages: Sequence[Page], tmp_path: Path) -> None:
    first = encode_pages(tiny_model, topic_pages[:4], {}, RECIPE, tmp_path)
    [shard] = tmp_path.rglob("*.npz")
    shard.write_bytes(shard.read_bytes()[:100])
    again = encode_pages(tiny_model, topic_pages[:4], {}, RECIPE, tmp_path)
    np.testing.assert_array_equal(again.vectors, first.vectors)


def test_fingerprint_sees_weights_and_settings(tiny_model: Any) -> None:
    import torch

    before = fingerprint_model(tiny_model)
    tiny_model[0].chunk_tokens = 20
    resized = fingerprint_model(tiny_model)
    with torch.no_grad():
        next(tiny_model.parameters())[0, 0] += 1
    assert len({before, resized, fingerprint_model(tiny_model)}) == 3


def test_queries_and_empty_collections(tiny_model: Any) -> None:
    assert encode_queries(tiny_model, []).shape == (0, 32)
    found = encode_pages(tiny_model, [], {}, RECIPE)
    assert (found.ids, found.vectors.shape, found.owner.shape) == ((), (0, 32), (0,))
    vectors = encode_queries(tiny_model, ["lawn hedge", "oboe"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_what_has_been_read_is_encoded_as_the_pages_are(
    tiny_model: Any, topic_pages: Sequence[Page], tmp_path: Path
) -> None:
    pages = encode_pages(tiny_model, topic_pages[:5], {}, RECIPE, tmp_path)
    passes = count_passes(tiny_model)
    found = encode_readings(tiny_model, {page.id: page.text() for page in topic_pages[:5]}, RECIPE, tmp_path)
    assert passes == []
    assert found.ids == pages.ids
    np.testing.assert_array_equal(found.vectors, pages.vectors)
    np.testing.assert_array_equal(found.owner, pages.owner)


def test_another_model_encodes_page_texts(tiny_folder: Path, topic_pages: Sequence[Page], tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_folder), local_files_only=True)
    found = encode_pages(model, topic_pages[:3], {}, RECIPE, tmp_path)
    assert found.owner.tolist() == [0, 1, 2]
    expected = encode_queries(model, [page.text() for page in topic_pages[:3]])
    assert (found.vectors * expected).sum(axis=1).min() > 0.999


def test_a_model_without_text_is_refused(topic_pages: Sequence[Page]) -> None:
    class Blind:
        modalities = ("image",)

        def __getitem__(self, place: int) -> None:
            return None

        def supports(self, modality: str) -> bool:
            return modality in self.modalities

    with pytest.raises(ModelError, match="not text; encode_pictures"):
        encode_pages(Blind(), topic_pages[:1], {}, RECIPE)  # type: ignore[arg-type]
