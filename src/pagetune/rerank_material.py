"""What a reranker is trained and judged on: the mined examples of a workspace, or the rows of a dataset."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pagetune.workspace import command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pagetune.context import Context
    from pagetune.evaluation.ranking import Run
    from pagetune.examples.datasets import RetrievalData
    from pagetune.examples.rerank import PageSide, Pictures, RerankSet
    from pagetune.examples.rerank_rows import Labelled, RerankRows
    from pagetune.examples.rerank_sides import RowPictures
    from pagetune.examples.visual import ImageTrainSet
    from pagetune.recipe import ModelRecipe
    from pagetune.records import Page, Query
    from pagetune.reranking import Asked

Validation = Callable[[Any], "Asked | None"]
"""Of the trained reranker: what its weight and calibration are fitted on."""

Material = tuple["RerankSet", "RerankSet | None", dict[str, Any], Validation]
"""Lists to train on, shortlists to judge on, what the report says of the data, shortlists to settle its use on."""

HELD = 2**28
"""Bytes of the retriever's weights that are kept in memory while the reranker trains: `light` has 90 MB."""


class Base:
    """The retriever before it is tuned: loaded when it is first asked for, and once."""

    def __init__(self, recipe: ModelRecipe) -> None:
        self._recipe = recipe

    @cached_property
    def model(self) -> Any:
        """As `load_model` loads it."""
        from pagetune.models.loading import load_model

        return load_model(self._recipe)

    def make_room(self) -> None:
        """Before another model trains: let a large one go. It is loaded again where it is asked for again."""
        from pagetune.models.quantised import stored_bytes

        if "model" in vars(self) and stored_bytes(self.model) > HELD:
            del self.model


def of_documents(context: Context, model: Any) -> Material:
    """The mined examples of a workspace: pages as they look, or for a reranker of text as their passages."""
    from pagetune.examples.datasets import load_data, load_examples
    from pagetune.examples.page_images import answerable, rendered_pages
    from pagetune.examples.rerank import Mix, lists_of_examples
    from pagetune.examples.rerank_shortlists import shortlists
    from pagetune.training.choice import choose_examples

    workspace, recipe = context.workspace, context.recipe
    own = recipe.rerank
    store = rendered_pages(workspace, recipe)
    pages = answerable(store.pages())
    data = load_data(workspace.data)
    queries = {query.id: query for query in data.queries}
    chosen = choose_examples(
        load_examples(workspace.root / "negatives" / "examples.parquet"),
        queries,
        recipe.fit.model_copy(update={"max_examples": own.max_examples, "seed": own.seed}),
    )
    base = Base(recipe.model)
    side, pictures = side_of(context, model, data, pages, base)
    train = lists_of_examples(
        chosen,
        queries,
        answers_of(data.qrels("train"), pages),
        [page.id for page in pages],
        side,
        own.directions,
        Mix(own.negatives, own.random_share, own.mask_probability),
        seed=own.seed,
        versions=math.ceil(own.epochs),
        pictures=pictures,
    )
    room = _room(train, recipe.rerank.eval_fraction)
    asked = _judged_queries(data, room, own.seed)
    judged = None
    if asked:
        run = _first_stage(context, base.model, asked, data, pages)
        grades = data.qrels("validation")
        judged = shortlists(asked, run, grades, side, own.directions, room, seed=own.seed, pictures=pictures)
    about = {"documents": len(store.documents()), "pages": len(pages)}
    base.make_room()
    return train, judged, about, partial(_held_out, context, base, data, pages)


def _held_out(context: Context, base: Base, data: RetrievalData, pages: Sequence[Page], reranker: Any) -> Asked | None:
    """The validation queries with the shortlists of the base model and BM25, whose vectors mining kept: `evaluate
    --rerank` settles it again on those of the tuned model."""
    from pagetune.evaluation.retrieval import Encoded
    from pagetune.reranking import held_out
    from pagetune.training.encode import encode

    if not data.of("validation"):
        return None
    vectors = encode(context, base.model, pages, data.masks)
    return held_out(context, reranker, base.model, Encoded([], vectors), data, pages)


def side_of(
    context: Context, model: Any, data: RetrievalData, pages: Sequence[Page], base: Base
) -> tuple[PageSide, Pictures | None]:
    """Pages as this reranker takes them, in training as in use, and the pictures where it sees."""
    from pagetune.examples.page_images import rendered_pages
    from pagetune.examples.rerank_sides import PagePictures
    from pagetune.models.inspect import sees
    from pagetune.models.pixels import rendering

    if sees(model):
        shown = PagePictures(rendered_pages(context.workspace, context.recipe), data.masks, rendering(model))
        return shown, shown
    return passages_of(context, model, data, pages, base), None


