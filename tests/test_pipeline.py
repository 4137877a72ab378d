"""The stages over one workspace: done once, known by content, continued after a stop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pagetune import Pipeline, SearchEngine, load_recipe
from pagetune.changes import judged_stamp
from pagetune.errors import RecipeError, WorkspaceError
from pagetune.evaluation.false_negatives import Suspect, confirm, read_suspects, withdraw, write_suspects
from pagetune.pipeline import NAMES

SMALL = [
    "queries.sentences_per_page=1",
    "fit.max_examples=24",
    "fit.batch_size=8",
    "fit.eval_fraction=0.5",
    "evaluate.resamples=200",
    "read.workers=1",
]


def _documents(folder: Path) -> Path:
    """Six manuals of four pages: the language reference's own topics under numbered headings."""
    from pydoc_data.topics import topics

    from reportlab.lib.pagesizes import A5
    from reportlab.pdfgen.canvas import Canvas

    chosen = sorted((name for name in topics if 1500 < len(topics[name]) < 9000), key=lambda name: (len(name), name))
    folder.mkdir()
    for number in range(6):
        canvas = Canvas(str(folder / f"manual-{number}.pdf"), pagesize=A5, invariant=1)
        for section, name in enumerate(chosen[number * 4 : number * 4 + 4]):
            title = f"Notes on {name} and where {name} applies"
            canvas.bookmarkPage(name)
            canvas.addOutlineEntry(f"{section + 1} {title}", name, 0)
            canvas.setFont("Helvetica-Bold", 13)
            canvas.drawString(40, 545, title)
            canvas.setFont("Helvetica", 8)
            text = canvas.beginText(40, 520)
            for line in topics[name].splitlines()[2:50]:
                text.textLine(line[:90])
            canvas.drawText(text)
            canvas.showPage()
        canvas.save()
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose run has ended, beside the documents it read."""
    folder = tmp_path_factory.mktemp("pipeline")
    _documents(folder / "documents")
    Pipeline(folder / "ws", load_recipe(None, SMALL), documents=[folder / "documents"]).run()
    return folder


@pytest.fixture
def workspace(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished workspace, to change."""
    return Path(shutil.copytree(finished / "ws", tmp_path / "ws"))


def test_a_run_leaves_what_it_promises(finished: Path) -> None:
    root = finished / "ws"
    metrics = json.loads((root / "runs" / "evaluate" / "metrics.json").read_text())
    assert {"base", "tuned", "BM25"} <= set(metrics["systems"])
    assert (root / "runs" / "evaluate" / "report.html").stat().st_size > 10_000
    assert (root / "recipe.yaml").exists()
    record = json.loads((root / "stages" / "evaluate.json").read_text())
    assert Pipeline(root).judged() == judged_stamp(record["parts"]), "a grid would be of the same"
    hits = SearchEngine(root).search("how are names resolved", 3)
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert len({hit.page for hit in hits}) == 3


def test_what_was_reviewed_counts_and_makes_the_evaluation_run_again(workspace: Path) -> None:
    pipeline = Pipeline(workspace, load_recipe(None, SMALL))
    folder = workspace / "runs" / "evaluate"
    before = json.loads((folder / "metrics.json").read_text())
    assert "kind of query" in before["slices"]["facets"]
    query = before["greatest_gains"][0] if before["greatest_gains"] else before["greatest_losses"][0]
    page = next(page for page in query["first"]["tuned"] if page not in query["judged"])
    suspects = [
        Suspect(query["query-id"], query["query"], page, query["judged"].popitem()[0], {"base": 1}, {"base": 2})
    ]
    write_suspects(suspects, workspace / "reviews")
    confirm(workspace / "reviews", suspects[0].query, suspects[0].page, by="Ada")
    plan = {step.stage: (step.action, step.reason) for step in pipeline.plan()}
    assert plan["evaluate"] == ("run", "judgements were reviewed")
    assert {action for stage, (action, _) in plan.items() if stage != "evaluate"} == {"keep"}
    summary = pipeline.evaluate()
    assert summary["conditions"]["reviewed"] == 1
    assert summary["systems"]["tuned"]["metrics"] != before["systems"]["tuned"]["metrics"]
    left = {(one.query, one.page) for one in read_suspects(workspace / "reviews", all=True)}
    assert (suspects[0].query, suspects[0].page) not in left
    assert "1 judgement is of somebody" in (folder / "report.html").read_text(encoding="utf-8")
    assert pipeline.plan()[4].action == "keep"
    withdraw(workspace / "reviews", suspects[0].query, suspects[0].page, by="Ada")
    assert pipeline.plan()[4].reason == "judgements were reviewed"
    assert pipeline.evaluate()["systems"] == before["systems"]


