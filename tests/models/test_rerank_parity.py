"""The parity gate for rerankers: clean exports pass, each damage is named at the step where it shows."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from test_reranker import SIZES, USER_ONLY, pairs, saved, set_template, set_value

import _tiny_reranker
from pagetune.errors import ModelError, ParityError
from pagetune.models.adapters import add_adapters, has_adapters, merge_adapters
from pagetune.models.inspect import architecture_of
from pagetune.models.quiet import quiet
from pagetune.models.rerank_answers import EXACT, HALF_MERGED, RememberedScores, direction_of, pair_scores
from pagetune.models.rerank_parity import check_rerank_parity, remember_scores
from pagetune.models.reranker import load_reranker
from pagetune.models.reranker_card import RerankFacts
from pagetune.models.saving import save_reranker
from pagetune.recipe import LoraRecipe, Recipe, RerankRecipe

CONFIG = "config_sentence_transformers.json"
SETTINGS = "sentence_bert_config.json"


@dataclass(frozen=True)
class Clean:
    """A reranker, how it scores, and where it was saved."""

    model: Any
    trained: RememberedScores
    folder: Path
    recipe: RerankRecipe

    def check(self, folder: Path) -> Any:
        return check_rerank_parity(self.model, pairs(), folder, recipe=self.recipe, trained=self.trained)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _tiny_reranker.tiny_reranker_backbone(tmp_path_factory.mktemp("base"), **SIZES)


@pytest.fixture(scope="module", params=["logit", "pooled"])
def clean(request: pytest.FixtureRequest, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Clean:
    recipe = RerankRecipe(name=str(base), architecture=request.param)
    model = load_reranker(recipe)
    return Clean(model, remember_scores(model, pairs()), saved(model, tmp_path_factory.mktemp("saved") / "it"), recipe)


def adapted(recipe: Recipe, size: float = 0.1) -> Any:
    import torch

    model = load_reranker(recipe.rerank)
    add_adapters(model, recipe.lora)
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.add_(torch.randn(parameter.shape, generator=draw) * size)
    return model


def test_a_clean_export_passes_every_step(clean: Clean) -> None:
    report = clean.check(clean.folder)
    assert [step.name for step in report.steps] == ["batched", "padded left", "padded right", "saved", "plain"]
    assert all(step.difference < 0.1 * EXACT for step in report.steps)
    assert (report.pairs, report.precision, report.adapter) == (5, "float32", None)
    assert report.directions == ("text_to_image", "image_to_text")
    assert report.summary()["steps"]["saved"]["allowed"] == EXACT


def reword(folder: Path) -> None:
    content = json.loads((folder / CONFIG).read_text())
    content["prompts"]["image_to_text"] = "Something else."
    (folder / CONFIG).write_text(json.dumps(content))


def fewer_pixels(folder: Path) -> None:
    file = folder / "processor_config.json"
    content = json.loads(file.read_text())
    content["image_processor"]["size"]["longest_edge"] = 4096
    file.write_text(json.dumps(content))


def other_order(folder: Path) -> None:
    file = folder / "chat_template.jinja"
    text = file.read_text()
    file.write_text(text.replace("<Query>: {{ parts.query }}", "Asked: {{ parts.query }}"))


def round_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    rounded = {name: tensor.bfloat16().float() for name, tensor in load_file(file).items()}
    save_file(rounded, file, metadata={"format": "pt"})


def other_head(folder: Path) -> None:
    if (folder / "2_Dense").is_dir():
        from safetensors.torch import load_file, save_file

        file = folder / "2_Dense" / "model.safetensors"
        save_file({name: tensor.flip(1).contiguous() for name, tensor in load_file(file).items()}, file)
    else:
        set_value("1_LogitScore/config.json", "true_token_id", 40)(folder)


@pytest.mark.parametrize(
    ("damage", "causes", "words"),
    [
        (reword, {"image_to_text prompt"}, "rerank.prompts"),
        (fewer_pixels, {"pixel bounds"}, "longest_edge"),
        (other_order, {"chat template"}, "chat template"),
        (round_weights, {"other precision"}, "bfloat16"),
        (other_head, {"stale projection", "LogitScore settings"}, "its"),
        (set_template(USER_ONLY), {"loading"}, "does not carry a query and a page"),
        (lambda folder: (folder / "model.safetensors").unlink(), {"loading"}, "cannot be loaded"),
    ],
)
def test_a_damaged_export_is_refused_by_name(
    damage: Callable[[Path], None], causes: set[str], words: str, clean: Clean, tmp_path: Path
) -> None:
    shutil.copytree(clean.folder, tmp_path / "damaged")
    damage(tmp_path / "damaged")
    with pytest.raises(ParityError) as caught:
        clean.check(tmp_path / "damaged")
    assert caught.value.step == "saved"
    assert set(caught.value.causes) <= causes
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_that_reads_its_padding_is_refused(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess = clean.model.preprocess

    def unmasked(*args: Any, **kwargs: Any) -> Any:
        features = preprocess(*args, **kwargs)
        features["attention_mask"] = features["attention_mask"] * 0 + 1
        return features

    monkeypatch.setattr(clean.model, "preprocess", unmasked)
    with pytest.raises(ParityError) as caught:
        check_rerank_parity(clean.model, pairs(), recipe=clean.recipe)
    assert (caught.value.step, caught.value.causes) == ("batched", ("padding",))


def test_too_few_pairs_are_refused(clean: Clean) -> None:
    with pytest.raises(ModelError, match="at least 2 pairs"):
        remember_scores(clean.model, pairs()[:1])


@pytest.mark.parametrize("architecture", ["logit", "pooled"])
def test_an_adapted_reranker_is_merged_described_and_scores_as_trained(
    architecture: Any, base: Path, tmp_path: Path
) -> None:
    from sentence_transformers import CrossEncoder

    recipe = Recipe(
        kind="reranker",
        rerank=RerankRecipe(name=str(base), architecture=architecture),
        lora=LoraRecipe(rank=2, keep_adapter=True),
    )
    model, folder = adapted(recipe), tmp_path / "reranker"
    wanted = pair_scores(model, pairs())
    facts = RerankFacts(data={"pairs": 12}, results={"text_to_image": (0.5, 0.75)}, judged="4 queries")
    report = save_reranker(model, folder, recipe, pairs(), facts=facts)
    assert [step.name for step in report.steps][:2] == ["merged", "batched"]
    assert report.adapter is not None
    assert report.adapter > 0.1
    assert not has_adapters(model)
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    again = load_reranker(recipe.rerank, folder)
    assert architecture_of(again) == architecture
    np.testing.assert_allclose(pair_scores(again, pairs()), wanted, atol=1e-4)
    with quiet():
        assert CrossEncoder(str(folder)).predict(pairs()[:2]).shape == (2,)

    card = (folder / "README.md").read_text()
    assert "| text_to_image | 0.500 | 0.750 |" in card
    assert "Given a page, judge" in card
    assert "pipeline_tag: text-ranking" in card
    assert str(base) not in card


@pytest.mark.parametrize("architecture", ["logit", "pooled"])
def test_merging_in_half_precision_passes_with_room_to_spare(architecture: Any, base: Path) -> None:
    rerank = RerankRecipe(name=str(base), architecture=architecture, dtype="bfloat16")
    for size in (0.02, 0.1):
        model = adapted(Recipe(rerank=rerank, lora=LoraRecipe(rank=2)), size)
        trained = remember_scores(model, pairs())
        merge_adapters(model)
        step = check_rerank_parity(model, pairs(), recipe=rerank, trained=trained).steps[0]
        assert (step.name, step.allowed) == ("merged", HALF_MERGED)
        assert step.difference < HALF_MERGED / 3


def test_an_adapter_that_was_taken_off_is_named(base: Path, tmp_path: Path) -> None:
    recipe = Recipe(rerank=RerankRecipe(name=str(base)), lora=LoraRecipe(rank=2))
    model = adapted(recipe)
    trained = remember_scores(model, pairs())
    untrained = load_reranker(recipe.rerank)
    with pytest.raises(ParityError) as caught:
        check_rerank_parity(untrained, pairs(), recipe=recipe.rerank, trained=trained)
    assert (caught.value.step, caught.value.causes) == ("merged", ("unmerged adapter",))
    folder = saved(untrained, tmp_path / "base")
    merge_adapters(model)
    with pytest.raises(ParityError) as caught:
        check_rerank_parity(model, pairs(), folder, recipe=recipe.rerank, trained=trained)
    assert (caught.value.step, caught.value.causes) == ("saved", ("unmerged adapter",))


def test_a_refused_export_leaves_what_was_there(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pagetune.models import saving

    recipe = Recipe(rerank=RerankRecipe(name=str(base)))
    model, folder = load_reranker(recipe.rerank), tmp_path / "reranker"
    folder.mkdir()
    (folder / "old").touch()
    write = saving._write

    def damaged(given: Any, place: Path) -> None:
        write(given, place)
        round_weights(place)

    monkeypatch.setattr(saving, "_write", damaged)
    with pytest.raises(ParityError):
        save_reranker(model, folder, recipe, pairs())
    assert [entry.name for entry in folder.iterdir()] == ["old"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["reranker"]


def test_directions() -> None:
    found = [direction_of(pair) for pair in pairs()]
    assert found == ["text_to_image"] * 3 + ["image_to_text"] * 2


def test_a_text_reranker_passes_without_a_padding_side(tmp_path: Path) -> None:
    name = _tiny_reranker.tiny_text_reranker(tmp_path / "text", hidden=64)
    recipe = Recipe(rerank=RerankRecipe(name=str(name)))
    texts = [("the ledger", "a page of the ledger"), ("what", "the title of the chapter " * 9), ("a", "b")]
    report = save_reranker(load_reranker(recipe.rerank), tmp_path / "saved", recipe, texts)
    assert [step.name for step in report.steps] == ["batched", "saved", "plain"]
