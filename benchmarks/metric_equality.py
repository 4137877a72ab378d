"""Claim: the figures equal trec_eval's to the last digit, and those of Sentence Transformers' evaluator on its terms.

200 random pairs of a run and judgements: grades 0 to 3, several relevant pages, ties, scores below 0 and far above 16
(where single precision, which trec_eval reads scores in, is coarser than a millionth), queries without an answer, and
in every other pair excluded pages. The run is written to a file as every run is, read back, and judged by trec_eval's
own C code (pytrec_eval); every metric of every query must be the same number. Both gains are also computed here from
their definitions.

Our own files have no ties left. So 200 more pairs are written as systems elsewhere write them: scores that tie, or that
only single precision ties, or that are too large for it, in any order of lines, with names of several lengths and
scripts; these files are judged by `evaluate_files` and by trec_eval's code, again to the last digit.

Then 60 random collections are judged by InformationRetrievalEvaluator itself: vectors that tie exactly, binary
judgements, its cut-offs.
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytrec_eval

from pagetune.evaluation.metrics import EXPONENTIAL, MAIN_METRIC, QueryScores, score_run
from pagetune.evaluation.ranking import Run, ranking, write_trec
from pagetune.evaluation.retrieval import rank_pages
from pagetune.evaluation.trec import evaluate_files, read_qrels, read_run, write_qrels
from pagetune.models.encoding import PageVectors
from pagetune.recipe import EvaluateRecipe

PAIRS, COLLECTIONS = 200, 60
OF_TREC = {MAIN_METRIC: "ndcg_cut_10", "MAP": "map", "Recall@1": "recall_1", "Recall@5": "recall_5"}
OF_TREC |= {"Recall@10": "recall_10"}
Grades = dict[str, dict[str, int]]


def random_pair(rng: np.random.Generator) -> tuple[Run, Grades]:
    """A run and judgements: every pair of another size, scale of scores, and share of ties."""
    pages = [f"page-{number:03d}" for number in rng.permutation(int(rng.integers(3, 250)))]
    scale = float(rng.choice([0.01, 1.0, 25.0, 700.0]))
    steps = int(rng.choice([3, 20, 10**6]))
    run: Run = {}
    qrels: Grades = {}
    for number in range(int(rng.integers(1, 25))):
        query = f"q{number:02d}"
        if rng.random() < 0.93:
            found = rng.choice(len(pages), int(rng.integers(1, min(100, len(pages)) + 1)), replace=False)
            scores = scale * (np.round(rng.random(len(found)) * steps) / steps - 0.2)
            run[query] = {pages[place]: float(score) for place, score in zip(found, scores, strict=True)}
        judged = rng.choice(len(pages), int(rng.integers(1, min(15, len(pages)) + 1)), replace=False)
        grades = {pages[place]: int(rng.integers(0, 4)) for place in judged}
        qrels[query] = grades if any(grades.values()) else {pages[judged[0]]: 2}
    return run, qrels


def by_trec_eval(run: Run, qrels: Grades, measures: set[str]) -> dict[str, dict[str, float]]:
    return pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)


def by_definition(run: Run, grades: dict[str, int], gain: Any) -> float:
    """NDCG@10 as its definition has it."""
    gains = [gain(grades.get(page, 0)) for page in ranking(run)[:10]]
    ideal = sorted(map(gain, grades.values()), reverse=True)[:10]
    total, most = (sum(g / math.log2(place + 2) for place, g in enumerate(found)) for found in (gains, ideal))
    return total / most


def of_files(folder: Path) -> dict[str, dict[str, float]]:
    """What trec_eval's code makes of the files there: query, our name of the metric, its figure."""
    with (folder / "run.trec").open(encoding="utf-8") as lines, (folder / "qrels").open(encoding="utf-8") as judged:
        there, graded = pytrec_eval.parse_run(lines), pytrec_eval.parse_qrel(judged)
    theirs = by_trec_eval(there, graded, {*OF_TREC.values(), "recip_rank"})
    # The gain is the grade there: the grades exchanged.
    steep = {query: {page: 2**grade - 1 for page, grade in own.items()} for query, own in graded.items()}
    exponential = by_trec_eval(there, steep, {"ndcg_cut_10"})
    found = {}
    for query in graded:
        own = theirs.get(query, {})
        found[query] = {name: own.get(measure, 0.0) for name, measure in OF_TREC.items()}
        # Its reciprocal rank has no cut-off.
        reciprocal = own.get("recip_rank", 0.0)
        found[query]["MRR@10"] = reciprocal if reciprocal > 1 / 10.5 else 0.0
        found[query][EXPONENTIAL] = exponential.get(query, {}).get("ndcg_cut_10", 0.0)
    return found


