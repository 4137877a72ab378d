"""Rerankers in use: what validation says of one, and what `evaluate --rerank` adds to an evaluation, the shortlists of
BM25 and the tuned model reranked and judged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError
from pagetune.evaluation.evaluate import FUSED, TUNED, EvaluationReport
from pagetune.evaluation.rerank_use import (
    UNFITTED,
    RerankUse,
    has_use,
    made_from,
    open_reranker,
    settled_use,
    use_of,
    uses_trained,
)
from pagetune.evaluation.reranking import add_reranked, calibrate, choose_weight, rerank_run, score_shortlists
from pagetune.evaluation.retrieval import Encoded

if TYPE_CHECKING:
    from PIL.Image import Image

    from pagetune.context import Context
    from pagetune.evaluation.page_pairs import Reading
    from pagetune.evaluation.ranking import Qrels, Run
    from pagetune.examples.datasets import RetrievalData
    from pagetune.examples.visual import ImageEvalSet
    from pagetune.records import Page, Query

VALIDATION_QUERIES = 100
"""That the weight is chosen on, at most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Queries with their shortlists, what answers them, and how the pages are read for them."""

    texts: Mapping[str, str]
    """Query id -> text."""
    run: Run
    qrels: Qrels
    reading: Reading | Callable[[Sequence[str]], Reading]
    keys: Mapping[str, str] | None = None
    """Page id -> what decides its picture, where pages are shown."""


def rerank_documents(
    context: Context,
    report: EvaluationReport,
    retriever: Any,
    tuned: Encoded,
    data: RetrievalData,
    pages: Sequence[Page],
) -> EvaluationReport:
    """The report of a workspace of documents with the reranked system; pages masked as for every other system.

    `retriever` is the tuned model, `tuned` what it made of the test queries and of `pages`.
    """
    reranker = open_reranker(context.workspace, context.recipe)
    queries = data.of("test")
    test = Asked(
        {query.id: query.text for query in queries},
        report.systems[_before(report)].run,
        report.qrels,
        *_read(context, reranker, retriever, data, pages, queries, tuned.pages, tuned.queries),
    )
    return rerank_report(context, report, reranker, test, held_out(context, reranker, retriever, tuned, data, pages))


def held_out(
    context: Context,
    reranker: Any,
    retriever: Any,
    tuned: Encoded,
    data: RetrievalData,
    pages: Sequence[Page],
) -> Asked | None:
    """The validation queries with shortlists that are made as the evaluation makes them, None where there are none.

    `tuned` is what `retriever` made of `pages`; its queries are not looked at.
    """
    from pagetune.evaluation.lexical import masked_bm25
    from pagetune.evaluation.retrieval import fuse, rank_pages
    from pagetune.training.encode import encode_asked

    recipe = context.recipe.evaluate
    queries = _validation(data.of("validation"), data.qrels("validation"), pages, context.recipe.fit.seed)
    if not queries:
        return None
    texts = {query.id: query.text for query in queries}
    vectors = encode_asked(retriever, list(texts.values()))
    dense = rank_pages(list(texts), vectors, tuned.pages, depth=recipe.depth)
    lexical = masked_bm25(pages, data.masks).search(texts, recipe.depth)
    return Asked(
        texts,
        fuse(dense, lexical, recipe.fusion_weight, depth=recipe.depth),
        data.qrels("validation"),
        *_read(context, reranker, retriever, data, pages, queries, tuned.pages, vectors),
    )


def held_out_rows(
    queries: Mapping[str, str], run: Run, answers: Mapping[str, Collection[str]], image: Callable[[str], Image]
) -> Asked:
    """The held-out queries (id -> text) of a dataset's rows. `answers`: query -> pages; `image` opens a page, whose id
    is its content key."""
    qrels = {query: dict.fromkeys(pages, 1) for query, pages in answers.items()}
    shown = _pictures(lambda ids: ((page, image(page)) for page in ids))
    return Asked(queries, run, qrels, shown, {page: page for scores in run.values() for page in scores})


def fit_use(context: Context, reranker: Any, validation: Asked | None) -> RerankUse | None:
    """Weight and calibration by the validation shortlists, kept with the reranker; None where there are none."""
    if validation is None or not validation.run:
        return None
    scores = _score(context, reranker, validation)
    use = RerankUse(choose_weight(validation.run, scores, validation.qrels), calibrate(scores, validation.qrels))
    use.save(context.workspace, context.recipe)
    return use


def settle_use(context: Context, reranker: Any, validation: Asked | None) -> RerankUse | None:
    """The same at the end of the reranker's own fit, which says what came of it."""
    use = fit_use(context, reranker, validation)
    if use is None:
        told = f"no shortlists of a retriever's to settle its use on: weight {UNFITTED}, relevance not calibrated"
    else:
        pairs = use.calibration.pairs
        told = f"{use.mixture.about}; relevance " + (f"calibrated on {pairs} pairs" if pairs else "not calibrated")
    context.progress.say(f"rerank: {told}")
    return use


