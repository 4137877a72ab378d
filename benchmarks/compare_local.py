"""Claim: `pagetune compare` puts seven local models of different classes and BM25 into one table, whatever one does.

The models are small random checkpoints of the real classes (Qwen3-VL, SigLIP, CLIP, ColQwen2, ModernVBERT, a router of
two towers) and `light`; the set is 36 drawn pages (a title, a bar chart, a table) with a query each. An eighth model
has damaged weights: it must be a line with its reason, and nothing else. Every row must have every column, and the
same command once more must run nothing.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageDraw, ImageFont

import _tiny

PLACE = Path(tempfile.gettempdir()) / "pagetune-bench" / "compare-local"
SUBJECTS = ("Copper", "Timber", "Granite", "Barley", "Herring", "Linen")
MEASURES = ("Exports", "Wages", "Prices", "Stocks", "Accidents", "Freight")
REGIONS = (
    *("Norwick", "Selby", "Tarrant", "Oldham", "Penrith", "Halden"),
    *("Morven", "Ashby", "Carrow", "Dunmore", "Kelso", "Ripley"),
)
COLUMNS = ("metrics", "interval", "parameters", "dimension", "bytes_per_page", "pages_per_second", "ms_per_query")
METRICS = {"NDCG@10", "NDCG@10 (exponential gain)", "MAP", "MRR@10", "Recall@1", "Recall@5", "Recall@10"}
BROKEN = "damaged"

Checkpoint = Callable[..., Path]


def draw(subject: str, measure: str, rng: random.Random) -> bytes:
    """A page as PNG: 480 x 620 pixels, its text large enough for OCR."""
    page = Image.new("RGB", (480, 620), "white")
    pen = ImageDraw.Draw(page)
    regions = rng.sample(REGIONS, 4)
    values = [rng.randint(10, 99) for _ in regions]
    pen.text((30, 24), f"{subject} {measure}", fill="black", font=ImageFont.load_default(38))
    pen.text((30, 76), "Annual report by region", fill=(70, 70, 70), font=ImageFont.load_default(20))
    for place, (region, value) in enumerate(zip(regions, values, strict=True)):
        left = 50 + 105 * place
        pen.rectangle((left, 320 - 2 * value, left + 60, 320), fill=(47, 95, 208))
        pen.text((left - 6, 328), region, fill="black", font=ImageFont.load_default(19))
        top = 400 + 42 * place
        pen.rectangle((50, top, 430, top + 42), outline=(90, 90, 90))
        pen.text((62, top + 9), region, fill="black", font=ImageFont.load_default(20))
        pen.text((330, top + 9), f"{value}.{rng.randint(0, 9)} t", fill="black", font=ImageFont.load_default(20))
    pen.line((40, 320, 440, 320), fill="black", width=2)
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue()


def write_set(file: Path) -> int:
    """Rows of a query, its page and a page of the same subject; the number of pages."""
    from datasets import Dataset, Features, Value
    from datasets import Image as Picture

    rng = random.Random(5)
    pages = {pair: draw(*pair, rng) for pair in product(SUBJECTS, MEASURES)}
    rows = []
    for subject, measure in pages:
        other = MEASURES[(MEASURES.index(measure) + 1) % len(MEASURES)]
        cells = {"image": pages[subject, measure], "negative_0": pages[subject, other]}
        query = {"query": f"which region had the highest {measure.lower()} of {subject.lower()}"}
        rows.append(query | {name: {"bytes": content, "path": None} for name, content in cells.items()})
    features = Features({"query": Value("string"), "image": Picture(), "negative_0": Picture()})
    Dataset.from_list(rows, features=features).to_parquet(str(file))
    return len(pages)


def build_models(folder: Path) -> list[str | dict[str, Any]]:
    """Seven models that work and one that does not, as entries of the recipe."""
    words = tuple(word.lower() for word in (*SUBJECTS, *MEASURES, *REGIONS))
    builders: dict[str, Checkpoint] = {
        "qwen3-vl": _tiny.tiny_qwen3_vl,
        "siglip": _tiny.tiny_siglip,
        "clip": _tiny.tiny_clip,
        "colqwen2": _tiny.tiny_colqwen2,
        "modernvbert": _tiny.tiny_modernvbert,
        "text-encoder": _tiny.tiny_text_encoder,
    }
    made = {name: str(build(folder / name, hidden=64, words=words)) for name, build in builders.items()}
    shutil.copytree(made["clip"], folder / BROKEN)
    weights = next((folder / BROKEN).rglob("model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:5000])
    bounds = {"min_pixels": 4096, "max_pixels": 50_000}
    return [
        {"name": made["qwen3-vl"], **bounds},
        made["siglip"],
        made["clip"],
        {"name": made["colqwen2"], **bounds},
        made["modernvbert"],
        {"name": made["text-encoder"], "kind": "router", "image_model": made["siglip"]},
        "light",
        str(folder / BROKEN),
    ]


def compare(recipe: Path, output: Path) -> tuple[dict[str, Any], float]:
    """The command line, and its seconds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pagetune", "compare", "--recipe", str(recipe), "--output", str(output), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode:
        sys.exit(f"pagetune compare ended with {done.returncode}")
    return json.loads(done.stdout), time.monotonic() - began


