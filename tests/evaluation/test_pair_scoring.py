from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from _tiny_reranker import tiny_qwen3_vl_reranker, tiny_text_reranker
from pagetune.errors import ModelError
from pagetune.evaluation.pair_scoring import score_pairs
from pagetune.models.calibration import Calibration
from pagetune.models.picture_memo import PictureMemo, pictures_once
from pagetune.models.pixels import image_processor
from pagetune.training.lengths import tokens
from pagetune.training.pair_lengths import PairLengths

QUERIES = ("which page shows the table", "a chart of numbers by chapter and section")
SIZES = ((64, 64), (320, 96), (64, 256), (224, 288), (96, 96))


def picture(width: int, height: int, seed: int) -> Image.Image:
    grey = np.random.default_rng(seed).integers(0, 255, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return Image.fromarray(grey).resize((width, height), Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(tiny_qwen3_vl_reranker(tmp_path_factory.mktemp("vl") / "m", hidden=32, vision_hidden=32)))


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(tiny_text_reranker(tmp_path_factory.mktemp("text") / "m", hidden=32)))


@pytest.fixture(scope="module")
def shown() -> list[tuple[str, Image.Image]]:
    pages = [picture(*size, seed) for seed, size in enumerate(SIZES)]
    return [(query, page) for query in QUERIES for page in pages]


@pytest.fixture(scope="module")
def told() -> list[tuple[str, str]]:
    long = "the number of figures in a chapter " * 9
    passages = ["table " * 3, long, "page", "section title and text of the page " * 4]
    return [(query, passage) for query in QUERIES for passage in passages]


def test_pages_of_mixed_sizes_score_as_upstream_scores_them(seeing: Any, shown: list[Any]) -> None:
    upstream = seeing.predict(shown)
    found = score_pairs(seeing, shown, budget_tokens=160)
    assert found.values == pytest.approx(upstream, abs=1e-4)
    assert found.batches > 2
    assert found.done.all()
    assert np.ptp(upstream) > 1e-3, "pages that score alike show nothing"


def test_texts_score_as_upstream_scores_them(reading: Any, told: list[Any]) -> None:
    found = score_pairs(reading, told, budget_tokens=64)
    assert found.values == pytest.approx(reading.predict(told), abs=1e-4)
    assert found.log_odds == pytest.approx(np.log(found.values / (1 - found.values)), abs=1e-3)


def test_a_batch_is_a_page_alone_or_within_the_budget(reading: Any, told: list[Any]) -> None:
    together, apart = score_pairs(reading, told, budget_tokens=4096), score_pairs(reading, told, budget_tokens=1)
    assert (together.batches, apart.batches) == (1, len(told))
    assert apart.waste == 0 < together.waste
    assert together.tokens == apart.tokens
    assert together.values == pytest.approx(apart.values, abs=1e-4)


def test_lengths_are_known_before_anything_is_preprocessed(
    seeing: Any, reading: Any, shown: list[Any], told: list[Any]
) -> None:
    for model, pairs in ((seeing, shown), (reading, told)):
        lengths = PairLengths(model, "Find the page. ")
        for place, pair in enumerate(pairs):
            true = tokens(model.preprocess([pair], prompt="Find the page. "))
            assert lengths.pair(pair, place) == pytest.approx(true, abs=2)


def test_the_prompt_of_the_direction_reaches_the_model(seeing: Any, shown: list[Any]) -> None:
    seeing.prompts.update({"text_to_image": "table table table", "image_to_text": "chart"})
    try:
        pages = score_pairs(seeing, shown)
        queries = score_pairs(seeing, [(page, query) for query, page in shown], direction="image_to_text")
        assert pages.values == pytest.approx(seeing.predict(shown, prompt="table table table"), abs=1e-4)
        turned = seeing.predict([(page, query) for query, page in shown], prompt="chart")
        assert queries.values == pytest.approx(turned, abs=1e-4)
        assert np.abs(pages.values - queries.values).max() > 1e-3
    finally:
        seeing.prompts.clear()


