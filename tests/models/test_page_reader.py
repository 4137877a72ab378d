"""The page reader: what it takes, what comes out, that it survives saving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetune.errors import ModelError
from pagetune.models.light import light_weights
from pagetune.models.loading import load_model
from pagetune.models.passages import PageText, cut
from pagetune.recipe import ModelRecipe
from pagetune.records import Page


@given(
    length=st.integers(0, 400),
    size=st.integers(2, 60),
    share=st.floats(0, 0.9),
    breaks=st.lists(st.integers(1, 399), unique=True).map(sorted),
)
def test_windows_cover_everything_in_order(length: int, size: int, share: float, breaks: list[int]) -> None:
    overlap = min(size - 1, int(size * share))
    windows = cut(length, breaks, size, overlap)
    assert windows[0][0] == 0
    assert windows[-1][1] == length
    assert all(stop - start <= size for start, stop in windows)
    for (start, stop), (following, end) in pairwise(windows):
        assert start < following <= stop
        assert stop - following <= overlap
        assert stop < end


def test_windows_end_with_lines() -> None:
    assert cut(30, [9, 18, 27], 10, 0) == [(0, 9), (9, 18), (18, 27), (27, 30)]
    assert cut(30, [3, 18], 10, 0) == [(0, 10), (10, 18), (18, 28), (28, 30)]
    assert cut(30, [9, 14, 18, 27], 12, 4) == [(0, 9), (9, 18), (14, 26), (26, 30)]


def test_page_has_a_vector_for_every_passage(tiny_model: Any, topic_pages: Sequence[Page]) -> None:
    passages = tiny_model[0].passages([page.text() for page in topic_pages[:3]])
    found = tiny_model.encode(list(topic_pages[:3]), output_value="token_embeddings")
    assert [len(vectors) for vectors in found] == [len(entry) for entry in passages]
    assert all(len(entry) > 1 for entry in passages)
    text = topic_pages[0].text()
    alone = tiny_model.encode([text[passage.start : passage.stop] for passage in passages[0]])
    np.testing.assert_allclose(found[0].numpy(), alone, atol=1e-5)


def test_pooled_vector_is_the_mean_of_the_passages(tiny_model: Any, topic_pages: Sequence[Page]) -> None:
    page = topic_pages[0]
    mean = tiny_model.encode(page, output_value="token_embeddings").numpy().mean(axis=0)
    np.testing.assert_allclose(tiny_model.encode(page), mean / np.linalg.norm(mean), atol=1e-5)


def test_texts_and_pages_of_any_length_in_one_batch(
    tiny_model: Any, page_maker: Callable[..., Page], topic_pages: Sequence[Page]
) -> None:
    given_ = ["oboe", topic_pages[0], PageText("lawn\nhedge"), page_maker("empty-0001", ""), ""]
    together = tiny_model.encode(given_)
    one_by_one = np.stack([tiny_model.encode([entry])[0] for entry in given_])
    assert together.shape == (5, 32)
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_many_passages_are_cut_into_passes(
    tiny_model: Any, topic_pages: Sequence[Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny_model.encode(list(topic_pages[:6]))
    monkeypatch.setattr("pagetune.models.page_reader.TOKENS_AT_ONCE", 64)
    np.testing.assert_allclose(tiny_model.encode(list(topic_pages[:6])), whole, atol=1e-5)


def test_prompt_goes_before_texts_only(tiny_model: Any, topic_pages: Sequence[Page]) -> None:
    np.testing.assert_allclose(
        tiny_model.encode(["oboe"], prompt="violin "), tiny_model.encode(["violin oboe"]), atol=1e-6
    )
    page = topic_pages[0]
    np.testing.assert_allclose(tiny_model.encode([page], prompt="violin "), tiny_model.encode([page]), atol=1e-6)


def test_a_text_is_cut_off_and_a_page_is_not(tiny_model: Any) -> None:
    words = " ".join(["lawn"] * 100)
    features = tiny_model.preprocess([words])
    assert features["input_ids"].shape == (1, 64)
    assert len(tiny_model[0].passages([words])[0]) == 8


def test_other_types_are_refused(tiny_model: Any) -> None:
    with pytest.raises(ModelError, match="got int"):
        tiny_model[0].preprocess([3])


def test_broken_image_is_one_line(tiny_model: Any, tmp_path: Path) -> None:
    broken = tmp_path / "scan.png"
    broken.write_bytes(b"no image")
    with pytest.raises(ModelError, match="not a readable image"):
        tiny_model.encode([broken])


def test_pictures_are_read(tiny_model: Any, tmp_path: Path) -> None:
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (500, 120), "white")
    ImageDraw.Draw(picture).text((20, 35), "garden hedge", fill="black", font=ImageFont.load_default(48))
    file = tmp_path / "page.png"
    picture.save(file)
    expected = tiny_model.encode([PageText("garden hedge")])
    turned = picture.rotate(90, expand=True), picture.rotate(180)
    for entry in (picture, file, str(file), {"image": picture}, np.asarray(picture), *turned):
        np.testing.assert_allclose(tiny_model.encode([entry]), expected, atol=1e-5)


def test_modalities(tiny_model: Any) -> None:
    assert tiny_model.modalities == ["text", "image"]
    assert tiny_model.supports("image")
    assert not tiny_model.supports("audio")


def test_saved_and_loaded_again(tiny_model: Any, topic_pages: Sequence[Page], tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    tiny_model.save(str(tmp_path / "model"))
    before = tiny_model.encode(list(topic_pages[:2]))
    ours = load_model(ModelRecipe(), tmp_path / "model")
    plain = SentenceTransformer(str(tmp_path / "model"), trust_remote_code=True, local_files_only=True)
    for model in (ours, plain):
        assert (model[0].chunk_tokens, model[0].chunk_overlap, model.max_seq_length) == (16, 4, 64)
        np.testing.assert_allclose(model.encode(list(topic_pages[:2])), before, atol=1e-5)


def test_one_passage_is_plain_minilm() -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["how do I reverse a transaction", "", "ledger " * 400, "Ein Satz\nüber zwei Zeilen"]
    light = load_model(ModelRecipe())
    plain = SentenceTransformer(str(light_weights()), local_files_only=True)
    np.testing.assert_allclose(light.encode(texts), plain.encode(texts), atol=1e-5)
