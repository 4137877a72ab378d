"""Documents in, pages out: every file opened in a worker process under limits, whatever happens to it."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata as packages
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pagetune.pages import sources
from pagetune.pages.assembly import DocumentWork, PageParts
from pagetune.pages.collection import write_collection
from pagetune.pages.duplicates import look_through
from pagetune.pages.formats import OFFICE
from pagetune.pages.ocr import Found
from pagetune.pages.office import MISSING, office_command
from pagetune.pages.pool import Blob, Event, Request, WorkerPool, worker_count
from pagetune.pages.reading_report import ReadingReport
from pagetune.pages.tables import load_note, save_pages
from pagetune.pages.unread import Reason, group_unread
from pagetune.pages.versions import installed_fonts, ocr_version
from pagetune.pages.words import unpack
from pagetune.progress import SILENT, Progress, Task
from pagetune.recipe import ReadRecipe
from pagetune.records import Document
from pagetune.workspace import Workspace, fingerprint

READ_VERSION = 2
PAGES_A_REQUEST = 24
"""A longer document's pages go to the workers in parts of so many, so that one document keeps all of them busy."""
MAX_KILLS = 3
"""A document of which so many pages have ended their worker is refused: it costs a time limit each."""


def _recognised(message: dict[str, Any], blobs: Sequence[Blob]) -> tuple[Found, bool | None]:
    """From a worker's answer to "ocr": what was found, and whether the page's own hidden layer says the same."""
    trouble = message["trouble"]
    reason, detail = (Reason(trouble[0]), str(trouble[1])) if trouble else (None, "")
    agrees = None if message["agrees"] is None else bool(message["agrees"])
    return Found(unpack(blobs), reason, detail), agrees


_DECODERS: dict[str, Any] = {"pages": PageParts.of, "ocr": _recognised}


def read_documents(
    paths: Sequence[Path], workspace: Workspace, recipe: ReadRecipe, progress: Progress = SILENT
) -> ReadingReport:
    """Read files and folders (recursively) into `workspace.pages`, replacing what was there.

    A file that cannot be read becomes a Document of status "refused" with its reason, and the rest goes on. Finished
    documents and OCR'd pages are kept in `workspace.cache`, so that a reading that was killed goes on from there.
    Raises ReadingError when a path is missing, or when not one page could be read.
    """
    return _Reading(workspace, recipe, progress).run([Path(path) for path in paths])


def can_ocr() -> bool:
    """Whether the OCR engine is installed."""
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


