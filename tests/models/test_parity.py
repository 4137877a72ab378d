"""The parity gate: clean exports pass, each damage is named at the step where it shows."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import _drawn
import _tiny
from pagetune.errors import ModelError, ParityError
from pagetune.models.adapters import add_adapters, has_adapters, merge_adapters
from pagetune.models.answers import EXACT, Encoded, Remembered, Stored, difference, encode, spread_of
from pagetune.models.encoding import PageVectors, fingerprint_model
from pagetune.models.loading import load_model, save_model
from pagetune.models.parity import Store, check_parity, remember
from pagetune.models.scoring import truncate
from pagetune.recipe import IndexRecipe, LoraRecipe, ModelRecipe
from pagetune.search.stored import through_index

CONFIG = "config_sentence_transformers.json"
SIDE = 64


def pairs(count: int = 4, side: int = SIDE) -> list[tuple[str, Any]]:
    pages, _ = _drawn.choose_pages(count, 0, 0)
    return [(page.query, _drawn.draw(page, 1).resize((side, side))) for page in pages]


@dataclass(frozen=True)
class Clean:
    """A SigLIP of two prompts, saved at 48 of its 64 dimensions."""

    model: Any
    trained: Remembered
    folder: Path
    recipe: ModelRecipe

    def check(self, folder: Path, **more: Any) -> Any:
        given: dict[str, Any] = {"recipe": self.recipe, "dimension": 48, "trained": self.trained, **more}
        return check_parity(self.model, pairs(), folder, **given)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Clean:
    place = tmp_path_factory.mktemp("parity")
    text = _tiny.tiny_text_encoder(place / "text", hidden=64, words=_drawn.vocabulary())
    image = _tiny.tiny_siglip(place / "image", hidden=64, image_size=SIDE)
    recipe = ModelRecipe(name=str(text), kind="router", image_model=str(image))
    model = load_model(recipe)
    model.prompts.update({"query": "find ", "document": ""})
    trained = remember(model, pairs())
    model.truncate_dim = 48
    save_model(model, place / "saved")
    return Clean(model, trained, place / "saved", recipe)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A Qwen3-VL with an adapter beside its weights, and the base's folder."""
    import torch

    base = _tiny.tiny_qwen3_vl(tmp_path_factory.mktemp("qwen"), hidden=64, vision_hidden=64, words=_drawn.vocabulary())
    model = load_model(ModelRecipe(name=str(base)))
    add_adapters(model, LoraRecipe(rank=2))
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.add_(torch.randn(parameter.shape, generator=draw) * 0.1)
    return model, base


def set_value(file: str, key: str, value: Any) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        content[key] = value
        (folder / file).write_text(json.dumps(content))

    return act


