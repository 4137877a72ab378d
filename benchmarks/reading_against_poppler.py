"""Reading other people's PDFs: how many of poppler's words Pagetune finds and of Pagetune's poppler has, file by file.

    python benchmarks/reading_against_poppler.py

The files are the documentation in Debian packages, listed with their digests in _debian_pdfs.tsv: at least 30 packages
in at least 8 languages, some of them chosen because they are hard (accents as glyphs of their own, layers, text beyond
the page's edge, right-to-left writing). They are fetched once, nothing is installed. A file that the archive now serves
in another version is named and left out; too few left is a failure.

Ours: `read_documents` with `read.ocr=never`: isolated workers, joining of cut words, the kinds of pages, parquet and
all. Theirs: `pdftotext -cropbox`, as many processes at a time as there are workers; poppler joins words that line ends
have cut too. Both read all pages of all files, in one run. What a word is and when it is found: _word_match.py, the
same both ways, page by page. That a word counts as missing or as extra does not say who is right: words beyond the
page's edge or on layers that are switched off are read by only one of the two, and nobody sees them.

Claim: over all words at least 99% both ways. Files below 95% are listed with what their words differ in: `page empty`
(the other side has nothing there), `more often` (the other side has the word, but fewer times), `other accents`, `apart
differently` (its characters are there, between other spaces), `other characters`; and with the pages whose text layer
Pagetune refuses, which `read.ocr=auto` would read from their pixels.
Needs poppler's command-line tools, apt-get and dpkg-deb, and 220 MB of downloads.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from _word_match import Matched, Reason, match, words_of
from pagetune.pages.reading import read_documents
from pagetune.pages.store import PageStore
from pagetune.pages.tables import load_note
from pagetune.recipe import ReadRecipe
from pagetune.workspace import Workspace

CORES = 2
CLAIM = 0.99
LISTED_BELOW = 0.95
PACKAGES, LANGUAGES = 30, 8
FOLDER = Path(tempfile.gettempdir()) / "pagetune-debian"
TOOLS = {"pdftotext": "poppler-utils", "apt-get": "apt", "dpkg-deb": "dpkg"}


@dataclass
class Pdf:
    """One file of a package."""

    package: str
    version: str
    language: str
    inside: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.package}/{self.inside.rpartition('/')[2].removesuffix('.gz')}"

    @property
    def path(self) -> Path:
        return FOLDER / self.name


@dataclass
class Compared:
    """A file read by both: `faults` are the pages whose text layer Pagetune refuses, by the reason."""

    pdf: Pdf
    pages: int
    words: Matched
    faults: dict[str, int]
    lost: Counter[str]

    @property
    def worse(self) -> float:
        return min(self.words.left_found, self.words.right_found)


def main() -> int:
    missing = {package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    if missing:
        print(f"not found: {', '.join(sorted(missing))}; this benchmark needs a Debian system (apt-get install ...)")
        return 2
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    pdfs, left_out = fetch()
    for line in left_out:
        print(f"left out: {line}")
    packages, languages = {pdf.package for pdf in pdfs}, {pdf.language for pdf in pdfs}
    print(f"{len(pdfs)} files of {len(packages)} packages in {len(languages)} languages", flush=True)
    if len(packages) < PACKAGES or len(languages) < LANGUAGES:
        print(f"{PACKAGES} packages in {LANGUAGES} languages are needed: FAILS")
        return 1
    theirs, their_seconds = read_theirs(pdfs)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        workspace = Workspace(Path(folder) / "ws").create()
        read_documents([pdf.path for pdf in pdfs], workspace, ReadRecipe(ocr="never", workers=CORES))
        our_seconds = time.perf_counter() - began
        compared = compare(pdfs, theirs, workspace)
    for row in sorted(compared, key=lambda row: row.worse):
        show(row)
    return conclude(compared, our_seconds, their_seconds)


def fetch() -> tuple[list[Pdf], list[str]]:
    """The files that are as they were pinned, put into FOLDER, and what is said of the others."""
    with Path(__file__).with_name("_debian_pdfs.tsv").open(newline="") as file:
        table = [Pdf(**row) for row in csv.DictReader(file, delimiter="\t")]
    by_package: dict[tuple[str, str], list[Pdf]] = defaultdict(list)
    for pdf in table:
        by_package[pdf.package, pdf.version].append(pdf)
    for (package, version), pdfs in by_package.items():
        if not all(pdf.path.exists() for pdf in pdfs):
            unpack(package, version, pdfs)
    good, left_out = [], []
    for pdf in table:
        if not pdf.path.exists():
            left_out.append(f"{pdf.name}: not served (apt-get update?), or no longer in its package")
        elif hashlib.sha256(pdf.path.read_bytes()).hexdigest() != pdf.sha256:
            left_out.append(f"{pdf.name}: another version than {pdf.version} is served, with another digest")
        else:
            good.append(pdf)
    return good, left_out


def unpack(package: str, version: str, pdfs: Sequence[Pdf]) -> None:
    """Download a package, in the pinned version where it is still served, and take its files out."""
    with tempfile.TemporaryDirectory() as folder:
        for wanted in (f"{package}={version}", package):
            if subprocess.run(["apt-get", "download", wanted], cwd=folder, capture_output=True).returncode == 0:
                break
        else:
            return
        archive = next(Path(folder).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", archive, folder], check=True, capture_output=True)
        for pdf in pdfs:
            inside = Path(folder, pdf.inside)
            if inside.is_file():
                data = inside.read_bytes()
                pdf.path.parent.mkdir(parents=True, exist_ok=True)
                pdf.path.write_bytes(gzip.decompress(data) if inside.suffix == ".gz" else data)


def read_theirs(pdfs: Sequence[Pdf]) -> tuple[dict[str, list[str]], float]:
    """Poppler's text of each page, by the file's digest, and the seconds it took, the longer files first."""

    def read(pdf: Pdf) -> str:
        command = ["pdftotext", "-q", "-cropbox", "-enc", "UTF-8", str(pdf.path), "-"]
        return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "replace")

    ordered = sorted(pdfs, key=lambda pdf: -pdf.path.stat().st_size)
    began = time.perf_counter()
    with ThreadPoolExecutor(CORES) as threads:
        texts = list(threads.map(read, ordered))
    seconds = time.perf_counter() - began
    return {pdf.sha256: text.split("\f")[:-1] for pdf, text in zip(ordered, texts, strict=True)}, seconds


def compare(pdfs: Sequence[Pdf], theirs: dict[str, list[str]], workspace: Workspace) -> list[Compared]:
    """Poppler's words, left, and ours, right, of every file."""
    store = PageStore(workspace.pages)
    digests = {document.id: document.digest for document in store.documents()}
    ours: dict[str, dict[int, str]] = defaultdict(dict)
    for page in store.pages():
        ours[digests[page.document]][page.number] = page.text()
    notes = {
        kept.name.partition("-")[0]: load_note(kept) or {} for kept in (workspace.cache / "pages").glob("*.parquet")
    }
    result = []
    for pdf in pdfs:
        total, lost = Matched(), Counter[str]()
        for number, text in enumerate(theirs[pdf.sha256], start=1):
            our_text = ours[pdf.sha256].get(number, "")
            total += match(words_of(text), words_of(our_text))
            lost += Counter(map(_lost, our_text))
        del lost[""]
        faults = dict(notes.get(pdf.sha256, {}).get("faults", {}))
        faults.pop("no text layer", None)  # Nobody refused that.
        result.append(Compared(pdf, len(theirs[pdf.sha256]), total, faults, lost))
    return result


