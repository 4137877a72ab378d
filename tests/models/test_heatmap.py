"""Token vectors with their places: the same that the model is searched by, on the grid that the processor reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import _tiny
from pagetune.errors import ModelError
from pagetune.models.heatmap import own_tokens, page_patches, query_tokens, similarity
from pagetune.models.loading import load_model
from pagetune.models.pictures import encode_texts
from pagetune.recipe import ModelRecipe
from pagetune.training.page_encoding import PageImages, encode_pictures

SIZES = {"hidden": 32, "layers": 1, "heads": 2, "words": ["where", "is", "the", "red", "bar"]}
VISION: dict[str, Any] = {"vision_hidden": 32, "vision_layers": 1}
QUERY = "Where is the red bar?"


def page() -> Image.Image:
    image = Image.new("RGB", (300, 400), "white")
    ImageDraw.Draw(image).rectangle((20, 30, 120, 200), fill="red")
    return image


@pytest.fixture(scope="module", params=["qwen3", "colqwen2", "colpali"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "qwen3":
        return load_model(ModelRecipe(name=str(_tiny.tiny_qwen3_vl(folder, **SIZES, **VISION)), kind="late"))
    if request.param == "colqwen2":
        return load_model(ModelRecipe(name=str(_tiny.tiny_colqwen2(folder, **SIZES, **VISION))))
    return load_model(ModelRecipe(name=str(_tiny.tiny_colpali(folder, **SIZES))))


def test_the_vectors_are_those_that_are_searched(model: Any) -> None:
    patches = page_patches(model, page())
    rows, columns, width = patches.shape
    assert rows >= columns > 1
    searched = encode_pictures(model, PageImages({"p": "p"}, lambda _: page(), lambda _: page().size)).vectors
    flat = patches.reshape(-1, width)
    # A row of the grid stands in a row of the encoding, in its order.
    start = int(np.argmin(np.abs(searched[:, None] - flat[None, :1]).sum(axis=(1, 2))))
    assert np.allclose(searched[start : start + len(flat)], flat, atol=1e-5)
    tokens = query_tokens(model, QUERY)
    asked = encode_texts(model, [QUERY])[0]
    assert np.allclose(np.abs(tokens.vectors[:, None] - asked[None]).sum(axis=2).min(axis=1), 0, atol=1e-4)
    assert similarity(tokens, patches).shape == (len(tokens.texts), rows, columns)


def test_the_tokens_are_the_query_s_own(model: Any) -> None:
    tokens = query_tokens(model, QUERY)
    assert "".join("".join(tokens.texts).split()) == "".join(QUERY.split())


def test_tiles_give_no_grid(tmp_path: Path) -> None:
    tiles = load_model(ModelRecipe(name=str(_tiny.tiny_colmodernvbert(tmp_path / "tiles", **SIZES))))
    with pytest.raises(ModelError, match="cuts a page into tiles"):
        page_patches(tiles, page())


@pytest.mark.parametrize(
    ("read", "text", "found"),
    [
        (["<s>", "<s>query:", "<s>query: red", "<s>query: red bar", "<s>query: red bar</s>"], "red bar", slice(2, 4)),
        (["red", "red and", "red and red"], "red", slice(2, 3)),
        (["<s>", "<s>\ufffd", "<s>é", "<s>é!"], "É", slice(2, 3)),
        (["a", "ab"], "nothing of it", slice(0, 2)),
        (["a", "ab"], "  ", slice(0, 2)),
        ([], "a", slice(0, 0)),
    ],
)
def test_own_tokens(read: list[str], text: str, found: slice) -> None:
    assert own_tokens(read, text) == found
