"""What is right for each case of field_cases.py: one check a case, against what its make.py has put on the pages.

A check is given the case (its folder and the constants of its make.py) and yields findings. Files are read by
`read_documents`, and by the command line where it matters what a user is told.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _word_match import words_of
from pagetune.evaluation.lexical import BM25
from pagetune.examples.queries import WrittenQueries, write_queries
from pagetune.pages.reading import read_documents
from pagetune.pages.reading_report import ReadingReport
from pagetune.pages.store import PageStore
from pagetune.recipe import QueriesRecipe, ReadRecipe
from pagetune.records import Page
from pagetune.workspace import Workspace

ENOUGH = 0.95
"""The share of a scan's words that OCR has to read as they are printed."""

FONT_FOLDERS = ("/usr/share/fonts", "/usr/share/X11/fonts/Type1", "/usr/share/X11/fonts/TTF", "/usr/local/share/fonts")
"""Where pdfium looks for fonts on Linux."""


@dataclass(frozen=True)
class Finding:
    """One thing of a case: what is right, what came, and whether that is right."""

    right: str
    came: str
    holds: bool


@dataclass(frozen=True)
class Case:
    """A case that was built: its folder, and what its make.py defines."""

    folder: Path
    space: Mapping[str, Any]

    def prose(self) -> list[str]:
        """The words of lib/h.py's six lines."""
        return " ".join(self.space["PROSE"]).split()


Findings = Iterator[Finding]


def read(paths: Sequence[Path], **recipe: Any) -> tuple[ReadingReport, list[Page]]:
    """Read into a workspace that is gone afterwards."""
    report, pages, _ = _read(paths, **recipe)
    return report, pages


def _read(paths: Sequence[Path], **recipe: Any) -> tuple[ReadingReport, list[Page], WrittenQueries | Exception]:
    settings = ReadRecipe(**{"workers": 2, **recipe})
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "ws").create()
        report = read_documents(list(paths), workspace, settings)
        store = PageStore(workspace.pages)
        pages = store.pages()
        try:
            written: WrittenQueries | Exception = write_queries(store.documents(), pages, QueriesRecipe())
        except Exception as error:  # What a case makes of the writers is a finding, whatever it is.
            written = error
    return report, pages, written


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`pagetune` with these arguments."""
    return subprocess.run([sys.executable, "-m", "pagetune", *map(str, arguments)], capture_output=True, text=True)


def _plainly(done: subprocess.CompletedProcess[str]) -> str:
    """How a command ended, in a few words; a traceback by its last line."""
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if "Traceback" in done.stderr:
        return f"crash: {said[-1]}"
    errors = [re.sub(r"/\S*/", "", line) for line in said if line.startswith("error:")]
    return errors[-1] if errors else f"exit {done.returncode}"


def _same(page: Page, wanted: Sequence[str]) -> Finding:
    """The page's words are these, in this order."""
    words = list(page.words)
    missing, extra = Counter(wanted) - Counter(words), Counter(words) - Counter(wanted)
    came = "as printed" if words == list(wanted) else f"{missing.total()} missing, {extra.total()} too many"
    if came.startswith("0 missing, 0"):
        came = "in another order"
    elif extra:
        came += f" ({' '.join(list(extra)[:6])})"
    return Finding(f"page {page.number}: {len(wanted)} words as printed", came, words == list(wanted))


def _holds_words(page: Page, wanted: str) -> Finding:
    missing = Counter(wanted.split()) - Counter(word.strip(".,;:") for word in page.words)
    came = f"missing: {' '.join(missing)}" if missing else "there"
    return Finding(f"page {page.number} has {wanted if len(wanted) < 48 else wanted[:44] + ' ...'}", came, not missing)


def _characters(text: str) -> Counter[str]:
    return Counter("".join(text.split()))


def cjk_not_embedded(case: Case) -> Findings:
    file = case.folder / "cjk.pdf"
    texts = ["".join(lines) * 3 for *_, lines in case.space["TEXTS"]]
    readings = {"with the machine's fonts": read_words(file), "without any font": _without_fonts(file)}
    for label, reading in readings.items():
        if reading is None:
            yield Finding(f"{label}: every character", "not tried: mounts cannot be hidden here (unshare)", False)
            continue
        for (font, *_), text, (words, unread) in zip(case.space["TEXTS"], texts, reading, strict=True):
            wanted = _characters(text)
            found = (wanted & _characters(words)).total()
            came = f"{found} of {wanted.total()}{', counted as unread: ' + unread if unread else ''}"
            yield Finding(f"{label}: {font}: every character, or unread", came, found == wanted.total() or bool(unread))


