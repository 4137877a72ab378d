"""Pages kept as the processor scales them: the same features, no decoding twice, a limit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import _tiny
from pagetune.models.loading import load_model
from pagetune.recipe import ModelRecipe
from pagetune.training.feeding import Feeder, Job, Preparer, Reference, Route
from pagetune.training.page_cache import ResizedPages

SIZES = ((340, 480), (200, 120), (64, 64), (700, 90))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("models")
    shape: dict[str, Any] = {"hidden": 32, "layers": 1, "heads": 2}
    text = _tiny.tiny_text_encoder(place / "text", **shape)
    image = _tiny.tiny_siglip(place / "image", image_size=64, **shape)
    recipes = {
        "qwen": ModelRecipe(
            name=str(_tiny.tiny_qwen3_vl(place / "qwen", vision_hidden=32, vision_layers=1, **shape)), max_pixels=40_000
        ),
        "router": ModelRecipe(name=str(text), kind="router", image_model=str(image)),
        "clip": ModelRecipe(name=str(_tiny.tiny_clip(place / "clip", image_size=64, **shape))),
    }
    return {name: load_model(recipe) for name, recipe in recipes.items()}


def page(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def refuse() -> Image.Image:
    raise AssertionError("a page that is kept is not loaded again")


@pytest.mark.parametrize("name", ["qwen", "router"])
def test_a_kept_page_gives_the_features_of_the_page_itself(models: dict[str, Any], name: str, tmp_path: Path) -> None:
    model = models[name]
    for size in SIZES:
        original = page(*size)
        expected = model.preprocess([original], task="document")
        first = ResizedPages(tmp_path, model, 1 << 30).open(str(size), original.copy)
        # Another process, later: from the disk.
        again = ResizedPages(tmp_path, model, 1 << 30).open(str(size), refuse)
        for kept in (first, again):
            found = model.preprocess([kept], task="document")
            for key, value in expected.items():
                if isinstance(value, torch.Tensor):
                    torch.testing.assert_close(found[key], value, rtol=0, atol=0)


def test_what_does_more_than_scale_is_not_kept(models: dict[str, Any], tmp_path: Path) -> None:
    original = page(200, 120)
    kept = ResizedPages(tmp_path, models["clip"], 1 << 30)
    assert kept.open("a", lambda: original) is original
    assert not list(tmp_path.rglob("*.npy"))


def test_other_bounds_are_other_pages(models: dict[str, Any], tmp_path: Path) -> None:
    from pagetune.models.pixels import bound_pixels, pixel_bounds

    model, original = models["qwen"], page(340, 480)
    low, high = pixel_bounds(model) or (0, 0)
    large = ResizedPages(tmp_path, model, 1 << 30).open("a", original.copy)
    try:
        bound_pixels(model, low, high // 4)
        small = ResizedPages(tmp_path, model, 1 << 30).open("a", original.copy)
    finally:
        bound_pixels(model, low, high)
    assert small.width * small.height < large.width * large.height / 2


def test_no_more_is_kept_than_the_limit(models: dict[str, Any], tmp_path: Path) -> None:
    kept = ResizedPages(tmp_path, models["qwen"], 300_000)
    for number in range(8):
        original = page(200 + number, 200)
        assert kept.open(str(number), original.copy).size != (0, 0)
    used = sum(file.stat().st_size for file in tmp_path.rglob("*.npy"))
    assert 100_000 < used <= 301_000
    damaged = next(tmp_path.rglob("*.npy"))
    damaged.write_bytes(b"not an array")
    for number in range(8):
        ResizedPages(tmp_path, models["qwen"], 300_000).open(str(number), page(200 + number, 200).copy)


def test_settings_that_are_no_longer_used_give_way_the_longest_unused_first(
    models: dict[str, Any], tmp_path: Path
) -> None:
    from pagetune.models.pixels import bound_pixels, pixel_bounds

    model = models["qwen"]
    low, high = pixel_bounds(model) or (0, 0)

    def pages(bound: int, *numbers: int) -> Path:
        """The folder of a bound's setting, and in it some pages of about 100 KB."""
        bound_pixels(model, low, bound)
        kept = ResizedPages(tmp_path, model, 500_000)
        for number in numbers:
            kept.open(str(number), page(200 + number, 180).copy)
        return kept.folder

    try:
        first, second = pages(high - 1024, 0, 1), pages(high - 2048, 0, 1)
        os.utime(first, (100, 100))
        os.utime(second, (50, 50))
        # Taken up again: now it is the second that was not used for longest.
        third = pages(high - 4096, 0, 1)
        assert {each.name for each in tmp_path.iterdir()} == {first.name, third.name}
        pages(high - 1024)
        fourth = pages(high - 8192, 0, 1)
        assert {each.name for each in tmp_path.iterdir()} == {first.name, fourth.name}
        # What is in use since this one began stays.
        own = ResizedPages(tmp_path, model, 500_000)
        os.utime(first, (own._began + 5, own._began + 5))
        for number in range(2, 9):
            own.open(str(number), page(200 + number, 180).copy)
        assert first.is_dir()
        assert sum(file.stat().st_size for file in tmp_path.rglob("*.npy")) <= 501_000
    finally:
        bound_pixels(model, low, high)


def test_several_processes_share_one_limit(models: dict[str, Any], tmp_path: Path) -> None:
    model, sizes = models["qwen"], [(200 + number, 180) for number in range(24)]
    kept = ResizedPages(tmp_path, model, 500_000)
    prepare = Preparer(model.preprocess, lambda place: kept.open(str(place), lambda: page(*place)))
    jobs = [Job((Reference(size, str(size), 1),), Route("document", pictures=True)) for size in sizes]
    with Feeder(prepare, workers=3) as feeder:
        assert len(list(feeder.stream(jobs, torch.device("cpu")))) == len(sizes)
    files = [file.stat().st_size for file in tmp_path.rglob("*.npy")]
    assert len(files) < len(sizes)
    # Each may have had one on its way while it was the last that fitted.
    assert 300_000 < sum(files) <= 500_000 + 2 * max(files)
