"""Reranking shortlists, and judging it: how a reranker's scores and the shortlist's become one order.

The first `depth` pages of a run are scored again, query and page together, and ordered by a mixture of both scores,
each scaled to 0..1 within the query. How much the reranker counts is chosen on validation queries, never on those that
are judged. Scores are kept on disk by the content of query and page: none is computed twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pagetune.evaluation.evaluate import FUSED, RERANKED, TUNED, EvaluationReport, SystemResult, others_corrected
from pagetune.evaluation.metrics import MAIN_METRIC, MEASURED, score_run
from pagetune.evaluation.ranking import Qrels, Run, ranking
from pagetune.evaluation.rerank_use import UNFITTED, Mixture
from pagetune.evaluation.significance import compare, interval, sampling
from pagetune.models.calibration import PLAIN, Calibration, fit_calibration
from pagetune.models.hardware import has_bfloat16
from pagetune.models.vector_cache import VectorCache
from pagetune.progress import SILENT, Progress

if TYPE_CHECKING:
    from pagetune.evaluation.page_pairs import Reading

WEIGHTS = tuple(round(0.05 * step, 2) for step in range(21))
"""Of the reranker, tried on validation."""

PAGES_AT_ONCE = 64
"""Pages whose pairs are scored between two writes to the disk: what a kill can cost."""

LogOdds = Mapping[str, Mapping[str, float]]
"""Query id -> page id -> the reranker's score, of the pages that it has scored."""


def blend(shortlist: Mapping[str, float], log_odds: Mapping[str, float], weight: float) -> dict[str, float]:
    """The shortlist in its new order, best first.

    A page that was scored again gets `weight` times the reranker's score plus (1 - weight) times the shortlist's, each
    scaled to 0..1 over those pages. The others stay below them in the shortlist's order: their scores are minus their
    places in it.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight={weight} must be between 0 and 1")
    order = ranking(shortlist)
    scored = [page for page in order if page in log_odds]
    new, old = _scaled([log_odds[page] for page in scored]), _scaled([shortlist[page] for page in scored])
    mixed = {
        page: round(weight * ours + (1 - weight) * theirs, 6)
        for page, ours, theirs in zip(scored, new, old, strict=True)
    }
    # Equal ones as the shortlist had them.
    first = sorted(mixed, key=lambda page: -mixed[page])
    found = {page: mixed[page] for page in first}
    return found | {page: -float(place) for place, page in enumerate(order, start=1) if page not in mixed}


def _scaled(scores: Sequence[float]) -> list[float]:
    if not scores:
        return []
    low, high = min(scores), max(scores)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def rerank_run(run: Run, log_odds: LogOdds, weight: float) -> Run:
    """Every query's answer in its new order."""
    return {query: blend(scores, log_odds.get(query, {}), weight) for query, scores in run.items()}


def score_shortlists(
    model: Any,
    queries: Mapping[str, str],
    run: Run,
    reading: Reading | Callable[[Sequence[str]], Reading],
    page_keys: Mapping[str, str] | None = None,
    *,
    depth: int,
    cache: Path | None = None,
    progress: Progress = SILENT,
    **how: Any,
) -> dict[str, dict[str, float]]:
    """The reranker's scores of the first `depth` pages of each query's answer.

    `queries`: id -> text. `reading` gives the inputs of a page, which are texts; or it makes, for a few pages at a
    time, what gives their pictures, so that not all are open at once: then `page_keys` says by page id what decides
    each. `how` is that of `score_pairs`.
    """
    from pagetune.evaluation.page_pairs import score_pages

    asked: dict[str, list[str]] = {}
    for query, scores in run.items():
        for page in ranking(scores)[:depth]:
            asked.setdefault(page, []).append(query)
    keys = {
        (query, page): _key(queries[query], _content(query, page, reading, page_keys))
        for page, ids in asked.items()
        for query in ids
    }
    how = {"bfloat16": False if callable(reading) else None} | how
    store = VectorCache(None if cache is None else cache / f"{identity(model)}-{_precision(model, how['bfloat16'])}")
    known = store.find(set(keys.values()))
    missing = [page for page, ids in asked.items() if any(keys[query, page] not in known for query in ids)]
    count = sum(keys[query, page] not in known for page in missing for query in asked[page])
    with progress.task("rerank", count, "pairs") as task:
        for start in range(0, len(missing), PAGES_AT_ONCE):
            pages = missing[start : start + PAGES_AT_ONCE]
            source = reading(pages) if callable(reading) else reading
            pairs = [(query, page) for page in pages for query in asked[page] if keys[query, page] not in known]
            inputs = [(queries[query], source.inputs(query, page)) for query, page in pairs]
            made, _ = score_pages(model, inputs, **how)
            fresh = {keys[pair]: np.array([[score]], np.float32) for pair, score in zip(pairs, made, strict=True)}
            store.add(fresh)
            known.update(fresh)
            task.advance(len(pairs))
    found: dict[str, dict[str, float]] = {query: {} for query in run}
    for (query, page), key in keys.items():
        found[query][page] = float(known[key][0, 0])
    return found