class _Reading:
    """One call of read_documents."""

    def __init__(self, workspace: Workspace, recipe: ReadRecipe, progress: Progress) -> None:
        self.workspace, self.recipe, self.progress = workspace, recipe, progress
        self.cache = workspace.cache / "pages"
        self.ocr = recipe.ocr != "never" and can_ocr()
        self.queue: deque[Request] = deque()
        self.works: dict[int, DocumentWork] = {}
        self.documents: dict[int, Document] = {}
        self.kept: dict[int, Path] = {}
        self.models = str(Path(recipe.ocr_models).absolute()) if self.ocr and recipe.ocr_models else ""
        self.engine = ocr_version(self.models) if self.ocr else "none"
        self.ocr_cache = self.cache / "ocr" / self.engine
        self.version = _version(recipe, self.engine)

    def run(self, paths: list[Path]) -> ReadingReport:
        began = time.monotonic()
        files = sources.find_files(paths)
        count, recipe = worker_count(self.recipe.workers), self.recipe
        with WorkerPool(count, memory_mb=recipe.memory_mb, timeout=recipe.timeout) as pool:
            self._open(files, pool)
            self._read(pool)
            documents, tally = write_collection(
                self.workspace.pages, files, self.kept, self.documents, self._source, look_through(pool)
            )
        report = tally.report(documents, time.monotonic() - began)
        shutil.rmtree(self.cache / "sources", ignore_errors=True)
        shutil.rmtree(self.cache / "scratch", ignore_errors=True)
        if report.unread:
            reasons = ", ".join(f"{entry['reason']} {entry['pages']}" for entry in group_unread(report.unread))
            self.progress.say(f"{report.unread_pages} of {report.pages} pages were not read, or not wholly: {reasons}")
        return report

    # Opening: which files are documents, and how many pages they have.

    def _open(self, files: list[Path], pool: WorkerPool) -> None:
        first: dict[str, Path] = {}
        with self.progress.task("opening", len(files), "files") as task:
            for place, path in enumerate(files):
                self._offer(place, sources.inspect(path, self.recipe), first)
                if place not in self.works:
                    task.advance()
            for event in pool.events(self.queue):
                self._opened(event, task)
        if any(document.reason == MISSING for document in self.documents.values()):
            self.progress.say("office documents are left out: LibreOffice (soffice) is not installed")

    def _offer(self, place: int, offered: sources.Offered, first: dict[str, Path]) -> None:
        if offered.reason:
            return self._refuse(place, offered, offered.reason)
        if offered.digest in first:
            reason = f"same content as {sources.shown(first[offered.digest])}"
            self.documents[place] = _document(offered, "duplicate", reason)
            return None
        first[offered.digest] = offered.path
        kept = self._cached(offered.digest)
        note = load_note(kept)
        if note is not None and self._source(str(note["source"])) is not None:
            self.kept[place] = kept
            return None
        try:
            source = sources.keep(offered, self.cache / "sources", self.workspace.pages / "sources")
        except OSError as error:
            return self._refuse(place, offered, f"cannot be copied: {error.strerror or error}")
        self.works[place] = work = DocumentWork(offered, source, offered.format)
        self._ask(place, work, "probe")
        return None

    def _opened(self, event: Event, task: Task) -> None:
        place = event.request.body["work"]
        work = self.works[place]
        if event.kind == "answer" and event.request.body["op"] == "probe":
            work.format, work.total = str(event.message["format"]), int(event.message["pages"])
        if not event.last:
            return
        if event.kind != "done":
            if not self._again(event):
                self._refuse(place, work.offered, self._reason(work, event))
                task.advance()
            return
        if event.request.body["op"] == "convert":
            work.path, work.outer, work.format = Path(event.request.body["target"]), work.format, "pdf"
            self._ask(place, work, "probe")
        elif work.format in OFFICE:
            self._convert(place, work, task)
        else:
            if work.total > self.recipe.max_pages:
                reason = f"{work.total} pages, above max_pages={self.recipe.max_pages}"
                self._refuse(place, work.offered, reason)
            task.advance()

    def _convert(self, place: int, work: DocumentWork, task: Task) -> None:
        if office_command() is None:
            self._refuse(place, work.offered, MISSING)
            task.advance()
            return
        target = work.path.parent / f"{work.offered.digest}.pdf"
        self._ask(place, work, "convert", target=str(target), scratch=str(self.cache / "scratch"))

    def _reason(self, work: DocumentWork, event: Event) -> str:
        unknown = event.reason == "not of a type that is read"
        return sources.unknown(work.offered.path) if unknown else event.reason

    # Reading: the pages of the documents that were opened.

    def _read(self, pool: WorkerPool) -> None:
        total = sum(work.total for work in self.works.values())
        with self.progress.task("reading", total, "pages") as task:
            waiting = self._requests()
            self._fill(waiting, pool)
            for event in pool.events(self.queue):
                self._answered(event, task)
                self._fill(waiting, pool)

    def _fill(self, waiting: Iterator[None], pool: WorkerPool) -> None:
        # Only a few requests ahead: a collection's requests are far more than what is worth holding.
        while len(self.queue) < 2 * pool.count:
            if next(waiting, "end") == "end":
                return

    def _requests(self) -> Iterator[None]:
        for place, work in list(self.works.items()):
            starts = range(0, work.total, PAGES_A_REQUEST)
            work.pending = 1 + len(starts)
            self._ask(place, work, "about")
            for start in starts:
                if place in self.works:
                    self._ask(place, work, "pages", start=start, stop=min(start + PAGES_A_REQUEST, work.total))
                yield None

    def _answered(self, event: Event, task: Task) -> None:
        place, op = event.request.body["work"], event.request.body["op"]
        work = self.works.get(place)
        if work is None:
            return
        if event.kind == "answer":
            {"about": self._about, "pages": self._page, "ocr": self._recognised}[op](work, event, task)
            return
        if event.kind != "done" and not self._failed(place, work, event, task):
            return
        work.pending -= 1
        if not work.pending:
            self._finish(place, work)

    def _about(self, work: DocumentWork, event: Event, task: Task) -> None:
        work.about = event.message

    def _page(self, work: DocumentWork, event: Event, task: Task) -> None:
        body, index = event.request.body, int(event.message["page"])
        body["start"] = index + 1  # What is left of the request, should its worker end.
        if "failed" in event.message:
            work.pages[index] = PageParts.lost(str(event.message["failed"]))
            task.advance()
            return
        work.pages[index] = part = event.value
        always = self.recipe.ocr == "always"
        if self.ocr and (always or part.hidden or part.fault is not None) and not part.blank:
            work.pending += 1
            self._ask(body["work"], work, "ocr", first=True, page=index, hidden=part.hidden and not always,
                      long_side=self.recipe.ocr_long_side, models=self.models, cache=str(self.ocr_cache))  # fmt: skip
        else:
            task.advance()

    def _recognised(self, work: DocumentWork, event: Event, task: Task) -> None:
        part = work.pages[int(event.message["page"])]
        part.ocr, part.agrees = event.value
        task.advance()

    def _failed(self, place: int, work: DocumentWork, event: Event, task: Task) -> bool:
        """A request ended badly; True if nothing is left of it to do."""
        if self._again(event):
            return False
        body = event.request.body
        if event.kind != "refused":
            work.kills += 1
        if body["op"] == "ocr":
            work.pages[body["page"]].failed = f"OCR {event.reason}"
            task.advance()
        elif body["op"] == "pages" and event.kind != "refused":
            work.pages[body["start"]] = PageParts.lost(event.reason)
            body["start"] += 1
            task.advance()
        elif body["op"] == "pages":
            work.kills = MAX_KILLS
        if work.kills >= MAX_KILLS:
            where = f"page {body['start'] if body['op'] == 'pages' else body.get('page', 0) + 1}: "
            self._give_up(place, work, where + event.reason, task)
            return False
        if body["op"] == "pages" and body["start"] < body["stop"]:
            self.queue.appendleft(replace(event.request, fresh=False))
            return False
        return True

    def _give_up(self, place: int, work: DocumentWork, reason: str, task: Task) -> None:
        task.advance(max(0, work.total - len(work.pages)))
        self._refuse(place, work.offered, reason)
        left = [request for request in self.queue if request.body["work"] != place]
        self.queue.clear()
        self.queue.extend(left)

    def _finish(self, place: int, work: DocumentWork) -> None:
        failed = [part.failed for part in work.pages.values() if part.failed and not part.words.words]
        if len(failed) == work.total:
            self._refuse(place, work.offered, f"no page can be read: {failed[0]}")
            return
        pages, note = work.finish(Reason.OCR_OFF if self.recipe.ocr == "never" else Reason.OCR_MISSING)
        self.kept[place] = kept = self._cached(work.offered.digest)
        save_pages(kept, pages, note)
        del self.works[place]

    # What both share.

    def _ask(self, place: int, work: DocumentWork, op: str, *, first: bool = False, **more: Any) -> None:
        body = {"op": op, "work": place, "path": str(work.path.absolute()), "format": work.format, **more}
        request = Request(body | {"max_side": self.recipe.max_image_side}, decode=_DECODERS.get(op))
        if first:
            self.queue.appendleft(request)
        else:
            self.queue.append(request)

    def _again(self, event: Event) -> bool:
        """Try once more in a new worker, where an earlier file may have left the old one short of memory or broken."""
        if event.kind not in ("crash", "memory") or not event.used or event.request.fresh:
            return False
        self.queue.appendleft(replace(event.request, fresh=True))
        return True

    def _refuse(self, place: int, offered: sources.Offered, reason: str) -> None:
        self.works.pop(place, None)
        self.documents[place] = _document(offered, "refused", reason)

    def _cached(self, digest: str) -> Path:
        return self.cache / f"{digest}-{self.version}.parquet"

    def _source(self, name: str) -> Path | None:
        folders = (self.cache / "sources", self.workspace.pages / "sources")
        return next((folder / name for folder in folders if (folder / name).exists()), None)


def _document(offered: sources.Offered, status: Literal["duplicate", "refused"], reason: str) -> Document:
    return Document("", sources.shown(offered.path), offered.digest, offered.format, 0, status=status, reason=reason)


def _version(recipe: ReadRecipe, engine: str) -> str:
    """What decides, beside a file's bytes, what reading it gives."""
    settings = [recipe.max_pages, recipe.max_image_side, recipe.ocr, recipe.ocr_long_side]
    return fingerprint(READ_VERSION, packages.version("pypdfium2"), engine, installed_fonts(), settings)[:16]
