"""Judging base, tuned, BM25 and BM25 fused with tuned on the same held-out queries.

Every page and query is encoded once, by the caller; all dimensions come from those vectors. Where the pages' words are
not known there is no BM25, and so nothing to fuse.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from pagetune.errors import DataError
from pagetune.evaluation.by_metric import compare_metrics, queries_for
from pagetune.evaluation.false_negatives import Suspect, find_suspects
from pagetune.evaluation.guard import GuardReport
from pagetune.evaluation.lexical import BM25
from pagetune.evaluation.metrics import GAIN, MAIN_METRIC, MEASURED, QueryScores, rounded, score_run
from pagetune.evaluation.ranking import Qrels, Run, place_of_best, ranking
from pagetune.evaluation.retrieval import Encoded, fuse, rank_pages
from pagetune.evaluation.significance import Comparison, compare, correct, interval, sampling, verdict
from pagetune.evaluation.slices import Slices, slice_by
from pagetune.recipe import GATE_KEYS, EvaluateRecipe
from pagetune.records import Query
from pagetune.workspace import fingerprint

BASE, TUNED, LEXICAL, FUSED = "base", "tuned", "BM25", "BM25+tuned"
SYSTEMS = (BASE, TUNED, LEXICAL, FUSED)
"""In the order of every table; the last two only where the pages' words are known."""
RERANKED = "reranked"
"""The last of a table, where a reranker was judged too: the shortlist of the system before it in a new order."""


@dataclass(frozen=True, slots=True, eq=False)
class SystemResult:
    """One system on the held-out queries: its run and every metric of every query."""

    run: Run
    scores: QueryScores
    intervals: Mapping[str, tuple[float, float]]
    """The bootstrap interval of the mean of each metric (at lesser dimensions, of NDCG@10 only)."""

    @property
    def interval(self) -> tuple[float, float]:
        """That of NDCG@10."""
        return self.intervals[MAIN_METRIC]

    @property
    def metrics(self) -> dict[str, float]:
        return self.scores.means()

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        intervals = {metric: [round(low, 6), round(high, 6)] for metric, (low, high) in self.intervals.items()}
        return {"metrics": rounded(self.metrics), "interval": intervals[MAIN_METRIC], "intervals": intervals}


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which the figures came about, so that a report says what holds for its own run and no other."""

    collection: str = ""
    """The dataset that was judged on; empty: a workspace's own documents."""
    masked: bool = True
    """Whether the words that a query was written from were hidden on the pages."""
    words: str = ""
    """Where the pages' words come from for BM25, or why there are none; empty: from the documents themselves."""
    reviewed: int = 0
    """Judgements that somebody made of pages which every model ranked above the judged one."""
    excluded: int = 0
    """Pages that were left out of the answers of a query, over all queries; `evaluate_systems` counts them."""
    reranked: str = ""
    """How the shortlists were reranked, as a sentence; empty: they were not."""
    late: bool = False
    """Whether a page's score adds up over the tokens of the query; `evaluate_systems` sees for itself."""

    @property
    def about(self) -> str:
        """Half a sentence for the figures' heading."""
        if self.masked:
            return "held-out queries, their own words masked on the pages; NDCG with the linear gain of trec_eval"
        return (
            f"queries of {self.collection or 'a dataset'} against its pages as they are; NDCG with the linear gain of "
            "trec_eval"
        )


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """Everything that was measured; `pagetune.evaluation.output.write_run` writes it to a folder."""

    queries: tuple[Query, ...]
    """The judged queries, in the order of every system's scores."""
    qrels: Qrels
    pages: int
    systems: Mapping[str, SystemResult]
    by_dimension: Mapping[int, Mapping[str, SystemResult]]
    """Widest first; base, tuned and, where there is BM25, fused at each Matryoshka dimension."""
    comparisons: Mapping[str, Comparison]
    """`tuned − base`, which is the question, and others, NDCG@10; those corrected as one family (Holm)."""
    settings: EvaluateRecipe
    storage: Mapping[str, Mapping[str, float]]
    """What each model's page vectors take at its full dimension: vectors_per_page, bytes_per_page."""
    conditions: Conditions = Conditions()
    slices: Slices | None = None
    """Tuned against base within slices of the queries; see `look_closer`."""
    suspects: tuple[Suspect, ...] = ()
    """Pages that every model ranks above the judged one, the surest first."""
    by_metric: Mapping[str, Comparison] = field(default_factory=dict)
    """Tuned against base in every metric: NDCG@10 is the question, the others are corrected as one family (Holm)."""
    corpus: str = ""
    """What tells the pages that were searched from others: a digest of their ids."""
    left_out: str = ""
    """The same of the pages that were left out of the answers of single queries; empty where there were none."""
    guard: GuardReport | None = None
    """Base and tuned on a general set, where one was judged beside: whether tuning made the model forget."""

    @property
    def compared(self) -> tuple[str, str]:
        """The two systems whose answers are shown side by side, and between which queries are won and lost."""
        return BASE, TUNED

    @property
    def gain(self) -> Comparison:
        """Tuned against base."""
        return self.comparisons[f"{TUNED} − {BASE}"]

    @property
    def verdict(self) -> str:
        """One sentence on tuned against base."""
        return verdict(self.gain)

    @property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """Query ids by kind, the most frequent kind first."""
        found: dict[str, list[str]] = {}
        for query in self.queries:
            found.setdefault(query.kind, []).append(query.id)
        return {kind: tuple(found[kind]) for kind in sorted(found, key=lambda kind: (-len(found[kind]), kind))}

    def rank_of(self, system: str, query: str) -> int | None:
        """The place of the first page of the highest grade in a system's answer, from 1; None below its depth."""
        return place_of_best(ranking(self.systems[system].run.get(query, {})), self.qrels[query])

    def summary(self) -> dict[str, Any]:
        """Everything for JSON, as metrics.json holds it and the stage remembers it: the same for the same inputs."""
        return {
            "verdict": self.verdict,
            "outcome": self.gain.outcome,
            "queries": len(self.queries),
            "pages": self.pages,
            "corpus": self.corpus,
            "left_out": self.left_out,
            "gain": GAIN,
            "about": self.conditions.about,
            "systems": {name: result.summary() for name, result in self.systems.items()},
            "by_kind": {
                kind: {"queries": len(ids)}
                | {name: rounded(result.scores.of(ids).means()) for name, result in self.systems.items()}
                for kind, ids in self.kinds.items()
            },
            "by_dimension": {
                str(dimension): {name: result.summary() for name, result in results.items()}
                for dimension, results in self.by_dimension.items()
            },
            "comparisons": {name: _compared(found) for name, found in self.comparisons.items()},
            "by_metric": {metric: _compared(found) for metric, found in self.by_metric.items()},
            "slices": self.slices.to_json() if self.slices is not None else None,
            "suspects": len(self.suspects),
            "guard": self.guard.to_json() if self.guard is not None else None,
            "storage": {name: dict(facts) for name, facts in self.storage.items()},
            "settings": self.settings.model_dump(mode="json", exclude=set(GATE_KEYS)),
            "conditions": asdict(self.conditions),
        }


