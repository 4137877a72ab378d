"""Pages through the feeder are what `encode_document` makes of them; kept after a kill, and named where they break."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import _tiny
from pagetune.errors import DataError, ModelError
from pagetune.examples.loading import make_eval_set
from pagetune.models import hardware
from pagetune.models.loading import load_model
from pagetune.recipe import ModelRecipe
from pagetune.training import page_encoding, passes
from pagetune.training.mini_batches import Budget
from pagetune.training.page_cache import kept_pages
from pagetune.training.page_encoding import PageImages, auto_workers, encode_pictures

SHAPE: dict[str, Any] = {"hidden": 32, "layers": 1, "heads": 2}
PAGES = 14


def page(number: int) -> Image.Image:
    """No two of a size or content."""
    width, height = 70 + 23 * (number % 5), 60 + 17 * number
    pixels = np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 a mini-batch of another size rounds otherwise."""
    monkeypatch.setattr(hardware, "has_bfloat16", lambda device: False)


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """The tests share models: each looks for its budget itself."""
    page_encoding._FOUND.clear()


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image.Image]:
    return {f"p{number}": page(number) for number in range(PAGES)}


@pytest.fixture
def pages(pictures: dict[str, Image.Image]) -> PageImages:
    return PageImages({name: name for name in pictures}, lambda name: pictures[name].copy(), lambda n: pictures[n].size)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("models")
    qwen = str(_tiny.tiny_qwen3_vl(place / "qwen", vision_hidden=32, vision_layers=1, **SHAPE))
    text = str(_tiny.tiny_text_encoder(place / "text", **SHAPE))
    image = str(_tiny.tiny_siglip(place / "image", image_size=64, **SHAPE))
    recipes = {
        "dense": ModelRecipe(name=qwen, max_pixels=40_000, document_prompt="look: "),
        "late": ModelRecipe(name=qwen, kind="late", max_pixels=40_000),
        "router": ModelRecipe(name=text, kind="router", image_model=image),
    }
    return {name: load_model(recipe) for name, recipe in recipes.items()}


@pytest.fixture
def dense(models: dict[str, Any]) -> Any:
    return models["dense"]


def plainly(model: Any, pictures: list[Image.Image], **options: Any) -> list[np.ndarray]:
    """Sentence Transformers' own, normalised."""
    found = model.encode_document(pictures, batch_size=3, show_progress_bar=False, **options)
    rows = [np.atleast_2d(torch.as_tensor(each).float().cpu().numpy()) for each in found]
    return [row / np.linalg.norm(row, axis=1, keepdims=True) for row in rows]


def counted(model: Any, watch: Callable[[int], None]) -> Any:
    """Has `watch` told how many pages each mini-batch has, before it goes through the model."""
    return model.register_forward_pre_hook(lambda _, inputs: watch(len(inputs[0]["input_ids"])))


@pytest.mark.parametrize("name", ["dense", "late", "router"])
@pytest.mark.parametrize("keys", [{}, {"encode_batch": 3}, {"encode_tokens": 150}], ids=["auto", "batch", "tokens"])
@pytest.mark.parametrize("workers", [0, 2])
def test_it_is_encode_document(
    models: dict[str, Any],
    pages: PageImages,
    pictures: dict[str, Image.Image],
    name: str,
    keys: dict[str, int],
    workers: int,
) -> None:
    model = models[name]
    found = encode_pictures(model, pages, ModelRecipe(**keys), workers=workers)
    assert found.ids == tuple(pictures)
    for place, expected in enumerate(plainly(model, list(pictures.values()))):
        np.testing.assert_allclose(found.vectors[found.owner == place], expected, atol=1e-5)


