"""300 damaged and hostile files among good ones: no crash, no hang, a reason for each, and the good pages unharmed.

    python benchmarks/damaged_files.py

The good files are typeset here; the bad ones are made from them: truncated, bit-flipped, encrypted, renamed, empty,
10,000 pages, 50,000 pixels, 50,000 points, pages that never end, streams that unpack to a gigabyte. The good files are
read alone, then all together, and their pages compared word for word and box for box. OCR is off: what is shown here
does not depend on it, and it would take most of the time. A damaged file that can still be read counts as read.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption

from _damage import damage
from _typeset import photograph, typeset
from pagetune.pages.reading import ReadingReport, read_documents
from pagetune.pages.store import PageStore
from pagetune.recipe import ReadRecipe
from pagetune.records import Page
from pagetune.workspace import Workspace

COUNT = 300
RECIPE = ReadRecipe(ocr="never", timeout=15, memory_mb=1024, workers=2)
SECONDS_ALLOWED = 900


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = good_files(folder / "all" / "good")
        locked = [_encrypted(folder / f"locked-{number}.pdf", number) for number in range(12)]
        made = damage(good, locked, folder / "all" / "bad", COUNT)
        print(f"{len(good)} good files, {len(made)} damaged: {dict(sorted(Counter(made.values()).items()))}")
        clean = read_documents(good, Workspace(folder / "clean").create(), RECIPE)
        began = time.monotonic()
        mixed = read_documents([folder / "all"], Workspace(folder / "mixed").create(), RECIPE)
        seconds = time.monotonic() - began
        wrong = _judge(mixed, made)
        lost = _compare(good, clean, mixed, folder)
    for line in [*wrong[:10], *lost[:10]]:
        print(line)
    holds = not wrong and not lost and seconds < SECONDS_ALLOWED
    print(
        f"{len(made)} damaged files in {seconds:.0f} s: {len(wrong)} without a right answer; "
        f"{clean.pages} good pages: {len(lost)} differ; claim: {'holds' if holds else 'FAILS'}"
    )
    return 0 if holds else 1


def good_files(folder: Path) -> list[Path]:
    """Twelve PDFs and six pictures."""
    folder.mkdir(parents=True)
    files = [typeset(folder / f"text-{seed}.pdf", 3 + seed % 4, 100 + seed) for seed in range(12)]
    for seed, (suffix, format) in enumerate([(".png", "PNG"), (".jpg", "JPEG"), (".webp", "WEBP"), (".tiff", "TIFF")]):
        picture = Image.open(photograph(random.Random(seed), (320, 200)))
        more = [picture.rotate(90 * turn) for turn in (1, 2)] if format == "TIFF" else []
        options = {"save_all": True, "append_images": more} if more else {}
        picture.save(folder / f"picture-{seed}{suffix}", format, **options)
        files.append(folder / f"picture-{seed}{suffix}")
    return files


def _encrypted(path: Path, seed: int) -> Path:
    lock = StandardEncryption("secret", ownerPassword="other", strength=[40, 128][seed % 2])
    return typeset(path, 2, seed, encrypt=lock)


def _judge(report: ReadingReport, made: dict[Path, str]) -> list[str]:
    """What is wrong with the answers about the damaged files."""
    answers = {Path(document.path): document for document in report.documents}
    wrong = []
    reasons: Counter[tuple[str, str]] = Counter()
    for path, kind in made.items():
        document = answers.get(path)
        if document is None:
            wrong.append(f"{path.name}: not in the report")
            continue
        told = document.status if document.status != "refused" else document.reason
        reasons[kind, told] += 1
        if document.status == "refused" and not document.reason:
            wrong.append(f"{path.name}: refused without a reason")
        if kind.endswith("!") and document.status == "read":
            wrong.append(f"{path.name}: read, though nobody can")
    for (kind, told), number in sorted(reasons.items()):
        print(f"  {number:3d}  {kind.rstrip('!'):14s} {told}")
    return wrong


def _compare(good: list[Path], clean: ReadingReport, mixed: ReadingReport, folder: Path) -> list[str]:
    """The good pages that came out otherwise among the damaged files."""
    before, after = _pages(clean, folder / "clean"), _pages(mixed, folder / "mixed")
    lost = [f"{path.name}: not read" for path in good if path not in before or path not in after]
    for path in good:
        for one, other in zip(before.get(path, []), after.get(path, []), strict=False):
            same = one.words == other.words and (one.boxes == other.boxes).all() and one.digest == other.digest
            if not same or (one.width, one.height) != (other.width, other.height):
                lost.append(f"{path.name} page {one.number}: differs")
        if len(before.get(path, [])) != len(after.get(path, [])):
            lost.append(f"{path.name}: another number of pages")
    return lost


def _pages(report: ReadingReport, root: Path) -> dict[Path, list[Page]]:
    store = PageStore(root / "pages")
    names = {document.id: Path(document.path) for document in report.documents if document.status == "read"}
    found: dict[Path, list[Page]] = {path: [] for path in names.values()}
    for page in store.pages():
        found[names[page.document]].append(page)
    return found


if __name__ == "__main__":
    sys.exit(main())
