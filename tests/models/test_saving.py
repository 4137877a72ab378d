"""Saving: merged, truncated, described, compared, or not there at all; and the way to the Hub."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import _drawn
import _tiny
from pagetune.errors import ModelError, ParityError
from pagetune.models.adapters import add_adapters, has_adapters
from pagetune.models.card import CardFacts
from pagetune.models.loading import load_model
from pagetune.models.saving import push, save_finished
from pagetune.recipe import IndexRecipe, LoraRecipe, ModelRecipe, Recipe, load_recipe
from pagetune.search.stored import through_index

TEXTS = [("ledger account", "debit credit booking"), ("flute oboe", "concert rehearsal"), ("lawn", "hedge mulch lawn")]


def pairs() -> list[tuple[str, Any]]:
    pages, _ = _drawn.choose_pages(4, 0, 0)
    return [(page.query, _drawn.draw(page, 1).resize((64, 64))) for page in pages]


def adapted(base: Path, recipe: Recipe) -> Any:
    import torch

    model = load_model(recipe.model)
    add_adapters(model, recipe.lora)
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.add_(torch.randn(parameter.shape, generator=draw) * 0.1)
    return model


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base-qwen")
    return _tiny.tiny_qwen3_vl(folder, hidden=64, vision_hidden=64, words=_drawn.vocabulary())


def test_an_adapted_model_is_merged_truncated_and_described(qwen: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from sentence_transformers import SentenceTransformer

    recipe = Recipe(
        model=ModelRecipe(name=str(qwen), query_prompt="Find: "),
        lora=LoraRecipe(rank=2, keep_adapter=True),
        index=IndexRecipe(dimension=32),
    )
    model, folder = adapted(qwen, recipe), tmp_path / "model"
    facts = CardFacts(
        data={"training rows": 12},
        datasets=("someone/pages",),
        results={64: (0.1, 0.5), 48: (None, 0.4)},
        judged="4 queries against 4 pages",
        hardware="2 cores",
    )
    report = save_finished(model, folder, recipe, pairs(), dimension=48, facts=facts, store=through_index(recipe.index))
    assert report is not None
    assert [step.name for step in report.steps] == ["merged", "saved", "plain", "index"]
    assert report.adapter is not None
    assert report.adapter.scores > 0.1
    assert not has_adapters(model)

    plain = SentenceTransformer(str(folder))
    assert (plain.truncate_dim, plain.prompts["query"]) == (48, "Find: ")
    assert plain.encode_query(["a"]).shape == (1, 48)
    again = PeftModel.from_pretrained(load_model(ModelRecipe(name=str(qwen)))[0].model, str(folder / "adapter"))
    assert any("lora_A" in name for name, _ in again.named_parameters())

    card = (folder / "README.md").read_text(encoding="utf-8")
    _, front, text = card.split("---\n", 2)
    head = yaml.safe_load(front)
    assert (head["library_name"], head["datasets"]) == ("sentence-transformers", ["someone/pages"])
    assert "base_model" not in head  # A folder of this machine is nothing to name to others.
    assert str(tmp_path) not in card
    assert str(qwen.parent) not in card
    for said in ("| 48 (saved) | – | 0.400 |", "training rows: 12", "| merged |", "query 'Find: '", "rank: 2"):
        assert said in text


def test_a_refused_export_leaves_what_was_there(qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(model=ModelRecipe(name=str(qwen)), lora=LoraRecipe(rank=2))
    monkeypatch.setattr("pagetune.models.saving.merge_adapters", lambda model: 0)
    folder = tmp_path / "model"
    with pytest.raises(ParityError, match="adapter tensors lie in the folder unmerged"):
        save_finished(adapted(qwen, recipe), folder, recipe, pairs())
    assert list(tmp_path.iterdir()) == []
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(ParityError):
        save_finished(adapted(qwen, recipe), folder, recipe, pairs())
    assert [entry.name for entry in folder.iterdir()] == ["old"]


def test_without_the_gate_nothing_is_compared(tiny_model: Any, tmp_path: Path) -> None:
    recipe = load_recipe(overrides=["fit.parity=false", "fit.truncate_dim=16"])
    assert save_finished(tiny_model, tmp_path / "model", recipe, ()) is None
    assert load_model(recipe.model, tmp_path / "model").truncate_dim == 16


def test_a_reader_keeps_its_dimension(tiny_model: Any, tmp_path: Path) -> None:
    report = save_finished(tiny_model, tmp_path / "model", Recipe(), TEXTS, dimension=16)
    assert report is not None
    assert [step.name for step in report.steps] == ["saved"]  # Sentence Transformers alone knows no page reader.
    assert load_model(ModelRecipe(), tmp_path / "model").encode(["a text"]).shape == (1, 16)
    assert "from pagetune.models.loading import load_folder" in (tmp_path / "model" / "README.md").read_text()


def test_the_full_dimension_is_no_truncation(tiny_model: Any, tmp_path: Path) -> None:
    save_finished(tiny_model, tmp_path / "model", Recipe(), TEXTS, dimension=32)
    assert load_model(ModelRecipe(), tmp_path / "model").truncate_dim is None


def test_a_dimension_that_cannot_be_is_refused(tiny_model: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="truncate_dim=64 is above the model's 32"):
        save_finished(tiny_model, tmp_path / "model", load_recipe(overrides=["fit.truncate_dim=64"]), TEXTS)
    late = _tiny.tiny_colqwen2(tmp_path / "base", hidden=64, vision_hidden=64, embedding=32)
    recipe = Recipe(model=ModelRecipe(name=str(late)))
    with pytest.raises(ModelError, match=r"one width, chosen by model\.projection"):
        save_finished(load_model(recipe.model), tmp_path / "model", recipe, pairs(), dimension=16)
    assert not (tmp_path / "model").exists()


def test_late_interaction_passes_with_pooled_tokens(tmp_path: Path) -> None:
    base = _tiny.tiny_colqwen2(tmp_path / "base", hidden=64, vision_hidden=64, embedding=32)
    recipe = Recipe(model=ModelRecipe(name=str(base), token_pooling=2), index=IndexRecipe(dimension=256))
    model = load_model(recipe.model)
    report = save_finished(model, tmp_path / "model", recipe, pairs(), store=through_index(recipe.index))
    assert report is not None
    assert [step.name for step in report.steps] == ["saved", "plain", "index"]
    assert "MultiVectorEncoder" in (tmp_path / "model" / "README.md").read_text()


class Hub:
    """The Hub's client, noting what it is asked."""

    asked: list[Any]
    refuse = False

    def create_repo(self, repo_id: str, private: bool, exist_ok: bool) -> Any:
        if Hub.refuse:
            raise OSError("401 Client Error\nInvalid credentials")
        Hub.asked = [repo_id, private, exist_ok]
        return SimpleNamespace(repo_id=f"me/{repo_id}")

    def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> str:
        Hub.asked += [repo_id, folder_path]
        return "https://hub/commit/1"


def test_push_uploads_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    with pytest.raises(ModelError, match="no saved model to push"):
        push(tmp_path, "mine")
    (tmp_path / "modules.json").write_text("[]")
    assert push(tmp_path, "mine", private=False) == "https://hub/commit/1"
    assert Hub.asked == ["mine", False, True, "me/mine", tmp_path]
    monkeypatch.setattr(Hub, "refuse", True)
    with pytest.raises(ModelError, match=r"fit\.push_to_hub='mine': 401 Client Error Invalid credentials") as caught:
        push(tmp_path, "mine")
    assert "\n" not in str(caught.value)


def test_push_offline_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(ModelError, match=r"the model is saved in") as caught:
        push(tmp_path, "nobody/nothing")
    assert "\n" not in str(caught.value)
