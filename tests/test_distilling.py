"""`fit.teacher`: a reranker's margins into the workspace's retriever, of documents and of a dataset's rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from scipy.stats import pearsonr
from typer.testing import CliRunner

from _tiny import tiny_qwen3_vl, tiny_text_encoder
from _tiny_reranker import tiny_reranker_backbone, tiny_text_reranker
from pagetune import Pipeline, load_recipe
from pagetune.cli.app import app
from pagetune.distilling import open_teacher
from pagetune.errors import ModelError, RecipeError, WorkspaceError
from pagetune.examples.rerank import RerankSet
from pagetune.models.loading import load_model
from pagetune.progress import SILENT
from pagetune.training import distillation
from pagetune.training.checkpoints import ENDED
from pagetune.training.validation import ValidationEvaluator
from test_pipeline import SMALL, _documents
from test_rerank_stage import SLIM, recipe_keys, rows, seeing

__all__ = ["rows", "seeing"]

TAUGHT = ["kind=retriever", "fit.teacher=reranker", "fit.epochs=12", "fit.learning_rate=3e-3", "fit.best=last"]


def strong_minded(folder: Path) -> Path:
    """A text reranker of random weights whose log-odds lie units apart."""
    name = tiny_text_reranker(folder, hidden=32, layers=1, heads=2)
    weights = load_file(name / "model.safetensors")
    weights["classifier.weight"] *= 100
    save_file(weights, name / "model.safetensors", {"format": "pt"})
    return name


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a reranker of its own and no retriever yet."""
    folder = tmp_path_factory.mktemp("taught")
    encoder = tiny_text_encoder(folder / "encoder", hidden=64, layers=1, heads=2)
    keys = [*SMALL, "kind=reranker", f"model.name={encoder}", f"rerank.name={strong_minded(folder / 'text')}"]
    # To an untrained encoder all pages are nearly the same: with any margin none would be a negative.
    keys += ["rerank.max_examples=20", "rerank.learning_rate=1e-6", "rerank.max_tokens=96", "mine.margin=1"]
    Pipeline(folder / "ws", load_recipe(None, keys), documents=[_documents(folder / "documents")]).fit()
    return folder / "ws"


def margins(model: Any, taught: RerankSet) -> np.ndarray:
    """float [lists, others]: how much nearer the first page of each list is than the others."""
    found = []
    for each in taught.lists["text_to_image"]:
        query, *pages = model.encode([each.asked, *each.candidates], normalize_embeddings=True)
        scores = np.array([query @ page for page in pages])
        found.append(scores[0] - scores[1:])
    return np.array(found)