def test_after_the_deadline_nothing_is_scored_and_before_it_in_order(reading: Any, told: list[Any]) -> None:
    none = score_pairs(reading, told, deadline=0.0)
    assert not none.done.any()
    assert np.isnan(none.values).all()
    all_of_them = score_pairs(reading, told, deadline=600.0, budget_tokens=64)
    assert all_of_them.values == pytest.approx(reading.predict(told), abs=1e-4)

    many = told * 400
    some = score_pairs(reading, many, deadline=0.5, budget_tokens=64)
    first = int(some.done.sum())
    assert 0 < first < len(many)
    assert some.done[:first].all()
    assert some.seconds < 5


def test_every_picture_is_preprocessed_once(seeing: Any, shown: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    memos: list[PictureMemo] = []
    monkeypatch.setattr(PictureMemo, "__init__", _remembering(PictureMemo.__init__, memos))
    before = image_processor(seeing)
    score_pairs(seeing, shown, budget_tokens=160)
    assert [memo.made for memo in memos] == [len(SIZES)]
    assert image_processor(seeing) is before


def _remembering(init: Any, memos: list[PictureMemo]) -> Any:
    def wrapped(self: PictureMemo, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        memos.append(self)

    return wrapped


def test_a_memo_makes_what_the_processor_makes(seeing: Any, shown: list[Any]) -> None:
    pair, other = shown[1], shown[3]
    plain = seeing.preprocess([pair, other, pair])
    with pictures_once(seeing, kept=1):
        for _ in range(2):
            again = seeing.preprocess([pair, other, pair])
            assert all((again[name] == plain[name]).all() for name in ("input_ids", "pixel_values", "image_grid_thw"))


def test_the_vision_tower_goes_once_over_a_picture_that_stands_in_several_pairs(seeing: Any, shown: list[Any]) -> None:
    tower = seeing[0].model.model.visual
    patches: list[int] = []
    hook = tower.patch_embed.register_forward_pre_hook(lambda module, inputs: patches.append(len(inputs[0])))
    try:
        found = score_pairs(seeing, shown, budget_tokens=4096)
        once, patches[:] = sum(patches), []
        expected = seeing.predict(shown)
        assert sum(patches) == len(QUERIES) * once
    finally:
        hook.remove()
    assert found.values == pytest.approx(expected, abs=1e-4)
    assert "forward" not in tower.__dict__


def test_worker_processes_change_nothing(seeing: Any, shown: list[Any]) -> None:
    here, there = (score_pairs(seeing, shown, budget_tokens=160, workers=count) for count in (0, 2))
    assert there.values == pytest.approx(here.values, abs=1e-6)


def test_where_memory_runs_out_a_batch_goes_in_halves(
    reading: Any, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = type(reading).forward

    def small(self: Any, features: Any, **options: Any) -> Any:
        if len(features["input_ids"]) > 2:
            raise MemoryError
        return forward(self, features, **options)

    expected = reading.predict(told)
    monkeypatch.setattr(type(reading), "forward", small)
    found = score_pairs(reading, told, budget_tokens=4096)
    assert found.values == pytest.approx(expected, abs=1e-4)
    assert found.batches >= len(told) / 2


def test_a_calibration_changes_the_values_not_the_log_odds(reading: Any, told: list[Any]) -> None:
    plain = score_pairs(reading, told)
    other = score_pairs(reading, told, calibration=Calibration(2.0, -1.0, 10))
    assert other.log_odds == pytest.approx(plain.log_odds, abs=1e-5)
    assert other.values == pytest.approx(1 / (1 + np.exp(1 - 2 * plain.log_odds)), abs=1e-5)


def test_what_cannot_be_scored_is_refused(reading: Any, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    with pytest.raises(ModelError, match="pair 1: int is neither"):
        score_pairs(reading, [("a", "b"), ("a", 3)])
    two = CrossEncoder(str(tiny_text_reranker(tmp_path / "m", labels=2, hidden=32)))
    with pytest.raises(ModelError, match="gives 2"):
        score_pairs(two, [("a", "b")])
    assert len(score_pairs(reading, []).values) == 0
