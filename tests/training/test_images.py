"""Training on page images: it learns, it goes on after a kill, adapters and projections are trained as asked."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from test_fit import Recorder

import _tiny
from pagetune.errors import ModelError
from pagetune.examples.loading import make_eval_set, make_train_set
from pagetune.models.adapters import has_adapters, merge_adapters, save_adapter
from pagetune.models.loading import load_model, save_model
from pagetune.recipe import load_recipe
from pagetune.training.image_judging import ImageEvaluator
from pagetune.training.images import fit_images

COLOURS = ("red", "green", "blue", "black")


def page(number: int, shift: int = 0) -> Image.Image:
    image = Image.new("RGB", (64, 64), "white")
    left = 4 + 3 * (number // len(COLOURS)) + shift
    ImageDraw.Draw(image).rectangle((left, 8, left + 12, 56), fill=COLOURS[number % len(COLOURS)])
    return image


def rows(count: int, shift: int = 0, negatives: int = 0):
    made = []
    for number in range(count):
        row = {"query": f"{COLOURS[number % 4]} bar {number // 4}", "image": page(number, shift)}
        row |= {f"negative_{place}": page(number + place + 1, 30) for place in range(negatives)}
        made.append(row)
    return made


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen") / "model"
    return _tiny.tiny_qwen3_vl(folder, hidden=64, layers=1, heads=4, vision_hidden=64, vision_layers=1)


@pytest.fixture(scope="module")
def train():
    return make_train_set(rows(16, negatives=1))


@pytest.fixture(scope="module")
def judged():
    return make_eval_set(rows(8, shift=1))


def recipe(model, *keys: str):
    common = ["fit.batch_size=4", "fit.mini_batch_size=4", "fit.epochs=2", "fit.learning_rate=2e-3", "fit.bf16=off"]
    return load_recipe(None, [f"model.name={model}", *common, "fit.matryoshka=[64,16]", "fit.eval_fraction=0.5", *keys])


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_the_loss_falls_and_every_dimension_is_judged(qwen, train, judged, tmp_path):
    chosen = recipe(qwen)
    model = load_model(chosen.model)
    report = fit_images(model, train, judged, chosen, tmp_path / "run")
    losses = [moment["loss"] for moment in report.history if "loss" in moment]
    assert losses[-1] < losses[0]
    assert report.steps_done == report.steps == 8
    found = ImageEvaluator(judged, chosen)(model)
    assert set(found) == {"ndcg@10", "ndcg@10_16d"}
    assert found["ndcg@10"] == pytest.approx(report.kept_ndcg, abs=1e-6)


def test_a_killed_fit_goes_on_to_the_same_weights(qwen, train, judged, tmp_path):
    chosen = recipe(qwen, "fit.best=last")
    whole, killed, recorder = load_model(chosen.model), load_model(chosen.model), Recorder()
    fit_images(whole, train, judged, chosen, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit_images(load_model(chosen.model), train, judged, chosen, tmp_path / "killed", Recorder(stop_at=5))
    assert list((tmp_path / "killed").rglob("optimizer.pt"))
    fit_images(killed, train, judged, chosen, tmp_path / "killed", recorder)
    assert "fit: continued from step 4 of 8" in recorder.lines
    assert not list(tmp_path.rglob("optimizer.pt"))
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(killed.state_dict()[name], tensor)


def test_the_gradient_cache_gives_the_gradients_of_the_whole_batch(qwen, train):
    from pagetune.training.losses import ranking_loss

    found = []
    for mini in (1, 4):
        chosen = recipe(qwen, f"fit.mini_batch_size={mini}")
        model = load_model(chosen.model).eval()
        loss = ranking_loss(model, chosen.fit, cached=mini < 4)
        columns = [[row[name] for row in train.dataset.select(range(4))] for name in ("query", "image", "negative_0")]
        features = [model.preprocess(column) for column in columns]
        loss(features, None).backward()
        found.append({name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-3, atol=1e-5)


def test_adapters_alone_are_trained_kept_resumed_and_merged(qwen, train, judged, tmp_path):
    chosen = recipe(qwen, "lora.rank=2", "fit.best=last")
    model = load_model(chosen.model)
    before = weights(model)
    fit_images(model, train, judged, chosen, tmp_path / "run")
    assert has_adapters(model)
    frozen = {name.replace(".base_layer", ""): tensor for name, tensor in weights(model).items() if "lora_" not in name}
    assert all(torch.equal(frozen[name], tensor) for name, tensor in before.items())
    assert {path.name for path in (tmp_path / "run" / "whole").glob("checkpoint-8/*.safetensors")} == {
        "trained.safetensors"
    }
    adapted = ImageEvaluator(judged, chosen).values(model)
    save_adapter(model, chosen.lora, str(qwen), tmp_path / "adapter")
    assert merge_adapters(model) > 0
    assert not has_adapters(model)
    np.testing.assert_allclose(ImageEvaluator(judged, chosen).values(model), adapted, atol=0.2)
    save_model(model, tmp_path / "saved")
    again = load_model(chosen.model, tmp_path / "saved")
    assert any(not torch.equal(again.state_dict()[name], tensor) for name, tensor in before.items())
    torch.testing.assert_close(
        again.encode_query(["red"], convert_to_tensor=True), model.encode_query(["red"], convert_to_tensor=True)
    )


def test_the_vision_tower_has_adapters_only_where_asked(qwen):
    from pagetune.models.adapters import add_adapters

    counts = []
    for vision in ("false", "true"):
        chosen = recipe(qwen, "lora.rank=2", f"lora.vision={vision}")
        model = load_model(chosen.model)
        add_adapters(model, chosen.lora)
        named = [name for name, weight in model.named_parameters() if weight.requires_grad]
        counts.append(sum(".visual." in name for name in named))
    assert counts[0] == 0 < counts[1]


def test_adapters_where_there_are_no_such_layers_are_refused(qwen):
    from pagetune.models.adapters import add_adapters

    chosen = recipe(qwen, "lora.rank=2", "lora.targets=[nowhere]")
    with pytest.raises(ModelError, match="q_proj"):
        add_adapters(load_model(chosen.model), chosen.lora)


def test_a_frozen_vision_tower_stays_as_it_was(qwen, train, judged, tmp_path):
    chosen = recipe(qwen, "fit.freeze_vision=true", "fit.epochs=1")
    model = load_model(chosen.model)
    before = weights(model)
    fit_images(model, train, None, chosen, tmp_path / "run")
    moved = {name for name, tensor in weights(model).items() if not torch.equal(tensor, before[name])}
    assert moved
    assert not any(".visual." in name for name in moved)


def test_a_router_is_aligned_with_its_towers_frozen_then_trained_whole(train, judged, tmp_path):
    text = _tiny.tiny_text_encoder(tmp_path / "text", hidden=32, layers=1)
    image = _tiny.tiny_siglip(tmp_path / "image", hidden=32, layers=1, image_size=64)
    keys = ["model.kind=router", f"model.image_model={image}", "fit.projection_learning_rate=0.01", "fit.epochs=1"]
    chosen = recipe(text, *keys, "fit.projection_epochs=1", "fit.learning_rate=1e-9", "fit.matryoshka=[32]")
    model = load_model(chosen.model)
    before = weights(model)
    fit_images(model, train, judged, chosen, tmp_path / "run")
    moved = {name for name, tensor in weights(model).items() if not torch.allclose(tensor, before[name], atol=1e-5)}
    assert moved == {name for name in before if ".linear." in name}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_new_weights_are_the_same_in_another_process_so_that_a_fit_goes_on(qwen, train, judged, tmp_path):
    keys = ["model.kind=late", "lora.rank=2", "fit.epochs=1"]
    chosen = recipe(qwen, *keys)
    torch.manual_seed(1)
    first = load_model(chosen.model)
    begun = fit_images(first, train, judged, chosen, tmp_path / "run")
    torch.manual_seed(2)
    second = load_model(chosen.model)
    again = fit_images(second, train, judged, recipe(qwen, *keys, "fit.parity=false"), tmp_path / "run")
    assert again.history == begun.history
    assert again.seconds < begun.seconds
    for name, tensor in weights(first).items():
        torch.testing.assert_close(second.state_dict()[name], tensor)


@pytest.mark.parametrize("published", [False, True])
def test_late_interaction_learns(qwen, train, judged, tmp_path, published):
    folder = _tiny.tiny_colqwen2(tmp_path / "col", hidden=64, layers=1) if published else qwen
    keys = [] if published else ["model.kind=late", "fit.projection_learning_rate=0.01"]
    chosen = recipe(folder, *keys, "fit.epochs=6")
    model = load_model(chosen.model)
    report = fit_images(model, train, judged, chosen, tmp_path / "run")
    losses = [moment["loss"] for moment in report.history if "loss" in moment]
    assert np.mean(losses[-6:]) < np.mean(losses[:6])


def test_what_does_not_go_together_is_refused(qwen, train, tmp_path):
    chosen = recipe(qwen, "fit.gradient_checkpointing=true", "fit.mini_batch_size=1", "fit.mini_batch_tokens=null")
    with pytest.raises(ModelError, match="gradient cache"):
        fit_images(load_model(chosen.model), train, None, chosen, tmp_path / "run")
    for keys, fault in (
        (["fit.truncate_dim=128"], "the model is 64 wide"),
        (["fit.truncate_dim=64", "model.kind=late"], "late"),
    ):
        chosen = recipe(qwen, *keys)
        with pytest.raises(ModelError, match=fault):
            fit_images(load_model(chosen.model), train, None, chosen, tmp_path / "run")
    chosen = recipe(_tiny.tiny_text_encoder(tmp_path / "text"))
    with pytest.raises(ModelError, match="not image"):
        fit_images(load_model(chosen.model), train, None, chosen, tmp_path / "run")