def test_what_a_model_truncates_to_and_how_many_tokens_are_left(
    models: dict[str, Any], pages: PageImages, pictures: dict[str, Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    monkeypatch.setattr(models["dense"], "truncate_dim", 8)
    found = encode_pictures(models["dense"], pages)
    np.testing.assert_allclose(
        found.vectors, np.concatenate(plainly(models["dense"], list(pictures.values()))), atol=1e-5
    )
    assert found.vectors.shape == (PAGES, 8)
    pooled = encode_pictures(models["late"], pages, ModelRecipe(token_pooling=3))
    options = {"token_pooling": HierarchicalTokenPooling(3)}
    expected = plainly(models["late"], list(pictures.values()), **options)
    np.testing.assert_allclose(pooled.vectors, np.concatenate(expected), atol=1e-5)


def test_a_budget_of_tokens_a_fixed_number_and_one_that_is_found(dense: Any, pages: PageImages) -> None:
    sizes: list[int] = []
    hook = counted(dense, sizes.append)
    try:
        encode_pictures(dense, pages, ModelRecipe(encode_batch=4))
        assert sizes == [4, 4, 4, 2]
        sizes.clear()
        encode_pictures(dense, pages, ModelRecipe(encode_tokens=1))
        assert sizes == [1] * PAGES
        sizes.clear()
        encode_pictures(dense, pages, ModelRecipe(encode_tokens=10**6))
        assert sizes == [PAGES]
        sizes.clear()
        encode_pictures(dense, pages)
        assert sizes[:3] == [1, 1, 2]  # Once to be warm.
        assert sum(sizes) == PAGES, "nothing is computed only to be measured"
    finally:
        hook.remove()


def test_a_budget_is_looked_for_once_while_a_model_is_there(
    dense: Any, pages: PageImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "MOST", 2)
    sizes: list[int] = []
    hook = counted(dense, sizes.append)
    try:
        encode_pictures(dense, PageImages({"p0": "p0"}, pages.image, pages.size))
        assert not page_encoding._FOUND[dense], "one page says nothing of how many go together"
        sizes.clear()
        encode_pictures(dense, pages)
        assert sizes[:3] == [1, 1, 2]
        (place,) = page_encoding._FOUND[dense]
        page_encoding._FOUND[dense][place] = Budget(tokens=10**6)
        sizes.clear()
        again = encode_pictures(dense, pages)
        assert sizes == [PAGES]
        sizes.clear()
        encode_pictures(dense, pages, ModelRecipe(encode_batch=4))
        assert sizes == [4, 4, 4, 2], "what the recipe says goes before"
    finally:
        hook.remove()
    np.testing.assert_allclose(again.vectors, encode_pictures(dense, pages).vectors, atol=1e-5)


@pytest.mark.parametrize("keys", [{}, {"encode_batch": 8}, {"encode_tokens": 500}], ids=["auto", "batch", "tokens"])
def test_out_of_memory_halves_and_goes_on(dense: Any, pages: PageImages, keys: dict[str, int]) -> None:
    expected, sizes = encode_pictures(dense, pages, ModelRecipe(encode_batch=1)), []

    def scarce(size: int) -> None:
        if size > 1:
            raise torch.OutOfMemoryError("made up")
        sizes.append(size)

    hook = counted(dense, scarce)
    try:
        found = encode_pictures(dense, pages, ModelRecipe(**keys), workers=1)
    finally:
        hook.remove()
    assert sizes == [1] * PAGES
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)


def test_a_page_that_is_too_much_alone_says_so(dense: Any, pages: PageImages) -> None:
    def none(size: int) -> None:
        raise torch.OutOfMemoryError("made up")

    hook = counted(dense, none)
    try:
        for recipe in (ModelRecipe(), ModelRecipe(encode_batch=8)):
            with pytest.raises(torch.OutOfMemoryError, match="made up"):
                encode_pictures(dense, pages, recipe)
    finally:
        hook.remove()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_page_is_named_and_the_others_are_kept(
    dense: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(page_encoding, "PAGES_AT_ONCE", 3)
    judged = make_eval_set([{"query": f"q{number}", "image": page(number)} for number in range(PAGES)])
    whole = PageImages.of(judged)
    smallest = min(judged.page_ids, key=lambda name: np.prod(judged.size(name)))

    def image(name: str) -> Image.Image:
        if name == smallest:
            raise OSError("image file is truncated")
        return judged.image(name)

    broken = PageImages(whole.keys, image, whole.size, "scans")
    with pytest.raises(DataError, match=rf"scans: page '{smallest}': OSError: image file is truncated; mend or remove"):
        encode_pictures(dense, broken, ModelRecipe(encode_batch=1), cache=tmp_path, workers=workers)
    sizes: list[int] = []
    hook = counted(dense, sizes.append)
    try:
        found = encode_pictures(dense, whole, cache=tmp_path)
    finally:
        hook.remove()
    # It was the last: all the others were encoded, and on disk.
    assert sum(sizes) == 1
    np.testing.assert_allclose(found.vectors, encode_pictures(dense, whole).vectors, atol=1e-5)


def _killed(model: Any, pages: PageImages, cache: Path) -> None:
    page_encoding.PAGES_AT_ONCE = 4
    seen = 0

    def kill(size: int) -> None:
        nonlocal seen
        seen += size
        if seen > 10:
            os.kill(os.getpid(), signal.SIGKILL)

    counted(model, kill)
    encode_pictures(model, pages, ModelRecipe(encode_batch=1), cache=cache)


def test_after_a_kill_only_the_rest_is_encoded(dense: Any, pages: PageImages, tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(dense, pages, tmp_path))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    sizes: list[int] = []
    hook = counted(dense, sizes.append)
    try:
        found = encode_pictures(dense, pages, cache=tmp_path)
    finally:
        hook.remove()
    assert sum(sizes) == PAGES - 8
    np.testing.assert_allclose(found.vectors, encode_pictures(dense, pages).vectors, atol=1e-5)


def test_equal_content_is_encoded_once(dense: Any, pictures: dict[str, Image.Image]) -> None:
    sizes: list[int] = []
    hook = counted(dense, sizes.append)
    try:
        names = ("a", "b", "c")
        source = PageImages(dict(zip(names, "xyx", strict=True)), lambda n: pictures["p1" if n != "b" else "p2"], size)
        found = encode_pictures(dense, source)
    finally:
        hook.remove()
    assert sum(sizes) == 2
    assert np.array_equal(found.vectors[0], found.vectors[2])
    assert not np.allclose(found.vectors[0], found.vectors[1])


def size(name: str) -> tuple[int, int]:
    return 100, 100


def test_pages_that_were_kept_are_not_opened_again(dense: Any, pages: PageImages, tmp_path: Path) -> None:
    expected = encode_pictures(dense, pages).vectors
    first = encode_pictures(dense, pages, kept=kept_pages(tmp_path, dense, 1.0), workers=1)

    def refuse(name: str) -> Image.Image:
        raise AssertionError(f"{name} is opened")

    closed = PageImages(pages.keys, refuse, pages.size)
    again = encode_pictures(dense, closed, kept=kept_pages(tmp_path, dense, 1.0))
    np.testing.assert_allclose(first.vectors, expected, atol=1e-5)
    np.testing.assert_allclose(again.vectors, expected, atol=1e-5)
    assert kept_pages(tmp_path, dense, 0) is None
    assert kept_pages(None, dense, 1.0) is None


def test_a_model_without_pictures_is_refused(tmp_path: Path, pages: PageImages) -> None:
    reader = load_model(ModelRecipe(name=str(_tiny.tiny_text_encoder(tmp_path / "text", **SHAPE)), kind="dense"))
    with pytest.raises(ModelError, match="not images"):
        encode_pictures(reader, pages)


def test_processes_are_started_where_they_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for cores, expected in ((1, (0, 1)), (2, (0, 1)), (4, (1, 3)), (16, (1, 8))):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert (auto_workers(cpu, 1000), auto_workers(gpu, 1000)) == expected
        assert auto_workers(cpu, 10) == auto_workers(gpu, 10) == 0


def test_no_pages(dense: Any) -> None:
    found = encode_pictures(dense, PageImages({}, page, size))  # type: ignore[arg-type]
    assert found.ids == ()
    assert len(found.vectors) == 0
