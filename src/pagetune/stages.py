"""The work of each stage: read the workspace, call the rooms, write the workspace, say what came of it.

Every summary has `content`, the digest of what was made: the stages after it are redone only where that changes.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pagetune.workspace import file_digest, folder_digest, replace_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pagetune.evaluation.lexical import BM25
    from pagetune.evaluation.retrieval import Queries
    from pagetune.evaluation.thumbnails import PageImage
    from pagetune.examples.datasets import RetrievalData
    from pagetune.examples.page_images import PageEvalSet
    from pagetune.examples.visual import JudgedImages
    from pagetune.models.answers import Pair
    from pagetune.models.encoding import PageVectors
    from pagetune.pages.store import PageStore
    from pagetune.pipeline import Pipeline
    from pagetune.recipe import Recipe
    from pagetune.records import Example, Page, Rect
    from pagetune.training.validation import ValidationSet
    from pagetune.workspace import Workspace

Summary = dict[str, Any]


def do_read(pipeline: Pipeline) -> Summary:
    """Documents into pages."""
    from pagetune.pages.reading import read_documents
    from pagetune.pages.store import PageStore

    workspace = pipeline.workspace
    report = read_documents(pipeline.documents, workspace, pipeline.recipe.read, pipeline.progress)
    return {"content": PageStore(workspace.pages).digest(), **report.summary()}


def do_queries(pipeline: Pipeline) -> Summary:
    """Pages into queries, judgements, masks and splits."""
    from pagetune.examples.build import build_data
    from pagetune.examples.datasets import save_data
    from pagetune.pages.store import PageStore

    workspace, recipe = pipeline.workspace, pipeline.recipe
    store = PageStore(workspace.pages)
    data, report = build_data(
        store.documents(), store.pages(), recipe.queries, recipe.splits, progress=pipeline.progress
    )
    with replace_folder(workspace.data) as folder:
        save_data(data, folder)
    return {"content": folder_digest(workspace.data), **report}


def do_mine(pipeline: Pipeline) -> Summary:
    """Training queries into examples with hard negatives."""
    from pagetune.examples.datasets import load_data, save_examples
    from pagetune.pages.store import PageStore

    workspace = pipeline.workspace
    pages = answerable(PageStore(workspace.pages).pages())
    examples = mine_examples(pipeline, load_data(workspace.data), pages)
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


def mine_examples(pipeline: Pipeline, data: RetrievalData, pages: Sequence[Page]) -> list[Example]:
    """Hard negatives for the training queries, from the base model's and BM25's rankings of `pages`, masked."""
    from pagetune.evaluation.retrieval import rank_pages
    from pagetune.examples.negatives import mine_negatives
    from pagetune.models.loading import load_model

    recipe = pipeline.recipe
    queries = data.of("train")
    texts = {query.id: query.text for query in queries}
    base = load_model(recipe.model)
    vectors = encode(pipeline, base, pages, data.masks)
    asked = encode_asked(base, list(texts.values()))
    dense = rank_pages(list(texts), asked, vectors, depth=recipe.mine.candidates)
    lexical = masked_bm25(pages, data.masks).search(texts, recipe.mine.candidates)
    return mine_negatives(queries, data.qrels("train"), pages, dense, lexical, recipe.mine)


def do_fit(pipeline: Pipeline) -> Summary:
    """Examples into a finetuned model: on passages of the pages' texts, or on the pages' images."""
    from pagetune.examples.datasets import load_data, load_examples
    from pagetune.models.loading import load_model
    from pagetune.models.specs import choice
    from pagetune.training.trainer import fit_model

    workspace = pipeline.workspace
    store = rendered_pages(pipeline.workspace, pipeline.recipe)
    pages = answerable(store.pages())
    data = load_data(workspace.data)
    examples = load_examples(workspace.root / "negatives" / "examples.parquet")
    if why := choice(pipeline.recipe.model):
        pipeline.progress.say(f"fit: {why}")
    model = load_model(pipeline.recipe.model)
    if pipeline.recipe.fit.teacher is not None:
        from pagetune.distilling import distil_documents

        return distil_documents(pipeline, model, data, examples, pages, store)
    checkpoints = workspace.runs / "fit" / "checkpoints"
    if by_image(model):
        return _fit_on_images(pipeline, model, data, examples, pages, store)
    report = fit_model(model, data, examples, pages, pipeline.recipe, checkpoints, pipeline.progress)
    from pagetune.finish import finish_model

    return finish_model(pipeline, model, report, _reading_pairs(data, examples, pages), _about(store))


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
    pipeline: Pipeline,
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

    recipe = pipeline.recipe
    pipeline.progress.say(f"fit: {describe(model)}")
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
    judged = judged_pages(pipeline, model, data, pages)
    checkpoints = pipeline.workspace.runs / "fit" / "checkpoints"
    report = fit_images(
        model,
        train,
        judged if judged.queries else None,
        recipe,
        checkpoints,
        pipeline.progress,
        pipeline.workspace.cache,
    )
    shown = train.dataset[: min(32, len(train))]
    pairs = list(zip(shown["query"], shown["image"], strict=True))
    from pagetune.finish import finish_model

    return finish_model(pipeline, model, report, pairs, _about(store), _judging(judged, pipeline))


def _judging(judged: JudgedImages | None, pipeline: Pipeline) -> Callable[[Any], Mapping[int, float]] | None:
    from pagetune.training.image_judging import ImageEvaluator

    if judged is None or not judged.queries:
        return None
    return ImageEvaluator(judged, pipeline.recipe, pipeline.workspace.cache).by_dimension


def judged_pages(pipeline: Pipeline, model: Any, data: RetrievalData, pages: Sequence[Page]) -> PageEvalSet:
    """What a model of images is validated on: pages as it will be shown them."""
    from pagetune.examples.page_images import PageEvalSet
    from pagetune.models.pixels import rendering

    chosen = validation_of(pipeline, data, pages)
    return PageEvalSet(
        {query.id: query.text for query in chosen.queries},
        tuple(page.id for page in chosen.pages),
        {query.id: dict(chosen.qrels[query.id]) for query in chosen.queries},
        rendered_pages(pipeline.workspace, pipeline.recipe),
        data.masks,
        rendering(model),
    )


VALIDATION_WORDS = 60_000
"""Words of the pages that a model of images is validated on."""


def validation_of(pipeline: Pipeline, data: RetrievalData, pages: Sequence[Page]) -> ValidationSet:
    """A part of the validation queries and pages."""
    from pagetune.training.validation import choose_validation

    split = data.of("validation"), data.qrels("validation")
    return choose_validation(*split, pages, VALIDATION_WORDS, pipeline.recipe.fit.seed)


def by_image(model: Any) -> bool:
    """Whether the model looks at pages, rather than reading them. Raises ModelError for late interaction over text."""
    from pagetune.errors import ModelError
    from pagetune.models.inspect import is_late
    from pagetune.models.page_reader import PageReader

    images = bool(model.supports("image")) and not isinstance(model[0], PageReader)
    if is_late(model) and not images:
        raise ModelError(
            f"a late-interaction model of {', '.join(model.modalities)} reads no pages; choose one that takes images, "
            "or 'light' to read them"
        )
    return images


def do_evaluate(pipeline: Pipeline) -> Summary:
    """Base, tuned, BM25 and fused on the held-out queries, every page masked; metrics, runs and the report."""
    from pagetune.evaluation.evaluate import Conditions, Encoded, evaluate_systems
    from pagetune.evaluation.facets import facets_of
    from pagetune.evaluation.findings import look_closer
    from pagetune.evaluation.guard import open_guard
    from pagetune.evaluation.heatmaps import Heatmaps, draw_heatmaps
    from pagetune.examples.datasets import load_data
    from pagetune.models.inspect import is_late
    from pagetune.models.loading import load_model
    from pagetune.models.vector_cache import prune
    from pagetune.reviews import judge_again
    from pagetune.story import keep_evaluation, workspace_story

    workspace, recipe = pipeline.workspace, pipeline.recipe
    store = rendered_pages(pipeline.workspace, recipe)
    pages = answerable(store.pages())
    data = load_data(workspace.data)
    queries = data.of("test")
    guard, encoded, guarded = open_guard(recipe), [], []
    for folder in (None, workspace.model):
        model = whole(load_model(recipe.model, folder))
        vectors = encode(pipeline, model, pages, data.masks)
        encoded.append(Encoded(encode_asked(model, [query.text for query in queries]), vectors))
        if guard is not None:
            guarded.append(guard.scores(model, workspace.cache, pipeline.progress))
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

        report = rerank_documents(pipeline, report, model, encoded[1], data, pages)
    facets = facets_of(report.queries, qrels, store.pages(), store.documents(), data.masks, store.marks)
    report = look_closer(report, facets)
    prune(workspace.cache / "vectors")
    maps = draw_heatmaps(model, report, _seen(pipeline, model, data.masks)) if is_late(model) else Heatmaps()
    if guard is not None:
        report = replace(report, guard=guard.report(*guarded))
    return keep_evaluation(pipeline, report, workspace_story(pipeline, store, maps))


def whole(model: Any) -> Any:
    """The model at its own width: one that was saved with a shorter one is judged at both."""
    if getattr(model, "truncate_dim", None):
        model.truncate_dim = None
    return model


def _seen(pipeline: Pipeline, model: Any, masks: Mapping[str, Sequence[Rect]]) -> PageImage:
    """A page as the model sees it."""
    from pagetune.models.pixels import rendering

    store, bounds = rendered_pages(pipeline.workspace, pipeline.recipe), rendering(model)
    return lambda page: store.image(page, mask=masks.get(page, ()), **bounds)


def do_index(pipeline: Pipeline) -> Summary:
    """The tuned model's vectors of every page, nothing masked, into the search index."""
    from pagetune.models.encoding import fingerprint_model
    from pagetune.models.inspect import is_late
    from pagetune.models.loading import load_model
    from pagetune.search.building import build_index

    workspace, recipe = pipeline.workspace, pipeline.recipe
    store = rendered_pages(pipeline.workspace, pipeline.recipe)
    pages = [page for page in store.pages() if page.duplicate_of is None]
    model = load_model(recipe.model, workspace.model)
    info = build_index(
        workspace.index,
        encode(pipeline, model, pages, {}),
        pages,
        recipe.index,
        late=is_late(model),
        model=fingerprint_model(model),
        thumbnails=store.images(
            [page.id for page in pages], long_side=recipe.index.thumbnail_side, leave_out_broken=True
        ),
        fusion_weight=recipe.evaluate.fusion_weight,
        depth=recipe.evaluate.depth,
        progress=pipeline.progress,
    )
    return {"content": folder_digest(workspace.index), **asdict(info)}


