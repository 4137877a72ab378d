"""The published experiment's recipe, run to its last step: only the model and the data are replaced by local ones.

    python benchmarks/article_recipe.py

The model is a random Qwen3-VL of the published one's class and width (2,048), one layer deep; the data are drawn pages
in the published columns (query, image, negative_0 … negative_3; configurations train and eval). The recipe is
`vdr-qwen3-vl-2b` as it is shipped. Every setting of the experiment is looked up where it ends: in the trainer, its
arguments, the loss, the evaluator, the model and the saved folder. Claim: each has reached its place.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from _drawn import choose_pages, draw, vocabulary
from _tiny import tiny_qwen3_vl
from pagetune.models.inspect import is_late
from pagetune.models.loading import load_model
from pagetune.models.pixels import pixel_bounds
from pagetune.pipeline import Pipeline
from pagetune.recipe import load_recipe
from pagetune.training.images import KeyedFit

ROWS, QUERIES, NEGATIVES, SIDE = 1280, 30, 4, 64
DIMENSIONS = [2048, 1536, 1024, 512, 256, 128, 64]


def main() -> int:
    import torch

    # One thread: mini-batches of one row through a small model give a second nothing to do but wait.
    torch.set_num_threads(1)
    seen: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        tiny_qwen3_vl(
            place / "model", hidden=2048, layers=1, heads=16, intermediate=256, vision_layers=1, words=vocabulary()
        )
        write_data(place / "data")
        local = [f"model.name={place / 'model'}"]
        local += [f"dataset.{part}={place / 'data'}" for part in ("train", "eval")]
        recipe = load_recipe("vdr-qwen3-vl-2b", local)
        watch(seen)
        summaries = Pipeline(place / "vdr", recipe).run()
        wrong = [line for line in check(seen, summaries, recipe, place / "vdr" / "model") if not line[1]]
    total = len(CHECKED)
    for what, _, found in wrong:
        print(f"NOT AS PUBLISHED: {what}: {found}")
    done = summaries["fit"]["steps_done"]
    print(
        f"{done} of {summaries['fit']['steps']} steps, {summaries['fit']['seconds']:.0f} s; {total - len(wrong)} of "
        f"{total} settings in their places; claim all: {'holds' if not wrong else 'FAILS'}"
    )
    return 1 if wrong else 0


def write_data(folder: Path) -> None:
    """The two configurations, each row with four negatives."""
    train, held_out = choose_pages(ROWS, QUERIES * (NEGATIVES + 1), seed=3)
    rows = [[train[(place + step * 7) % ROWS] for step in range(NEGATIVES + 1)] for place in range(ROWS)]
    judged = [held_out[start : start + NEGATIVES + 1] for start in range(0, len(held_out), NEGATIVES + 1)]
    for config, content in (("train", rows), ("eval", judged)):
        (folder / config).mkdir(parents=True)
        columns: dict[str, list[Any]] = {"query": [pages[0].query for pages in content]}
        names = ["image", *(f"negative_{number}" for number in range(NEGATIVES))]
        for place, column in enumerate(names):
            columns[column] = [{"bytes": _png(pages[place]), "path": None} for pages in content]
        pq.write_table(pa.table(columns), folder / config / "train-00000-of-00001.parquet")


def _png(page: Any) -> bytes:
    buffer = io.BytesIO()
    draw(page, 1).resize((SIDE, SIDE)).save(buffer, "PNG")
    return buffer.getvalue()


def watch(seen: dict[str, Any]) -> None:
    """Keep the trainer that the fit makes, and the batches that reach its loss."""
    make = KeyedFit.trainer

    def keep(self: KeyedFit, streaming: Any, loss: Any) -> Any:
        seen["trainer"] = trainer = make(self, streaming, loss)
        seen["batches"] = [next(iter(trainer.get_train_dataloader()))]
        return trainer

    KeyedFit.trainer = keep  # type: ignore[method-assign]


CHECKED: list[str] = []


def check(seen: dict[str, Any], summaries: dict[str, Any], recipe: Any, folder: Path) -> list[tuple[str, bool, Any]]:
    """Each setting: what it is, whether it is as published, and what was found."""
    import torch
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss, MatryoshkaLoss

    trainer = seen["trainer"]
    args, engine, model = trainer.args, trainer.loss, trainer.model
    loss = engine.loss
    epoch = ROWS // 64
    columns = [key.removesuffix("_input_ids") for key in seen["batches"][0] if key.endswith("_input_ids")]
    saved = json.loads((folder / "config_sentence_transformers.json").read_text())
    reloaded = load_model(recipe.model, folder)
    attention = model[0].model.config._attn_implementation
    logged = [moment for moment in trainer.state.log_history if "loss" in moment]
    found: list[tuple[str, Any, Any]] = [
        ("model class", type(model[0].model).__name__, "Qwen3VLModel"),
        ("weights in bfloat16", model.dtype, torch.bfloat16),
        ("attention", attention in ("flash_attention_2", "sdpa"), True),
        ("pixels at least 28·28, at most 600·600", pixel_bounds(model), (784, 360000)),
        ("columns in training", columns, ["query", "image", "negative_0"]),
        ("rows", len(trainer.train_dataset), ROWS),
        ("loss", type(loss), MatryoshkaLoss),
        ("loss inside", type(loss.loss), CachedMultipleNegativesRankingLoss),
        ("mini-batch", (loss.loss.mini_batch_size, engine.budget.items, engine.budget.tokens), (1, 1, None)),
        ("Matryoshka dimensions", list(loss.matryoshka_dims), DIMENSIONS),
        ("batch", args.per_device_train_batch_size, 64),
        ("learning rate", args.learning_rate, 2e-5),
        ("one epoch", args.max_steps, epoch),
        ("steps done", trainer.state.global_step, epoch),
        ("warm-up", args.warmup_steps, round(0.1 * epoch)),
        ("bf16", args.bf16, True),
        ("sampler", str(args.batch_sampler.value), "no_duplicates"),
        ("evaluation every 0.1 epoch", args.eval_steps, 0.1 * epoch),
        ("saving every 0.1 epoch", args.save_steps, 0.1 * epoch),
        ("checkpoints kept", args.save_total_limit, 2),
        ("logging every 0.05 epoch", args.logging_steps, 0.05 * epoch),
        ("losses logged", len(logged), epoch),
        ("evaluations", sum("eval_ndcg@10" in moment for moment in trainer.state.log_history), 10),
        ("queries judged", len(trainer.evaluator.chosen.queries), QUERIES),
        ("pages judged", len(trainer.evaluator.chosen.page_ids), QUERIES * (NEGATIVES + 1)),
        ("dimensions judged", [int(size) for size in summaries["evaluate"]["by_dimension"]], DIMENSIONS),
        ("one vector a page", is_late(model), False),
        ("truncation, in the folder", saved.get("truncate_dim"), 1024),
        ("truncation, loaded", reloaded.truncate_dim, 1024),
        ("vector of the saved model", reloaded.encode_query("a ledger").shape, (1024,)),
        ("pixels of the saved model", pixel_bounds(reloaded), (784, 360000)),
        ("similarity", saved.get("similarity_fn_name"), "cosine"),
    ]
    CHECKED.extend(what for what, _, _ in found)
    return [(what, value == wanted, value) for what, value, wanted in found]


if __name__ == "__main__":
    sys.exit(main())
