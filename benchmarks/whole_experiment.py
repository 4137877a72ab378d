"""The published experiment from its first evaluation to its last: `pagetune run` against the plain script.

    python benchmarks/whole_experiment.py

The plain script, below, is written with Sentence Transformers' public API only, as the published one: base evaluation,
one epoch with ten evaluations, a last one, and one for each of seven Matryoshka dimensions. Both train the same random
Qwen3-VL on the same drawn pages (the published columns, and about its ratio of pages to judge on to rows), each in its
own process, the same batch, rate, steps between evaluations, and seed. Pages that are encoded to be judged are counted
on both sides: all of them 19 times (1 + 10 + 1 + 7) by the plain script, 11 times by Pagetune, which keeps the base
model's vectors and the last evaluation's, and cuts them to every dimension. Claim: these counts, Pagetune ends at least
1.4 times as fast, with the plain script's NDCG@10 inside the interval of its own.

With PAGETUNE_TINY=1 both sides run on a tiny model to see that they do, and the counts; nothing else is claimed then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _drawn import vocabulary
from _pages import write_experiment
from _tiny import tiny_qwen3_vl

TINY = bool(os.environ.get("PAGETUNE_TINY"))
ROWS, BATCH, SIDE = (80, 4, 64) if TINY else (640, 32, 256)
"""Twenty steps of a batch: a tenth of them is a whole number of steps, so that both sides evaluate ten times."""
QUERIES, NEGATIVES, RATE, SEED = 15, 4, 1e-3, 17
WIDTH, LAYERS = (64, 1) if TINY else (256, 4)
DIMENSIONS = [WIDTH * share // 8 for share in (8, 6, 4, 3, 2)] + ([12, 8] if TINY else [48, 32])
MINI_BATCH = 4
"""Of the plain script: the fastest of 1, 2, 4 and 8 here."""
CLAIM = 1.4
ENCODINGS = {"plain": 1 + 10 + 1 + 7, "pagetune": 1 + 10}
"""Of all pages to judge on."""


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        sizes: dict[str, Any] = {"hidden": WIDTH, "heads": 4, "words": vocabulary()}
        tiny_qwen3_vl(place / "model", layers=LAYERS, vision_hidden=WIDTH, vision_layers=LAYERS, **sizes)
        write_experiment(place / "data", ROWS, QUERIES, SIDE, negatives=NEGATIVES)
        theirs, plain = side("plain", place)
        print(f"plain script: {theirs:.0f} s, NDCG@10 {plain['before']:.3f} → {plain['after']:.3f}", flush=True)
        ours, summaries = side("pagetune", place)
        counts = {name: json.loads(counted(place, name).read_text()) for name in ENCODINGS}
    tuned = summaries["evaluate"]["systems"]["tuned"]
    after, (low, high) = tuned["metrics"]["NDCG@10"], tuned["interval"]
    base = summaries["evaluate"]["systems"]["base"]["metrics"]["NDCG@10"]
    print(f"pagetune run: {ours:.0f} s, NDCG@10 {base:.3f} → {after:.3f}; {summaries['fit']['engine']}")
    pages = QUERIES * (1 + NEGATIVES)
    encodings = {name: count / pages for name, count in counts.items()}
    told = ", ".join(f"{name} {count:g} times" for name, count in encodings.items())
    as_counted = encodings == ENCODINGS
    print(f"the {pages} pages to judge on are encoded: {told}{'' if as_counted else f', not {ENCODINGS}'}")
    if TINY:
        print(f"tiny, nothing is claimed but the counts: {'they hold' if as_counted else 'they FAIL'}")
        return 0 if as_counted else 1
    holds = as_counted and theirs / ours >= CLAIM and low <= plain["after"] <= high
    print(
        f"{theirs:.0f} s against {ours:.0f} s: {theirs / ours:.2f} times as fast; plain NDCG@10 {plain['after']:.3f} "
        f"in {low:.3f} to {high:.3f}; claim {CLAIM}: {'holds' if holds else 'FAILS'}"
    )
    return 0 if holds else 1


def side(name: str, place: Path) -> tuple[float, Any]:
    """One side in a process of its own: seconds, and what its last line of output says."""
    began = time.monotonic()
    command = [sys.executable, __file__, name, str(place)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.monotonic() - began
    return seconds, json.loads(done.stdout if name == "pagetune" else done.stdout.splitlines()[-1])


def counted(place: Path, name: str) -> Path:
    """Where a side writes how many pages it encoded to judge on."""
    return place / f"{name}-pages.json"


def pagetune_side(place: Path) -> None:
    """The command line in this process, its encoded pages counted."""
    from pagetune.cli.app import main as run_command
    from pagetune.training import page_encoding

    count = 0

    class Counted(page_encoding.Passes):
        """The product's own."""

        def __call__(self, references: Sequence[Any]) -> Any:
            nonlocal count
            count += len(references)
            return super().__call__(references)

    page_encoding.Passes = Counted  # type: ignore[misc]
    sys.argv = arguments(place)
    try:
        run_command()
    finally:
        counted(place, "pagetune").write_text(json.dumps(count))


