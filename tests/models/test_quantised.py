"""Four bits under adapters: what is quantised, what training sees, and the plain model that it ends in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import _tiny
from pagetune.errors import MissingExtra, ModelError
from pagetune.examples.loading import make_eval_set, make_train_set
from pagetune.models.adapters import add_adapters, has_adapters, merge_adapters
from pagetune.models.encoding import fingerprint_model
from pagetune.models.loading import load_model
from pagetune.models.quantised import is_four_bit, quantise, stored_bytes
from pagetune.models.saving import save_finished
from pagetune.recipe import Recipe, load_recipe
from pagetune.training.images import fit_images

FIT = ("fit.batch_size=4", "fit.mini_batch_size=4", "fit.learning_rate=2e-3", "fit.bf16=off", "fit.eval_fraction=1")


def page(number: int) -> Image.Image:
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).rectangle((4 + 3 * number, 8, 16 + 3 * number, 56), fill=("red", "blue")[number % 2])
    return image


ROWS: Sequence[dict[str, Any]] = [{"query": f"bar {number}", "image": page(number)} for number in range(12)]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen") / "model"
    return _tiny.tiny_qwen3_vl(folder, hidden=64, layers=2, vision_hidden=64, vision_layers=1)


def recipe(model: Path, *keys: str) -> Recipe:
    chosen = [f"model.name={model}", "lora.rank=2", "lora.quantise=4bit", "fit.matryoshka=[64]", "fit.best=last"]
    return load_recipe(None, [*chosen, *FIT, *keys])


def adapted(chosen: Recipe) -> Any:
    """A quantised model whose adapters have something to say."""
    model = load_model(chosen.model)
    add_adapters(model, chosen.lora)
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.add_(torch.randn(parameter.shape, generator=draw) * 0.05)
    return model


class Killer:
    """A fit's progress that ends it in the middle of the fourth step."""

    steps = 0

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Any]:
        yield self

    def advance(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps == 4:
            raise KeyboardInterrupt

    def expect(self, total: int) -> None:
        pass

    def say(self, line: str) -> None:
        pass


def four_bit_names(model: Any) -> set[str]:
    return {name for name, module in model.named_modules() if is_four_bit(module)}


@pytest.mark.parametrize("vision", [False, True])
def test_the_blocks_of_the_towers_with_adapters_are_quantised(qwen: Path, vision: bool) -> None:
    chosen = recipe(qwen, f"lora.vision={vision}".lower(), "model.kind=late", "lora.targets=[q_proj,qkv]")
    model = load_model(chosen.model)
    plain, before = stored_bytes(model), {name: tensor.clone() for name, tensor in model.named_parameters()}
    add_adapters(model, chosen.lora)
    names = four_bit_names(model)
    # Every linear layer of a block, whether it has an adapter or not.
    assert sum(".language_model.layers." in name for name in names) == 2 * 7
    assert any(".visual." in name for name in names) == vision
    assert stored_bytes(model) < plain
    after = {name.replace(".base_layer", ""): tensor for name, tensor in model.named_parameters()}
    for name, tensor in before.items():
        if after[name].dtype == torch.uint8:
            assert 7.5 < tensor.numel() * tensor.element_size() / after[name].numel() < 8.5
        else:
            assert torch.equal(after[name], tensor)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name or name.endswith("linear.weight") for name in trained)
    assert any(name.endswith("linear.weight") for name in trained)  # The new projection.


@pytest.mark.parametrize("keys", [(), ("lora.targets=[q_proj]",), ("lora.vision=true",)])
def test_merging_gives_plain_layers_that_answer_as_training_saw_it(qwen: Path, keys: tuple[str, ...]) -> None:
    chosen = recipe(qwen, *keys)
    plain = load_model(chosen.model)
    model = adapted(chosen)
    before = model.encode(["a bar", "two bars"], convert_to_tensor=True)
    assert merge_adapters(model) > 0
    assert not has_adapters(model)
    assert not four_bit_names(model)
    assert model.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(model.encode(["a bar", "two bars"], convert_to_tensor=True), before, rtol=0, atol=1e-5)
    # Not the weights that were quantised: training never saw them.
    name = "0.model.language_model.layers.0.mlp.up_proj.weight"
    assert (model.state_dict()[name] - plain.state_dict()[name]).abs().max() > 1e-3


