"""300 letters, invoices, filled forms and scans, none with a heading or a bookmark: `pagetune run` ends with its table.

    python benchmarks/plain_documents.py

Typeset here in eight languages, one to three pages each, the same every time: letters and invoices with an embedded
font, forms whose values stand in form fields (not flattened), scans that are pictures only, half of them JPEG files and
half PDFs. One call of the command line reads them (OCR for the scans), writes queries, mines, finetunes shortly and
judges. Claim: it ends with exit code 0 and figures for base, tuned, BM25 and their fusion; and every document has
queries, or a reason why not: that it was not read, that its pages have no words, what its own queries were dropped
for, or that the same words ask for other documents too.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from _plain_texts import LINE, Writer, font, languages
from pagetune.evaluation.evaluate import BASE, FUSED, LEXICAL, TUNED
from pagetune.examples.datasets import load_data
from pagetune.pages.store import PageStore

COUNTS = {"letter": 110, "invoice": 80, "form": 80, "scan": 30}
LATIN = 6
"""The first so many languages can be written in Latin-1, which form fields hold, and read by the OCR's models."""
SEED = 17
SHORT = [
    "fit.max_examples=160",
    "fit.batch_size=16",
    "fit.epochs=1",
    "fit.eval_fraction=0.25",
    "evaluate.resamples=1000",
]
SYSTEMS = (BASE, TUNED, LEXICAL, FUSED)
SIZE, LEADING = 10, 14


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder, workspace = Path(name) / "documents", Path(name) / "ws"
        began = time.monotonic()
        count = write_documents(folder)
        print(f"{count} documents written in {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        arguments = [sys.executable, "-m", "pagetune", "run", str(folder), *SHORT, "-w", str(workspace)]
        done = subprocess.run(arguments, capture_output=True, text=True)
        seconds = time.monotonic() - began
        if done.returncode:
            print(done.stderr[-2000:])
            print(f"pagetune run: exit code {done.returncode} after {seconds:.0f} s; claim FAILS")
            return 1
        show_stages(workspace)
        print("\n".join(line for line in done.stderr.splitlines() if re.match(r"  [\w ]+: .* in \d", line)))
        systems = show_systems(workspace)
        silent = show_documents(workspace)
    lacking = [system for system in SYSTEMS if system not in systems]
    holds = not lacking and not silent
    print(
        f"pagetune run: exit code 0 in {seconds:.0f} s, figures of {len(systems)} systems"
        f"{' (not of ' + ', '.join(lacking) + ')' if lacking else ''}; "
        f"{silent} of {count} documents without queries and without a reason; claim {'holds' if holds else 'FAILS'}"
    )
    return 0 if holds else 1


def write_documents(folder: Path) -> int:
    """All documents, each kind in the languages in turn; their number."""
    pdfmetrics.registerFont(TTFont("Plain", font()))
    folder.mkdir()
    writers = [Writer(language, SEED) for language in languages()]
    make = {"letter": letter, "invoice": invoice, "form": form, "scan": scan}
    for kind, count in COUNTS.items():
        chosen = writers[:LATIN] if kind in ("form", "scan") else writers
        for number in range(count):
            writer = chosen[number % len(chosen)]
            make[kind](folder / f"{kind}-{number:03d}-{writer.language.code}.pdf", writer)
    return len(list(folder.iterdir()))


def letter(path: Path, writer: Writer) -> None:
    """A letter about one thing to six things, of one to three pages."""
    greeting, closing, subject = writer.language.fixed[:3]
    topic = writer.topic()
    paragraphs = [writer.slots()["name"], f"{subject}: {topic[0]}, {topic[1]}", greeting, writer.paragraph(topic, 7)]
    for _ in range(2 * writer.chance.choice([0, 0, 1, 1, 2, 3]) + 1):
        paragraphs.append(writer.paragraph(writer.topic(), 6))
    lines = [line for text in paragraphs for line in (*textwrap.wrap(text, LINE), "")]
    _set(path, [*lines, closing, writer.slots()["name"]])


def invoice(path: Path, writer: Writer) -> None:
    """Rows of things with quantities and amounts, a total, and a sentence or two."""
    _, _, subject, title, quantity, total, *_ = writer.language.fixed
    slots = writer.slots()
    lines = [slots["name"], f"{title} {slots['number']}, {slots['day']}", f"{subject} / {quantity} / {total}", ""]
    for _ in range(writer.chance.choice([4, 8, 12, 30, 50])):
        (thing, place), row = writer.topic(), writer.slots()
        lines.append(f"{thing}, {place}   {writer.chance.randint(1, 20)}   {row['amount']}")
    lines += ["", f"{total}: {writer.slots()['amount']} EUR", ""]
    _set(path, [*lines, *textwrap.wrap(writer.paragraph(writer.topic(), 3), LINE)])


def form(path: Path, writer: Writer) -> None:
    """Labels on the page, what was filled in in form fields; one to three pages, a report of some lines on each."""
    page = Canvas(str(path), pagesize=A4, invariant=1)
    for number in range(writer.chance.choice([1, 1, 2, 3])):
        slots, topic = writer.slots(), writer.topic()
        labels = *(writer.language.fixed[place] for place in (6, 7, 2, 9)), "Nr."
        values = (slots["name"], f"{topic[1]} {writer.chance.randint(1, 99)}", topic[0], slots["day"], slots["number"])
        page.setFont("Plain", SIZE)
        for row, (label, value) in enumerate(zip(labels, values, strict=True)):
            at = 780 - 34 * row
            page.drawString(60, at, label)
            box: dict[str, Any] = {"x": 180, "y": at - 6, "width": 340, "height": 22, "fontSize": SIZE}
            page.acroForm.textfield(name=f"{label}-{number}", value=_latin(value), **box)
        text = "\n".join(textwrap.wrap(_latin(writer.paragraph(topic, 5)), 76))
        box = {"x": 60, "y": 380, "width": 460, "height": 200, "fontSize": SIZE, "fieldFlags": "multiline"}
        page.acroForm.textfield(name=f"report-{number}", value=text, maxlen=2000, **box)
        page.showPage()
    page.save()


def scan(path: Path, writer: Writer) -> None:
    """A picture of a dozen lines, 150 dots to the inch: every second one a JPEG file, the others inside a PDF."""
    image = Image.new("L", (1240, 1754), 248)
    draw, face = ImageDraw.Draw(image), ImageFont.truetype(font(), 26)
    for row, line in enumerate(textwrap.wrap(writer.paragraph(writer.topic(), 6), 70)[:12]):
        draw.text((110, 140 + 52 * row), line, fill=20, font=face)
    picture = path.with_suffix(".jpg")
    image.save(picture, quality=90)
    if int(path.name.split("-")[1]) % 2:
        page = Canvas(str(path), pagesize=A4, invariant=1)
        page.drawImage(str(picture), 0, 0, *A4)
        page.save()
        picture.unlink()


def _set(path: Path, lines: Sequence[str]) -> None:
    """The lines on pages of one size of type."""
    page, room = Canvas(str(path), pagesize=A4, invariant=1), 52
    for start in range(0, len(lines), room):
        page.setFont("Plain", SIZE)
        for row, line in enumerate(lines[start : start + room]):
            page.drawString(60, 785 - LEADING * row, line)
        page.showPage()
    page.save()


def _latin(text: str) -> str:
    """As a form field's standard font has it."""
    return text.replace("’", "'").replace("ń", "n").encode("latin-1", "replace").decode("latin-1")


def show_stages(workspace: Path) -> None:
    """What the run says of its stages: pages, OCR, queries by kind and what was dropped."""
    stages = {path.stem: json.loads(path.read_text()) for path in (workspace / "stages").glob("*.json")}
    for stage in ("read", "queries", "fit"):
        told = stages.get(stage, {})
        told = told.get("summary", told)
        keys = (
            "pages",
            "ocr_pages",
            "unread_pages",
            "documents_without_queries",
            "written",
            "queries",
            "dropped",
            "examples",
        )
        print(f"{stage}: {', '.join(f'{key} {told[key]}' for key in keys if key in told)}")


def show_systems(workspace: Path) -> dict[str, Any]:
    """The table of the evaluation, as it was written."""
    systems: dict[str, Any] = json.loads((workspace / "runs" / "evaluate" / "metrics.json").read_text())["systems"]
    for name, result in systems.items():
        print(f"{name:12s} NDCG@10 {result['metrics']['NDCG@10']:.3f}  Recall@10 {result['metrics']['Recall@10']:.3f}")
    return systems


def show_documents(workspace: Path) -> int:
    """Count the documents by kind that have queries, and the others by the run's reason; how many have neither."""
    told = json.loads((workspace / "stages" / "queries.json").read_text())
    told = told.get("summary", told)
    reasons = dict(line.split(": ", 1) for line in told["without_queries"])
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in COUNTS}
    asked = {query.document for query in load_data(workspace / "data").queries}
    for document in PageStore(workspace / "pages").documents(all=True):
        kind = Path(document.path).name.partition("-")[0]
        reason = document.reason if document.status != "read" else reasons.get(document.id, "").partition(":")[0]
        counts[kind]["with queries" if document.id in asked else reason] += 1
    for kind, found in counts.items():
        print(f"{kind:8s} {', '.join(f'{number} {reason}' for reason, number in found.most_common())}")
    return sum(found[""] for found in counts.values())


if __name__ == "__main__":
    sys.exit(main())
