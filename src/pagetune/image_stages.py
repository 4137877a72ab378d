"""The stages over a dataset of page images, where the recipe names one: fit and evaluate, nothing to read or mine.

As in `stages`, every summary has `content`, the digest of what was made.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.workspace import stamp_files

if TYPE_CHECKING:
    from pagetune.context import Context, Summary
    from pagetune.recipe import DatasetRecipe


def do_fit(context: Context) -> Summary:
    """Rows of queries and page images into a finetuned model."""
    from pagetune.examples.loading import load_eval_set, load_train_set
    from pagetune.finish import finish_model
    from pagetune.models.inspect import describe
    from pagetune.models.loading import load_model
    from pagetune.models.specs import choice
    from pagetune.training.image_judging import ImageEvaluator
    from pagetune.training.images import fit_images

    recipe, workspace = context.recipe, context.workspace
    train = load_train_set(recipe.dataset)
    judged = load_eval_set(recipe.dataset) if recipe.dataset.eval else None
    if why := choice(recipe.model):
        context.progress.say(f"fit: {why}")
    model = load_model(recipe.model)
    context.progress.say(f"fit: {describe(model)}")
    context.progress.say(f"fit: {len(train)} rows, {train.form}")
    if recipe.fit.teacher is not None:
        from pagetune.distilling import distil_rows

        return distil_rows(context, model, train, judged)
    report = fit_images(
        model,
        train,
        judged,
        recipe,
        workspace.runs / "fit" / "checkpoints",
        context.progress,
        workspace.cache,
    )
    about = {"rows": len(train), "form": train.form}
    judge = ImageEvaluator(judged, recipe, workspace.cache).by_dimension if judged is not None else None
    return finish_model(context, model, report, train.pairs(32), about, judge)


def do_evaluate(context: Context) -> Summary:
    """Base and tuned, and BM25 where the pages' words are known, on the evaluation set: metrics, runs, the report."""
    from pagetune.evaluation.benchmarks import name_of
    from pagetune.evaluation.dataset import dataset_facets, dataset_queries, encode_set, page_words
    from pagetune.evaluation.evaluate import Conditions, evaluate_systems, look_closer
    from pagetune.evaluation.guard import open_guard
    from pagetune.evaluation.heatmaps import Heatmaps, draw_heatmaps
    from pagetune.evaluation.lexical import BM25
    from pagetune.examples.loading import load_eval_set
    from pagetune.models.inspect import is_late, whole
    from pagetune.models.loading import load_model
    from pagetune.reviews import judge_again
    from pagetune.story import dataset_story, keep_evaluation
    from pagetune.training.page_cache import kept_pages

    recipe, workspace, progress = context.recipe, context.workspace, context.progress
    chosen = load_eval_set(recipe.dataset)
    texts, words = page_words(
        chosen, recipe.dataset, workspace.cache / "texts", ocr=recipe.evaluate.ocr, progress=progress
    )
    queries = dataset_queries(chosen, recipe.dataset)
    qrels, decided = judge_again(workspace, chosen.qrels, chosen.queries, chosen.page_ids)
    guard, encoded, guarded = open_guard(recipe), [], []
    for folder in (None, workspace.model):
        model = whole(load_model(recipe.model, folder))
        kept = kept_pages(workspace.cache / "pixels", model, recipe.fit.page_cache)
        encoded.append(encode_set(model, chosen, recipe.model, workspace.cache / "vectors", progress, kept))
        if guard is not None:
            guarded.append(guard.scores(model, workspace.cache, progress))
    report = evaluate_systems(
        queries,
        qrels,
        base=encoded[0],
        tuned=encoded[1],
        lexical=BM25(texts) if texts is not None else None,
        recipe=recipe.evaluate,
        dimensions=recipe.fit.matryoshka,
        exclude=chosen.excluded,
        conditions=Conditions(name_of(chosen.name), masked=False, words=words, reviewed=decided),
    )
    if recipe.evaluate.rerank:
        from pagetune.reranking import rerank_dataset

        report = rerank_dataset(context, report, chosen, texts)
    report = look_closer(report, dataset_facets(queries, qrels, chosen, recipe.dataset, texts))
    maps = draw_heatmaps(model, report, chosen.image) if is_late(model) else Heatmaps()
    if guard is not None:
        report = replace(report, guard=guard.report(*guarded))
    return keep_evaluation(context, report, dataset_story(context, chosen, maps))


def stamp(recipe: DatasetRecipe) -> list[list[Any]]:
    """What tells a dataset from another without reading it: a local one's files, a Hub one's name and revision."""
    found: list[list[Any]] = []
    for source in (recipe.train, recipe.eval):
        if source is None:
            continue
        found += stamp_files([Path(source)]) if Path(source).exists() else [[source, recipe.revision]]
    return found