def rerank_dataset(
    context: Context, report: EvaluationReport, chosen: ImageEvalSet, texts: Mapping[str, str] | None
) -> EvaluationReport:
    """The report of a dataset with the reranked system; `texts`: the words of its pages, where they are known.

    The weight is the recipe's, else the one that the fit of the workspace's reranker chose on its held-out rows, else
    half. Raises DataError for a text reranker over pages whose words are not known.
    """
    from pagetune.evaluation.page_pairs import EveryPassage
    from pagetune.models.inspect import sees

    reranker = open_reranker(context.workspace, context.recipe)
    run = report.systems[_before(report)].run
    if sees(reranker):
        shown = _pictures(lambda ids: zip(ids, chosen.images(ids), strict=True))
        keys = {page: chosen.page_key(page) for page in chosen.page_ids}
        test = Asked(chosen.queries, run, report.qrels, shown, keys)
    elif texts is not None:
        test = Asked(chosen.queries, run, report.qrels, EveryPassage(reranker, texts))
    else:
        raise DataError(
            f"rerank.name={context.recipe.rerank.name} reads the words of the pages, which this dataset does not "
            "bring; have them read (evaluate.ocr=true), or take a reranker that sees"
        )
    return rerank_report(context, report, reranker, test, None)


def rerank_report(
    context: Context, report: EvaluationReport, reranker: Any, test: Asked, validation: Asked | None
) -> EvaluationReport:
    """The report with the reranked system, its weight the recipe's, or chosen on validation; that is kept."""
    recipe, workspace = context.recipe.rerank, context.workspace
    if fit_use(context, reranker, validation) is None and not has_use(workspace, context.recipe):
        settled_use(workspace, context.recipe).save(workspace, context.recipe)
    mixture = use_of(workspace, context.recipe).mixture
    run = rerank_run(test.run, _score(context, reranker, test), mixture.weight)
    about = f"the first {recipe.depth} pages of {_before(report)} scored again by {_name(context)}; {mixture.about}"
    context.progress.say(f"evaluate: {about}")
    return add_reranked(report, run, about)


def read_documents(
    context: Context, reranker: Any, retriever: Any, tuned: Encoded, data: RetrievalData, pages: Sequence[Page]
) -> tuple[Reading | Callable[[Sequence[str]], Reading], Mapping[str, str] | None]:
    """How the pages of a workspace are read for its test queries, and what decides their pictures; as `Asked`."""
    return _read(context, reranker, retriever, data, pages, data.of("test"), tuned.pages, tuned.queries)


def read_dataset(
    context: Context, reranker: Any, chosen: ImageEvalSet
) -> tuple[Reading | Callable[[Sequence[str]], Reading], Mapping[str, str] | None]:
    """The same of a dataset's pages. Raises DataError for a text reranker over pages whose words are not known."""
    from pagetune.evaluation.dataset import page_words
    from pagetune.evaluation.page_pairs import EveryPassage
    from pagetune.models.inspect import sees

    if sees(reranker):
        keys = {page: chosen.page_key(page) for page in chosen.page_ids}
        return _pictures(lambda ids: zip(ids, chosen.images(ids), strict=True)), keys
    cache, ocr = context.workspace.cache / "texts", context.recipe.evaluate.ocr
    texts, why = page_words(chosen, context.recipe.dataset, cache, ocr=ocr, progress=context.progress)
    if texts is None:
        raise DataError(f"the reranker reads the words of the pages: {why}; take one that sees")
    return EveryPassage(reranker, texts), None


