"""The work of each stage: read the workspace, call the rooms, write the workspace, say what came of it.

Every summary has `content`, the digest of what was made: the stages after it are redone only where that changes.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pagetune.workspace import file_digest, folder_digest, replace_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pagetune.context import Context, Summary
    from pagetune.evaluation.thumbnails import PageImage
    from pagetune.examples.datasets import RetrievalData
    from pagetune.examples.visual import JudgedImages
    from pagetune.models.answers import Pair
    from pagetune.pages.store import PageStore
    from pagetune.records import Example, Page, Rect


def do_read(context: Context) -> Summary:
    """Documents into pages."""
    from pagetune.pages.reading import read_documents
    from pagetune.pages.store import PageStore

    workspace = context.workspace
    report = read_documents(context.documents, workspace, context.recipe.read, context.progress)
    return {"content": PageStore(workspace.pages).digest(), **report.summary()}


def do_queries(context: Context) -> Summary:
    """Pages into queries, judgements, masks and splits."""
    from pagetune.examples.build import build_data
    from pagetune.examples.datasets import save_data
    from pagetune.pages.store import PageStore

    workspace, recipe = context.workspace, context.recipe
    store = PageStore(workspace.pages)
    data, report = build_data(
        store.documents(), store.pages(), recipe.queries, recipe.splits, progress=context.progress
    )
    with replace_folder(workspace.data) as folder:
        save_data(data, folder)
    return {"content": folder_digest(workspace.data), **report}


def do_mine(context: Context) -> Summary:
    """Training queries into examples with hard negatives."""
    from pagetune.examples.datasets import load_data, save_examples
    from pagetune.examples.page_images import answerable
    from pagetune.pages.store import PageStore

    workspace = context.workspace
    pages = answerable(PageStore(workspace.pages).pages())
    examples = mine_examples(context, load_data(workspace.data), pages)
    place = workspace.root / "negatives"
    with replace_folder(place) as folder:
        save_examples(examples, folder / "examples.parquet")
    counted = [len(example.negatives) for example in examples]
    return {
        "content": file_digest(place / "examples.parquet"),
        "examples": len(examples),
        "negatives": sum(counted),
        "without_negatives": counted.count(0),
    }


def mine_examples(context: Context, data: RetrievalData, pages: Sequence[Page]) -> list[Example]:
    """Hard negatives for the training queries, from the base model's and BM25's rankings of `pages`, masked."""
    from pagetune.evaluation.lexical import masked_bm25
    from pagetune.evaluation.retrieval import rank_pages
    from pagetune.examples.negatives import mine_negatives
    from pagetune.models.loading import load_model
    from pagetune.training.encode import encode, encode_asked

    recipe = context.recipe
    queries = data.of("train")
    texts = {query.id: query.text for query in queries}
    base = load_model(recipe.model)
    vectors = encode(context, base, pages, data.masks)
    asked = encode_asked(base, list(texts.values()))
    dense = rank_pages(list(texts), asked, vectors, depth=recipe.mine.candidates)
    lexical = masked_bm25(pages, data.masks).search(texts, recipe.mine.candidates)
    return mine_negatives(queries, data.qrels("train"), pages, dense, lexical, recipe.mine)


def do_fit(context: Context) -> Summary:
    """Examples into a finetuned model: on passages of the pages' texts, or on the pages' images."""
    from pagetune.examples.datasets import load_data, load_examples
    from pagetune.examples.page_images import answerable, rendered_pages
    from pagetune.models.inspect import by_image
    from pagetune.models.loading import load_model
    from pagetune.models.specs import choice
    from pagetune.training.trainer import fit_model

    workspace = context.workspace
    store = rendered_pages(context.workspace, context.recipe)
    pages = answerable(store.pages())
    data = load_data(workspace.data)
    examples = load_examples(workspace.root / "negatives" / "examples.parquet")
    if why := choice(context.recipe.model):
        context.progress.say(f"fit: {why}")
    model = load_model(context.recipe.model)
    if context.recipe.fit.teacher is not None:
        from pagetune.distilling import distil_documents

        return distil_documents(context, model, data, examples, pages, store)
    checkpoints = workspace.runs / "fit" / "checkpoints"
    if by_image(model):
        return _fit_on_images(context, model, data, examples, pages, store)
    report = fit_model(model, data, examples, pages, context.recipe, checkpoints, context.progress)
    from pagetune.finish import finish_model

    return finish_model(context, model, report, _reading_pairs(data, examples, pages), _about(store))


SHOWN = 600
"""Characters of a page's text that the parity gate compares on, in float32: whole pages take it half a minute."""


def _reading_pairs(data: RetrievalData, examples: Sequence[Example], pages: Sequence[Page]) -> list[Pair]:
    """A query for each of a few pages, and the beginnings of their texts."""
    texts = {query.id: query.text for query in data.queries}
    by_id = {page.id: page for page in pages}
    asked = {example.positive: example.query for example in examples}
    return [(texts[query], by_id[page].text()[:SHOWN]) for page, query in list(asked.items())[:32]]


def _about(store: PageStore) -> dict[str, Any]:
    return {"documents": len(store.documents()), "pages": len(store.pages())}


