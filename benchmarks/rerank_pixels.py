"""Rerankers learning from pixels: both architectures of a small random VLM, trained by `pagetune fit kind=reranker`.

    python benchmarks/rerank_pixels.py

A page is a form whose title, chart, table, foot and paper each have one of four colours; its query names all five ("red
title teal chart black table mint foot sand paper"), and no text stands on the page. A retriever, a small random
Qwen3-VL with one vector a page, is trained for a few steps and stays weak. In copies of its workspace, so that it mines
their negatives, two rerankers are trained from the same kind of backbone, random too: the language-model head's
log-odds (logit), and the last token through a dense layer (pooled). `pagetune evaluate` then has each rerank the
retriever's first 50 of 200 pages that nothing was trained on. Claim: NDCG@10 at least 0.1 above the shortlist's own
order, p < 0.05, for both. Time and peak memory of both trainings are printed side by side.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from _forms import WORDS, Form, choose_forms, draw
from _tiny import tiny_qwen3_vl
from _tiny_reranker import tiny_reranker_backbone

PAGES, HELD_OUT, DRAWINGS = 800, 200, 2
GAIN, P, DEPTH = 0.1, 0.05, 50
SIZES: dict[str, Any] = {"hidden": 64, "layers": 2, "heads": 4, "vision_hidden": 64, "vision_layers": 2}
PROMPTS = {"text_to_image": "page", "image_to_text": "query"}
ALONE = {"OMP_NUM_THREADS": "1"}
"""A second thread is no help to models this small, and beside other programs a brake; the pages' worker has its own."""

RETRIEVER = {
    "fit.batch_size": 32,
    "fit.mini_batch_size": 32,
    "fit.learning_rate": 1e-3,
    "fit.epochs": 0.5,
    "fit.eval_fraction": 0.5,
    "fit.matryoshka": [64, 32],
    "fit.mini_batch_tokens": None,
    "fit.bf16": "off",
    "model.encode_batch": 32,
}
RERANKER = {
    "kind": "reranker",
    "rerank.loss": "lambda",
    "rerank.epochs": 2,
    "rerank.batch_size": 64,
    "rerank.pair_tokens": 2000,
    "rerank.learning_rate": 2e-3,
    "rerank.negatives": 7,
    "rerank.random_share": 0.5,
    "rerank.eval_fraction": 0.5,
    "rerank.prompts": PROMPTS,
    "rerank.depth": DEPTH,
    "rerank.weight": 1.0,
}


@dataclass(frozen=True)
class Ran:
    """What a command printed, and what it took."""

    summary: dict[str, Any]
    seconds: float
    peak_mib: float


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        data = write_pages(place / "data")
        words = sorted({*WORDS, *PROMPTS.values()})
        retriever = tiny_qwen3_vl(place / "retriever", words=words, **SIZES)
        backbone = tiny_reranker_backbone(place / "backbone", words=words, **SIZES)
        keys = {**data, "model.name": str(retriever), "rerank.name": str(backbone), **RETRIEVER}
        fitted = run("fit", place / "weak", keys)
        print(f"retriever: {len(fitted.summary['history'])} moments, {fitted.seconds:.0f} s", flush=True)
        found = {kind: judge(kind, place, keys) for kind in ("logit", "pooled")}
    holds = all(gain >= GAIN and low > 0 and p < P for gain, low, p in found.values())
    told = ", ".join(f"{kind} {gain:+.3f} (p = {p:.4f})" for kind, (gain, _, p) in found.items())
    print(
        f"NDCG@10 of {HELD_OUT} queries, pages never seen, the first {DEPTH} reranked: {told}; claim at least +{GAIN} "
        f"with p < {P} for both: {'holds' if holds else 'FAILS'}"
    )
    return 0 if holds else 1


def judge(kind: str, place: Path, keys: dict[str, Any]) -> tuple[float, float, float]:
    """Train one reranker and judge it: the gain over the shortlist's order, the interval's lower end, p."""
    workspace = place / kind
    shutil.copytree(place / "weak", workspace)
    chosen = {**keys, **RERANKER, "rerank.architecture": kind}
    trained = run("fit", workspace, chosen)
    judged = run("evaluate", workspace, {**chosen, "evaluate.rerank": True})
    compared = judged.summary["comparisons"]["reranked − tuned"]
    validation = trained.summary["validation"]
    print(
        f"{kind}: shortlist {compared['old_mean']:.3f} → reranked {compared['new_mean']:.3f} "
        f"({compared['difference']:+.3f}, {compared['low']:+.3f} to {compared['high']:+.3f}, p = {compared['p']:.4f}); "
        f"trained in {trained.seconds:.0f} s, {trained.summary['steps_done']} steps, peak {trained.peak_mib:.0f} MiB; "
        f"judged in {judged.seconds:.0f} s"
    )
    for direction in PROMPTS:
        figures = " → ".join(
            f"{validation[when][f'{direction}_ndcg@10']:.3f}" for when in ("shortlist", "before", "after")
        )
        counted = ", ".join(f"{count} {name}" for name, count in trained.summary["mix"][direction].items())
        print(f"  {direction}: {counted}; validation, shortlist → untrained → trained: {figures}", flush=True)
    return compared["difference"], compared["low"], compared["p"]


def write_pages(folder: Path) -> dict[str, Any]:
    """Train rows (each form drawn several times over) and rows to judge on, as parquet; as keys of the recipe."""
    train, held_out = choose_forms(PAGES, HELD_OUT, seed=7)
    folder.mkdir()
    _write(folder / "train.parquet", [(form, seed) for seed in range(DRAWINGS) for form in train])
    _write(folder / "test.parquet", [(form, DRAWINGS) for form in held_out])
    return {
        "dataset.train": str(folder / "train.parquet"),
        "dataset.eval": str(folder / "test.parquet"),
        "dataset.negatives": 0,
    }


def _write(file: Path, forms: list[tuple[Form, int]]) -> None:
    pictures = []
    for form, seed in forms:
        buffer = io.BytesIO()
        draw(form, seed).save(buffer, "PNG")
        pictures.append({"bytes": buffer.getvalue(), "path": None})
    pq.write_table(pa.table({"query": [form.query for form, _ in forms], "image": pictures}), file)


def run(verb: str, workspace: Path, keys: dict[str, Any]) -> Ran:
    """`pagetune VERB` with these keys, in a process of its own."""
    given = [f"{key}={json.dumps(value)}" for key, value in keys.items()]
    command = [sys.executable, "-m", "pagetune", verb, *given, "-w", str(workspace), "--json"]
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, env=os.environ | ALONE)
        _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status):
            sys.exit(f"pagetune {verb} in {workspace.name} ended with {os.waitstatus_to_exitcode(status)}")
        out.seek(0)
        return Ran(json.load(out), time.monotonic() - began, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