def faults(found: dict[str, Any], again: dict[str, Any], output: Path, pages: int) -> list[str]:
    """What is not as claimed."""
    wrong = []
    rows = {row["model"]: row for row in found["rows"]}
    wanted = {"qwen3-vl", "siglip", "clip", "colqwen2", "modernvbert", "text-encoder", "light", "BM25"}
    if rows.keys() != wanted:
        wrong.append(f"rows of {sorted(rows)}")
    for name, row in rows.items():
        empty = {column for column in COLUMNS if row[column] in (None, {}, [])}
        if empty - ({"parameters", "dimension"} if name == "BM25" else set()):
            wrong.append(f"{name} lacks {sorted(empty)}")
        if row["metrics"].keys() != METRICS:
            wrong.append(f"{name} has the metrics {sorted(row['metrics'])}")
        if name not in ("BM25", "colqwen2") and len(row["by_dimension"]) < 2:
            wrong.append(f"{name} has the dimensions {sorted(row['by_dimension'])}")
    if [failure["model"] for failure in found["failures"]] != [BROKEN]:
        wrong.append(f"failures {found['failures']}")
    scores = [row["metrics"]["NDCG@10"] for row in found["rows"]]
    if scores != sorted(scores, reverse=True):
        wrong.append("rows not sorted")
    if found["pages"] != pages or found["queries"] != pages:
        wrong.append(f"{found['pages']} pages, {found['queries']} queries")
    if len(found["ran"]) != len(wanted) + 1 or again["ran"]:
        wrong.append(f"ran {found['ran']}, then {again['ran']}")
    if {**found, "ran": []} != again:
        wrong.append("the second run says something else")
    files = {"compare.md", "compare.html", "compare.json", "size.png", "size.svg", "dimension.png", "dimension.svg"}
    wrong += [f"no {name}" for name in files if not (output / name).is_file()]
    return wrong


def main() -> int:
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    os.environ["HF_HUB_OFFLINE"] = "1"
    pages = write_set(PLACE / "pages.parquet")
    recipe = {
        "dataset": {"eval": str(PLACE / "pages.parquet"), "eval_split": "train"},
        "compare": {"models": build_models(PLACE / "models"), "dimensions": [256, 128, 64, 32, 16], "timeout": 240},
    }
    (PLACE / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    output = PLACE / "comparison"
    found, first = compare(PLACE / "recipe.yaml", output)
    again, second = compare(PLACE / "recipe.yaml", output)
    print((output / "compare.md").read_text())
    print(f"first run {first:.0f} s, second {second:.1f} s; {output / 'compare.html'}")
    wrong = faults(found, again, output, pages)
    for line in wrong:
        print(f"not as claimed: {line}")
    judged, failed = len(found["rows"]), len(found["failures"])
    print(
        f"{'holds' if not wrong else 'DOES NOT HOLD'}: {judged} rows with every column on {pages} drawn pages, "
        f"{failed} damaged model a line, the second run ran {len(again['ran'])} models"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
