"""Claim: mteb's own runner scores a local Pagetune model on a local task, offline, and comes to the figures that we do.

Small random checkpoints of the real classes (Qwen3-VL, a vector a page; ColQwen2, late interaction) are run by
`mteb.evaluate` over drawn pages, a set read from files as a user has it: some queries with several graded pages, some
with pages to leave out, and some pages there twice, so that scores tie. mteb's ndcg_at_10 and recall_at_1, 5 and 10
must be ours, to the five digits that mteb keeps. (Given the Sentence Transformers model itself, mteb refuses: it takes
a local one to read text only.)
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"

from _drawn import choose_pages, draw, vocabulary
from _tiny import tiny_colqwen2, tiny_qwen3_vl

PAGES, QUERIES = 60, 40
METRICS = {"ndcg_at_10": "NDCG@10", **{f"recall_at_{k}": f"Recall@{k}" for k in (1, 5, 10)}}


def write_set(folder: Path) -> Path:
    """Corpus, queries and qrels as files; every tenth page is there twice, every fifth query has a second page, every
    other leaves out half of the pages that do not answer it."""
    from datasets import Dataset, Features, Image, Value

    drawn, _ = choose_pages(PAGES, 0, seed=4)
    encoded = []
    for number, page in enumerate(drawn):
        out = io.BytesIO()
        draw(page, number).save(out, "PNG")
        encoded.append(out.getvalue())
    ids = [f"p{number:02d}" for number in range(PAGES)]
    pages = dict(zip(ids, encoded, strict=True)) | {f"{page}-again": encoded[ids.index(page)] for page in ids[::10]}
    cells = {"corpus-id": list(pages), "image": [{"bytes": content, "path": None} for content in pages.values()]}
    features = Features({"corpus-id": Value("string"), "image": Image()})
    queries = {f"q{number:02d}": page.query for number, page in enumerate(drawn[:QUERIES])}
    qrels = [{"query-id": f"q{number:02d}", "corpus-id": f"p{number:02d}", "score": 2} for number in range(QUERIES)]
    qrels += [
        {"query-id": f"q{number:02d}", "corpus-id": f"p{number + 10:02d}", "score": 1}
        for number in range(0, QUERIES, 5)
    ]
    answers = {(row["query-id"], row["corpus-id"]) for row in qrels}
    excluded = [
        [page for page in ids[1::2] if (query, page) not in answers] if number % 2 else []
        for number, query in enumerate(queries)
    ]
    tables = {
        "corpus": Dataset.from_dict(cells, features=features),
        "queries": Dataset.from_dict(
            {"query-id": list(queries), "query": list(queries.values()), "excluded": excluded}
        ),
        "qrels": Dataset.from_list(qrels),
    }
    for name, table in tables.items():
        (folder / name).mkdir(parents=True)
        table.to_parquet(str(folder / name / "test-00000-of-00001.parquet"))
    return folder


def by_mteb(model: Any, task: Any) -> dict[str, float]:
    """What mteb's runner says."""
    import mteb

    found = mteb.evaluate(model, task, cache=None, show_progress_bar=False, co2_tracker=False)
    scores = json.loads(json.dumps(found.task_results[0].scores["test"][0], default=str))
    return {name: float(scores[name]) for name in METRICS}


def main() -> int:
    import mteb

    from pagetune.evaluation.mteb import MtebModel, image_task
    from pagetune.evaluation.visual import judge_model
    from pagetune.examples.loading import make_eval_set
    from pagetune.models.loading import load_model
    from pagetune.recipe import ModelRecipe

    wrong = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        chosen = make_eval_set(write_set(place / "set"), split="test")
        task = image_task(chosen, "DrawnPages")
        counts = f"{len(chosen.queries)} queries ({len(chosen.excluded)} leave pages out), {len(chosen.page_ids)} pages"
        print(f"mteb {mteb.__version__}: {counts}")
        for kind, build in (("Qwen3-VL", tiny_qwen3_vl), ("ColQwen2", tiny_colqwen2)):
            folder = build(place / kind, words=vocabulary())
            model = load_model(ModelRecipe(name=str(folder), kind="late" if kind == "ColQwen2" else "dense"))
            ours = judge_model(model, chosen).full.means()
            scores = by_mteb(MtebModel(model, f"local/{kind}"), task)
            told = ", ".join(f"{theirs} {scores[theirs]:.5f} ({ours[name]:.5f})" for theirs, name in METRICS.items())
            print(f"{kind}, mteb's and ours: {told}")
            wrong += [
                f"{kind}: {theirs} {scores[theirs]} against {ours[name]:.5f}"
                for theirs, name in METRICS.items()
                if abs(scores[theirs] - ours[name]) > 6e-6
            ]
    for line in wrong:
        print(f"not as claimed: {line}")
    print("claim FAILS" if wrong else "claim holds")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
