"""The stages over a dataset of page images, where the recipe names one: fit and evaluate, nothing to read or mine.

As in `stages`, every summary has `content`, the digest of what was made.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.workspace import file_digest, stamp_files, write_atomically

if TYPE_CHECKING:
    from pagetune.evaluation.visual import ModelScores
    from pagetune.pipeline import Pipeline
    from pagetune.recipe import DatasetRecipe

Summary = dict[str, Any]


def do_fit(pipeline: Pipeline) -> Summary:
    """Rows of queries and page images into a finetuned model."""
    from pagetune.examples.visual import load_eval_set, load_train_set
    from pagetune.finish import finish_model
    from pagetune.models.describe import describe
    from pagetune.models.loading import load_model
    from pagetune.models.specs import choice
    from pagetune.training.images import ImageEvaluator, fit_images

    recipe, workspace = pipeline.recipe, pipeline.workspace
    train = load_train_set(recipe.dataset)
    judged = load_eval_set(recipe.dataset) if recipe.dataset.eval else None
    if why := choice(recipe.model):
        pipeline.progress.say(f"fit: {why}")
    model = load_model(recipe.model)
    pipeline.progress.say(f"fit: {describe(model)}")
    pipeline.progress.say(f"fit: {len(train)} rows, {train.form}")
    report = fit_images(model, train, judged, recipe, workspace.runs / "fit" / "checkpoints", pipeline.progress)
    about = {"rows": len(train), "form": train.form}
    judge = ImageEvaluator(judged, recipe).by_dimension if judged is not None else None
    return finish_model(pipeline, model, report, train.pairs(32), about, judge)


def do_evaluate(pipeline: Pipeline) -> Summary:
    """Base and tuned on the evaluation set, at every dimension: metrics, the runs, a verdict."""
    from pagetune.evaluation.metrics import MAIN_METRIC
    from pagetune.evaluation.ranking import write_trec
    from pagetune.evaluation.significance import compare, verdict
    from pagetune.evaluation.visual import judge_model
    from pagetune.examples.visual import load_eval_set
    from pagetune.models.loading import load_model

    recipe, workspace = pipeline.recipe, pipeline.workspace
    judged = load_eval_set(recipe.dataset)
    scores = {
        name: judge_model(
            load_model(recipe.model, path),
            judged,
            recipe.fit.matryoshka,
            batch_size=recipe.model.encode_batch,
            token_pooling=recipe.model.token_pooling,
            depth=recipe.evaluate.depth,
            cache=workspace.cache / "vectors",
            progress=pipeline.progress,
            whole=True,
        )
        for name, path in (("base", None), ("tuned", workspace.model))
    }
    settings = recipe.evaluate
    gain = compare(
        ("tuned", scores["tuned"].full.values[MAIN_METRIC]),
        ("base", scores["base"].full.values[MAIN_METRIC]),
        MAIN_METRIC,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=settings.seed,
    )
    summary: Summary = {
        "verdict": verdict(gain),
        "outcome": gain.outcome,
        "queries": len(judged.queries),
        "pages": len(judged.page_ids),
        "difference": round(gain.difference, 6),
        "interval": [round(gain.low, 6), round(gain.high, 6)],
        "p": round(gain.p, 6),
        "systems": {name: _figures(found) for name, found in scores.items()},
        "by_dimension": _by_dimension(scores),
    }
    folder = workspace.runs / "evaluate"
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in scores.items():
        write_atomically(folder / f"{name}.trec", write_trec(found.run, name))
    write_atomically(folder / "metrics.json", json.dumps(summary, indent=1))
    return {"content": file_digest(folder / "metrics.json"), **summary}


def stamp(recipe: DatasetRecipe) -> list[list[Any]]:
    """What tells a dataset from another without reading it: a local one's files, a Hub one's name and revision."""
    found: list[list[Any]] = []
    for source in (recipe.train, recipe.eval):
        if source is None:
            continue
        found += stamp_files([Path(source)]) if Path(source).exists() else [[source, recipe.revision]]
    return found


def _figures(found: ModelScores) -> Summary:
    return {
        "metrics": {name: round(value, 6) for name, value in found.full.means().items()},
        "vectors_per_page": round(found.vectors_per_page, 2),
        "bytes_per_page": round(found.bytes_per_page),
    }


def _by_dimension(scores: dict[str, ModelScores]) -> Summary:
    from pagetune.evaluation.metrics import MAIN_METRIC

    return {
        name: {str(size): round(values.means()[MAIN_METRIC], 6) for size, values in found.by_dimension.items()}
        for name, found in scores.items()
    }