def _compared(comparison: Comparison) -> dict[str, Any]:
    """Its figures; what is derived is so from the rounded ones, as whoever reads them back has it."""
    figures = rounded(asdict(comparison))
    kept = Comparison(**figures)
    derived = {"outcome": comparison.outcome, "visible": kept.visible}
    return figures | rounded(derived) | {"queries_for": queries_for(kept)}


def evaluate_systems(
    queries: Sequence[Query],
    qrels: Qrels,
    *,
    base: Encoded,
    tuned: Encoded,
    lexical: BM25 | None,
    recipe: EvaluateRecipe,
    dimensions: Sequence[int] = (),
    exclude: Mapping[str, Collection[str]] | None = None,
    conditions: Conditions | None = None,
) -> EvaluationReport:
    """Rank and judge. Queries without a judgement are left out; the vectors are those of all `queries`, in order.

    `dimensions` are Matryoshka dimensions to judge besides the full one; `exclude` names, for a query, pages to leave
    out of its answers, none of which may answer it. The pages that BM25 holds must be those of the vectors; without it
    there are two systems, base and tuned. Raises DataError.
    """
    judged = [place for place, query in enumerate(queries) if any(qrels.get(query.id, {}).values())]
    if not judged:
        raise DataError(f"none of the {len(queries)} held-out queries has a judgement; there is nothing to evaluate")
    chosen = tuple(queries[place] for place in judged)
    graded = {query.id: qrels[query.id] for query in chosen}
    _check_pages(graded, lexical, base, tuned)
    bench = _Bench(
        graded,
        {query.id: query.text for query in chosen},
        recipe,
        exclude or {},
        {BASE: _pick(base, judged), TUNED: _pick(tuned, judged)},
        lexical,
    )
    left_out = {query.id: sorted(set(out)) for query in chosen if (out := (exclude or {}).get(query.id))}
    excluded = sum(len(out) for out in left_out.values())
    full = min(base.width, tuned.width)
    systems = bench.systems(None)
    late = base.late or tuned.late
    others = [] if late else sorted({dimension for dimension in dimensions if dimension < full}, reverse=True)
    by_dimension = {full: {name: systems[name] for name in (BASE, TUNED, FUSED) if name in systems}}
    by_dimension |= {dimension: bench.systems(dimension) for dimension in others}
    pairs = ((TUNED, LEXICAL), (FUSED, LEXICAL), (FUSED, TUNED))
    question = bench.compare(systems, TUNED, BASE)
    scores = {name: systems[name].scores for name in (TUNED, BASE)}
    return EvaluationReport(
        queries=tuple(sorted(chosen, key=lambda query: query.id)),
        qrels=graded,
        pages=len(base.pages.ids),
        systems=systems,
        by_dimension=by_dimension,
        comparisons=others_corrected(
            {f"{TUNED} − {BASE}": question}
            | {
                f"{new} − {old}": bench.compare(systems, new, old)
                for new, old in pairs
                if new in systems and old in systems
            }
        ),
        settings=recipe,
        storage={BASE: base.storage(), TUNED: tuned.storage()},
        conditions=replace(conditions or Conditions(), late=late, excluded=excluded),
        by_metric=compare_metrics((TUNED, scores[TUNED]), (BASE, scores[BASE]), question, graded, **sampling(recipe)),
        corpus=fingerprint(sorted(base.pages.ids)),
        left_out=fingerprint(sorted(left_out.items())) if left_out else "",
    )