def rendered_pages(workspace: Workspace, recipe: Recipe) -> PageStore:
    """The pages, rendered under the limits that they were read under."""
    from pagetune.pages.store import PageStore

    read = recipe.read
    return PageStore(workspace.pages, workers=read.workers, timeout=read.timeout, memory_mb=read.memory_mb)


def answerable(pages: Sequence[Page]) -> list[Page]:
    """The pages that may answer a query: bodies of text, each content once."""
    return [page for page in pages if page.kind == "body" and page.duplicate_of is None]


def encode(pipeline: Pipeline, model: Any, pages: Sequence[Page], masks: Mapping[str, Sequence[Rect]]) -> PageVectors:
    """The pages' vectors, from the workspace's cache where it has them."""
    from pagetune.models.encoding import encode_pages

    cache = pipeline.workspace.cache / "vectors"
    if not by_image(model):
        return encode_pages(model, pages, masks, pipeline.recipe.model, cache, pipeline.progress)
    from pagetune.examples.page_images import PageEvalSet
    from pagetune.models.pixels import rendering
    from pagetune.training.page_cache import kept_pages
    from pagetune.training.page_encoding import PageImages, encode_pictures

    shown = PageEvalSet(
        {},
        tuple(page.id for page in pages),
        {},
        rendered_pages(pipeline.workspace, pipeline.recipe),
        masks,
        rendering(model),
    )
    return encode_pictures(
        model,
        PageImages.of(shown),
        pipeline.recipe.model,
        cache=cache,
        kept=kept_pages(pipeline.workspace.cache / "pixels", model, pipeline.recipe.fit.page_cache),
        progress=pipeline.progress,
    )


def encode_asked(model: Any, texts: Sequence[str]) -> Queries:
    """The queries' vectors: one each, or with late interaction one for each of their tokens."""
    from pagetune.models.encoding import encode_queries
    from pagetune.models.inspect import is_late
    from pagetune.models.pictures import encode_texts

    return encode_texts(model, texts) if is_late(model) else encode_queries(model, texts)


def masked_bm25(pages: Sequence[Page], masks: Mapping[str, Sequence[Rect]]) -> BM25:
    """BM25 over the pages' masked texts: what the models see, it sees."""
    from pagetune.evaluation.lexical import BM25

    return BM25({page.id: page.text(masks.get(page.id, ())) for page in pages})
