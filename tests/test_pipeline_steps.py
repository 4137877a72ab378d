"""Which stage runs when: the stages themselves replaced by ones that only say what they made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pagetune import Pipeline, load_recipe, stages
from pagetune.changes import judged_stamp
from pagetune.cli.app import app
from pagetune.errors import ParityError, WorkspaceError
from pagetune.evaluation.rerank_use import RerankUse
from pagetune.pages.sources import find_files
from pagetune.pipeline import NAMES, STAGES
from pagetune.progress import Silent


class Made:
    """What each stage makes now, and which of them ran."""

    def __init__(self) -> None:
        self.content = dict.fromkeys(NAMES, "first")
        self.ran: list[str] = []
        self.killed = ""
        self.refused: dict[str, Exception] = {}

    def work(self, name: str, pipeline: Pipeline) -> dict[str, str]:
        for stage in STAGES:
            for output in stage.outputs if stage.name == name else ():
                place = pipeline.workspace.root / output
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
        self.ran.append(name)
        if self.killed == name:
            raise KeyboardInterrupt
        if name in self.refused:
            raise self.refused[name]
        return {"content": self.content[name]}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    made = Made()
    for name in NAMES:
        monkeypatch.setattr(stages, f"do_{name}", lambda pipeline, name=name: made.work(name, pipeline))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "one.pdf").write_bytes(b"%PDF-1.4")
    return tmp_path


def _run(folder: Path, made: Made, *overrides: str) -> list[str]:
    made.ran.clear()
    Pipeline(folder / "ws", load_recipe(None, overrides), documents=[folder / "documents"]).run()
    return made.ran


@pytest.mark.parametrize(
    ("changed", "after"),
    [
        # New pages that no query came of: they have to be searched through and found all the same.
        ("read", ["queries", "mine", "fit", "evaluate", "index"]),
        # New test queries or masks, the training examples as before.
        ("queries", ["mine", "fit", "evaluate"]),
        ("fit", ["evaluate", "index"]),
    ],
)
def test_every_stage_that_reads_an_output_runs_when_it_changes(
    folder: Path, made: Made, changed: str, after: list[str]
) -> None:
    assert _run(folder, made) == list(NAMES)
    made.content[changed] = "second"
    (folder / "ws" / "stages" / f"{changed}.json").unlink()
    assert _run(folder, made) == [changed, *after]


@pytest.mark.parametrize("key", ["fit.parity=false", "fit.push_to_hub=me/mine", "fit.checkpoints=3", "lora.rank=4"])
def test_a_fit_that_made_the_same_model_is_not_judged_again(folder: Path, made: Made, key: str) -> None:
    _run(folder, made)
    assert _run(folder, made, key) == ["fit"]


@pytest.mark.parametrize(
    ("key", "ran", "why"),
    [
        ("fit.matryoshka=[64]", ["fit", "evaluate"], "recipe: fit.matryoshka [384, 256, 128, 64] → [64]"),
        ("evaluate.resamples=200", ["evaluate"], "recipe: evaluate.resamples 10000 → 200"),
        ("evaluate.guard=me/general", ["evaluate"], "recipe: evaluate.guard None → me/general"),
        ("evaluate.depth=50", ["evaluate", "index"], "recipe: evaluate.depth 100 → 50"),
    ],
)
def test_a_stage_runs_again_for_the_keys_that_it_reads(
    folder: Path, made: Made, key: str, ran: list[str], why: str
) -> None:
    _run(folder, made)
    said: list[str] = []

    class Say(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    recipe = load_recipe(None, [key])
    assert recipe != load_recipe()
    made.ran.clear()
    Pipeline(folder / "ws", recipe, progress=Say()).run()
    assert made.ran == ran
    assert f"evaluate: {why}" in said


def test_a_gate_sets_off_nothing(folder: Path, made: Made) -> None:
    _run(folder, made)
    assert _run(folder, made, "evaluate.fail_under=0.5", "evaluate.gated=BM25+tuned") == []


def test_a_record_of_more_keys_is_read_by_those_that_count_now(folder: Path, made: Made) -> None:
    _run(folder, made)
    file = folder / "ws" / "stages" / "evaluate.json"
    record = json.loads(file.read_text())
    record["parts"]["recipe"]["fit"] |= {"parity": False, "push_to_hub": "me/mine"}
    record["fingerprint"] = "of these"
    file.write_text(json.dumps(record))
    assert _run(folder, made) == []


def test_after_a_refused_fit_nothing_uses_the_model_of_before(
    folder: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(folder, made)
    refused = "the saved model answers otherwise"
    made.refused["fit"] = ParityError(refused, "saved", (), {})
    with pytest.raises(ParityError):
        _run(folder, made, "fit.epochs=2")
    assert (folder / "ws" / "model" / "modules.json").exists()
    for verb in ("evaluate", "index"):
        made.ran.clear()
        pipeline = Pipeline(folder / "ws")
        assert f"fit: it failed ({refused})" in [f"{step.stage}: {step.reason}" for step in pipeline.plan(verb)]
        with pytest.raises(ParityError, match=refused):
            pipeline.run(verb)
        assert made.ran == ["fit"]
    monkeypatch.setattr("pagetune.search.engine.SearchEngine", None)
    found = CliRunner().invoke(app, ["search", "anything", "-w", str(folder / "ws")])
    assert found.exit_code == 1
    assert "fit has not finished, what is there is of an earlier one; it failed: the saved model" in found.stderr
    assert found.stderr.count("\n") == 1
    made.refused.clear()
    Pipeline(folder / "ws").run()
    assert Pipeline(folder / "ws").workspace.failed("fit") is None
    Pipeline(folder / "ws").workspace.check("fit")


@pytest.mark.parametrize(("failed", "kind"), [("fit", "reranker"), ("rerank", "retriever")])
def test_the_fix_that_is_named_trains_what_failed_whatever_else_the_workspace_trains(
    folder: Path, made: Made, failed: str, kind: str
) -> None:
    _run(folder, made)
    workspace = Pipeline(folder / "ws").workspace
    workspace.recipe_file.write_text(load_recipe(None, [f"kind={kind}"]).to_yaml())
    workspace.fail(failed, "it is too large")
    with pytest.raises(WorkspaceError) as found:
        workspace.check(failed)
    _, verb, *arguments = str(found.value).rpartition("run: ")[2].removesuffix(")").split()
    steps = CliRunner().invoke(app, [verb, *arguments, "--dry-run", "--json"])
    assert json.loads(steps.stdout)[-1]["stage"] == failed


def test_a_stage_that_was_killed_is_not_finished_by_an_older_recipe(folder: Path, made: Made) -> None:
    _run(folder, made)
    made.killed = "fit"
    with pytest.raises(KeyboardInterrupt):
        _run(folder, made, "fit.epochs=2")
    made.killed = ""
    assert _run(folder, made) == ["fit"]


def test_a_reranker_in_a_folder_is_watched_and_leaves_what_is_judged_as_it_was(folder: Path, made: Made) -> None:
    """A grid, which has no part in reranking, goes on counting."""
    _run(folder, made)
    judged = Pipeline(folder / "ws").judged()
    (folder / "reranker").mkdir()
    weights = folder / "reranker" / "model.safetensors"
    weights.write_text("first")
    keys = ("evaluate.rerank=true", f"rerank.name={folder / 'reranker'}")
    assert _run(folder, made, *keys) == ["evaluate"]
    pipeline = Pipeline(folder / "ws")
    record = pipeline.workspace.finished("evaluate")
    assert record is not None
    assert judged is not None
    assert judged_stamp(record["parts"]) == pipeline.judged() == judged
    RerankUse().save(pipeline.workspace, pipeline.recipe)
    assert {step.action for step in pipeline.plan()} == {"keep"}
    weights.write_text("another")
    RerankUse().save(pipeline.workspace, pipeline.recipe)
    assert [step.reason for step in pipeline.plan() if step.action == "run"] == ["the reranker's files changed"]


def test_a_way_to_embed_pages_is_the_index_s_too(folder: Path, made: Made) -> None:
    _run(folder, made)
    assert "index" in _run(folder, made, "model.page_vectors=pooled")


def test_a_tool_that_was_installed_reads_again(folder: Path, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pagetune.pages.reading.can_ocr", lambda: False)
    _run(folder, made)
    monkeypatch.setattr("pagetune.pages.reading.can_ocr", lambda: True)
    step = Pipeline(folder / "ws", load_recipe()).plan(until="read")[0]
    assert (step.action, step.reason) == ("run", "OCR is there now")


def test_documents_that_were_moved_are_named_again(folder: Path, made: Made) -> None:
    _run(folder, made)
    (folder / "documents").rename(folder / "moved")
    with pytest.raises(WorkspaceError, match="say where its documents are now"):
        Pipeline(folder / "ws").plan()
    made.ran.clear()
    Pipeline(folder / "ws", documents=[folder / "moved"]).run()
    assert made.ran == ["read"]


def test_a_workspace_among_the_documents_is_not_read(folder: Path, made: Made) -> None:
    workspace = folder / "documents" / "ws"
    Pipeline(workspace, documents=[folder / "documents"]).run()
    (workspace / "pages" / "copy.pdf").write_bytes(b"%PDF-1.4")
    assert find_files([folder / "documents"]) == [folder / "documents" / "one.pdf"]
