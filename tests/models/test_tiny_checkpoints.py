"""The benchmarks' tiny checkpoints: each loads by the code that would load the published one, and encodes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import _tiny

WORDS = ("ledger", "camshaft", "K7-204")
TEXTS = ["the ledger", "a camshaft of which the page says more"]
DENSE = ["tiny_text_encoder", "tiny_clip", "tiny_siglip", "tiny_qwen3_vl", "tiny_modernvbert"]
SEEING = DENSE[1:]
LATE = ["tiny_colqwen2", "tiny_colpali", "tiny_colmodernvbert"]
PATCHES = 16 * 16

Builder = Callable[[str], Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """The folder of a checkpoint by its builder's name, built once."""
    built: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in built:
            built[name] = getattr(_tiny, name)(tmp_path_factory.mktemp(name), hidden=64, words=WORDS)
        return built[name]

    return get


def load(folder: Path, **kwargs: Any) -> Any:
    """The model in a folder, by the class that such folders are loaded with."""
    from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer

    from pagetune.models.quiet import quiet

    kind = MultiVectorEncoder if "_col" in str(folder) else SentenceTransformer
    with quiet():
        return (CrossEncoder if "_reranker" in str(folder) else kind)(str(folder), **kwargs)


def pages() -> list[Image.Image]:
    """Two pictures, unlike each other."""
    draw = np.random.default_rng(0)
    return [
        Image.fromarray(draw.integers(0, 255, (128, 96, 3), dtype=np.uint8)),
        Image.new("RGB", (96, 128), "white"),
    ]


@pytest.mark.parametrize("name", DENSE)
def test_dense_models_encode_and_survive_saving(name: str, build: Builder, tmp_path: Path) -> None:
    model = load(build(name))
    inputs: list[list[Any]] = [TEXTS, pages()] if name in SEEING else [TEXTS]
    assert {"text", "image"}.issubset(model.modalities) == (name in SEEING)
    before = [model.encode(each) for each in inputs]
    for vectors in before:
        assert vectors.shape == (2, 64) == (2, model.get_embedding_dimension())
        assert np.isfinite(vectors).all()
        assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    model.save(str(tmp_path))
    again = load(tmp_path)
    for vectors, each in zip(before, inputs, strict=True):
        np.testing.assert_allclose(again.encode(each), vectors, atol=1e-6)


@pytest.mark.parametrize("name", LATE)
def test_late_models_encode_and_survive_saving(name: str, build: Builder, tmp_path: Path) -> None:
    model = load(build(name))
    kept = tmp_path / "saved_col"
    model.save(str(kept))
    again = load(kept)
    # Sentence Transformers 6.2 hands ColModernVBERT's processor a picture without its prompt, which fails.
    inputs: list[list[Any]] = [TEXTS] if name == "tiny_colmodernvbert" else [TEXTS, pages()]
    for each in inputs:
        one, other = model.encode(each)
        assert one.shape[1] == other.shape[1] == 64
        assert np.isfinite(one.numpy()).all()
        assert one.shape != other.shape or np.abs((one - other).numpy()).max() > 1e-3
        np.testing.assert_allclose(again.encode(each)[0], one, atol=1e-6)


def test_colmodernvbert_reads_pages_with_its_processor(build: Builder) -> None:
    transformer = load(build("tiny_colmodernvbert"))[0]
    vectors = transformer.model(**transformer.processor.process_images(pages())).embeddings.detach().numpy()
    assert np.isfinite(vectors).all()
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_reranker_scores_texts_and_pages(build: Builder, tmp_path: Path) -> None:
    model = load(build("tiny_qwen3_vl_reranker"))
    pairs = [(TEXTS[0], TEXTS[1]), *((TEXTS[0], page) for page in pages())]
    scores = model.predict(pairs)
    assert np.isfinite(scores).all()
    assert len(set(scores.round(5))) == 3
    kept = tmp_path / "saved_reranker"
    model.save_pretrained(str(kept))
    np.testing.assert_allclose(load(kept).predict(pairs), scores, atol=1e-6)


@pytest.mark.parametrize("bounds", [{"min_pixels": 1024, "max_pixels": 90000}, {"size": (1024, 90000)}])
@pytest.mark.filterwarnings("ignore:Passing `min_pixels`:FutureWarning")
def test_pixel_bounds_are_kept_and_saved(bounds: dict[str, Any], build: Builder, tmp_path: Path) -> None:
    if "size" in bounds:
        bounds = {"size": dict(zip(("shortest_edge", "longest_edge"), bounds["size"], strict=True))}
    large, small = Image.new("RGB", (612, 792)), Image.new("RGB", (20, 20))
    model = load(build("tiny_qwen3_vl"), processor_kwargs=bounds)
    model.save(str(tmp_path))
    for each in (model, load(tmp_path)):
        assert 60000 < each.preprocess([large])["image_grid_thw"].prod() * PATCHES <= 90000
        assert each.preprocess([small])["image_grid_thw"].prod() * PATCHES == 1024


def test_siglip_is_the_image_tower_of_a_router(build: Builder, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Router

    text, image = load(build("tiny_text_encoder")), load(build("tiny_siglip"))
    towers: dict[str, Any] = {"text": [text[0], text[1]], "image": [image[0]]}
    mappings: Any = {(None, "text"): "text", (None, "image"): "image"}
    model = SentenceTransformer(modules=[Router(towers, route_mappings=mappings), Normalize()])
    model.save(str(tmp_path))
    for each in (TEXTS, pages()):
        assert model.encode(each).shape == (2, 64)
        np.testing.assert_allclose(load(tmp_path).encode(each), model.encode(each), atol=1e-6)


@pytest.mark.parametrize("name", _tiny.__all__)
def test_words_are_whole_tokens(name: str, build: Builder) -> None:
    tokenizer = load(build(name)).tokenizer
    for word in WORDS:
        *_, last = tokenizer.tokenize(f"the {word}")
        assert word.lower() in last.lower()


def test_a_seed_gives_the_same_weights(build: Builder, tmp_path: Path) -> None:
    same, other = (_tiny.tiny_text_encoder(tmp_path / str(seed), hidden=64, words=WORDS, seed=seed) for seed in (0, 1))
    weights = [folder / "model.safetensors" for folder in (build("tiny_text_encoder"), same, other)]
    assert weights[0].read_bytes() == weights[1].read_bytes() != weights[2].read_bytes()
