"""Queries by any model: vectors of length 1, so many at a time as the longest allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import _tiny
from pagetune.models import hardware, pictures
from pagetune.models.loading import load_model
from pagetune.models.pictures import encode_texts
from pagetune.recipe import ModelRecipe

TEXTS = [f"what does page {number} say" + " again" * (number % 7) for number in range(40)]


@pytest.fixture(params=["dense", "late", "router"])
def model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(hardware, "has_bfloat16", lambda device: False)
    shape: dict[str, Any] = {"hidden": 32, "layers": 1, "heads": 2}
    if request.param == "router":
        text, image = tmp_path / "text", tmp_path / "image"
        _tiny.tiny_siglip(image, image_size=64, **shape)
        name = str(_tiny.tiny_text_encoder(text, **shape))
        return load_model(ModelRecipe(name=name, kind="router", image_model=str(image)))
    folder = _tiny.tiny_qwen3_vl(tmp_path / "qwen", vision_hidden=32, vision_layers=1, **shape)
    return load_model(ModelRecipe(name=str(folder), kind=request.param, query_prompt="ask: "))


@pytest.mark.parametrize(("allowed", "most"), [(10**6, 32), (60, 12), (1, 1)])
def test_queries_are_what_the_model_makes_of_them_however_many_go_together(
    model: Any, monkeypatch: pytest.MonkeyPatch, allowed: int, most: int
) -> None:
    monkeypatch.setattr(pictures, "TEXT_TOKENS", allowed)
    sizes: list[int] = []
    hook = model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0]["input_ids"])))
    try:
        found = encode_texts(model, TEXTS)
    finally:
        hook.remove()
    assert sum(sizes) == len(TEXTS)
    assert max(sizes) <= most
    for one, expected in zip(found, (model.encode_query(text) for text in TEXTS), strict=True):
        rows = np.atleast_2d(expected)
        np.testing.assert_allclose(one, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-5)
    assert encode_texts(model, []) == []
