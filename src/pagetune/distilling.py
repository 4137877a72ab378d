"""A fit with `fit.teacher`: what a reranker makes of the mined examples, into the retriever.

The teacher scores each list once (kept in `cache/teacher`). Teacher and retriever may see a page differently, as a
picture of other bounds or as a passage: the lists of both are drawn from the same seeds, and are of the same pages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError, ModelError, WorkspaceError
from pagetune.recipe_training import OWN

if TYPE_CHECKING:
    from pagetune.context import Context, Summary
    from pagetune.examples.datasets import RetrievalData
    from pagetune.examples.rerank import PageSide, Pictures, RerankSet
    from pagetune.examples.visual import ImageTrainSet, JudgedImages
    from pagetune.models.answers import Pair
    from pagetune.pages.store import PageStore
    from pagetune.recipe import Recipe
    from pagetune.records import Example, Page
    from pagetune.training.distillation import Judge
    from pagetune.workspace import Workspace

DIRECTION: Any = "text_to_image"


def open_teacher(workspace: Workspace, recipe: Recipe) -> Any:
    """The reranker that `fit.teacher` names. Raises WorkspaceError, ModelError where there is none, or none that was
    trained: a backbone alone scores by chance."""
    from pagetune.models.reranker import load_reranker
    from pagetune.models.reranker_specs import resolve_reranker
    from pagetune.rerank_stages import teacher_recipe

    name, own = recipe.fit.teacher, recipe.rerank
    assert name is not None, "asked where the recipe has a teacher"
    if name == OWN:
        check_teacher(workspace, recipe)
        return load_reranker(own, workspace.reranker)
    published = teacher_recipe(own, name)
    if name == "light" or not resolve_reranker(published).saved:
        raise ModelError(
            f"fit.teacher={name!r} is no trained reranker, and scores by chance; name one, or train it "
            f"(pagetune fit kind=reranker) and set fit.teacher={OWN}"
        )
    return load_reranker(published)


def check_teacher(workspace: Workspace, recipe: Recipe) -> None:
    """Raise WorkspaceError where the workspace's own reranker is to teach and there is none."""
    if recipe.fit.teacher != OWN:
        return
    workspace.check("rerank")
    if workspace.finished("rerank") is None or not (workspace.reranker / "modules.json").is_file():
        raise WorkspaceError(
            f"fit.teacher={OWN}: {workspace.root} has no reranker of its own yet; train it first (pagetune fit "
            f"kind=reranker -w {workspace.root}), or name a published one"
        )


def distil_documents(
    context: Context,
    model: Any,
    data: RetrievalData,
    examples: Sequence[Example],
    pages: Sequence[Page],
    store: PageStore,
) -> Summary:
    """The mined examples of a workspace, scored by the teacher, into the retriever."""
    from pagetune.examples.rerank import Mix, lists_of_examples
    from pagetune.models.inspect import by_image, sees
    from pagetune.models.pixels import rendering
    from pagetune.rerank_material import Base, answers_of, passages_of, side_of
    from pagetune.training.choice import choose_examples
    from pagetune.training.distillation import check_student

    recipe = context.recipe
    seeing = by_image(model)
    check_student(model, recipe, pictures=seeing)
    queries = {query.id: query for query in data.queries}
    chosen = choose_examples(examples, queries, recipe.fit)
    answers = answers_of(data.qrels("train"), pages)
    teacher = open_teacher(context.workspace, recipe)
    # Drawn anew for each epoch, but not for a teacher that sees: it would take as long as the fit itself.
    versions = 1 if sees(teacher) else math.ceil(recipe.fit.epochs)

    def listed(side: PageSide, pictures: Pictures | None) -> RerankSet:
        return lists_of_examples(
            chosen,
            queries,
            answers,
            [page.id for page in pages],
            side,
            (DIRECTION,),
            Mix(recipe.rerank.negatives, recipe.rerank.random_share, recipe.rerank.mask_probability),
            seed=recipe.fit.seed,
            versions=versions,
            pictures=pictures,
        )

    scored = _scored(context, teacher, listed(*side_of(context, teacher, data, pages, Base(recipe.model))))
    del teacher
    if not seeing and scored.pictures is None:
        taught = scored  # Both read the passages that the base model, which the retriever begins as, cut.
    elif seeing:
        from pagetune.examples.rerank_sides import PagePictures

        shown = PagePictures(store, data.masks, rendering(model))
        taught = _labelled_as(listed(shown, shown), scored)
    else:
        taught = _labelled_as(listed(passages_of(context, model, data, pages, Base(recipe.model)), None), scored)
    judge = _judge_of_documents(context, model, taught, data, pages, seeing=seeing)
    about = {"documents": len(store.documents()), "pages": len(store.pages())}
    return _finish(context, model, taught, judge, about, None)


