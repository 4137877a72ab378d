"""`auto` for pixels and adapters: planned once before the model is used, said, noted, and the same in every stage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import _tiny
from pagetune import Pipeline, advice, load_recipe
from pagetune.advice import advise
from pagetune.context import Context
from pagetune.errors import ModelError, RecipeError
from pagetune.models.adapters import add_adapters
from pagetune.models.loading import load_model
from pagetune.models.pixels import pixel_bounds
from pagetune.progress import Silent
from pagetune.recipe import left_open
from pagetune.workspace import Workspace
from test_image_stages import FIT, recipe, rows
from test_pipeline import SMALL, _documents

__all__ = ["rows"]

BOTH = ("model.max_pixels=auto", "lora.rank=auto")


class Said(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its own bound is the only size that is tried: every other is above it."""
    folder = tmp_path_factory.mktemp("qwen") / "model"
    _tiny.tiny_qwen3_vl(folder, hidden=64, layers=1, heads=4, vision_hidden=64, vision_layers=1)
    return folder


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "SIDES", (96,))


def no_plan(*args: object) -> None:
    raise AssertionError("planned again")


def test_it_is_planned_before_the_fit_and_every_stage_has_the_values(
    qwen: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, said = load_recipe(None, recipe(qwen, rows, *BOTH)), Said()
    own = pixel_bounds(load_model(load_recipe(None, recipe(qwen, rows)).model))
    assert own is not None
    pipeline = Pipeline(tmp_path / "ws", chosen, progress=said)
    assert left_open(pipeline.recipe) == ("model.max_pixels", "lora.rank")
    pipeline.run()
    assert (pipeline.recipe.model.max_pixels, pipeline.recipe.lora.rank) == (own[1], 0)
    assert load_recipe(tmp_path / "ws" / "recipe.yaml") == pipeline.recipe
    note = json.loads((tmp_path / "ws" / "plan.json").read_text())
    assert note["values"] == {"model.max_pixels": own[1], "lora.rank": 0}
    assert "plan: model.max_pixels=auto and lora.rank=auto: trying what fits this machine" in said.lines
    assert f"plan: {note['advice']['sentence']}" in said.lines
    assert "it is the most that the model takes, and it fits" in note["advice"]["sentence"]
    for stage in ("fit", "evaluate"):
        recorded = json.loads((tmp_path / "ws" / "stages" / f"{stage}.json").read_text())
        assert recorded["parts"]["recipe"]["model"]["max_pixels"] == own[1]
    # Asked for again, and gone on with after a kill, it is what it was: nothing is planned.
    monkeypatch.setattr(advice, "advise", no_plan)
    again = Pipeline(tmp_path / "ws", chosen)
    assert [step.action for step in again.plan()] == ["keep", "keep"]
    again.workspace.forget("fit")
    again.fit()
    assert again.recipe == pipeline.recipe


def test_what_the_choice_depends_on_has_it_made_again(qwen: Path, rows: Path, tmp_path: Path) -> None:
    chosen = load_recipe(None, recipe(qwen, rows, *BOTH))
    Pipeline(tmp_path / "ws", chosen).run()
    for key, settled in (("model.encode_batch=4", True), ("fit.epochs=2", True), ("fit.freeze_vision=true", False)):
        other = load_recipe(None, recipe(qwen, rows, *BOTH, key))
        assert (not left_open(Pipeline(tmp_path / "ws", other).recipe)) is settled


def test_what_is_given_stays(qwen: Path, rows: Path, tmp_path: Path) -> None:
    chosen = load_recipe(None, recipe(qwen, rows, "model.max_pixels=auto", "lora.rank=2"))
    found = advise(Context(Workspace(tmp_path / "ws"), chosen))
    assert {option.rank for option in found.options} == {2}
    assert len({option.pixels for option in found.options}) > 1
    assert "lora.rank" not in found.overrides
    assert found.chosen is not None
    assert found.overrides["model.max_pixels"] == found.chosen.pixels
    chosen = load_recipe(None, recipe(qwen, rows, "model.max_pixels=16384", "lora.rank=auto"))
    found = advise(Context(Workspace(tmp_path / "ws"), chosen))
    assert [(option.pixels, option.rank) for option in found.options] == [(16384, 0), (16384, 32)]
    assert "model.max_pixels" not in found.overrides
    assert found.overrides["lora.rank"] == 0


def test_a_model_of_one_size_keeps_it(rows: Path, tmp_path: Path) -> None:
    folder = _tiny.tiny_siglip(tmp_path / "siglip", hidden=32, layers=1, image_size=64)
    chosen = load_recipe(None, recipe(folder, rows, *BOTH, "fit.matryoshka=[32]"))
    found = advise(Context(Workspace(tmp_path / "ws"), chosen))
    assert found.overrides["model.max_pixels"] is None
    assert "model.max_pixels=null" in found.arguments
    pasted = load_recipe(None, [*recipe(folder, rows, *BOTH, "fit.matryoshka=[32]"), *found.arguments])
    assert (pasted.model.max_pixels, pasted.lora.rank) == (None, 0)


def test_of_documents_the_bound_is_there_before_anything_is_mined(qwen: Path, tmp_path: Path) -> None:
    _documents(tmp_path / "documents")
    keys = [*SMALL, *FIT, f"model.name={qwen}", "model.max_pixels=auto", "fit.negatives=1"]
    pipeline = Pipeline(tmp_path / "ws", load_recipe(None, keys), documents=[tmp_path / "documents"])
    pipeline.queries()
    assert left_open(pipeline.recipe) == ("model.max_pixels",)
    pipeline.mine()
    bound = pipeline.recipe.model.max_pixels
    assert isinstance(bound, int)
    mined = json.loads((tmp_path / "ws" / "stages" / "mine.json").read_text())
    assert mined["parts"]["recipe"]["model"]["max_pixels"] == bound
    assert Pipeline(tmp_path / "ws").recipe.model.max_pixels == bound


def test_where_nothing_fits_or_nothing_can_be_planned_it_is_one_line(
    qwen: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pagetune.training import trials

    reading = load_recipe(None, [f"dataset.train={rows / 'train'}", "model.max_pixels=auto"])
    with pytest.raises(ModelError, match=r"^model.max_pixels=auto: model.name='light' reads the text of pages"):
        Pipeline(tmp_path / "reading", reading).fit()
    monkeypatch.setattr(trials, "find_machine", lambda model: trials.Machine("a small one", False, 2**20))
    with pytest.raises(ModelError, match=r"^model.max_pixels=auto and lora.rank=auto: Nothing fits into 1 MiB"):
        Pipeline(tmp_path / "ws", load_recipe(None, recipe(qwen, rows, *BOTH))).fit()
    assert not (tmp_path / "ws" / "plan.json").exists()


def test_what_is_still_open_is_never_taken_for_a_number(qwen: Path, rows: Path) -> None:
    chosen = load_recipe(None, recipe(qwen, rows, *BOTH))
    with pytest.raises(ModelError, match=r"model.max_pixels=auto is chosen before a fit"):
        load_model(chosen.model)
    with pytest.raises(ModelError, match=r"lora.rank=auto is chosen before a fit"):
        add_adapters(load_model(load_recipe(None, recipe(qwen, rows)).model), chosen.lora, 0)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (["lora.rank=auto", "lora.quantise=4bit"], "quantise=4bit trains adapters only: set lora.rank, such as 16"),
        (["lora.rank=auto", "kind=reranker"], "lora.rank=auto is planned for a retriever"),
        (["lora.rank=some"], "'some'"),
    ],
)
def test_what_does_not_go_together_is_a_line(keys: list[str], line: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, keys)
    assert line in caught.value.problems[0]