def test_nothing_is_done_twice(workspace: Path) -> None:
    pipeline = Pipeline(workspace, load_recipe(None, SMALL))
    assert [(step.stage, step.action) for step in pipeline.plan()] == [(name, "keep") for name in NAMES]
    before = {path: path.stat().st_mtime_ns for path in workspace.glob("stages/*.json")}
    pipeline.run()
    assert {path: path.stat().st_mtime_ns for path in workspace.glob("stages/*.json")} == before


def test_a_workspace_goes_by_its_own_recipe_unless_given_another(workspace: Path) -> None:
    assert Pipeline(workspace).recipe == load_recipe(None, SMALL)
    assert {step.action for step in Pipeline(workspace).plan()} == {"keep"}
    (workspace / "recipe.yaml").write_text("fit: {epoch: 3}")
    with pytest.raises(RecipeError, match="epochs"):
        Pipeline(workspace)


@pytest.mark.parametrize(
    ("override", "first"),
    [
        ("read.ocr=never", "read"),
        ("queries.seed=3", "queries"),
        ("mine.margin=0.9", "mine"),
        ("fit.epochs=2", "fit"),
        ("evaluate.resamples=300", "evaluate"),
        ("index.dimension=64", "index"),
    ],
)
def test_a_change_of_the_recipe_sets_off_its_stage_and_says_why(workspace: Path, override: str, first: str) -> None:
    steps = Pipeline(workspace, load_recipe(None, [*SMALL, override])).plan()
    by_stage = {step.stage: step for step in steps}
    assert all(by_stage[name].action == "keep" for name in NAMES[: NAMES.index(first)])
    assert by_stage[first].action == "run"
    assert override.partition("=")[0] in by_stage[first].reason


def test_the_same_content_sets_off_nothing_after_it(workspace: Path) -> None:
    recipe = load_recipe(None, [*SMALL, "read.timeout=99"])
    Pipeline(workspace, recipe).read()
    steps = {step.stage: step.action for step in Pipeline(workspace, recipe).plan()}
    assert set(steps.values()) == {"keep"}


def test_a_model_saved_anew_without_change_is_not_judged_again(workspace: Path) -> None:
    recipe = load_recipe(None, [*SMALL, "fit.parity=false"])
    fitted = Pipeline(workspace, recipe).fit()
    assert fitted["parity"] is None
    steps = {step.stage: step.action for step in Pipeline(workspace, recipe).plan()}
    assert set(steps.values()) == {"keep"}


def test_what_is_gone_is_made_again(workspace: Path) -> None:
    shutil.rmtree(workspace / "index")
    step = Pipeline(workspace, load_recipe(None, SMALL)).plan()[-1]
    assert (step.stage, step.action) == ("index", "run")
    assert "gone" in step.reason


def test_a_new_document_is_noticed(workspace: Path, finished: Path, tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    shutil.copytree(finished / "documents", documents)
    (documents / "more.pdf").write_bytes((documents / "manual-0.pdf").read_bytes() + b"\n")
    step = Pipeline(workspace, load_recipe(None, SMALL), documents=[documents]).plan(until="read")[0]
    assert step.action == "run"
    assert "documents" in step.reason


def test_two_runs_at_once_are_refused(workspace: Path) -> None:
    pipeline = Pipeline(workspace, load_recipe(None, SMALL))
    with pipeline.workspace.lock(), pytest.raises(WorkspaceError, match="another pagetune"):
        pipeline.run()