def read_words(file: Path) -> list[tuple[str, str]]:
    """Of each page its words, joined, and why it counts as unread (empty: it does not)."""
    report, pages = read([file])
    reasons = {(one.document, one.page): str(one.reason) for one in report.unread}
    return [(" ".join(page.words), reasons.get((page.document, page.number), "")) for page in pages]


def _without_fonts(file: Path) -> list[tuple[str, str]] | None:
    """`read_words` in a process that sees none of the machine's fonts; None where that cannot be had."""
    hide = 'for folder; do shift; [ "$folder" = -- ] && break; [ ! -d "$folder" ] || mount -t tmpfs tmpfs "$folder" || exit 99; done; exec "$@"'  # fmt: skip  # noqa: E501
    child = [sys.executable, str(Path(__file__)), str(file)]
    for unshare in (["unshare", "-m"], ["unshare", "-rm"]):
        if shutil.which("unshare") is None:
            return None
        wanted = [*unshare, "sh", "-c", hide, "sh", *FONT_FOLDERS, "--", *child]
        done = subprocess.run(wanted, capture_output=True, text=True)
        if done.returncode == 0:
            return [tuple(row) for row in json.loads(done.stdout)]
    return None


def hidden_ocr_layer(case: Case) -> Findings:
    report, pages = read([case.folder / "sandwich.pdf"])
    yield Finding("no page by OCR", f"{report.ocr_pages} of {report.pages} by OCR", not report.ocr_pages)
    for page, lines in zip(pages, case.space["PAGES"], strict=True):
        yield _same(page, " ".join(lines).split())


def form_values(case: Case) -> Findings:
    _, (page,) = read([case.folder / "form.pdf"])
    yield _holds_words(page, "Rumpelstiltskin Straw Spinning 4711 Bremen")
    yield _holds_words(page, "Name of the applicant witnesses")


def free_text(case: Case) -> Findings:
    _, (page,) = read([case.folder / "freetext.pdf"])
    yield _holds_words(page, "Condition precedent waived by letter of 3 May see file KX-9921")
    yield _holds_words(page, "APPROVED subject to audit")
    yield _holds_words(page, " ".join(word.strip(".") for word in case.prose()))


def crop_box(case: Case) -> Findings:
    _, pages = read([case.folder / "crop.pdf"])
    yield _same(pages[0], case.prose())
    yield _same(pages[1], case.prose())
    for page, own, other in ((pages[2], "LEFT", "RIGHT"), (pages[3], "RIGHT", "LEFT")):
        counts = page.words.count(own), page.words.count(other)
        right = f"page {page.number}: 6 {own}, no {other}, no duplicate"
        came = f"{counts[0]} {own}, {counts[1]} {other}{', duplicate' if page.duplicate_of else ''}"
        yield Finding(right, came, counts == (6, 0) and page.duplicate_of is None)


def layers_off(case: Case) -> Findings:
    _, (page,) = read([case.folder / "ocg.pdf"])
    yield _same(page, case.prose())


def rotated(case: Case) -> Findings:
    _, pages = read([case.folder / "rotated.pdf"])
    names = ("/Rotate 0", "/Rotate 90", "/Rotate 180", "/Rotate 270", "turned 90", "turned 270", "askew by 2")
    for name, page in zip(names, pages, strict=True):
        lines = page.text().split("\n")
        came = "as printed" if lines == case.space["PROSE"] else f"{len(lines)} lines, first: {lines[0][:40]}"
        yield Finding(f"{name}: the 6 lines", came, lines == case.space["PROSE"])


def beyond_bmp(case: Case) -> Findings:
    _, (page,) = read([case.folder / "nonbmp.pdf"])
    yield _holds_words(page, "\U0001d465 \U0001d466 \U00020bb7\u91ce\u5bb6 \U00029e3d \U0001f600")
    lost = sum(word.count("\ufffd") for word in page.words)
    yield Finding("no replacement character", str(lost), not lost)


def ocr_languages(case: Case) -> Findings:
    with tempfile.TemporaryDirectory() as folder:
        done = command("read", case.folder / "scans.pdf", "-w", folder, "--json")
        pages = PageStore(Path(folder) / "pages").pages()
    told = done.stdout + done.stderr
    names = {"ru": "cyrillic|russian", "el": "greek"}
    for page, (language, lines) in zip(pages, case.space["TEXTS"].items(), strict=True):
        wanted = words_of("\n".join(lines)) * 3
        share = _share(wanted, " ".join(page.words))
        noted = language in names and re.search(names[language], told, re.I) and "install" in told
        came = f"{share:.0%} of {len(page.words)} words right{'; the script is named' if noted else ''}"
        right = f"{language}: the words{', or the script named with what to install' if language in names else ''}"
        yield Finding(right, came, share >= ENOUGH or bool(noted))


