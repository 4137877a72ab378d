"""A model over several devices: it encodes as one on one device, and is known as the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import _tiny
from pagetune.models.encoding import fingerprint_model
from pagetune.models.loading import load_model
from pagetune.models.placement import away, is_placed
from pagetune.recipe import Recipe, load_recipe
from pagetune.training.page_encoding import PageImages, encode_pictures


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen") / "model"
    return _tiny.tiny_qwen3_vl(folder, hidden=64, layers=1, vision_hidden=64, vision_layers=1)


def load(folder: Path, *keys: str) -> Any:
    return load_model(load_recipe(None, [f"model.name={folder}", *keys]).model)


def test_weights_on_disk_encode_and_are_told_by_their_content(qwen: Path, tmp_path: Path) -> None:
    whole = load(qwen)
    parted = load(qwen, "model.device_map={visual: cpu, language_model: disk}")
    assert (is_placed(whole), away(whole)) == (False, None)
    assert is_placed(parted)
    assert away(parted) == "0.model.language_model.embed_tokens"
    images = {"a": Image.new("RGB", (64, 64), "red"), "b": Image.new("RGB", (64, 64), "blue")}
    pages = PageImages({"a": "1", "b": "2"}, images.__getitem__, lambda page: images[page].size)
    found = [
        encode_pictures(model, pages, cache=tmp_path / name) for model, name in ((whole, "whole"), (parted, "parted"))
    ]
    np.testing.assert_allclose(found[1].vectors, found[0].vectors, atol=1e-6)
    assert fingerprint_model(parted) == fingerprint_model(whole)


def test_a_device_map_is_a_word_or_a_device_for_each_part() -> None:
    recipe = load_recipe(None, ["model.device_map={visual: 0, language_model: cuda:1}"])
    assert recipe.model.device_map == {"visual": 0, "language_model": "cuda:1"}
    assert Recipe.model_validate(yaml.safe_load(recipe.to_yaml())) == recipe
    assert load_recipe(None, ["model.device_map=auto"]).model.device_map == "auto"