def _lost(character: str) -> str:
    if character == "\ufffd":
        return "replacement characters"
    return "private-use characters" if "\ue000" <= character <= "\uf8ff" or character >= "\U000f0000" else ""


def show(row: Compared) -> None:
    """A line of the table, and what stands under it where the file is below the mark."""
    words = row.words
    refused = "; ".join(f"{count} pages refused: {fault}" for fault, count in row.faults.items())
    print(
        f"{words.left_found:7.2%} {words.right_found:7.2%} {row.pdf.language:3s}{row.pages:4d} pages "
        f"{words.left:6d} words  {row.pdf.name}{'  (' + refused + ')' if refused else ''}"
    )
    if row.worse >= LISTED_BELOW:
        return
    _show_missing("not in ours", words.left_missing, words.left_reasons)
    _show_missing("not in poppler's", words.right_missing, words.right_reasons)
    if row.lost:
        print(f"        in ours: {', '.join(f'{count} {kind}' for kind, count in row.lost.items())}")


def _show_missing(label: str, missing: Counter[str], reasons: Counter[Reason]) -> None:
    if missing:
        told = ", ".join(f"{reason} {count / missing.total():.0%}" for reason, count in reasons.most_common(3))
        print(f"        {label}: {told}: {' '.join(word for word, _ in missing.most_common(10))}")


def conclude(compared: Sequence[Compared], our_seconds: float, their_seconds: float) -> int:
    """The figures over all files, and the claim."""
    total = Matched()
    for row in compared:
        total += row.words
    pages = sum(row.pages for row in compared)
    refused = sum(sum(row.faults.values()) for row in compared)
    below = [sum(row.worse < mark for row in compared) for mark in (LISTED_BELOW, CLAIM)]
    print(
        f"{pages} pages: ours {pages / our_seconds:.0f} a second (isolated workers and writing included), "
        f"pdftotext {pages / their_seconds:.0f}; {refused} pages refused"
    )
    holds = min(total.left_found, total.right_found) >= CLAIM
    print(
        f"{total.left_found:.2%} of poppler's {total.left} words found, poppler has {total.right_found:.2%} of ours; "
        f"{below[0]} of {len(compared)} files below {LISTED_BELOW:.0%}, {below[1]} below {CLAIM:.0%}; "
        f"claim {CLAIM:.0%} both: {'holds' if holds else 'FAILS'}"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
