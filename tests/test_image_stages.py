"""The stages with models that look at pages: over a dataset, and over a workspace's own documents."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import _tiny
from pagetune import Pipeline, SearchEngine, load_recipe
from pagetune.cli.app import app
from pagetune.errors import RecipeError
from pagetune.evaluation.heatmaps import load_heatmaps
from pagetune.evaluation.output import load_run
from pagetune.evaluation.retrieval import rank_pages
from pagetune.pages.store import PageStore
from pagetune.training.encode import encode
from pagetune.workspace import Workspace
from test_pipeline import SMALL, _documents

COLOURS = ("red", "green", "blue", "black")
FIT = ["fit.batch_size=4", "fit.mini_batch_size=2", "fit.epochs=1", "fit.learning_rate=1e-3", "fit.matryoshka=[64,16]"]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen") / "model"
    return _tiny.tiny_qwen3_vl(folder, hidden=64, layers=1, heads=4, vision_hidden=64, vision_layers=1)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imagefolder of 16 pages to train on, and one of 30 to judge on."""
    folder = tmp_path_factory.mktemp("rows")
    for name, count, shift in (("train", 16, 0), ("judged", 30, 1)):
        place = folder / name
        place.mkdir()
        lines = []
        for number in range(count):
            image = Image.new("RGB", (64, 64), "white")
            left = 2 + 2 * number // 4 + shift
            ImageDraw.Draw(image).rectangle((left, 8, left + 12, 20 + number), fill=COLOURS[number % 4])
            image.save(place / f"{number}.png")
            line = {"file_name": f"{number}.png", "query": f"{COLOURS[number % 4]} bar {name} {number}"}
            lines.append(json.dumps(line))
        (place / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def recipe(qwen: Path, rows: Path, *keys: str) -> list[str]:
    data = [f"dataset.train={rows / 'train'}", f"dataset.eval={rows / 'judged'}", "dataset.negatives=0"]
    return [f"model.name={qwen}", *data, *FIT, "evaluate.resamples=200", *keys]


def test_a_dataset_is_trained_on_judged_at_every_dimension_and_not_twice(
    qwen: Path, rows: Path, tmp_path: Path
) -> None:
    chosen = load_recipe(None, recipe(qwen, rows, "fit.truncate_dim=16"))
    pipeline = Pipeline(tmp_path / "ws", chosen)
    assert [step.stage for step in pipeline.plan()] == ["fit", "evaluate"]
    summaries = pipeline.run()
    assert summaries["fit"]["steps_done"] == 4
    evaluated, folder = summaries["evaluate"], tmp_path / "ws" / "runs" / "evaluate"
    assert list(evaluated["by_dimension"]) == ["64", "16"]
    assert list(evaluated["systems"]) == ["base", "tuned"]
    assert evaluated["conditions"]["collection"] == "judged"
    assert "evaluate.ocr=true" in evaluated["conditions"]["words"]
    report = {
        "metrics.json",
        "per-query.parquet",
        "report.html",
        "report.md",
        "run.trec",
        "base.trec",
        "qrels.trec",
        "story.json",
    }
    assert {path.name for path in folder.iterdir()} - {"suspects.json"} == report
    assert (folder / "suspects.json").exists() == (evaluated["suspects"] > 0)
    assert evaluated["slices"]["facets"].keys() <= {"length"}, "the set says nothing else of its queries"
    assert "data:image/webp" in (folder / "report.html").read_text(encoding="utf-8")
    shown = CliRunner().invoke(app, ["evaluate", "-w", str(tmp_path / "ws"), "-q"])
    assert "judged: 30 queries, 30 pages; NDCG: linear gain" in shown.stdout
    assert "without BM25: the set has no text of its pages" in shown.stdout
    assert evaluated["verdict"] in shown.stdout.replace("\n", " ")
    gate = ["evaluate", "-w", str(tmp_path / "ws"), "-q", "--fail-under"]
    closed = CliRunner().invoke(app, [*gate, "0.999"])
    assert (closed.exit_code, "Failed: tuned NDCG@10" in closed.stdout) == (1, True)
    assert CliRunner().invoke(app, [*gate, "0"]).exit_code == 0
    reference = shutil.copytree(folder, tmp_path / "reference")
    same = CliRunner().invoke(app, [*gate, str(reference), "--json"])
    assert (same.exit_code, json.loads(same.stdout)["gate"]["passed"]) == (0, True)
    run = ["run", "-w", str(tmp_path / "ws"), "-q"]
    closed = CliRunner().invoke(app, [*run, "evaluate.fail_under=0.999"])
    assert (closed.exit_code, "Failed: tuned NDCG@10" in closed.stdout) == (1, True)
    closed = CliRunner().invoke(app, [*run, "--json"])
    assert (closed.exit_code, json.loads(closed.stdout)["evaluate"]["gate"]["fail_under"]) == (1, "0.999"), "kept"
    assert CliRunner().invoke(app, [*gate, "0"]).exit_code == 0, "the option is over the recipe"
    lost = CliRunner().invoke(app, [*run, "evaluate.gated=BM25+tuned"])
    assert (lost.exit_code, "has no NDCG@10 of 'BM25+tuned' (there are base, tuned)" in lost.stderr) == (1, True)
    back = CliRunner().invoke(app, [*run, f"evaluate.fail_under={reference}", "evaluate.gated=tuned"])
    assert (back.exit_code, "Passed: " in back.stdout) == (0, True)
    assert json.loads((folder / "metrics.json").read_text()) == json.loads((reference / "metrics.json").read_text())
    own = CliRunner().invoke(app, [*gate, str(folder / "metrics.json")])
    assert (own.exit_code, "is the run that this evaluation replaces" in own.stderr) == (1, True)
    assert summaries["evaluate"]["guard"] is None
    general = shutil.copytree(rows / "train", tmp_path / "general")
    guard = load_recipe(None, [*recipe(qwen, rows, "fit.truncate_dim=16"), f"evaluate.guard={general}"])
    told = Pipeline(tmp_path / "ws", guard).run()["evaluate"]["guard"]["sentence"]
    assert "on general (" in told
    assert json.loads((folder / "guard.json").read_text(encoding="utf-8"))["sentence"] == told
    shown = CliRunner().invoke(app, ["evaluate", "-w", str(tmp_path / "ws"), "-q"])
    assert told in shown.stdout.replace("\n", " ")
    written = (folder / "report.html").read_text(encoding="utf-8")
    assert told in written
    assert told in (folder / "report.md").read_text(encoding="utf-8")
    assert CliRunner().invoke(app, ["report", "-w", str(tmp_path / "ws"), "-q"]).exit_code == 0
    assert (folder / "report.html").read_text(encoding="utf-8") == written
    assert "What to deploy" not in written
    done = CliRunner().invoke(app, ["grid", "-w", str(tmp_path / "ws"), "-q"])
    assert done.exit_code == 0, done.output
    advice = json.loads((tmp_path / "ws" / "runs" / "grid" / "grid.json").read_text(encoding="utf-8"))["recommendation"]
    for name in ("report.html", "report.md"):
        assert advice in (folder / name).read_text(encoding="utf-8"), "the report has it without being asked"
    Pipeline(tmp_path / "ws", load_recipe(tmp_path / "ws" / "recipe.yaml", ["evaluate.resamples=201"])).run()
    assert advice in (folder / "report.md").read_text(encoding="utf-8"), "the same vectors, judged again"
    fewer = load_recipe(tmp_path / "ws" / "recipe.yaml", ["dataset.max_eval_queries=25"])
    Pipeline(tmp_path / "ws", fewer).run()
    assert "What to deploy" not in (folder / "report.md").read_text(encoding="utf-8"), "other queries"
    (general / "0.png").touch()
    step = Pipeline(tmp_path / "ws").plan()[1]
    assert (step.action, step.reason) == ("run", "the general set's files changed")
    Pipeline(tmp_path / "ws").run()
    saved = json.loads((tmp_path / "ws" / "model" / "config_sentence_transformers.json").read_text())
    assert saved["truncate_dim"] == 16
    assert [step.action for step in Pipeline(tmp_path / "ws").plan()] == ["keep", "keep"]
    (rows / "train" / "0.png").touch()
    assert Pipeline(tmp_path / "ws").plan()[0].reason == "the dataset's files changed"
    # The same pictures make the same model, which is not judged again; other pages to judge it on are another matter.
    Pipeline(tmp_path / "ws").fit()
    assert [step.action for step in Pipeline(tmp_path / "ws").plan()] == ["keep", "keep"]
    (rows / "judged" / "0.png").touch()
    Pipeline(tmp_path / "ws").fit()
    step = Pipeline(tmp_path / "ws").plan()[1]
    assert (step.action, step.reason) == ("run", "the dataset's files changed")


def test_late_interaction_on_a_dataset_with_words_has_every_system_and_maps_and_is_told_again(
    qwen: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = tmp_path / "judged"
    lines = [json.loads(line) for line in (rows / "judged" / "metadata.jsonl").read_text().splitlines()]
    pictures = [{"bytes": (rows / "judged" / line["file_name"]).read_bytes(), "path": None} for line in lines]
    ids, asked = [f"p {place}" for place in range(len(lines))], [f"q{place}" for place in range(len(lines))]
    texts = [f"all of {line['query']}" for line in lines]
    for name, columns in {
        "corpus": {"corpus-id": ids, "image": pictures, "markdown": texts},
        "queries": {
            "query-id": asked,
            "query": [line["query"] for line in lines],
            "excluded": [[ids[1]], *([] for _ in lines[1:])],
        },
        "qrels": {"query-id": asked, "corpus-id": ids, "score": [1] * len(ids)},
    }.items():
        (judged / name).mkdir(parents=True)
        pq.write_table(pa.table(columns), judged / name / "test.parquet")
    keys = recipe(qwen, rows, f"dataset.eval={judged}", "model.kind=late", "model.projection=16")
    evaluated = Pipeline(tmp_path / "ws", load_recipe(None, keys)).run()["evaluate"]
    assert list(evaluated["systems"]) == ["base", "tuned", "BM25", "BM25+tuned"]
    assert evaluated["systems"]["BM25"]["metrics"]["NDCG@10"] > 0.9
    assert evaluated["conditions"]["late"]
    assert evaluated["conditions"]["excluded"] == 1
    kept, _ = load_run(tmp_path / "ws" / "runs" / "evaluate")
    assert all(ids[1] not in result.run["q0"] for result in kept.systems.values()), "no system may give it there"
    assert any(ids[1] in kept.systems["tuned"].run[query] for query in asked[1:])
    assert evaluated["conditions"]["words"] == "column 'markdown'"
    assert evaluated["storage"]["tuned"]["vectors_per_page"] > 5
    folder = tmp_path / "ws" / "runs" / "evaluate"
    maps = load_heatmaps(folder)
    assert maps.maps
    assert maps.maps[0].values.shape[0] == len(maps.maps[0].tokens)
    # No model is loaded and nothing is encoded for the report's second time.
    monkeypatch.setattr("pagetune.models.loading.load_model", None)
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    done = CliRunner().invoke(app, ["report", "-w", str(tmp_path / "ws"), "-q"])
    assert done.exit_code == 0, done.output
    assert (folder / "report.html").read_bytes() == before
    # Where the pages are gone, it does not lose their pictures unless that is asked for.
    shutil.rmtree(judged)
    done = CliRunner().invoke(app, ["report", "-w", str(tmp_path / "ws"), "-q"])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "--no-pictures" in done.stderr
    assert (folder / "report.html").read_bytes() == before
    assert CliRunner().invoke(app, ["report", "-w", str(tmp_path / "ws"), "-q", "--no-pictures"]).exit_code == 0
    assert len((folder / "report.html").read_bytes()) < len(before)


def test_without_an_evaluation_there_is_no_report(tmp_path: Path) -> None:
    Workspace(tmp_path / "ws").create()
    done = CliRunner().invoke(app, ["report", "-w", str(tmp_path / "ws"), "-q"])
    assert done.exit_code == 1
    assert "holds no evaluation; run: pagetune evaluate" in done.stderr
    done = CliRunner().invoke(app, ["report", "-w", str(tmp_path / "nowhere"), "-q"])
    assert "is not a workspace" in done.stderr


def test_the_verb_takes_the_model_and_adapters(qwen: Path, rows: Path, tmp_path: Path) -> None:
    keys = [key for key in recipe(qwen, rows, "lora.rank=2") if not key.startswith("model.name")]
    command = ["fit", *keys, "--model", str(qwen), "-w", str(tmp_path / "ws"), "--json", "-q"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["steps_done"] == 4
    assert not list((tmp_path / "ws" / "model").rglob("*adapter*"))


def test_a_dataset_has_no_documents_and_no_index(qwen: Path, rows: Path, tmp_path: Path) -> None:
    chosen = load_recipe(None, recipe(qwen, rows))
    with pytest.raises(RecipeError, match="'index' is not a stage; the stages are fit, evaluate"):
        Pipeline(tmp_path / "ws", chosen).run(until="index")
    with pytest.raises(RecipeError, match="give one of them"):
        Pipeline(tmp_path / "ws", chosen, documents=[rows]).run()


def test_a_workspaces_own_pages_are_looked_at_from_mining_to_search(qwen: Path, tmp_path: Path) -> None:
    _documents(tmp_path / "documents")
    keys = [*SMALL, *FIT, f"model.name={qwen}", "model.max_pixels=40000", "fit.max_examples=8", "index.dimension=16"]
    keys += ["fit.epochs=2"]
    pipeline = Pipeline(tmp_path / "ws", load_recipe(None, keys), documents=[tmp_path / "documents"])
    summaries = pipeline.run()
    assert summaries["fit"]["examples"] == 8
    assert summaries["fit"]["steps_done"] == 4  # Two epochs of two steps, whatever the versions of each example.
    assert set(summaries["evaluate"]["systems"]) == {"base", "tuned", "BM25", "BM25+tuned"}
    assert summaries["index"]["passages"] == summaries["index"]["pages"]
    hits = SearchEngine(tmp_path / "ws").search("how are names resolved", 3)
    assert len({hit.page for hit in hits}) == 3


def test_late_interaction_looks_at_a_workspaces_own_pages_too(qwen: Path, tmp_path: Path) -> None:
    _documents(tmp_path / "documents")
    keys = [*SMALL, *FIT, f"model.name={qwen}", "model.max_pixels=40000", "fit.max_examples=8", "model.kind=late"]
    keys += ["model.projection=32", "model.token_pooling=2"]
    pipeline = Pipeline(tmp_path / "ws", load_recipe(None, keys), documents=[tmp_path / "documents"])
    summaries = pipeline.run()
    evaluated, index = summaries["evaluate"], summaries["index"]
    assert set(evaluated["by_dimension"]) == {"32"}
    assert index["late"]
    assert index["dimension"] == 32
    assert index["passages"] > 5 * index["pages"]
    assert index["bytes_per_page"] == round(4 * 32 * index["passages"] / index["pages"])
    assert evaluated["storage"]["tuned"]["vectors_per_page"] > 5
    folder = tmp_path / "ws" / "runs" / "evaluate"
    assert load_heatmaps(folder).maps
    before = (folder / "report.html").read_bytes()
    assert CliRunner().invoke(app, ["report", "-w", str(tmp_path / "ws"), "-q"]).exit_code == 0
    assert (folder / "report.html").read_bytes() == before
    engine = SearchEngine(tmp_path / "ws")
    hits = engine.search("how are names resolved", 3, mode="dense")
    assert len({hit.page for hit in hits}) == 3
    tokens = engine.encode("how are names resolved")
    exact = rank_pages(
        ["q"], [tokens], encode(pipeline.context, engine.model, PageStore(tmp_path / "ws/pages").pages(), {})
    )
    assert [hit.page for hit in hits] == list(exact["q"])[:3]
    assert hits[0].score == pytest.approx(exact["q"][hits[0].page], abs=1e-4)


def test_in_training_the_querys_own_words_stay_unless_masked(tmp_path: Path) -> None:
    from pagetune.examples.page_images import train_set_of_pages
    from pagetune.records import Example, Query

    _documents(tmp_path / "documents")
    Pipeline(tmp_path / "ws", documents=[tmp_path / "documents"]).read()
    store = PageStore(tmp_path / "ws" / "pages")
    page = store.pages()[0]
    own, other = tuple(map(tuple, page.boxes[:3].tolist())), tuple(map(tuple, page.boxes[20:30].tolist()))
    query = Query("q", "a heading", "heading", page.document, page.id, own)
    found = {}
    for share in (0.0, 1.0):
        made = train_set_of_pages(
            [Example("q", page.id)],
            {"q": query},
            store,
            {page.id: (*own, *other)},
            negatives=0,
            mask_probability=share,
            seed=1,
            bounds={"long_side": 600},
        )
        found[share] = made.dataset[0]["image"].tobytes()
    assert found[0.0] == store.image(page.id, long_side=600, mask=other).tobytes()
    assert found[1.0] == store.image(page.id, long_side=600, mask=(*other, *own)).tobytes()