@dataclass(frozen=True)
class _Bench:
    """The held-out queries and what answers them."""

    qrels: Qrels
    texts: Mapping[str, str]
    recipe: EvaluateRecipe
    exclude: Mapping[str, Collection[str]]
    models: Mapping[str, Encoded]
    bm25: BM25 | None

    @cached_property
    def words(self) -> Run | None:
        """BM25's run, which knows no dimension."""
        return self.bm25.search(self.texts, self.recipe.depth, self.exclude) if self.bm25 else None

    def systems(self, dimension: int | None) -> dict[str, SystemResult]:
        """The systems in the order of `SYSTEMS`: all at the full dimension (None), those that it changes at another."""
        runs: dict[str, Run] = {name: self._dense(name, dimension) for name in self.models}
        if self.words is not None:
            runs[LEXICAL] = self.words
            runs[FUSED] = fuse(runs[TUNED], self.words, self.recipe.fusion_weight, depth=self.recipe.depth)
        if dimension is None:
            return {name: self._judge(run, MEASURED) for name, run in runs.items()}
        return {name: self._judge(run, (MAIN_METRIC,)) for name, run in runs.items() if name != LEXICAL}

    def _dense(self, name: str, dimension: int | None) -> Run:
        model = self.models[name]
        return rank_pages(
            list(self.texts),
            model.queries,
            model.pages,
            dimension=dimension,
            depth=self.recipe.depth,
            exclude=self.exclude,
        )

    def _judge(self, run: Run, metrics: Collection[str]) -> SystemResult:
        scores = score_run(run, self.qrels, self.exclude)
        return SystemResult(
            run, scores, {metric: interval(scores.values[metric], **sampling(self.recipe)) for metric in metrics}
        )

    def compare(self, systems: Mapping[str, SystemResult], new: str, old: str) -> Comparison:
        values = {name: systems[name].scores.values[MAIN_METRIC] for name in (new, old)}
        return compare((new, values[new]), (old, values[old]), MAIN_METRIC, **sampling(self.recipe))


def others_corrected(found: dict[str, Comparison]) -> dict[str, Comparison]:
    """The question is one, and asked beforehand: its p stays. The other comparisons are one family (Holm)."""
    question = f"{TUNED} − {BASE}"
    others = {name: comparison for name, comparison in found.items() if name != question}
    return found | dict(zip(others, correct(list(others.values())), strict=True))


def _pick(encoded: Encoded, places: Sequence[int]) -> Encoded:
    queries = encoded.queries
    chosen = queries[list(places)] if isinstance(queries, np.ndarray) else [queries[place] for place in places]
    return Encoded(chosen, encoded.pages)


def _check_pages(qrels: Qrels, lexical: BM25 | None, *models: Encoded) -> None:
    known = set(models[0].pages.ids if lexical is None else lexical.ids)
    for model in models:
        if set(model.pages.ids) != known:
            odd = sorted(set(model.pages.ids) ^ known)
            holders = "base and tuned" if lexical is None else "the models and BM25"
            raise DataError(f"{holders} hold different pages ({len(odd)}, such as {odd[0]}); give both the same")
    lost = sorted({page for grades in qrels.values() for page in grades} - known)
    if lost:
        raise DataError(f"{len(lost)} judged pages are not in the collection, such as {lost[0]}; judge only its pages")


def look_closer(report: EvaluationReport, facets: Mapping[str, Mapping[str, str]]) -> EvaluationReport:
    """The same report with its slices and suspects. `facets`: facet -> query id -> slice."""
    scores = {name: report.systems[name].scores for name in (TUNED, BASE)}
    slices = slice_by(facets, (TUNED, scores[TUNED]), (BASE, scores[BASE]), settings=report.settings)
    runs = {name: report.systems[name].run for name in witnesses(tuple(report.systems))}
    texts = {query.id: query.text for query in report.queries}
    return replace(report, slices=slices, suspects=find_suspects(runs, report.qrels, texts))


def witnesses(systems: Sequence[str]) -> tuple[str, ...]:
    """The systems that must agree on a suspect: all but the fusion, which only repeats what two of them say, and what a
    reranker made of it."""
    return tuple(name for name in systems if name not in (FUSED, RERANKED))