def _share(wanted: Sequence[str], text: str) -> float:
    """The share of the wanted words that the text has."""
    return (Counter(wanted) & Counter(words_of(text))).total() / len(wanted)


def jpeg_scan(case: Case) -> Findings:
    english, german = (words_of("\n".join(case.space["TEXTS"][name])) for name in ("en", "de"))
    digests = {}
    for workers in (2, 1, 3):
        report, pages = read([case.folder / "scans"], workers=workers)
        digests[workers] = report.digest
        if workers == 2:
            yield from _scans(report, pages, english * 3)
    same = len(set(digests.values())) == 1
    yield Finding("the same digest with 1, 2 and 3 workers", "the same" if same else "another", same)
    yield from _scans(*read([case.folder / "usual"]), (english + german) * 6)


def _scans(report: ReadingReport, pages: Sequence[Page], wanted: Sequence[str]) -> Findings:
    names = {document.id: Path(document.path).name for document in report.documents}
    for page in pages:
        share = _share(wanted, " ".join(page.words))
        came = f"{round(share * len(wanted))} of {len(wanted)}"
        yield Finding(f"{names[page.document]}: the {len(wanted)} words", came, share >= ENOUGH)


def trec_files(case: Case) -> Findings:
    wanted: list[tuple[str, str, float]] = [
        ("tie.run", "tie.qrels", 1.0),
        ("tie5.run", "tie.qrels", 0.5),
        ("miss.run", "miss.qrels", 0.5),
        ("miss.run", "two.qrels", 0.613147),
        ("tie.run", "neg.qrels", 1.0),
        ("crlf.run", "crlf.qrels", 1.0),
        ("crlf.run", "tie.qrels", 1.0),
        ("tie.run", "crlf.qrels", 1.0),
    ]
    for run, qrels, value in wanted:
        done = command("evaluate", "--run", case.folder / run, "--qrels", case.folder / qrels, "--json")
        found = json.loads(done.stdout)["metrics"]["NDCG@10"] if done.returncode == 0 else math.nan
        came = _plainly(done) if math.isnan(found) else f"{found:.6f}"
        yield Finding(f"{run} by {qrels}: NDCG@10 {value:g}", came, abs(found - value) < 1e-6)
    done = command("evaluate", "--run", case.folder / "dup.run", "--qrels", case.folder / "tie.qrels")
    came = _plainly(done)
    refused = done.returncode != 0 and came.startswith("error:") and "line 2" in came
    yield Finding("a page twice: refused by its line", came, refused)


def datasets(case: Case) -> Findings:
    for name, pages, queries, alone, most in (("eval-qa", 4, 4, 0, 2), ("eval-qa2", 4, 3, 1, 1)):
        done = command("data", "check", f"dataset.eval={case.folder / name}", "-n", "0", "--json")
        right = f"{name}: {pages} pages, {queries} queries, {alone} without one, at most {most} answers"
        if done.returncode:
            yield Finding(right, _plainly(done), False)
            continue
        found = json.loads(done.stdout)["eval"]
        got = found["pages"], found["queries"], found["pages_without_query"], found["answers_of_a_query"]["most"]
        came = f"{got[0]} pages, {got[1]} queries, {got[2]} without one, at most {got[3]}"
        yield Finding(right, came, got == (pages, queries, alone, most))
    done = command("data", "check", f"dataset.eval={case.folder / 'eval-beir'}", "-n", "0", "--json")
    found = json.loads(done.stdout)["eval"] if done.returncode == 0 else {}
    told = bool(found) and found["queries"] == 2 and (found["pages"] == 4 or found["repeated"]["pages"] == 1)
    came = f"{found['pages']} pages, {found['repeated']['pages']} of them repeated" if found else _plainly(done)
    yield Finding("eval-beir: 4 distinct pages, or the repeated one counted", came, told)
    for name in ("train", "train-ok"):
        done = command("data", "check", f"dataset.train={case.folder / name}", "-n", "0", "--json")
        came = _plainly(done)
        named = came.startswith("error:") and re.search(r"row \d", came) is not None
        yield Finding(f"{name}: a bad row named, no crash", came, named or done.returncode == 0)