def _score(context: Context, reranker: Any, asked: Asked) -> dict[str, dict[str, float]]:
    recipe = context.recipe.rerank
    return score_shortlists(
        reranker,
        asked.texts,
        asked.run,
        asked.reading,
        asked.keys,
        depth=recipe.depth,
        cache=context.workspace.cache / "scores",
        progress=context.progress,
        budget_tokens=None if recipe.pair_tokens == "auto" else recipe.pair_tokens,
    )


def _before(report: EvaluationReport) -> str:
    return FUSED if FUSED in report.systems else TUNED


def _name(context: Context) -> str:
    """As training recorded what the workspace's own was made from; else as the recipe has it."""
    trained = uses_trained(context.workspace, context.recipe)
    name = made_from(context.workspace) if trained else context.recipe.rerank.name
    if name is None:
        return f"the reranker in {context.workspace.reranker.name}"
    shown = Path(name).name if Path(name).is_absolute() else name
    return f"the reranker trained from {shown}" if trained else shown


def _validation(queries: Sequence[Query], qrels: Qrels, pages: Sequence[Page], seed: int) -> list[Query]:
    """Some of the validation queries that have an answer, those that authors wrote first."""
    import random

    from pagetune.training.validation import STRUCTURE

    known = {page.id for page in pages}
    judged = [query for query in queries if any(page in known for page in qrels.get(query.id, {}))]
    drawn = random.Random(seed).sample(judged, len(judged))
    return sorted(drawn, key=lambda query: query.kind not in STRUCTURE)[:VALIDATION_QUERIES]


def _read(
    context: Context,
    reranker: Any,
    retriever: Any,
    data: RetrievalData,
    pages: Sequence[Page],
    queries: Sequence[Query],
    found: Any,
    vectors: Any,
) -> tuple[Reading | Callable[[Sequence[str]], Reading], Mapping[str, str] | None]:
    """How a page is read, as a picture or by its words, and what decides the picture. `found`: the retriever's vectors
    of the pages."""
    from pagetune.models.inspect import sees

    if sees(reranker):
        return _rendered(context, reranker, pages, data)
    texts = {page.id: page.text(data.masks.get(page.id, ())) for page in pages}
    asked = {query.id: vector for query, vector in zip(queries, vectors, strict=True)}
    return words_of(reranker, retriever, texts, found, asked), None


def words_of(
    reranker: Any, retriever: Any, texts: Mapping[str, str], found: Any, vectors: Mapping[str, Any]
) -> Reading:
    """How a text reranker reads pages: by the passages that the retriever finds nearest, where that cuts pages into
    passages itself, else by all. `found` are its vectors of `texts`, `vectors` those of queries."""
    from pagetune.evaluation.page_pairs import EveryPassage, NearestPassages
    from pagetune.models.inspect import is_late
    from pagetune.models.page_reader import PageReader

    if is_late(retriever) or not isinstance(retriever[0], PageReader):
        return EveryPassage(reranker, texts)
    return NearestPassages(retriever[0], texts, found, vectors)


def _rendered(
    context: Context, reranker: Any, pages: Sequence[Page], data: RetrievalData
) -> tuple[Callable[[Sequence[str]], Reading], Mapping[str, str]]:
    """The pages' pictures, painted over where they are masked, rendered when they are asked for."""
    from pagetune.examples.page_images import page_key, rendered_pages
    from pagetune.models.pixels import rendering

    store = rendered_pages(context.workspace, context.recipe)
    bounds: dict[str, Any] = rendering(reranker)
    keys = {page.id: page_key(page, data.masks.get(page.id, ()), bounds) for page in pages}
    return _pictures(lambda ids: store.images(ids, masks=data.masks, **bounds)), keys


def _pictures(load: Callable[[Sequence[str]], Any]) -> Callable[[Sequence[str]], Reading]:
    from pagetune.evaluation.page_pairs import Pictures

    def read(ids: Sequence[str]) -> Reading:
        found: dict[str, Image] = dict(load(list(ids)))
        return Pictures(found)

    return read