def test_the_retriever_of_documents_takes_on_the_rerankers_margins(
    documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[RerankSet] = []
    real = distillation.distil
    monkeypatch.setattr(distillation, "distil", lambda *args, **more: given.append(args[1]) or real(*args, **more))
    done = CliRunner().invoke(app, ["fit", *TAUGHT, "-w", str(documents), "--json", "-q"])
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["mix"]["text_to_image"]["mined"] > 0
    assert summary["parity"] is not None
    assert summary["validation_queries"] > 0
    assert next(moment["step"] for moment in summary["history"] if "ndcg" in moment) == 0
    assert "teacher: reranker" in (documents / "model" / "README.md").read_text()
    recipe = Pipeline(documents).recipe
    scores = np.array([each.labels for each in given[0].lists["text_to_image"]])
    wanted = scores[:, :1] - scores[:, 1:]
    assert wanted.std() > 1
    alike = [
        pearsonr(wanted.ravel(), margins(load_model(recipe.model, folder), given[0]).ravel()).statistic
        for folder in (None, documents / "model")
    ]
    assert alike[1] > alike[0] + 0.2
    kept = {file: file.stat().st_mtime_ns for file in (documents / "cache" / "teacher").rglob("*.f32")}
    assert kept
    again = Pipeline(documents)
    assert again.plan(until="fit")[-1].action == "keep"
    again.recipe = load_recipe(None, [*recipe_keys(recipe), "fit.learning_rate=2e-3"])
    again.fit()
    assert {file: file.stat().st_mtime_ns for file in (documents / "cache" / "teacher").rglob("*.f32")} == kept
    record = documents / "stages" / "rerank.json"
    told = json.loads(record.read_text())
    told["summary"]["content"] = "another"
    record.write_text(json.dumps(told))
    assert again.plan(until="fit")[-1].reason == "rerank made something new"


def test_what_a_reranker_of_words_says_a_retriever_of_pictures_learns(documents: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(documents, tmp_path / "ws")
    qwen = tiny_qwen3_vl(tmp_path / "qwen", hidden=32, layers=1, heads=2, vision_hidden=32, vision_layers=1)
    keys = [*recipe_keys(Pipeline(documents).recipe), *TAUGHT, f"model.name={qwen}", "model.max_pixels=20000"]
    keys += ["fit.max_examples=8", "fit.epochs=1", "fit.workers=0", "fit.mini_batch_tokens=4096", "rerank.negatives=2"]
    summary = Pipeline(workspace, load_recipe(None, keys)).fit()
    assert summary["mix"]["text_to_image"]["lists"] == 8
    assert summary["validation_pages"] > 0
    assert summary["parity"] is not None


def test_killed_and_continued_it_makes_the_same_model(documents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe(None, [*recipe_keys(Pipeline(documents).recipe), *TAUGHT, "fit.seed=5", "fit.epochs=2"])
    whole = Pipeline(documents, recipe).fit()["content"]
    own = ValidationEvaluator.__call__

    def killed(self, model, output_path=None, epoch=-1, steps=-1):
        if steps == 4:
            raise KeyboardInterrupt
        return own(self, model, output_path, epoch, steps)

    (documents / "stages" / "fit.json").unlink()
    marker = documents / "runs" / "fit" / "checkpoints" / "fit.json"
    assert ENDED in json.loads(marker.read_text())
    marker.write_text("{}")  # None of what the first made is gone on from.
    with monkeypatch.context() as patch:
        patch.setattr(ValidationEvaluator, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            Pipeline(documents, recipe).fit()
    said: list[str] = []
    monkeypatch.setattr(type(SILENT), "say", lambda self, line: said.append(line))
    assert Pipeline(documents, recipe).fit()["content"] == whole
    assert "fit: continued from step 2 of 6" in said


def test_without_a_reranker_it_says_so_before_anything_is_done(tmp_path: Path) -> None:
    read = [_documents(tmp_path / "documents")]
    pipeline = Pipeline(tmp_path / "ws", load_recipe(None, [*SMALL, *TAUGHT]), documents=read)
    with pytest.raises(WorkspaceError, match=r"has no reranker of its own yet; train it first \(pagetune fit kind=rer"):
        pipeline.plan()
    with pytest.raises(WorkspaceError, match="no reranker of its own yet"):
        pipeline.fit()
    assert not (tmp_path / "ws" / "pages").exists()
    bare = tiny_reranker_backbone(tmp_path / "bare", vision_hidden=32, vision_layers=1, hidden=32, layers=1, heads=2)
    for name in ("light", str(bare)):
        with pytest.raises(ModelError, match="is no trained reranker, and scores by chance"):
            open_teacher(pipeline.workspace, load_recipe(None, [f"fit.teacher={name}"]))


def test_one_run_trains_the_reranker_and_then_the_retriever_with_it() -> None:
    from pagetune.pipeline import stages_of

    stages = stages_of(load_recipe(None, ["kind=reranker", "fit.teacher=reranker"]))
    names = [stage.name for stage in stages]
    assert names == ["read", "queries", "mine", "rerank", "fit", "evaluate", "index"]
    assert "rerank" in stages[4].needs
    assert "rerank.negatives" in stages[4].keys


@pytest.fixture(scope="module")
def dataset(seeing: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A workspace over a dataset with a reranker of its own; its keys."""
    folder = tmp_path_factory.mktemp("taught")
    retriever = tiny_qwen3_vl(folder / "qwen", hidden=32, layers=1, heads=2, vision_hidden=32, vision_layers=1)
    keys = [f"model.name={retriever}", f"rerank.name={seeing}", "fit.batch_size=8", "fit.mini_batch_size=4", *SLIM]
    keys += [f"dataset.train={rows / 'plain'}", f"dataset.eval={rows / 'plain'}", "dataset.eval_split=train"]
    keys += ["dataset.negatives=0", "fit.mini_batch_tokens=null", "rerank.negatives=3", "rerank.epochs=0.5"]
    Pipeline(folder / "ws", load_recipe(None, [*keys, "kind=reranker"])).fit()
    return folder / "ws", keys


@pytest.mark.parametrize(("rank", "bf16"), [(0, "on"), (2, "off")])
def test_a_dataset_is_distilled_whole_or_by_adapters(dataset: tuple[Path, list[str]], rank: int, bf16: str) -> None:
    workspace, keys = dataset
    recipe = load_recipe(None, [*keys, *TAUGHT, "fit.epochs=1.5", f"lora.rank={rank}", f"fit.bf16={bf16}"])
    summary = Pipeline(workspace, recipe).fit()
    assert summary["steps_done"] == 8
    assert summary["validation_queries"] == 40
    mix = summary["mix"]["text_to_image"]
    assert mix["lists"] == 40
    assert mix["mined"] + mix["random"] == 120
    losses = [moment["loss"] for moment in summary["history"] if "loss" in moment]
    assert losses[-1] < losses[0]
    assert (workspace / "model" / "modules.json").is_file()


def test_what_cannot_be_taught_is_refused(dataset: tuple[Path, list[str]], rows: Path) -> None:
    workspace, keys = dataset
    with pytest.raises(ModelError, match=r"fit\.teacher: MaxSim adds up"):
        Pipeline(workspace, load_recipe(None, [*keys, *TAUGHT, "model.kind=late", "model.projection=16"])).fit()
    with pytest.raises(RecipeError, match="each would wait for the other"):
        Pipeline(workspace, load_recipe(None, [*keys, *TAUGHT, "kind=reranker"])).plan()