def apart(ours: QueryScores, theirs: dict[str, dict[str, float]]) -> list[str]:
    """The figures that differ in any digit."""
    return [
        f"{query} {name}: {values[place]!r}, trec_eval {theirs[query][name]!r}"
        for place, query in enumerate(ours.queries)
        for name, values in ours.values.items()
        if values[place] != theirs[query][name]
    ]


def judge_pair(run: Run, qrels: Grades, exclude: dict[str, set[str]], folder: Path) -> list[str]:
    """Where our figures differ from trec_eval's on the files that we write."""
    ours = score_run(run, qrels, exclude)
    left = {query: {p: s for p, s in own.items() if p not in exclude.get(query, ())} for query, own in run.items()}
    (folder / "run.trec").write_text(write_trec(left, "run"))
    (folder / "qrels").write_text(write_qrels(qrels))
    wrong = apart(ours, of_files(folder))
    for place, query in enumerate(ours.queries):
        for name, gain in ((MAIN_METRIC, float), (EXPONENTIAL, lambda grade: 2.0**grade - 1)):
            if abs(ours.values[name][place] - by_definition(left.get(query, {}), qrels[query], gain)) > 1e-12:
                wrong.append(f"{query} {name}: not as defined")
    again = score_run(read_run(folder / "run.trec"), read_qrels(folder / "qrels"))
    wrong += [
        f"{name}: read back, other figures" for name in ours.values if any(again.values[name] != ours.values[name])
    ]
    return wrong


def elsewhere(run: Run, qrels: Grades, rng: np.random.Generator) -> tuple[Run, Grades]:
    """The pair as it may come from another system: longer names, more and finer ties, scores without bounds."""
    renamed = {page: str(rng.choice(["", "Ä/", "doc_", "文"])) + str(int(page[5:])) for page in pages_of(run, qrels)}
    kind = rng.integers(0, 4)

    def other(score: float) -> float:
        if kind == 0:
            return score
        if kind == 1:  # What differs only beyond single precision.
            return round(score, 1) + float(rng.random()) * 1e-9
        return score * 1e39 if kind == 2 else float(round(score))

    changed = {query: {renamed[page]: other(score) for page, score in own.items()} for query, own in run.items()}
    return changed, {query: {renamed[page]: grade for page, grade in own.items()} for query, own in qrels.items()}


def pages_of(run: Run, qrels: Grades) -> set[str]:
    return {page for named in (run, qrels) for own in named.values() for page in own}


def judge_elsewhere(run: Run, qrels: Grades, folder: Path, rng: np.random.Generator) -> list[str]:
    """Where `evaluate_files` and trec_eval's code differ on the same files."""
    lines = [f"{query} Q0 {page} 0 {score!r} x\n" for query, own in run.items() for page, score in own.items()]
    (folder / "run.trec").write_text("".join(lines[place] for place in rng.permutation(len(lines))), encoding="utf-8")
    (folder / "qrels").write_text(write_qrels(qrels), encoding="utf-8")
    found = evaluate_files(folder / "run.trec", folder / "qrels", settings=EvaluateRecipe(resamples=100))
    return apart(found.scores, of_files(folder))


class Vectors:
    """Stands for a model: a text is the number of its vector."""

    def __init__(self, queries: np.ndarray, pages: np.ndarray) -> None:
        self.queries, self.pages = queries, pages

    def encode_query(self, texts: list[str], **_: Any) -> Any:
        return _tensor(self.queries[[int(text) for text in texts]])

    def encode_document(self, texts: list[str], **_: Any) -> Any:
        return _tensor(self.pages[[int(text) for text in texts]])