def bm25_scripts(case: Case) -> Findings:
    for language, rows in case.space["PAGES"].items():
        index = BM25({str(number): text for number, (text, _) in enumerate(rows)})
        gains = []
        for number, (_, query) in enumerate(rows):
            ranked = list(index.rank(query, 10))
            gains.append(1 / math.log2(ranked.index(str(number)) + 2) if str(number) in ranked else 0.0)
        mean = sum(gains) / len(gains)
        yield Finding(f"{language}: NDCG@10 1.0", f"{mean:.3f}", mean == 1.0)


def chinese_manual(case: Case) -> Findings:
    written = {}
    for name in ("en", "zh"):
        _, pages, queries = _read([case.folder / f"{name}.pdf"])
        blank = sum(page.kind == "blank" for page in pages)
        yield Finding(f"{name}.pdf: no page is blank", f"{blank} of {len(pages)} blank", not blank)
        written[name] = queries.written if isinstance(queries, WrittenQueries) else {}
    for kind in ("outline", "caption", "sentence"):
        english, chinese = (written[name].get(kind, 0) for name in ("en", "zh"))
        yield Finding(f"zh.pdf: {kind} queries as in English ({english})", str(chinese), chinese >= 0.75 * english > 0)
    _, pages = read([_slides(case)])
    body = sum(page.kind == "body" for page in pages)
    yield Finding("slides of five Chinese lines are pages that answer", f"{body} of {len(pages)}", body == len(pages))


def _slides(case: Case) -> Path:
    """Six slides of a title and four lines each, in the font that the manual is set in."""
    from reportlab.pdfgen import canvas

    file = case.folder / "slides.pdf"
    page = canvas.Canvas(str(file), pagesize=(720, 405))
    titles = case.space["TOPZ"]
    for first in range(0, 24, 4):
        page.setFont("Z", 28)
        page.drawString(60, 340, titles[first])
        page.setFont("Z", 18)
        for line in range(4):
            page.drawString(80, 280 - 50 * line, f"{titles[first + line]}办理流程与注意事项")
        page.showPage()
    page.save()
    return file


def blank_pages(case: Case) -> Findings:
    with tempfile.TemporaryDirectory() as folder:
        done = [command("read", case.folder / "all", "-w", folder), command("queries", "-w", folder)]
    came = "; then ".join(map(_plainly, done))
    told = "crash" not in came and re.search(
        r"\bblank|\bwords\b|no query", "".join(f"{one.stdout}{one.stderr}" for one in done)
    )
    yield Finding("all pages blank: a plain message", came, bool(told))
    _, pages, written = _read([case.folder / "one"])
    kinds = [page.kind for page in pages]
    yield Finding("one blank page among prose: counted as blank", " ".join(kinds), kinds == ["body", "blank"])
    wrong = repr(written) if isinstance(written, Exception) else "no crash"
    yield Finding("one blank page among prose: queries do not crash", wrong, wrong == "no crash")


def no_headings(case: Case) -> Findings:
    with tempfile.TemporaryDirectory() as folder:
        command("read", case.folder / "docs", "-w", folder)
        done = command("queries", "-w", folder)
    yield Finding("pagetune queries: exit 0", _plainly(done), done.returncode == 0)
    _, _, written = _read([case.folder / "docs"])
    if isinstance(written, Exception):
        yield Finding("queries of the letter and of the manual", repr(written), False)
        return
    for document in ("letter", "manual"):
        kinds = Counter(query.kind for query in written.queries if document in query.document)
        came = ", ".join(f"{kind} {count}" for kind, count in kinds.items()) or "none"
        wanted = kinds["outline"] > 0 if document == "manual" else kinds.total() > 0
        yield Finding(f"queries of the {document}", came, wanted)


CHECKS: dict[str, Callable[[Case], Findings]] = {
    "01": cjk_not_embedded,
    "02": hidden_ocr_layer,
    "03": form_values,
    "04": free_text,
    "05": crop_box,
    "06": layers_off,
    "09": rotated,
    "11": beyond_bmp,
    "13": ocr_languages,
    "15": jpeg_scan,
    "16": trec_files,
    "17": datasets,
    "18": bm25_scripts,
    "19": chinese_manual,
    "22": blank_pages,
    "23": no_headings,
}
"""By the number that a case's folder begins with."""


if __name__ == "__main__":  # As a process of its own: see _without_fonts.
    os.chdir(tempfile.gettempdir())
    print(json.dumps(read_words(Path(sys.argv[1]))))
