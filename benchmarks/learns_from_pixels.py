"""Learning from pixels: small random models, trained by `pagetune fit` on drawn pages, no text of which is given.

    python benchmarks/learns_from_pixels.py

A page shows a word in large type, bars of a colour and a number, and a table of one of three sizes; its query names all
four ("copper report with three red bars and a small table"). Three kinds of model, each of the real class with random
weights: Qwen3-VL with one vector a page, a Router of a text encoder (BERT) and an image encoder (SigLIP), and late
interaction over the same Qwen3-VL. Each is trained on 1,800 pages and judged on 200 others, whose combinations no
training page shows. Claim: each is trained in under 15 minutes and ends at least 0.45 NDCG@10 above its untrained self.
Beside the figures it draws the curves, docs/images/pixels.png where that folder is there.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from _drawn import SIDE, Drawn, choose_pages, draw, vocabulary
from _tiny import tiny_qwen3_vl, tiny_siglip, tiny_text_encoder

PAGES, HELD_OUT, DRAWINGS = 1800, 200, 3
CLAIM, MINUTES = 0.45, 15
COMMON = {
    "dataset.negatives": 0,
    "fit.batch_size": 32,
    "fit.mini_batch_size": 32,
    "fit.learning_rate": 1e-3,
    "fit.eval_fraction": 0.25,
    "fit.patience": 100,
    "fit.matryoshka": [192, 64],
    "fit.epochs": 1.6,
    "model.encode_batch": 32,
}


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_pages(place / "data")
        curves = {kind: train(kind, keys, place) for kind, keys in models(place).items()}
    plot(curves)
    gains = {kind: curve[-1][1] - curve[0][1] for kind, (curve, _) in curves.items()}
    minutes = max(seconds for _, seconds in curves.values()) / 60
    holds = min(gains.values()) >= CLAIM and minutes < MINUTES
    told = ", ".join(f"{kind} +{gain:.3f}" for kind, gain in gains.items())
    print(
        f"NDCG@10 on pages never seen: {told}; the longest took {minutes:.1f} minutes; claim at least +{CLAIM} "
        f"in under {MINUTES}: {'holds' if holds else 'FAILS'}"
    )
    return 0 if holds else 1


def write_pages(folder: Path) -> None:
    """Train rows (each page drawn several times over) and rows to judge on, as parquet."""
    train, held_out = choose_pages(PAGES, HELD_OUT, seed=7)
    folder.mkdir()
    _write(folder / "train.parquet", [(page, seed) for seed in range(DRAWINGS) for page in train])
    _write(folder / "test.parquet", [(page, DRAWINGS) for page in held_out])


def _write(file: Path, pages: list[tuple[Drawn, int]]) -> None:
    pictures = []
    for page, seed in pages:
        buffer = io.BytesIO()
        draw(page, seed).save(buffer, "PNG")
        pictures.append({"bytes": buffer.getvalue(), "path": None})
    pq.write_table(pa.table({"query": [page.query for page, _ in pages], "image": pictures}), file)


def models(place: Path) -> dict[str, dict[str, Any]]:
    """The three models, on disk, as keys of the recipe."""
    words = vocabulary()
    sizes: dict[str, Any] = {"hidden": 192, "heads": 4, "words": words}
    qwen = tiny_qwen3_vl(place / "qwen", layers=2, vision_hidden=192, vision_layers=4, **sizes)
    text = tiny_text_encoder(place / "text", layers=2, **sizes)
    image = tiny_siglip(place / "image", layers=4, image_size=SIDE, **sizes)
    router = {
        "model.kind": "router",
        "model.image_model": str(image),
        "fit.projection_epochs": 0.1,
        "fit.epochs": 4,
        "fit.learning_rate": 5e-4,
    }
    late = {"model.kind": "late", "fit.projection_learning_rate": 3e-3}
    return {
        "Qwen3-VL": {"model.name": str(qwen)},
        "Router": {"model.name": str(text)} | router,
        "late interaction": {"model.name": str(qwen)} | late,
    }


def train(kind: str, keys: dict[str, Any], place: Path) -> tuple[list[tuple[int, float]], float]:
    """The model's curve, (step, NDCG@10) from step 0 to the step that was kept, and the seconds of the command."""
    data = {
        "dataset.train": str(place / "data" / "train.parquet"),
        "dataset.eval": str(place / "data" / "test.parquet"),
    }
    given = [f"{key}={json.dumps(value)}" for key, value in (COMMON | data | keys).items()]
    command = [sys.executable, "-m", "pagetune", "fit", *given, "-w", str(place / kind.replace(" ", "-")), "--json"]
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{kind}: pagetune fit ended with {done.returncode}")
    summary = json.loads(done.stdout)
    history = [(int(moment["step"]), moment["ndcg"]) for moment in summary["history"] if "ndcg" in moment]
    curve = [moment for moment in history if moment[0] <= summary["kept_step"]]
    (_, before), (step, after) = curve[0], curve[-1]
    told = " ".join(f"{moment}:{value:.3f}" for moment, value in history)
    print(
        f"{kind}: {before:.3f} → {after:.3f} at step {step} of {summary['steps']}, {seconds:.0f} s; {told}", flush=True
    )
    return curve, seconds


def plot(curves: dict[str, tuple[list[tuple[int, float]], float]]) -> None:
    """NDCG@10 over the steps, a line a model."""
    folder = Path(__file__).parent.parent / "docs" / "images"
    if not folder.is_dir():
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for kind, (curve, _) in curves.items():
        axes.plot([step for step, _ in curve], [value for _, value in curve], marker="o", markersize=3, label=kind)
    axes.set(xlabel="steps of 32 pairs", ylabel="NDCG@10, 200 pages never seen", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(folder / "pixels.png", dpi=130)


if __name__ == "__main__":
    sys.exit(main())
