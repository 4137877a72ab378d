"""The stage `rerank`: over a dataset of pages, and over a workspace's own documents."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sentence_transformers import CrossEncoder
from typer.testing import CliRunner

from _tiny import tiny_qwen3_vl, tiny_text_encoder
from _tiny_reranker import tiny_qwen3_vl_reranker, tiny_reranker_backbone, tiny_text_reranker
from pagetune import Pipeline, load_recipe
from pagetune.cli.app import app
from pagetune.errors import DataError, ModelError, RecipeError
from pagetune.evaluation.rerank_use import use_of
from pagetune.models import loading
from pagetune.models.inspect import task_prompt
from pagetune.models.reranker import load_reranker
from pagetune.recipe import Recipe
from test_pipeline import SMALL, _documents

COLOURS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200), "black": (0, 0, 0)}
FIT = ["kind=reranker", "rerank.epochs=0.5", "rerank.batch_size=12", "rerank.negatives=3", "rerank.learning_rate=1e-3"]
SLIM = ["fit.workers=0", "fit.page_cache=0", "rerank.pair_tokens=512", "rerank.eval_fraction=0.5"]


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeing") / "model"
    return tiny_reranker_backbone(folder, vision_hidden=32, vision_layers=1, hidden=32, layers=1, heads=2)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pages of four colours and ten shades, a query each; labels beside them in another folder, and in a third 20
    queries with a page that answers and one that does not."""
    place = tmp_path_factory.mktemp("rows")
    for name in ("plain", "labelled", "both"):
        (place / name).mkdir()
        lines = []
        for number in range(40):
            colour = list(COLOURS)[number % 4]
            shade = tuple(min(255, part + 5 * (number // 4)) for part in COLOURS[colour])
            Image.new("RGB", (64, 64), shade).save(place / name / f"{number}.png")
            query = f"page {number // 2}" if name == "both" else f"{colour} page {number // 4}"
            line = {"file_name": f"{number}.png", "query": query}
            lines.append(line | ({} if name == "plain" else {"label": number % 2}))
        (place / name / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return place


def chosen(seeing: Path, rows: Path, *keys: str) -> Recipe:
    data = [f"dataset.train={rows}", "dataset.negatives=0", f"rerank.name={seeing}"]
    return load_recipe(None, [*data, *FIT, *SLIM, *keys])


def test_a_dataset_trains_a_reranker_that_answers_as_it_was_trained(seeing: Path, rows: Path, tmp_path: Path) -> None:
    recipe = chosen(seeing, rows / "plain", "splits.validation=0.2", "rerank.architecture=pooled")
    pipeline = Pipeline(tmp_path / "ws", recipe)
    assert [step.stage for step in pipeline.plan()] == ["fit", "rerank"]
    assert [step.stage for step in pipeline.plan(until="rerank")] == ["rerank"]
    summary = pipeline.fit()
    assert summary["architecture"] == "pooled"
    assert summary["use"] is None, "pages drawn at random say nothing of a weight against a retriever"
    assert summary["mix"]["text_to_image"] == {"lists": 32, "positives": 32, "mined": 0, "random": 96}
    assert summary["mix"]["image_to_text"]["lists"] == 32
    assert summary["validation"].keys() == {"shortlist", "before", "after"}
    assert summary["validation"]["after"].keys() >= {"text_to_image_ndcg@10", "image_to_text_mrr@10"}
    assert summary["parity"]["directions"] == ["text_to_image", "image_to_text"]
    # As Pagetune and as plain Sentence Transformers load it.
    ours, plain = (
        load_reranker(recipe.rerank, tmp_path / "ws" / "reranker"),
        CrossEncoder(str(tmp_path / "ws" / "reranker")),
    )
    pairs = [("red page 1", Image.new("RGB", (64, 64), colour)) for colour in COLOURS.values()]
    found = [model.predict(pairs, prompt=task_prompt(ours, "text_to_image")) for model in (ours, plain)]
    np.testing.assert_allclose(*found, atol=1e-5)
    card = (tmp_path / "ws" / "reranker" / "README.md").read_text()
    assert "- trained on, text_to_image: 32 lists (32 positives, 0 mined, 96 random)\n- trained on, image_to" in card
    again = Pipeline(tmp_path / "ws")
    assert again.plan(until="rerank")[0].action == "keep"
    again.recipe = load_recipe(None, [*recipe_keys(recipe), "rerank.depth=7"])
    assert again.plan(until="rerank")[0].action == "keep", "what acts in use trains nothing anew"
    again.recipe = load_recipe(None, [*recipe_keys(recipe), "rerank.seed=7"])
    assert again.plan(until="rerank")[0].reason == "recipe: rerank.seed 17 → 7"


def recipe_keys(recipe: Recipe) -> list[str]:
    """The recipe as overrides."""
    whole = recipe.model_dump(mode="json")
    return [f"kind={whole['kind']}"] + [
        f"{section}={json.dumps(value)}" for section, value in whole.items() if isinstance(value, dict)
    ]


def test_the_workspaces_own_model_mines(seeing: Path, rows: Path, tmp_path: Path) -> None:
    retriever = tiny_qwen3_vl(tmp_path / "qwen", hidden=32, layers=1, heads=2, vision_hidden=32, vision_layers=1)
    keys = [f"model.name={retriever}", "fit.epochs=0.5", "fit.batch_size=4", "fit.mini_batch_size=4"]
    recipe = chosen(seeing, rows / "plain", *keys, "splits.validation=0.2", "mine.margin=0.999")
    Pipeline(tmp_path / "ws", recipe.model_copy(update={"kind": "retriever"})).fit()
    pipeline = Pipeline(tmp_path / "ws", recipe)
    summary = pipeline.fit()
    assert summary["mix"]["text_to_image"]["mined"] > 20
    assert summary["use"]["mixture"]["queries"] == 8
    assert 0 <= summary["use"]["mixture"]["weight"] <= 1
    assert [step.action for step in Pipeline(tmp_path / "ws").plan()] == ["keep", "keep"]


def test_labelled_pairs_are_trained_on_as_they_are(seeing: Path, rows: Path, tmp_path: Path) -> None:
    summary = Pipeline(tmp_path / "ws", chosen(seeing, rows / "labelled")).fit()
    assert summary["mix"]["text_to_image"] == {"lists": 40, "labelled": 40}
    assert summary["validation"]["after"] == {}
    with pytest.raises(DataError, match="dataset has no column 'label' of scores"):
        Pipeline(tmp_path / "plain", chosen(seeing, rows / "plain", "rerank.loss=margin")).fit()


def test_margins_of_labelled_pairs_need_two_pages_of_a_query(seeing: Path, rows: Path, tmp_path: Path) -> None:
    lone = chosen(seeing, rows / "labelled", "rerank.loss=margin")
    with pytest.raises(DataError, match="each of 80 lists has one candidate"):
        Pipeline(tmp_path / "lone", lone).fit()
    graded = tmp_path / "graded"
    shutil.copytree(rows / "labelled", graded)
    lines = [json.loads(line) for line in (graded / "metadata.jsonl").read_text().splitlines()]
    # Every query of a colour has three pages, the last of each colour one.
    for place, line in enumerate(lines):
        line |= {"query": f"{line['query'].split()[0]} shade {place // 12}", "label": -2.5 + place % 7}
    (graded / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    keys = ["rerank.loss=margin", "splits.validation=0"]
    summary = Pipeline(tmp_path / "ws", chosen(seeing, graded, *keys)).fit()
    assert summary["mix"]["text_to_image"] == {"lists": 12, "labelled": 36, "dropped": 4}
    assert summary["mix"]["image_to_text"] == {"lists": 0, "labelled": 0, "dropped": 40}
    assert list(summary["parity"]["directions"]) == ["text_to_image"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reranker that sees, as somebody published it."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    return tiny_qwen3_vl_reranker(folder, vision_hidden=32, vision_layers=1, hidden=32, layers=1, heads=2)


def test_labelled_queries_are_held_out_and_judged(seeing: Path, rows: Path, tmp_path: Path) -> None:
    keys = ["splits.validation=0.2", "rerank.loss=listnet"]
    summary = Pipeline(tmp_path / "ws", chosen(seeing, rows / "both", *keys)).fit()
    assert summary["mix"]["text_to_image"] == {"lists": 16, "labelled": 32}
    assert summary["validation_queries"] == 4
    assert summary["validation"]["after"].keys() == {"ndcg@10", "text_to_image_ndcg@10", "text_to_image_mrr@10"}
    assert summary["kept_ndcg"] is not None


def test_a_teachers_margins_are_learned_and_kept(trained: Path, rows: Path, tmp_path: Path) -> None:
    recipe = chosen(trained, rows / "plain", "rerank.loss=margin", f"rerank.teacher={trained}", "rerank.epochs=2")
    summary = Pipeline(tmp_path / "ws", recipe).fit()
    losses = [moment["loss"] for moment in summary["history"] if "loss" in moment]
    assert losses[-1] < 0.1, "the student begins as its teacher"
    kept = list((tmp_path / "ws" / "cache" / "teacher").rglob("*.f32"))
    assert sum(file.stat().st_size for file in kept) == 4 * 4 * sum(each["lists"] for each in summary["mix"].values())


def test_cross_entropy_learns_a_teachers_probabilities(trained: Path, rows: Path, tmp_path: Path) -> None:
    recipe = chosen(trained, rows / "plain", f"rerank.teacher={trained}", "rerank.directions=[text_to_image]")
    summary = Pipeline(tmp_path / "ws", recipe).fit()
    odds = np.concatenate([np.fromfile(file, "<f4") for file in (tmp_path / "ws" / "cache" / "teacher").rglob("*.f32")])
    probable = 1 / (1 + np.exp(-odds.astype(np.float64)))
    entropy = float(-(probable * np.log(probable) + (1 - probable) * np.log(1 - probable)).mean())
    losses = [moment["loss"] for moment in summary["history"] if "loss" in moment]
    # The student begins as its teacher: its loss is the entropy of what the teacher says, and no less is possible.
    assert losses[0] == pytest.approx(entropy, abs=0.05)


def test_a_teacher_that_has_learned_nothing_or_is_blind_is_refused(
    seeing: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pagetune import rerank_material

    monkeypatch.setattr(rerank_material, "of_rows", lambda context: pytest.fail("refused before any work"))
    for name in (seeing, "light", tiny_text_encoder(tmp_path / "encoder", hidden=32, layers=1, heads=2)):
        with pytest.raises(ModelError, match=rf"^rerank\.teacher={name} is no reranker yet[^\n]*$"):
            Pipeline(tmp_path / "ws", chosen(seeing, rows / "plain", f"rerank.teacher={name}")).fit()
    text = tiny_text_reranker(tmp_path / "text", hidden=32, layers=1, heads=2)
    with pytest.raises(ModelError, match=r"reads words, and rerank\.name=.* is trained on pictures[^\n]*$"):
        Pipeline(tmp_path / "ws", chosen(seeing, rows / "plain", f"rerank.teacher={text}")).fit()


def test_documents_train_a_reranker_of_text_by_the_verb_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = tiny_text_reranker(tmp_path / "text", hidden=32, layers=1, heads=2)
    workspace = tmp_path / "ws"
    keys = [*SMALL, "kind=reranker", f"rerank.name={name}", "rerank.epochs=1", "rerank.max_examples=20"]
    documents = ["-d", str(_documents(tmp_path / "documents")), "-w", str(workspace), "--json", "-q"]
    load, loaded = loading.load_model, []
    monkeypatch.setattr(loading, "load_model", lambda *given: loaded.append(given) or load(*given))
    done = CliRunner().invoke(app, ["fit", *keys, "rerank.max_tokens=96", "rerank.learning_rate=1e-3", *documents])
    assert done.exit_code == 0, done.stderr
    assert len(loaded) == 2, "the base model to mine, and once for all that the reranker needs of it"
    summary = json.loads(done.stdout)
    assert summary["architecture"] == "text"
    assert not (workspace / "model").exists(), "no retriever was trained"
    mix = summary["mix"]["text_to_image"]
    assert mix["lists"] == summary["mix"]["image_to_text"]["lists"] == 20
    assert mix["mined"] + mix["random"] == 80
    assert mix["mined"] > mix["random"], "three of four are mined"
    assert summary["validation"]["shortlist"]["text_to_image_ndcg@10"] > 0.3, (
        "BM25 and the base model have put it in order"
    )
    use = use_of(Pipeline(workspace).workspace, Pipeline(workspace).recipe)
    assert use.mixture.queries > 0, "validation queries have settled it, without an evaluation"
    assert asdict(use) == summary["use"]
    scored = CrossEncoder(str(workspace / "reranker")).predict([("a title", "a passage")])
    assert torch.isfinite(torch.tensor(scored)).all()
    assert [step.stage for step in Pipeline(workspace).plan()] == [
        *("read", "queries", "mine", "fit", "rerank", "evaluate", "index")
    ]


def test_what_cannot_be_is_refused(seeing: Path, rows: Path, tmp_path: Path) -> None:
    name = tiny_text_reranker(tmp_path / "text", hidden=32, layers=1, heads=2)
    with pytest.raises(ModelError, match=r"reads the words of pages, and dataset\.train has their pictures"):
        Pipeline(tmp_path / "ws", chosen(name, rows / "plain")).fit()
    with pytest.raises(RecipeError, match=r"rerank\.loss=margin needs rerank\.teacher"):
        load_recipe(None, ["rerank.loss=margin"])
    with pytest.raises(RecipeError, match=r"rerank\.teacher=x: rerank\.loss=lambda needs grades"):
        load_recipe(None, ["rerank.loss=lambda", "rerank.teacher=x"])


def test_an_evaluation_whose_weight_is_gone_is_done_again(
    seeing: Path, trained: Path, rows: Path, tmp_path: Path
) -> None:
    from pagetune.evaluation.rerank_use import FILE

    retriever = tiny_qwen3_vl(tmp_path / "qwen", hidden=32, layers=1, heads=2, vision_hidden=32, vision_layers=1)
    keys = [f"model.name={retriever}", "fit.epochs=0.5", "fit.batch_size=4", "fit.mini_batch_size=4"]
    keys += [f"dataset.eval={rows / 'plain'}", "evaluate.rerank=true", "rerank.depth=5", "evaluate.resamples=100"]
    pipeline = Pipeline(tmp_path / "ws", chosen(seeing, rows / "plain", *keys))
    first = pipeline.run()["evaluate"]
    assert [step.action for step in pipeline.plan()] == ["keep"] * 3
    (file,) = (tmp_path / "ws" / "runs").rglob(FILE)
    file.unlink()
    assert pipeline.plan()[-1].reason == "the reranker's weight and calibration are gone"
    assert pipeline.run()["evaluate"]["content"] == first["content"]
    page = tmp_path / "ws" / "runs" / "evaluate" / "report.md"
    assert f"by the reranker trained from {seeing.name}" in page.read_text()
    # A published one by its name, beside the one that was trained.
    pipeline.recipe = chosen(trained, rows / "plain", *keys, "kind=retriever")
    pipeline.run()
    assert f"scored again by {trained.name};" in page.read_text()
    assert len(json.loads(file.read_text())) == 2


def test_the_reranker_is_a_stage_only_where_the_recipe_has_one() -> None:
    from pagetune.pipeline import stages_of

    plain = [stage.name for stage in stages_of(Recipe())]
    assert plain == ["read", "queries", "mine", "fit", "evaluate", "index"]
    published = {stage.name: stage for stage in stages_of(load_recipe(None, ["evaluate.rerank=true"]))}
    assert "rerank" not in published, "one that is published needs no training"
    assert {"rerank.depth", "rerank.max_tokens", "rerank.dtype", "rerank.revision"} < set(published["evaluate"].keys)
    keys = ["kind=reranker", "evaluate.rerank=true"]
    trained = {stage.name: stage for stage in stages_of(load_recipe(None, keys))}
    assert "rerank" in trained["evaluate"].needs
    assert "fit" not in trained["rerank"].needs
    assert "evaluate.fusion_weight" in trained["rerank"].keys, "its shortlists are fused"
    rows = {stage.name: stage for stage in stages_of(load_recipe(None, [*keys, "dataset.train=x"]))}
    assert "evaluate.fusion_weight" not in rows["rerank"].keys, "there is nothing to fuse with"
