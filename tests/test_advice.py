"""What fits on this machine, tried on real pages: a dataset's, and a workspace's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import _tiny
from pagetune import Pipeline, load_recipe
from pagetune.advice import advise
from pagetune.cli.app import app
from pagetune.context import Context
from pagetune.errors import ModelError, RecipeError, WorkspaceError
from pagetune.workspace import Workspace, folder_digest
from test_image_stages import FIT, recipe, rows
from test_pipeline import SMALL, _documents

__all__ = ["rows"]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen") / "model"
    return _tiny.tiny_qwen3_vl(folder, hidden=64, layers=1, heads=4, vision_hidden=64, vision_layers=1)


def test_a_datasets_rows_are_tried_at_each_size_with_all_weights_and_with_adapters(
    qwen: Path, rows: Path, tmp_path: Path
) -> None:
    chosen = load_recipe(None, recipe(qwen, rows, "lora.rank=2", "model.max_pixels=16384", "model.min_pixels=4096"))
    found = advise(Context(Workspace(tmp_path / "ws"), chosen), [4096, 16384])
    assert [(option.pixels, option.rank) for option in found.options] == [(4096, 0), (4096, 2), (16384, 0), (16384, 2)]
    assert all(option.fits for option in found.options)
    # Pages of 64 x 64 pixels are not enlarged: both bounds are alike to them.
    assert found.options[0].tokens_a_page == found.options[2].tokens_a_page
    assert found.options[0].parts["optimizer"] > found.options[1].parts["optimizer"] > 0
    assert found.chosen is found.options[3]
    assert found.chosen.batch_size == 4
    assert found.work.steps == 4
    assert (found.work.judged, found.work.evaluations) == (30, 5)
    assert found.material.startswith("16 pairs of ")
    assert "it is what the recipe asks for" in found.sentence
    # The advice is a recipe.
    again = load_recipe(None, [*recipe(qwen, rows), *found.arguments])
    assert again.fit.mini_batch_tokens == found.chosen.mini_batch_tokens
    (tmp_path / "advised.yaml").write_text(found.advised_recipe())
    assert load_recipe(tmp_path / "advised.yaml").fit == again.fit
    assert not (tmp_path / "ws").exists()


def test_a_workspaces_own_pages_are_tried_and_it_stays_as_it_is(qwen: Path, tmp_path: Path) -> None:
    _documents(tmp_path / "documents")
    keys = [*SMALL, *FIT, f"model.name={qwen}", "fit.negatives=1"]
    pipeline = Pipeline(tmp_path / "ws", load_recipe(None, keys), documents=[tmp_path / "documents"])
    pipeline.read()
    before = folder_digest(tmp_path / "ws")
    found = advise(Pipeline(tmp_path / "ws").context, [20_000, 80_000])
    assert "no queries are written yet" in found.material
    fewer, more = found.options[0], found.options[2]
    assert more.tokens_a_page > 3 * fewer.tokens_a_page
    assert found.work.columns == 2
    assert not found.work.judged
    assert folder_digest(tmp_path / "ws") == before
    pipeline.mine()
    mined = advise(Pipeline(tmp_path / "ws").context, [20_000])
    assert "mined examples" in mined.material
    assert mined.work.judged > 0


def test_a_model_of_one_size_is_tried_at_it(rows: Path, tmp_path: Path) -> None:
    folder = _tiny.tiny_siglip(tmp_path / "siglip", hidden=32, layers=1, image_size=64)
    chosen = load_recipe(None, recipe(folder, rows, "fit.matryoshka=[32]"))
    found = advise(Context(Workspace(tmp_path / "ws"), chosen))
    assert {option.pixels for option in found.options} == {None}
    assert "model.max_pixels" not in found.overrides
    with pytest.raises(RecipeError, match="--pixels 4096: the model scales every page alike"):
        advise(Context(Workspace(tmp_path / "ws"), chosen), [4096])


def test_what_cannot_be_planned_is_one_line(qwen: Path, rows: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model.name='light' reads the text of pages, it has no pixels"):
        advise(Context(Workspace(tmp_path / "ws"), load_recipe(None, [f"dataset.train={rows / 'train'}"])))
    text = _tiny.tiny_text_encoder(tmp_path / "text", hidden=32, layers=1)
    with pytest.raises(ModelError, match="reads the text of pages"):
        advise(Context(Workspace(tmp_path / "ws"), load_recipe(None, recipe(text, rows))))
    with pytest.raises(WorkspaceError, match=r"is not a workspace and dataset.train is not set"):
        advise(Context(Workspace(tmp_path / "ws"), load_recipe(None, [f"model.name={qwen}"])))
    Workspace(tmp_path / "empty").create()
    with pytest.raises(WorkspaceError, match="holds no pages; read documents first"):
        advise(Context(Workspace(tmp_path / "empty"), load_recipe(None, [f"model.name={qwen}"])))
    with pytest.raises(RecipeError, match=r"--pixels 100: the model enlarges pages to 4096 pixels"):
        advise(Context(Workspace(tmp_path / "ws"), load_recipe(None, recipe(qwen, rows))), [100])


def test_memory_that_is_not_there_is_not_tried(
    qwen: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pagetune.training import trials

    def too_much(*args: object) -> None:
        raise MemoryError("out of memory")

    chosen = load_recipe(None, recipe(qwen, rows))
    monkeypatch.setattr(trials, "try_steps", too_much)
    found = advise(Context(Workspace(tmp_path / "ws"), chosen), [4096])
    assert [option.why_not for option in found.options] == ["out of memory"] * 2
    assert found.chosen is None
    with pytest.raises(RecipeError, match="Nothing fits"):
        found.advised_recipe()
    monkeypatch.setattr(trials, "find_machine", lambda model: trials.Machine("a small one", False, 2**20))
    found = advise(Context(Workspace(tmp_path / "ws"), chosen), [4096])
    assert "are needed, counted from the weights alone" in found.options[0].why_not


def test_the_verb_prints_the_options_the_advice_and_the_keys(qwen: Path, rows: Path, tmp_path: Path) -> None:
    written = tmp_path / "advised.yaml"
    keys = recipe(qwen, rows, "model.max_pixels=16384")
    command = ["plan", *keys, "-w", str(tmp_path / "ws"), "--pixels", "16384", "--write", str(written), "-q"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    for told in (
        "→  16,384  full",
        "LoRA 32",
        "measured  ",
        "memory    ",
        "fit.mini_batch_tokens=",
        "Train all weights",
    ):
        assert told in done.stdout
    assert written.read_text().startswith("# Train all weights on 16,384 pixels")
    taken = CliRunner().invoke(app, command)
    assert taken.exit_code == 2
    assert "it is there already" in taken.stderr
    done = CliRunner().invoke(app, ["plan", *keys, "-w", str(tmp_path / "ws"), "--pixels", "16384", "--json", "-q"])
    found = json.loads(done.stdout)
    assert found["advised"] in found["options"]
    assert set(found["overrides"]) == {"fit.mini_batch_tokens", "fit.graph_memory"}