def _fit_on_images(
    context: Context,
    model: Any,
    data: RetrievalData,
    examples: Sequence[Example],
    pages: Sequence[Page],
    store: PageStore,
) -> Summary:
    """The same examples, the pages as they look."""
    import math

    from pagetune.examples.page_images import train_set_of_pages
    from pagetune.models.inspect import describe
    from pagetune.models.pixels import rendering
    from pagetune.training.choice import choose_examples
    from pagetune.training.images import fit_images
    from pagetune.training.validation import judged_pages

    recipe = context.recipe
    context.progress.say(f"fit: {describe(model)}")
    queries = {query.id: query for query in data.queries}
    train = train_set_of_pages(
        choose_examples(examples, queries, recipe.fit),
        queries,
        store,
        data.masks,
        negatives=recipe.fit.negatives,
        mask_probability=recipe.fit.mask_probability,
        seed=recipe.fit.seed,
        bounds=rendering(model),
        versions=math.ceil(recipe.fit.epochs),
    )
    judged = judged_pages(context, model, data, pages)
    checkpoints = context.workspace.runs / "fit" / "checkpoints"
    report = fit_images(
        model,
        train,
        judged if judged.queries else None,
        recipe,
        checkpoints,
        context.progress,
        context.workspace.cache,
    )
    shown = train.dataset[: min(32, len(train))]
    pairs = list(zip(shown["query"], shown["image"], strict=True))
    from pagetune.finish import finish_model

    return finish_model(context, model, report, pairs, _about(store), _judging(judged, context))


def _judging(judged: JudgedImages | None, context: Context) -> Callable[[Any], Mapping[int, float]] | None:
    from pagetune.training.image_judging import ImageEvaluator

    if judged is None or not judged.queries:
        return None
    return ImageEvaluator(judged, context.recipe, context.workspace.cache).by_dimension


def do_evaluate(context: Context) -> Summary:
    """Base, tuned, BM25 and fused on the held-out queries, every page masked; metrics, runs and the report."""
    from pagetune.evaluation.evaluate import Conditions, evaluate_systems, look_closer
    from pagetune.evaluation.facets import facets_of
    from pagetune.evaluation.guard import open_guard
    from pagetune.evaluation.heatmaps import Heatmaps, draw_heatmaps
    from pagetune.evaluation.lexical import masked_bm25
    from pagetune.evaluation.retrieval import Encoded
    from pagetune.examples.datasets import load_data
    from pagetune.examples.page_images import answerable, rendered_pages
    from pagetune.models.inspect import is_late, whole
    from pagetune.models.loading import load_model
    from pagetune.models.vector_cache import prune
    from pagetune.reviews import judge_again
    from pagetune.story import keep_evaluation, workspace_story
    from pagetune.training.encode import encode, encode_asked

    workspace, recipe = context.workspace, context.recipe
    store = rendered_pages(context.workspace, recipe)
    pages = answerable(store.pages())
    data = load_data(workspace.data)
    queries = data.of("test")
    guard, encoded, guarded = open_guard(recipe), [], []
    for folder in (None, workspace.model):
        model = whole(load_model(recipe.model, folder))
        vectors = encode(context, model, pages, data.masks)
        encoded.append(Encoded(encode_asked(model, [query.text for query in queries]), vectors))
        if guard is not None:
            guarded.append(guard.scores(model, workspace.cache, context.progress))
    texts = {query.id: query.text for query in queries}
    qrels, decided = judge_again(workspace, data.qrels("test"), texts, [page.id for page in pages])
    report = evaluate_systems(
        queries,
        qrels,
        base=encoded[0],
        tuned=encoded[1],
        lexical=masked_bm25(pages, data.masks),
        recipe=recipe.evaluate,
        dimensions=recipe.fit.matryoshka,
        conditions=Conditions(reviewed=decided),
    )
    if recipe.evaluate.rerank:
        from pagetune.reranking import rerank_documents

        report = rerank_documents(context, report, model, encoded[1], data, pages)
    facets = facets_of(report.queries, qrels, store.pages(), store.documents(), data.masks, store.marks)
    report = look_closer(report, facets)
    prune(workspace.cache / "vectors")
    maps = draw_heatmaps(model, report, _seen(context, model, data.masks)) if is_late(model) else Heatmaps()
    if guard is not None:
        report = replace(report, guard=guard.report(*guarded))
    return keep_evaluation(context, report, workspace_story(context, store, maps))


def _seen(context: Context, model: Any, masks: Mapping[str, Sequence[Rect]]) -> PageImage:
    """A page as the model sees it."""
    from pagetune.examples.page_images import rendered_pages
    from pagetune.models.pixels import rendering

    store, bounds = rendered_pages(context.workspace, context.recipe), rendering(model)
    return lambda page: store.image(page, mask=masks.get(page, ()), **bounds)


def do_index(context: Context) -> Summary:
    """The tuned model's vectors of every page, nothing masked, into the search index."""
    from pagetune.examples.page_images import rendered_pages
    from pagetune.models.encoding import fingerprint_model
    from pagetune.models.inspect import is_late
    from pagetune.models.loading import load_model
    from pagetune.search.building import build_index
    from pagetune.training.encode import encode

    workspace, recipe = context.workspace, context.recipe
    store = rendered_pages(context.workspace, context.recipe)
    pages = [page for page in store.pages() if page.duplicate_of is None]
    model = load_model(recipe.model, workspace.model)
    info = build_index(
        workspace.index,
        encode(context, model, pages, {}),
        pages,
        recipe.index,
        late=is_late(model),
        model=fingerprint_model(model),
        thumbnails=store.images(
            [page.id for page in pages], long_side=recipe.index.thumbnail_side, leave_out_broken=True
        ),
        fusion_weight=recipe.evaluate.fusion_weight,
        depth=recipe.evaluate.depth,
        progress=context.progress,
    )
    return {"content": folder_digest(workspace.index), **asdict(info)}
