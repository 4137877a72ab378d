"""Training where a device map has put the model: nothing moves it, and it learns what it would learn anywhere."""

from contextlib import contextmanager

import pytest
import torch
from PIL import Image

import _tiny
from pagetune.errors import ModelError
from pagetune.examples.loading import make_train_set
from pagetune.models.loading import load_model
from pagetune.models.saving import save_finished
from pagetune.recipe import load_recipe
from pagetune.training.images import fit_images
from pagetune.training.placement import tell_of_other_gpus
from pagetune.training.trainer import fit_model

KEYS = ["fit.batch_size=4", "fit.epochs=1", "fit.bf16=off", "fit.matryoshka=[64]", "fit.eval_fraction=1"]
PARTS = {"visual": "cpu", "language_model": "cpu"}


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen") / "model"
    return _tiny.tiny_qwen3_vl(folder, hidden=64, layers=1, vision_hidden=64, vision_layers=1)


@pytest.fixture(scope="module")
def train():
    return make_train_set(
        [{"query": f"page {n}", "image": Image.new("RGB", (64, 64), (20 * n, 9, 9))} for n in range(8)]
    )


def recipe(model, *keys):
    return load_recipe(None, [f"model.name={model}", *KEYS, *keys])


class Killer:
    """A fit's progress that ends it in the middle of a step."""

    def __init__(self, step):
        self.left = step

    @contextmanager
    def task(self, name, total, unit):
        yield self

    def advance(self, steps=1):
        self.left -= steps
        if not self.left:
            raise KeyboardInterrupt

    def expect(self, total):
        pass

    def say(self, line):
        pass


def in_parts(model):
    """The model with Accelerate's hooks, as on several devices; here there is one."""
    from accelerate import dispatch_model

    dispatch_model(model[0].model, PARTS, force_hooks=True)
    model.clear_placement_cache()
    return model


def forbid_moving(model, monkeypatch):
    move = type(model)._apply

    def refuse(self, *args, **kwargs):
        assert self is not model, "the model was moved"
        return move(self, *args, **kwargs)

    monkeypatch.setattr(type(model), "_apply", refuse)


@pytest.fixture(scope="module")
def expected(qwen, train, tmp_path_factory):
    """The weights of a fit without a device map, with the gradient cache."""
    chosen = recipe(qwen, "fit.mini_batch_size=2")
    model = load_model(chosen.model)
    fit_images(model, train, None, chosen, tmp_path_factory.mktemp("run"))
    return model.state_dict()


@pytest.mark.parametrize("where", ["cpu", "{'': cpu}", "auto", None])
@pytest.mark.filterwarnings("ignore:Attempting to save a model with offloaded modules")
def test_a_placed_model_is_trained_where_it_lies(qwen, train, expected, where, tmp_path, monkeypatch):
    chosen = recipe(qwen, "fit.mini_batch_size=2", *([f"model.device_map={where}"] if where else []))
    model = load_model(chosen.model) if where else in_parts(load_model(chosen.model))
    with monkeypatch.context() as patched:
        forbid_moving(model, patched)
        fit_images(model, train, None, chosen, tmp_path / "run")
    for name, tensor in expected.items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=0, atol=1e-4)
    assert save_finished(model, tmp_path / "model", chosen, train.pairs(4)) is not None


def test_a_killed_fit_of_a_placed_model_goes_on(qwen, train, tmp_path, monkeypatch):
    chosen = recipe(qwen, "fit.mini_batch_size=4", "fit.eval_fraction=0.5", "model.device_map=cpu")
    whole, killed, going_on = (load_model(chosen.model) for _ in range(3))
    fit_images(whole, train, None, chosen, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        fit_images(killed, train, None, chosen, tmp_path / "killed", Killer(2))
    assert (tmp_path / "killed" / "whole" / "checkpoint-1").is_dir()
    forbid_moving(going_on, monkeypatch)
    fit_images(going_on, train, None, chosen, tmp_path / "killed")
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(going_on.state_dict()[name], tensor, rtol=0, atol=1e-4)


@pytest.mark.parametrize("keys", [["lora.rank=2"], ["lora.rank=2", "lora.quantise=4bit"], ["model.kind=late"]])
@pytest.mark.filterwarnings("ignore:Attempting to save a model with offloaded modules")
def test_adapters_and_late_interaction_are_trained_in_parts(qwen, train, keys, tmp_path, monkeypatch):
    chosen = recipe(qwen, "fit.mini_batch_size=4", *keys)
    model = in_parts(load_model(chosen.model))
    with monkeypatch.context() as patched:
        forbid_moving(model, patched)
        fit_images(model, train, None, chosen, tmp_path / "run")
    report = save_finished(model, tmp_path / "model", chosen, train.pairs(4))
    assert report.steps[-1].name == "plain"


def test_a_router_is_trained_where_a_device_map_puts_it(train, tmp_path):
    text = _tiny.tiny_text_encoder(tmp_path / "text", hidden=32, layers=1)
    image = _tiny.tiny_siglip(tmp_path / "image", hidden=32, layers=1, image_size=64)
    chosen = recipe(text, "model.kind=router", f"model.image_model={image}", "model.device_map=cpu")
    model = load_model(chosen.model)
    assert fit_images(model, train, None, chosen, tmp_path / "run").steps_done == 2
    assert save_finished(model, tmp_path / "model", chosen, train.pairs(4)) is not None


def test_weights_on_disk_are_refused(qwen, train, tmp_path):
    chosen = recipe(qwen, "model.device_map={visual: cpu, language_model: disk}")
    with pytest.raises(ModelError, match=r"language_model\.embed_tokens are on disk.*leave the key out") as caught:
        fit_images(load_model(chosen.model), train, None, chosen, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert "device_map={'visual': 'cpu', 'language_model': 'disk'}" in str(caught.value)


def test_many_processes_over_parts_are_refused(qwen, train, tmp_path, monkeypatch):
    chosen = recipe(qwen, "model.device_map=auto")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ModelError, match="'auto' with 2 processes: one process"):
        fit_images(load_model(chosen.model), train, None, chosen, tmp_path / "run")


def test_a_reading_model_with_adapters_is_refused(tiny_model, tmp_path):
    chosen = load_recipe(None, ["lora.rank=4", "lora.quantise=4bit"])
    with pytest.raises(ModelError, match=r"lora\.rank=4: a model that reads pages is trained whole"):
        fit_model(tiny_model, None, [], [], chosen, tmp_path)


def test_of_several_gpus_the_one_that_is_used_is_told(monkeypatch):
    said = []

    class Heard(Killer):
        def say(self, line):
            said.append(line)

    class Whole:
        device, _placement_is_delegated = torch.device("cuda:0"), False

    for gpus in (1, 4):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        tell_of_other_gpus(Whole(), Heard(0))
    assert len(said) == 1
    assert "one of 4 GPUs" in said[0]
    assert "model.device_map=auto" in said[0]