def passages_of(context: Context, model: Any, data: RetrievalData, pages: Sequence[Page], base: Base) -> PageSide:
    """Pages by the passage that the base model, whose vectors mining kept, finds nearest to the query; where that cuts
    none, `model` cuts them."""
    from pagetune.evaluation.page_pairs import EveryPassage
    from pagetune.examples.rerank_sides import PagePassages
    from pagetune.reranking import words_of
    from pagetune.training.encode import encode, encode_asked

    asked = {query.id: query.text for split in ("train", "validation") for query in data.of(split)}
    vectors = dict(zip(asked, encode_asked(base.model, list(asked.values())), strict=True))
    texts = {page.id: page.text(data.masks.get(page.id, ())) for page in pages}
    reading = words_of(model, base.model, texts, encode(context, base.model, pages, data.masks), vectors)
    return PagePassages(reading.inputs, nearest_first=not isinstance(reading, EveryPassage))


def answers_of(qrels: Mapping[str, Mapping[str, int]], pages: Sequence[Page]) -> dict[str, set[str]]:
    """For each query the pages that answer it, in whatever grade, and those that say nearly the same: as in mining,
    none of them is a negative, mined or drawn."""
    from pagetune.examples.negatives import twins_of

    twins = twins_of(pages)
    return {
        query: {same for page in graded for same in (page, *twins.get(page, ()))} for query, graded in qrels.items()
    }