def leave_out(kind: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        listed = json.loads((folder / "modules.json").read_text())
        (folder / "modules.json").write_text(json.dumps([e for e in listed if not e["type"].endswith(kind)]))

    return act


def change_projection(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = next(folder.rglob("text_*_Dense")) / "model.safetensors"
    save_file({name: tensor.flip(0).contiguous() for name, tensor in load_file(file).items()}, file)


def round_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in folder.rglob("model.safetensors"):
        rounded = {name: tensor.bfloat16().float() for name, tensor in load_file(file).items()}
        save_file(rounded, file, metadata={"format": "pt"})


def mean_pooling_to_cls(folder: Path) -> None:
    place = next(folder.rglob("text_*_Pooling"))
    set_value("config.json", "pooling_mode", "cls")(place)


def test_in_half_precision_sentence_transformers_alone_gives_the_same(tmp_path: Path) -> None:
    """Its convolution of patches rounds otherwise than our product: a page then moves by more than is allowed."""
    base = _tiny.tiny_qwen3_vl(tmp_path / "base", hidden=128, vision_hidden=128, words=_drawn.vocabulary())
    recipe = ModelRecipe(name=str(base), dtype="bfloat16")
    model = load_model(recipe)
    save_model(model, tmp_path / "saved")
    report = check_parity(model, pairs(side=128), tmp_path / "saved", recipe=recipe)
    assert report.precision == "bfloat16"
    assert [step.name for step in report.steps] == ["saved", "plain"]
    assert all(step.difference.within(EXACT) for step in report.steps)


def test_a_clean_export_passes_every_step(clean: Clean) -> None:
    report = clean.check(clean.folder, store=through_index(IndexRecipe(dimension=32)), index_dimension=32)
    assert [step.name for step in report.steps] == ["saved", "plain", "index"]
    assert (report.pairs, report.precision, report.dimension, report.index_dimension) == (4, "float32", 48, 32)
    assert all(step.difference.within(EXACT) for step in report.steps)
    assert json.loads(json.dumps(report.summary()))["steps"]["saved"]["difference"]["queries"] < 1e-5


@pytest.mark.parametrize(
    ("damage", "causes"),
    [
        (set_value(CONFIG, "prompts", {"query": "", "document": ""}), ("query prompt",)),
        (set_value(CONFIG, "truncate_dim", 32), ("wrong truncation",)),
        (set_value(CONFIG, "truncate_dim", None), ("wrong truncation",)),
        (mean_pooling_to_cls, ("pooling",)),
        (leave_out("Normalize"), ("un-normalised vectors",)),
        (change_projection, ("stale projection",)),
        (round_weights, ("other precision",)),
    ],
)
def test_damage_is_named(clean: Clean, tmp_path: Path, damage: Callable[[Path], None], causes: tuple[str, ...]) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(clean.folder, folder)
    damage(folder)
    with pytest.raises(ParityError, match="parity, step saved") as caught:
        clean.check(folder)
    assert (caught.value.step, caught.value.causes) == ("saved", causes)
    assert "\n" not in str(caught.value)
    assert clean.model.truncate_dim == 48


def test_two_faults_are_both_named(clean: Clean, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(clean.folder, folder)
    change_projection(folder)
    set_value(CONFIG, "prompts", {"query": "", "document": ""})(folder)
    with pytest.raises(ParityError) as caught:
        clean.check(folder)
    assert caught.value.causes == ("query prompt", "stale projection")


def test_what_only_the_recipe_puts_right_shows_without_pagetune(clean: Clean, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(clean.folder, folder)
    set_value(CONFIG, "prompts", {"query": "", "document": ""})(folder)
    with pytest.raises(ParityError, match="Sentence Transformers alone") as caught:
        clean.check(folder, recipe=clean.recipe.model_copy(update={"query_prompt": "find "}))
    assert (caught.value.step, caught.value.causes) == ("plain", ("query prompt",))


def test_a_folder_that_does_not_load_is_a_fault_too(clean: Clean, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="cannot be loaded") as caught:
        clean.check(tmp_path)
    assert (caught.value.step, caught.value.causes) == ("saved", ("loading",))


def spoilt(change: Callable[[Any], Any]) -> Store:
    def store(vectors: PageVectors, queries: Any) -> Stored:
        made = through_index(IndexRecipe(dimension=32))(vectors, queries)
        return Stored(replace(vectors, vectors=np.asarray(change(vectors.vectors), np.float32)), made.scores)

    return store


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda rows: rows[:, :32], "un-normalised vectors"),
        (lambda rows: truncate(rows, 16), "wrong truncation"),
        (lambda rows: truncate(rows[:, -32:], None), "wrong truncation"),
        (lambda rows: truncate(rows[::-1], 32), "index rows"),
        (lambda rows: np.round(truncate(rows, 32) * 127) / 127, "other precision"),
    ],
)
def test_damage_in_the_index_is_named(clean: Clean, change: Callable[[Any], Any], cause: str) -> None:
    with pytest.raises(ParityError) as caught:
        clean.check(clean.folder, store=spoilt(change), index_dimension=32)
    assert (caught.value.step, caught.value.causes) == ("index", (cause,))


def test_an_adapter_left_out_is_named(adapted: tuple[Any, Path], tmp_path: Path) -> None:
    model, base = adapted
    recipe = ModelRecipe(name=str(base))
    trained = remember(model, pairs())
    assert trained.base is not None
    for folder, said in ((base, "as the base model does"), (tmp_path / "beside", "adapter tensors lie in the folder")):
        if folder != base:
            save_model(model, folder)
        with pytest.raises(ParityError, match=said) as caught:
            check_parity(model, pairs(), folder, recipe=recipe, trained=trained)
        assert (caught.value.step, caught.value.causes) == ("saved", ("unmerged adapter",))
    assert has_adapters(model)


def test_an_adapter_that_merging_drops_is_named(adapted: tuple[Any, Path], tmp_path: Path) -> None:
    import copy

    model, base = adapted
    trained = remember(model, pairs())
    dropped = copy.deepcopy(model)
    for name, parameter in dropped.named_parameters():
        if "lora_B" in name:
            parameter.data.zero_()
    merge_adapters(dropped)
    with pytest.raises(ParityError) as caught:
        check_parity(dropped, pairs(), tmp_path, recipe=ModelRecipe(name=str(base)), trained=trained)
    assert (caught.value.step, caught.value.causes) == ("merged", ("unmerged adapter",))


def test_one_pair_is_too_few(clean: Clean) -> None:
    with pytest.raises(ModelError, match=r"needs at least 2 pairs .* got 1"):
        remember(clean.model, pairs(1))


def test_encoding_is_exact_and_at_full_width_where_asked(clean: Clean) -> None:
    import torch

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = encode(clean.model, pairs(), 8, whole=True)
    assert difference(clean.trained.encoded, found, clean.trained.spread).within(EXACT)
    assert encode(clean.model, pairs(), 8).width == 48


def test_another_shape_is_infinitely_far() -> None:
    one, other = (Encoded((np.ones((1, n), np.float32),), (np.ones((1, n), np.float32),)) for n in (4, 2))
    assert difference(one, other, 1.0).queries == float("inf")
    assert difference(one, one, 1.0).within(EXACT)


def test_scores_all_alike_have_a_spread() -> None:
    assert spread_of(np.full((3, 3), 0.5, np.float32)) == pytest.approx(5e-4)


def test_a_fingerprint_tells_prompts_dimension_and_bfloat16(tiny_model: Any) -> None:
    import torch

    found = {fingerprint_model(tiny_model)}
    tiny_model.truncate_dim = 16
    found.add(fingerprint_model(tiny_model))
    tiny_model.prompts["document"] = "page: "
    found.add(fingerprint_model(tiny_model))
    found.add(fingerprint_model(tiny_model.to(torch.bfloat16)))
    assert len(found) == 4
