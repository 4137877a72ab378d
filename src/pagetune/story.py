"""What the stages before an evaluation have to say, for its report; and the report written again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pagetune.progress import SILENT, Progress
from pagetune.workspace import file_digest

if TYPE_CHECKING:
    from pathlib import Path

    from pagetune.context import Context
    from pagetune.evaluation.evaluate import EvaluationReport
    from pagetune.evaluation.heatmaps import Heatmaps
    from pagetune.evaluation.report import Story
    from pagetune.evaluation.thumbnails import PageImage
    from pagetune.examples.visual import ImageEvalSet
    from pagetune.pages.store import PageStore
    from pagetune.recipe import Recipe
    from pagetune.workspace import Workspace

COUNTED = ("documents", "pages", "ocr_pages", "unread_pages", "duplicate_documents", "duplicate_pages")
TRAINED = ("examples", "rows", "batch_size", "steps", "steps_done", "kept_step", "validation_queries", "bfloat16")


def keep_evaluation(context: Context, report: EvaluationReport, story: Story) -> dict[str, Any]:
    """Write the run's folder; the summary of the stage."""
    from pagetune.evaluation.kept_grid import load_grid
    from pagetune.evaluation.output import write_run
    from pagetune.reviews import list_suspects

    folder = context.workspace.runs / "evaluate"
    story = replace(story, grid=load_grid(context.workspace.runs / "grid", context.judged))
    write_run(report, folder, story, context.progress)
    list_suspects(context.workspace, report.suspects)
    return {
        "content": file_digest(folder / "metrics.json"),
        **report.summary(),
        "report": "runs/evaluate/report.html",
    }


def write_again(workspace: Workspace, progress: Progress = SILENT, *, pictures: bool = True) -> Path:
    """Write a workspace's report once more, from what its evaluation kept; nothing is encoded. The HTML file's path.

    The pages are drawn from the workspace's documents or the recipe's dataset, if `pictures`. Raises WorkspaceError,
    DataError where there is no whole evaluation, or no such pages any more.
    """
    from pagetune.changes import judged_stamp
    from pagetune.evaluation.kept_grid import load_grid
    from pagetune.evaluation.output import load_run, write_report
    from pagetune.recipe import load_recipe

    workspace.open()
    workspace.check("evaluate")
    folder = workspace.runs / "evaluate"
    with workspace.lock():
        report, story = load_run(folder)
        image = page_image(workspace, load_recipe(workspace.recipe_file)) if pictures else None
        record = workspace.finished("evaluate")
        grid = load_grid(workspace.runs / "grid", judged_stamp(record["parts"])) if record is not None else None
        write_report(report, folder, replace(story, page_image=image, grid=grid), progress)
    return folder / "report.html"


def write_with_grid(workspace: Workspace, judged: str | None, progress: Progress = SILENT) -> Path | None:
    """Write a workspace's report once more, where it is about what the grid was made over (`Pipeline.judged`); else, or
    where it cannot be written as it was, None."""
    from pagetune.changes import judged_stamp
    from pagetune.errors import PagetuneError

    record = workspace.finished("evaluate")
    if record is None or judged_stamp(record["parts"]) != judged:
        return None
    try:
        return write_again(workspace, progress)
    except PagetuneError as error:
        progress.say(f"the evaluation's report stays without the grid: {error}")
        return None


def workspace_story(context: Context, store: PageStore, maps: Heatmaps) -> Story:
    """Of documents that were read, queries that were written and a model that was trained on them."""
    from pagetune.evaluation.report import Story

    read, queries = _said(context.workspace, "read"), _said(context.workspace, "queries")
    return Story(
        documents=store.documents(all=True),
        facts={name.replace("_", " "): read[name] for name in COUNTED if name in read},
        written=queries.get("written", {}),
        dropped=queries.get("dropped", {}),
        splits=queries.get("queries", {}),
        recipe=context.recipe.to_yaml(),
        page_image=_drawn(store),
        heatmaps=maps,
        **_training(context.workspace),
    )


def dataset_story(context: Context, chosen: ImageEvalSet, maps: Heatmaps) -> Story:
    """Of a dataset that was judged on and a model that was trained on another."""
    from pagetune.evaluation.benchmarks import name_of
    from pagetune.evaluation.report import Story

    facts = {"queries": len(chosen.queries), "pages": len(chosen.page_ids), "broken rows": len(chosen.broken)}
    return Story(
        title=name_of(chosen.name),
        facts={name: count for name, count in facts.items() if count},
        recipe=context.recipe.to_yaml(),
        page_image=chosen.image,
        heatmaps=maps,
        **_training(context.workspace),
    )


def _training(workspace: Workspace) -> dict[str, Any]:
    fit = _said(workspace, "fit")
    return {
        "curve": fit.get("history", ()),
        "kept_step": fit.get("kept_step"),
        "training": {name.replace("_", " "): fit[name] for name in TRAINED if name in fit},
    }


def _said(workspace: Workspace, stage: str) -> dict[str, Any]:
    record = workspace.finished(stage)
    return record["summary"] if record else {}


def _drawn(store: PageStore) -> PageImage:
    from pagetune.evaluation.thumbnails import LARGE

    return lambda page: store.image(page, long_side=LARGE)


def page_image(workspace: Workspace, recipe: Recipe) -> PageImage:
    """Where the pages' pictures come from now. Raises DataError where they are gone."""
    from pagetune.errors import DataError, PagetuneError
    from pagetune.examples.loading import load_eval_set
    from pagetune.examples.page_images import rendered_pages

    if recipe.dataset.train is None:
        return _drawn(rendered_pages(workspace, recipe))
    try:
        return load_eval_set(recipe.dataset).image
    except PagetuneError as error:
        raise DataError(
            f"the pages' pictures are not to be had: {error}; bring the dataset back, or run: "
            f"pagetune report --no-pictures -w {workspace.root}"
        ) from None
