"""Claim: on real manuals, the laptop's cascade (BM25 and the tuned `light` model for a shortlist of 50, then the
`light` reranker, trained on what was mined) answers queries that people wrote better than the shortlist's own order,
NDCG@10, p < 0.05.

    python benchmarks/rerank_judged.py [SET] [RETRIEVER] [key=value …]

Reads the set's documents, writes queries, keeps every judged query and its like out (as judged_queries.py does), mines,
finetunes the retriever and then the reranker on the same examples, and judges by the set's own rules, masked. How much
the reranker counts against the shortlist is chosen on queries from the documents' structure that neither trained on.
RETRIEVER: the folder of a retriever tuned before, which saves its training.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from _bench import Judged, fetch_documents, load
from judged_queries import judge_systems, show, training_data
from pagetune import PageStore, Pipeline, load_recipe
from pagetune.evaluation.evaluate import FUSED, RERANKED, EvaluationReport
from pagetune.evaluation.rerank_use import open_reranker
from pagetune.evaluation.retrieval import Encoded
from pagetune.examples.datasets import RetrievalData, save_data, save_examples
from pagetune.examples.page_images import answerable
from pagetune.models.encoding import encode_queries
from pagetune.models.loading import load_model
from pagetune.records import Example, Page
from pagetune.rerank_stages import do_rerank
from pagetune.reranking import Asked, held_out, rerank_report, words_of
from pagetune.stages import mine_examples
from pagetune.training.encode import encode
from pagetune.training.trainer import fit_model

RECIPE = (
    "rerank.directions=[text_to_image]",
    "rerank.negatives=4",
    "rerank.max_tokens=192",
    "rerank.max_examples=2000",
    "mine.negatives=16",
)
"""The reranker's keys that are not the recipe's defaults."""


def tune_retriever(pipeline: Pipeline, data: RetrievalData, examples: Sequence[Example], pages: Sequence[Page]) -> None:
    """Into the workspace, as judged_queries.py does it."""
    model = load_model(pipeline.recipe.model)
    checkpoints = pipeline.workspace.runs / "fit" / "checkpoints"
    fit_model(model, data, examples, pages, pipeline.recipe, checkpoints)
    model.save(str(pipeline.workspace.model))


def train_reranker(pipeline: Pipeline, data: RetrievalData, examples: Sequence[Example]) -> Mapping[str, Any]:
    """On the mined examples, put where the stage looks for them; what the stage has to say."""
    workspace = pipeline.workspace
    save_data(data, workspace.data)
    save_examples(list(examples), workspace.root / "negatives" / "examples.parquet")
    return do_rerank(pipeline.context)


def rerank(
    pipeline: Pipeline,
    report: EvaluationReport,
    judged: Judged,
    pages: Sequence[Page],
    data: RetrievalData,
    everything: Sequence[Page],
) -> EvaluationReport:
    """The judged report with the reranked system; every page masked with the set's own rectangles."""
    retriever = load_model(pipeline.recipe.model, pipeline.workspace.model)
    reranker = open_reranker(pipeline.workspace, pipeline.recipe)
    texts = {page.id: page.text(judged.masks.get(page.id, ())) for page in pages}
    vectors = dict(zip(judged.queries, encode_queries(retriever, list(judged.queries.values())), strict=True))
    found = encode(pipeline.context, retriever, pages, judged.masks)
    reading = words_of(reranker, retriever, texts, found, vectors)
    test = Asked(judged.queries, report.systems[FUSED].run, judged.qrels, reading)
    known = Encoded([], encode(pipeline.context, retriever, everything, data.masks))
    validation = held_out(pipeline.context, reranker, retriever, known, data, everything)
    return rerank_report(pipeline.context, report, reranker, test, validation)


def tell(trained: Mapping[str, Any]) -> None:
    """What the reranker was trained on and what it did to shortlists on the way."""
    print(f"reranker: {trained['examples']} lists, {trained['steps']} steps, kept step {trained['kept_step']}")
    print(f"negatives: {trained['mix']}")
    for name, figures in trained["validation"].items():
        print(f"validation, {name}: " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()))


def main() -> int:
    arguments = [given for given in sys.argv[1:] if "=" not in given]
    keys = [given for given in sys.argv[1:] if "=" in given]
    name = arguments[0] if arguments else "dev-v1"
    tuned = Path(arguments[1]) if len(arguments) > 1 else None
    judged = load(name)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder) / "ws", load_recipe(None, [*RECIPE, *keys]), documents=[fetch_documents(name)])
        pipeline.read()
        everything = PageStore(pipeline.workspace.pages).pages()
        wanted = set(judged.pages)
        pages = [replace(page, kind="body", duplicate_of=None) for page in everything if page.id in wanted]
        begun = time.monotonic()
        data = training_data(pipeline, everything, judged)
        examples = mine_examples(pipeline.context, data, answerable(everything))
        mined = time.monotonic()
        if tuned is None:
            tune_retriever(pipeline, data, examples, everything)
        else:
            load_model(pipeline.recipe.model, tuned).save(str(pipeline.workspace.model))
        retrieved = time.monotonic()
        tell(train_reranker(pipeline, data, examples))
        trained = time.monotonic()
        report = judge_systems(pipeline, pages, judged)
        before = time.monotonic()
        report = rerank(pipeline, report, judged, pages, data, answerable(everything))
        ended = time.monotonic()
    print(f"queries and mining {mined - begun:.0f} s, retriever {retrieved - mined:.0f} s")
    print(f"reranker {trained - retrieved:.0f} s, reranking {ended - before:.0f} s")
    show(report, judged)
    print(report.conditions.reranked)
    gain = report.comparisons[f"{RERANKED} − {FUSED}"]
    holds = gain.difference > 0 and gain.p < 0.05
    print(
        f"cascade − shortlist {gain.difference:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], p = {gain.p:.4f}, "
        f"{gain.better} better, {gain.worse} worse; claim {'holds' if holds else 'FAILS'}"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
