"""Claim: the report on a real run over 1,500 pages is one file under 15 MB that a browser opens without an error and
without asking for anything else, filters and sorts, in both themes and on a narrow screen.

    python benchmarks/report_in_browser.py

The run is a real one: the judged set's manuals where they are (see _bench.py), else the demo's documents, topped up
with typeset pages to 1,500; read, asked about, a short training, evaluated; `light`. A second, small one has a model of
late interaction over drawn pages, for the heatmaps. Both reports are written again by `pagetune report`, which must
make the same file. Screenshots of everything are left in a folder, which is printed.
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

from _bench import BENCH, fetch_documents
from _browser import Browser, chromium, find_chromium
from _drawn import choose_pages, draw, vocabulary
from _report_checks import check_print, check_report
from _tiny import tiny_qwen3_vl
from pagetune import PageStore, Pipeline, load_recipe
from pagetune.demo import typeset_demo
from pagetune.examples.page_images import answerable

PAGES, MEGABYTES, SECONDS = 1500, 15, 10
SET = "dev-v1"


def main() -> int:
    if find_chromium() is None:
        sys.exit("no Chromium is installed; install one, or name it in PAGETUNE_CHROMIUM")
    pictures = Path(tempfile.mkdtemp(prefix="pagetune-report-"))
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        place = Path(name)
        reports = {"manuals": evaluate_documents(place), "late": evaluate_late(place)}
        found = {what: judge(browser, what, workspace, pictures) for what, workspace in reports.items()}
    print(f"screenshots and prints: {pictures}")
    large, late = found["manuals"], found["late"]
    claims = {
        f"{large['pages']:,} pages": large["pages"] >= PAGES,
        f"{large['megabytes']:.1f} MB": large["megabytes"] < MEGABYTES,
        f"opened in {large['seconds']:.1f} s": large["seconds"] < SECONDS,
        f"{large['queries']:,} queries, {large['filters']} filters and {large['sorts']} orders as in the run": (
            large["filters"] >= 7 and large["sorts"] >= 5
        ),
        f"{large['slices']} slices": large["slices"] > 0,
        f"{large['suspects']} and {late['suspects']} answers nobody judged": large["suspects"] + late["suspects"] > 0,
        f"{large['printed']} and {late['printed']} pages printed": min(large["printed"], late["printed"]) > 1,
        f"{late['heatmaps']} heatmaps painted": late["heatmaps"] > 0,
        "written again the same": large["same"] and late["same"],
    }
    holds = all(claims.values())
    print(f"{', '.join(claims)}, no error, no request; claim {'holds' if holds else 'FAILS'}")
    return 0 if holds else 1


def evaluate_documents(place: Path) -> Path:
    """A workspace of at least PAGES pages that may answer, evaluated."""
    documents = place / "documents"
    documents.mkdir()
    if (BENCH / SET).is_dir():
        for file in fetch_documents(SET).glob("*.pdf"):
            (documents / file.name).symlink_to(file)
    else:
        typeset_demo(documents)
    keys = ["fit.max_examples=400", "fit.epochs=1", "queries.phrases_per_page=0"]
    pipeline = Pipeline(place / "ws", load_recipe(None, keys), documents=[documents])
    pipeline.read()
    while (missing := PAGES - answerable_pages(pipeline)) > 0:
        top_up(documents, missing)
        pipeline.read()
    began = time.monotonic()
    summary = pipeline.evaluate()
    print(f"{answerable_pages(pipeline)} pages; {summary['verdict']} {time.monotonic() - began:.0f} s", flush=True)
    return place / "ws"


def answerable_pages(pipeline: Pipeline) -> int:
    return len(answerable(PageStore(pipeline.workspace.pages).pages()))


def top_up(documents: Path, pages: int) -> None:
    from _typeset import typeset

    number = len(list(documents.glob("*.pdf")))
    typeset(documents / f"typeset-{number}.pdf", min(200, pages + 10), seed=number)


def evaluate_late(place: Path) -> Path:
    """A small random Qwen3-VL with a vector a token, trained a little on drawn pages and judged on others."""
    train, held_out = choose_pages(96, 60, seed=3)
    data = place / "drawn"
    for table, rows in late_tables(held_out).items():
        (data / table).mkdir(parents=True)
        pq.write_table(rows, data / table / "test.parquet")
    pq.write_table(rows_of(train), place / "train.parquet")
    model = tiny_qwen3_vl(
        place / "qwen", hidden=96, layers=2, heads=4, vision_hidden=96, vision_layers=2, words=vocabulary()
    )
    keys: dict[str, Any] = {
        "model.name": str(model),
        "model.kind": "late",
        "model.min_pixels": 384 * 384,
        "dataset.train": str(place / "train.parquet"),
        "dataset.eval": str(data),
        "dataset.negatives": 0,
        "fit.batch_size": 16,
        "fit.mini_batch_size": 16,
        "fit.learning_rate": 1e-3,
        "fit.projection_learning_rate": 3e-3,
        "fit.epochs": 4,
        "fit.matryoshka": [128],
    }
    recipe = load_recipe(None, [f"{key}={json.dumps(value)}" for key, value in keys.items()])
    print(Pipeline(place / "late", recipe).evaluate()["verdict"], flush=True)
    return place / "late"


def rows_of(pages: list[Any]) -> pa.Table:
    return pa.table({"query": [page.query for page in pages], "image": [picture(page) for page in pages]})


def late_tables(pages: list[Any]) -> dict[str, pa.Table]:
    """The pages as corpus, queries and qrels, with their words and kinds, as ViDoRe has them."""
    ids = [f"{page.word} {number}" for number, page in enumerate(pages)]
    return {
        "corpus": pa.table(
            {
                "corpus-id": ids,
                "image": [picture(page) for page in pages],
                "text": [f"{page.word} report, {page.table}" for page in pages],
                "doc-id": [page.word for page in pages],
            }
        ),
        "queries": pa.table(
            {
                "query-id": [f"q{number}" for number in range(len(pages))],
                "query": [page.query for page in pages],
                "kind": [page.table for page in pages],
            }
        ),
        "qrels": pa.table(
            {"query-id": [f"q{number}" for number in range(len(pages))], "corpus-id": ids, "score": [1] * len(pages)}
        ),
    }


def picture(page: Any) -> dict[str, Any]:
    out = io.BytesIO()
    draw(page, 1).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def judge(browser: Browser, what: str, workspace: Path, pictures: Path) -> dict[str, Any]:
    """The report in the browser, then on paper, then written again."""
    file = workspace / "runs" / "evaluate" / "report.html"
    first = file.read_bytes()
    again = subprocess.run([sys.executable, "-m", "pagetune", "report", "-w", str(workspace), "-q"], check=False)
    same = again.returncode == 0 and file.read_bytes() == first

    def look(name: str) -> None:
        browser.screenshot(pictures / f"{what}-{name}.png", whole=True, height=9000)

    found = check_report(browser, file, look)
    browser.pdf(pictures / f"{what}.pdf")
    figures = json.loads((file.parent / "metrics.json").read_text(encoding="utf-8"))
    found["printed"] = check_print(pictures / f"{what}.pdf", figures)
    found |= {"pages": figures["pages"], "megabytes": len(first) / 1e6, "same": same}
    print(f"{what}: {', '.join(f'{name} {value}' for name, value in found.items())}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