def _content(query: str, page: str, reading: Any, page_keys: Mapping[str, str] | None) -> str:
    """What decides the inputs of a page for a query."""
    if not callable(reading):
        return "\0".join(reading.inputs(query, page))
    if page_keys is None:
        raise ValueError("pictures are known by page_keys; give them")
    return page_keys[page]


def identity(model: Any) -> str:
    """A digest of what decides a score: weights, settings, prompts, chat template, pixel bounds, length."""
    from pagetune.models.encoding import fingerprint_model
    from pagetune.models.pixels import image_processor

    processor = getattr(model[0], "processor", None)
    told = [
        str(getattr(image_processor(model), "size", "")),
        str(getattr(processor, "chat_template", "")),
        str(getattr(model[0], "processing_kwargs", "")),
        model.max_seq_length,
        str(model.dtype),
        model.prompts,
    ]
    return hashlib.sha256(f"{fingerprint_model(model)}{told}".encode()).hexdigest()[:32]


def _precision(model: Any, bfloat16: bool | None) -> str:
    wanted = bfloat16 is True or (bfloat16 is None and has_bfloat16(model.device))
    return "bf16" if wanted else "fp32"


def _key(query: str, page: str) -> bytes:
    return hashlib.sha256(f"{query}\0{page}".encode("utf-8", "surrogatepass")).digest()


def choose_weight(run: Run, log_odds: LogOdds, qrels: Qrels, weights: Sequence[float] = WEIGHTS) -> Mixture:
    """The smallest weight (they rise) that is not clearly worse on these queries than the best, by NDCG@10.

    A single query may turn the maximum: each weight counts with its neighbours. And the queries are of the kind that
    the reranker was trained on, so that the best trusts it too much: a smaller one will do where, query by query, it is
    worse by no more than the standard error of the difference (the rule of Breiman et al., 1984).
    """
    graded = {query: qrels[query] for query in run if any(qrels.get(query, {}).values())}
    if not graded:
        return Mixture(UNFITTED)
    values = np.array(
        [
            score_run(rerank_run(run, log_odds, weight), graded, metrics=(MAIN_METRIC,)).values[MAIN_METRIC]
            for weight in weights
        ]
    )
    means = values.mean(axis=1)
    padded = np.pad(means, 1, mode="edge")
    best = int(np.argmax(np.round((padded[:-2] + padded[1:-1] + padded[2:]) / 3, 6)))
    apart = values[best] - values
    error = apart.std(axis=1, ddof=1) / np.sqrt(len(graded)) if len(graded) > 1 else np.zeros(len(weights))
    chosen = int(np.argmax(apart.mean(axis=1) <= error + 1e-9))
    return Mixture(weights[chosen], len(graded), float(means[chosen] - means[0]) if weights[0] == 0 else 0.0)


def calibrate(log_odds: LogOdds, qrels: Qrels) -> Calibration:
    """From the scores of validation shortlists to the probability that a page answers, in whatever grade."""
    scores = [
        (score, qrels[query].get(page, 0) > 0)
        for query in log_odds
        if query in qrels
        for page, score in log_odds[query].items()
    ]
    if not scores:
        return PLAIN
    values, answers = zip(*scores, strict=True)
    return fit_calibration(np.array(values, np.float32), np.array(answers))


def add_reranked(report: EvaluationReport, run: Run, about: str) -> EvaluationReport:
    """The report with one system more, compared with the shortlist that it reorders. `about`: how it was made."""
    old = FUSED if FUSED in report.systems else TUNED
    scores, chance = score_run(run, report.qrels), sampling(report.settings)
    result = SystemResult(run, scores, {metric: interval(scores.values[metric], **chance) for metric in MEASURED})
    before = report.systems[old].scores.values[MAIN_METRIC]
    found = compare((RERANKED, scores.values[MAIN_METRIC]), (old, before), MAIN_METRIC, **chance)
    return replace(
        report,
        systems={**report.systems, RERANKED: result},
        comparisons=others_corrected({**report.comparisons, f"{RERANKED} − {old}": found}),
        conditions=replace(report.conditions, reranked=about),
    )