def arguments(place: Path) -> list[str]:
    """`pagetune run` with the published recipe, the model and the data replaced, and what the plain script has too."""
    keys = {
        "model.name": str(place / "model"),
        "model.dtype": "auto",
        "model.encode_batch": MINI_BATCH,
        "dataset.train": str(place / "data"),
        "dataset.eval": str(place / "data"),
        "fit.batch_size": BATCH,
        "fit.learning_rate": RATE,
        "fit.mini_batch_tokens": "auto",
        "fit.bf16": "off",
        "fit.matryoshka": DIMENSIONS,
        "fit.truncate_dim": None,
        "fit.seed": SEED,
    }
    given = [f"{key}={json.dumps(value)}" for key, value in keys.items()]
    return ["pagetune", "run", "recipe=vdr-qwen3-vl-2b", *given, "-w", str(place / "ws"), "--json", "-q"]


def plain_script(place: Path) -> None:
    """The same experiment by Sentence Transformers alone."""
    from datasets import Image, load_dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss, MatryoshkaLoss
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers

    model = SentenceTransformer(str(place / "model"))
    model[0].processor.image_processor.size = {"shortest_edge": 784, "longest_edge": 360000}
    files = {config: str(place / "data" / config / "*.parquet") for config in ("train", "eval")}
    names = ["image", *(f"negative_{number}" for number in range(NEGATIVES))]
    loaded = {}
    for config, file in files.items():
        rows = load_dataset("parquet", data_files=file, split="train")
        for column in names:
            rows = rows.cast_column(column, Image())
        loaded[config] = rows
    train, judged = loaded["train"].select_columns(["query", "image", "negative_0"]), loaded["eval"]
    queries = {f"q{number}": text for number, text in enumerate(judged["query"])}
    corpus = {f"{name}-{number}": row[name] for number, row in enumerate(judged) for name in names}
    relevant = {query: {f"image-{query[1:]}"} for query in queries}

    encoded = 0

    class Evaluator(InformationRetrievalEvaluator):
        """Upstream's, its encoded pages counted: the trainer's model card encodes some too."""

        def embed_inputs(self, model: Any, sentences: Any, encode_fn_name: Any = None, *args: Any, **more: Any) -> Any:
            nonlocal encoded
            encoded += len(sentences) if encode_fn_name == "document" else 0
            return super().embed_inputs(model, sentences, encode_fn_name, *args, **more)

    def evaluator(dimension: int | None = None) -> InformationRetrievalEvaluator:
        return Evaluator(
            queries, corpus, relevant, truncate_dim=dimension, batch_size=MINI_BATCH, show_progress_bar=False
        )

    judge = evaluator()
    before = judge(model)["cosine_ndcg@10"]
    steps = ROWS // BATCH
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(place / "plain"),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            warmup_steps=round(0.1 * steps),
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            dataloader_drop_last=True,
            eval_strategy="steps",
            eval_steps=max(1, steps // 10),
            save_strategy="steps",
            save_steps=max(1, steps // 10),
            save_total_limit=2,
            logging_steps=max(1, steps // 20),
            seed=SEED,
            data_seed=SEED,
            disable_tqdm=True,
            report_to="none",
            use_cpu=True,
        ),
        train_dataset=train,
        loss=MatryoshkaLoss(model, CachedMultipleNegativesRankingLoss(model, mini_batch_size=MINI_BATCH), DIMENSIONS),
        evaluator=judge,
    )
    trainer.train()
    after = judge(model)["cosine_ndcg@10"]
    by_dimension = {size: evaluator(size)(model)["cosine_ndcg@10"] for size in DIMENSIONS}
    counted(place, "plain").write_text(json.dumps(encoded))
    print(json.dumps({"before": before, "after": after, "by_dimension": by_dimension}))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(main())
    {"plain": plain_script, "pagetune": pagetune_side}[sys.argv[1]](Path(sys.argv[2]))