def test_a_quantised_model_is_judged_as_it_is_trained(qwen: Path) -> None:
    model = adapted(recipe(qwen))
    features = model.preprocess(["a bar", "two bars"])
    with torch.no_grad():
        found = [model.train(training)(dict(features))["sentence_embedding"] for training in (False, True, False)]
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


def test_quantising_is_the_same_every_time_and_told_by_the_fingerprint(qwen: Path) -> None:
    chosen = recipe(qwen)
    found = []
    for _ in range(2):
        model = load_model(chosen.model)
        plain = fingerprint_model(model)
        quantise(model[0].model, chosen.lora)
        found.append(fingerprint_model(model))
    assert found[0] == found[1] != plain


@pytest.mark.parametrize(("dtype", "epochs"), [("float32", 4), ("bfloat16", 1)])
def test_a_fit_ends_in_a_plain_folder_past_the_gate(qwen: Path, tmp_path: Path, dtype: str, epochs: int) -> None:
    from sentence_transformers import SentenceTransformer

    chosen = recipe(
        qwen, f"model.dtype={dtype}", f"fit.epochs={epochs}", "lora.keep_adapter=true", "fit.log_fraction=0.3"
    )
    model = load_model(chosen.model)
    train = make_train_set(list(ROWS))
    report = fit_images(model, train, make_eval_set(list(ROWS[:6])), chosen, tmp_path / "run")
    assert report.base_ndcg is not None
    losses = [moment["loss"] for moment in report.history if "loss" in moment]
    assert epochs == 1 or np.mean(losses[-4:]) < np.mean(losses[:4])
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}
    parity = save_finished(model, tmp_path / "model", chosen, train.pairs(8))
    assert parity is not None
    assert [step.name for step in parity.steps] == ["merged", "saved", "plain"]
    assert (tmp_path / "model" / "adapter" / "adapter_model.safetensors").is_file()
    assert "quantization_config" not in json.loads((tmp_path / "model" / "config.json").read_text())
    plain = SentenceTransformer(str(tmp_path / "model"))
    assert {str(parameter.dtype) for parameter in plain.parameters()} == {f"torch.{dtype}"}


def test_a_killed_fit_goes_on_to_the_same_weights(qwen: Path, tmp_path: Path) -> None:
    chosen = recipe(qwen, "fit.epochs=2", "lora.dropout=0.1")
    train = make_train_set(list(ROWS))
    judged = make_eval_set(list(ROWS[:6]))

    whole, killed, going_on = (load_model(chosen.model) for _ in range(3))
    fit_images(whole, train, judged, chosen, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit_images(killed, train, judged, chosen, tmp_path / "killed", Killer())
    left = {path.name for path in (tmp_path / "killed" / "whole").glob("checkpoint-*/*.safetensors")}
    assert left == {"trained.safetensors"}
    fit_images(going_on, train, judged, chosen, tmp_path / "killed")
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(going_on.state_dict()[name], tensor, rtol=0, atol=1e-4)


def test_without_bitsandbytes_the_extra_is_named(qwen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = recipe(qwen)
    model = load_model(chosen.model)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra, match=r"lora\.quantise=4bit needs bitsandbytes.*pip install 'pagetune\[qlora\]'"):
        add_adapters(model, chosen.lora)


def test_a_model_that_cannot_have_adapters_is_refused(tiny_model: Any, tmp_path: Path) -> None:
    image = _tiny.tiny_siglip(tmp_path / "image", hidden=32, layers=1, image_size=64)
    text = _tiny.tiny_text_encoder(tmp_path / "text", hidden=32, layers=1)
    chosen = recipe(text, "model.kind=router", f"model.image_model={image}")
    for model, first in ((load_model(chosen.model), "Router"), (tiny_model, "PageReader")):
        with pytest.raises(ModelError, match=f"begins with {first}") as caught:
            add_adapters(model, chosen.lora)
        assert "\n" not in str(caught.value)
        assert not four_bit_names(model)