def _judged_queries(data: RetrievalData, room: int, seed: int) -> list[Query]:
    """Validation queries for about so many pairs, those that an author wrote where there are enough."""
    import random

    from pagetune.examples.rerank_shortlists import DEPTH
    from pagetune.training.validation import ENOUGH, STRUCTURE

    every = data.of("validation")
    written = [query for query in every if query.kind in STRUCTURE]
    pool = written if len(written) >= ENOUGH else every
    # Many shortlists have no answer in them.
    return random.Random(seed).sample(pool, min(len(pool), max(ENOUGH, 2 * room // DEPTH)))


def _first_stage(
    context: Context, base: Any, asked: Sequence[Query], data: RetrievalData, pages: Sequence[Page]
) -> Run:
    """The base model's ranking fused with BM25's, from the vectors that mining kept."""
    from pagetune.evaluation.lexical import masked_bm25
    from pagetune.evaluation.retrieval import fuse, rank_pages
    from pagetune.examples.rerank_shortlists import DEPTH
    from pagetune.training.encode import encode, encode_asked

    recipe = context.recipe
    texts = {query.id: query.text for query in asked}
    depth = 5 * DEPTH
    vectors = encode(context, base, pages, data.masks)
    dense = rank_pages(list(texts), encode_asked(base, list(texts.values())), vectors, depth=depth)
    lexical = masked_bm25(pages, data.masks).search(texts, depth)
    return fuse(dense, lexical, recipe.evaluate.fusion_weight, depth=DEPTH)


def of_rows(context: Context) -> Material:
    """The rows of a dataset: labelled pairs as they are; pairs and triplets with the negatives that they have, and
    those that the workspace's own model mines among their pages where there is one."""
    from pagetune.examples.loading import load_train_set
    from pagetune.examples.rerank import Mix, label_lists, lists_of_examples
    from pagetune.examples.rerank_rows import examples_of_rows, mine_from_run
    from pagetune.examples.rerank_shortlists import labelled_shortlists, shortlists
    from pagetune.examples.rerank_sides import RowPictures

    recipe = context.recipe
    own = recipe.rerank
    train = load_train_set(recipe.dataset)
    about = {"rows": len(train), "form": train.form}
    pictures = RowPictures(train)
    if train.has_label:
        labelled, judged_on = _labelled_halves(context, train, pictures)
        train_lists = label_lists(labelled, own.directions, pictures)
        room = _room(train_lists, own.eval_fraction)
        shown = labelled_shortlists(label_lists(judged_on, own.directions, pictures), room, seed=own.seed)
        return train_lists, shown if len(shown) else None, about, lambda reranker: None
    rows = examples_of_rows(train, recipe.splits.validation, own.max_examples, own.seed)
    run, held_out = _mined_runs(context, train, rows)
    examples = mine_from_run(rows.examples, rows.answers, run, recipe.mine)
    lists = lists_of_examples(
        examples,
        rows.queries,
        rows.answers,
        rows.pages,
        pictures,
        own.directions,
        Mix(own.negatives, own.random_share),
        seed=own.seed,
        versions=math.ceil(own.epochs),
        pictures=pictures,
    )
    grades = {query: dict.fromkeys(pages, 1) for query, pages in rows.held_out.items()}
    asked = [rows.queries[query] for query in rows.held_out]
    room = _room(lists, own.eval_fraction)
    judged = shortlists(asked, held_out, grades, pictures, own.directions, room, seed=own.seed, pictures=pictures)
    return lists, judged, about, partial(_held_out_rows, context, rows, held_out, pictures)


def _held_out_rows(context: Context, rows: RerankRows, run: Run, pictures: RowPictures, reranker: Any) -> Asked | None:
    """The held-out queries, where the workspace's retriever has ranked their pages: an order that was drawn says
    nothing of a weight against it."""
    from pagetune.reranking import held_out_rows

    if context.workspace.finished("fit") is None or not rows.held_out:
        return None
    texts = {query: rows.queries[query].text for query in rows.held_out}
    return held_out_rows(texts, run, rows.held_out, lambda page: pictures.image(pictures.numbers[page]))


def _labelled_halves(
    context: Context, train: ImageTrainSet, pictures: RowPictures
) -> tuple[list[Labelled], list[Labelled]]:
    """Labelled pairs to train on, and to judge on."""
    from pagetune.examples.rerank_rows import hold_out_labelled

    own, share = context.recipe.rerank, context.recipe.splits.validation
    every = _labelled(train, own.loss, pictures.numbers)
    kept, judged = hold_out_labelled(every, pictures.key, share, own.seed, scores=own.loss == "margin")
    if not judged:
        context.progress.say(
            "rerank: no labelled queries are held out, so nothing is judged while it trains: too few have both an "
            "answer and another page, they share their answers with all others, or splits.validation is 0"
        )
    return kept, judged


def _labelled(train: ImageTrainSet, loss: str, numbers: Mapping[str, int]) -> list[Labelled]:
    """Query, number of the page, label."""
    from pagetune.errors import DataError

    cells = train.dataset.with_format(None).select_columns(["query", "label"])[:]
    if train.negatives:
        raise DataError(
            f"{train.name}: rows with both a label and {train.negatives} negative(s): a label is of one pair; set "
            "dataset.negatives=0"
        )
    if loss == "bce" and (wrong := next((label for label in cells["label"] if not 0 <= label <= 1), None)) is not None:
        raise DataError(
            f"{train.name}: label {wrong!r} is no probability, which rerank.loss=bce learns; scale labels to 0 to 1, "
            "or set rerank.loss to listnet, lambda or margin"
        )
    found = zip(cells["query"], train.keys["image"], cells["label"], strict=True)
    return [(text, numbers[key], float(label)) for text, key, label in found]


def _mined_runs(context: Context, train: ImageTrainSet, rows: RerankRows) -> tuple[Run, Run]:
    """Rankings of the pages to train on, and of those held out: by the workspace's own model, else at random."""
    import random

    from pagetune.examples.rerank_shortlists import DEPTH

    recipe, workspace = context.recipe, context.workspace
    held_out = {query: rows.queries[query].text for query in rows.held_out}
    if workspace.finished("fit") is None:
        known = f"the {train.negatives} that rows have, and " if train.negatives else ""
        context.progress.say(
            f"rerank: no model of the workspace's own mines negatives: {known}random ones "
            f"(pagetune {command('fit')} first, for one)"
        )
        draw = random.Random(recipe.rerank.seed)
        pages = rows.held_out_pages
        drawn: Run = {}
        for query, answers in rows.held_out.items():
            others = draw.sample(pages, min(len(pages), DEPTH))
            shown = list(dict.fromkeys((*sorted(answers), *others)))[:DEPTH]
            drawn[query] = {page: draw.random() for page in shown}
        return {}, drawn
    from pagetune.models.loading import load_model

    model = load_model(recipe.model, workspace.model)
    asked = {each.query: rows.queries[each.query].text for each in rows.examples}
    candidates = recipe.mine.candidates + recipe.mine.skip
    return (
        rank_rows(context, model, train, rows.pages, asked, candidates),
        rank_rows(context, model, train, rows.held_out_pages, held_out, DEPTH),
    )


def rank_rows(
    context: Context, model: Any, train: ImageTrainSet, pages: Sequence[str], queries: dict[str, str], depth: int
) -> Run:
    """What the model ranks first of some pages of a training set. `queries`: id -> text."""
    from pagetune.evaluation.dataset import encode_set
    from pagetune.evaluation.retrieval import rank_pages
    from pagetune.examples.rerank_rows import RowPages

    if not queries or not pages:
        return {}
    chosen: Any = RowPages(train, pages, queries)
    vectors = context.workspace.cache / "vectors"
    encoded = encode_set(model, chosen, context.recipe.model, vectors, context.progress)
    return rank_pages(list(queries), encoded.queries, encoded.pages, depth=depth)


def _room(train: RerankSet, fraction: float) -> int:
    """Pairs that an evaluation may have."""
    from pagetune.examples.rerank_shortlists import shortlist_pairs

    return shortlist_pairs(round(fraction * train.pairs / train.versions))