def distil_rows(context: Context, model: Any, train: ImageTrainSet, judged: JudgedImages | None) -> Summary:
    """The rows of a dataset, with negatives that the untrained retriever mines, scored by the teacher."""
    from pagetune.examples.rerank import Mix, lists_of_examples
    from pagetune.examples.rerank_rows import examples_of_rows, mine_from_run
    from pagetune.examples.rerank_sides import RowPictures
    from pagetune.models.inspect import sees
    from pagetune.rerank_material import rank_rows
    from pagetune.training.distillation import check_student
    from pagetune.training.image_judging import ImageEvaluator

    recipe, workspace = context.recipe, context.workspace
    check_student(model, recipe, pictures=True)
    if train.has_label:
        raise DataError(
            f"{train.name}: rows with labels of their own, and fit.teacher={recipe.fit.teacher} to make others; leave "
            "fit.teacher out, or name no column 'label'"
        )
    teacher = open_teacher(workspace, recipe)
    if not sees(teacher):
        raise ModelError(
            f"fit.teacher={recipe.fit.teacher} reads the words of pages, and dataset.train has their pictures; name a "
            "reranker that takes images"
        )
    rows = examples_of_rows(train, 0.0, None, recipe.fit.seed)
    asked = {each.query: rows.queries[each.query].text for each in rows.examples}
    run = rank_rows(context, model, train, rows.pages, asked, recipe.mine.candidates + recipe.mine.skip)
    pictures = RowPictures(train)
    lists = lists_of_examples(
        mine_from_run(rows.examples, rows.answers, run, recipe.mine),
        rows.queries,
        rows.answers,
        rows.pages,
        pictures,
        (DIRECTION,),
        Mix(recipe.rerank.negatives, recipe.rerank.random_share),
        seed=recipe.fit.seed,
        pictures=pictures,
    )
    taught = _scored(context, teacher, lists)
    del teacher
    judge = ImageEvaluator(judged, recipe, workspace.cache) if judged is not None else None
    about = {"rows": len(train), "form": train.form}
    return _finish(context, model, taught, judge, about, train.pairs(32))


def _scored(context: Context, teacher: Any, lists: RerankSet) -> RerankSet:
    """With the teacher's log-odds for labels, computed once."""
    from pagetune.training.streaming import feeding_workers
    from pagetune.training.teacher import teach

    workers = feeding_workers(context.recipe.fit, teacher) if lists.pictures is not None else 0
    cache = context.workspace.cache / "teacher"
    return teach(teacher, lists, cache, workers=workers, progress=context.progress)


def _labelled_as(lists: RerankSet, scored: RerankSet) -> RerankSet:
    """The retriever's lists with the labels of the teacher's, which are of the same pages."""
    from pagetune.examples.rerank import with_labels

    return with_labels(lists, {name: [each.labels for each in found] for name, found in scored.lists.items()})


def _judge_of_documents(
    context: Context, model: Any, taught: RerankSet, data: RetrievalData, pages: Sequence[Page], *, seeing: bool
) -> Judge | None:
    from pagetune.layout.words import split
    from pagetune.training.distillation import plan_taught
    from pagetune.training.image_judging import ImageEvaluator
    from pagetune.training.trainer import validation_evaluator
    from pagetune.training.validation import judged_pages

    recipe = context.recipe
    if seeing:
        judged = judged_pages(context, model, data, pages)
        return ImageEvaluator(judged, recipe, context.workspace.cache) if judged.queries else None
    lists = taught.lists[DIRECTION]
    words = sum(len(split(str(text))) for each in lists for text in (each.asked, *each.candidates))
    return validation_evaluator(data, pages, words / len(lists), plan_taught(taught, recipe), recipe)


def _finish(
    context: Context,
    model: Any,
    taught: RerankSet,
    judge: Judge | None,
    about: dict[str, Any],
    pairs: Sequence[Pair] | None,
) -> Summary:
    """Train, and save past the parity gate as any retriever is. `pairs` for it; without them the lists' first."""
    from pagetune.finish import finish_model
    from pagetune.models.card import without_place
    from pagetune.training.distillation import distil
    from pagetune.training.image_judging import ImageEvaluator

    recipe, workspace = context.recipe, context.workspace
    told = ", ".join(f"{count} {name}" for name, count in taught.mix[DIRECTION].items() if name != "lists")
    context.progress.say(f"fit: the margins of {recipe.fit.teacher}, {taught.mix[DIRECTION]['lists']} lists ({told})")
    checkpoints = workspace.runs / "fit" / "checkpoints"
    report = distil(model, taught, recipe, checkpoints, context.progress, evaluator=judge, cache=workspace.cache)
    if pairs is None:
        some = taught.lists[DIRECTION][:32]
        pairs = [(str(each.asked), taught.open(each.candidates[0])) for each in some]
    about = about | {"teacher": without_place(str(recipe.fit.teacher))}
    by_dimension = judge.by_dimension if isinstance(judge, ImageEvaluator) else None
    return finish_model(context, model, report, pairs, about, by_dimension) | {"mix": taught.mix}