def _tensor(vectors: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(vectors)


def judge_collection(rng: np.random.Generator) -> float:
    """The largest difference from InformationRetrievalEvaluator over its metrics."""
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.util import cos_sim

    queries, pages = int(rng.integers(5, 40)), int(rng.integers(12, 300))
    # Of length 1 and with products that are exact: what ties, ties whatever the order of the additions.
    draw = rng.choice([-0.5, 0.5], (queries + pages, 4)).astype(np.float32)
    pad = rng.choice([-0.25, 0.25], (queries + pages, 16)).astype(np.float32)
    vectors = draw if rng.random() < 0.5 else pad
    asked, kept = vectors[:queries], vectors[queries:]
    ids = [f"p{number:03d}" for number in rng.permutation(pages)]
    qrels = {
        f"q{number:02d}": dict.fromkeys(rng.choice(ids, int(rng.integers(1, 6)), replace=False).tolist(), 1)
        for number in range(queries)
    }
    evaluator = InformationRetrievalEvaluator(
        {query: str(number) for number, query in enumerate(qrels)},
        {page: str(number) for number, page in enumerate(ids)},
        {query: set(grades) for query, grades in qrels.items()},
        score_functions={"cosine": cos_sim},
        corpus_chunk_size=int(rng.integers(7, 400)),
        write_csv=False,
    )
    theirs = evaluator.compute_all_metrics(Vectors(asked, kept))["cosine"]
    run = rank_pages(list(qrels), asked, PageVectors(tuple(ids), kept, np.arange(pages)), depth=100)
    ours = score_run(run, qrels).means()
    pairs = {
        "NDCG@10": theirs["ndcg@k"][10],
        EXPONENTIAL: theirs["ndcg@k"][10],
        "MRR@10": theirs["mrr@k"][10],
        "MAP": theirs["map@k"][100],
        **{f"Recall@{k}": theirs["recall@k"][k] for k in (1, 5, 10)},
    }
    return max(abs(ours[name] - float(value)) for name, value in pairs.items())


def main() -> int:
    rng = np.random.default_rng(17)
    wrong: list[str] = []
    foreign: list[str] = []
    judged, tied = [0, 0], [0, 0]

    def count(place: int, run: Run, qrels: Grades) -> None:
        judged[place] += len(qrels)
        single = [[float(score) for score in np.float32([*own.values()])] for own in run.values()]
        tied[place] += sum(len(set(scores)) < len(scores) for scores in single)

    with tempfile.TemporaryDirectory() as name, np.errstate(over="ignore"):
        folder = Path(name)
        for number in range(PAIRS):
            run, qrels = random_pair(rng)
            exclude = {
                query: {page for page in own if rng.random() < 0.1 and not qrels[query].get(page)}
                for query, own in run.items()
                if number % 2
            }
            count(0, run, qrels)
            wrong += [f"pair {number}: {line}" for line in judge_pair(run, qrels, exclude, folder)]
        while number < 2 * PAIRS - 1:
            run, qrels = elsewhere(*random_pair(rng), rng)
            qrels = {query: grades for query, grades in qrels.items() if any(grades.values())}
            if not qrels.keys() & run.keys():
                continue
            number += 1
            count(1, run, qrels)
            foreign += [f"pair {number}, from elsewhere: {line}" for line in judge_elsewhere(run, qrels, folder, rng)]
    largest = max(judge_collection(rng) for _ in range(COLLECTIONS))
    for line in [*wrong[:20], *foreign[:20]]:
        print(line)
    for place, (told, found) in enumerate((("our own files", wrong), ("tied files from elsewhere", foreign))):
        print(
            f"{told}: {PAIRS} pairs, {judged[place]} queries ({tied[place]} with ties), 7 metrics: "
            f"{len(found)} figures differ from trec_eval's"
        )
    print(f"{COLLECTIONS} collections: at most {largest:.1e} from InformationRetrievalEvaluator's means")
    holds = not wrong and not foreign and largest < 1e-12
    print("claim holds" if holds else "claim FAILS")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
