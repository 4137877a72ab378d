"""The pages that were read: their records, and their pixels at any resolution, rendered when asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from pagetune.errors import ReadingError, WorkspaceError
from pagetune.records import Document, Page, Rect

if TYPE_CHECKING:
    from PIL.Image import Image

    from pagetune.pages.marks import Marks
    from pagetune.pages.pool import Blob, Event, WorkerPool

DEFAULT_LONG_SIDE = 1280
"""Pixels of an image's longer side when neither bound is given."""

PAGES_A_RENDERING = 4
"""A worker renders so many pages of a document for one request."""


class PageStore:
    """The folder that `read_documents` wrote. Records are loaded when first asked for, and once.

    `lasting`: `images` too keeps its workers until `close`, for many small askings; it then renders all that it is
    asked for before it gives the first.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int | None = None,
        timeout: float = 120.0,
        memory_mb: int = 3072,
        lasting: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self._limits: dict[str, Any] = {"timeout": timeout, "memory_mb": memory_mb}
        self._workers = workers
        self._lasting = lasting
        self._lock = Lock()
        if not (self.folder / "pages.parquet").exists():
            raise WorkspaceError(f"{self.folder} holds no pages; read documents first: pagetune read DOCUMENTS")

    def documents(self, *, all: bool = False) -> list[Document]:
        """The documents that were read; `all`: the refused and duplicate ones too."""
        return [document for document, _ in self._documents if all or document.status == "read"]

    def pages(self, ids: Sequence[str] | None = None) -> list[Page]:
        """All pages in reading order, or those of `ids` in that order. Raises ReadingError for an unknown id."""
        return list(self._pages.values()) if ids is None else [self.page(name) for name in ids]

    def page(self, id: str) -> Page:
        """One page. Raises ReadingError if there is none of that id."""
        try:
            return self._pages[id]
        except KeyError:
            raise ReadingError(f"no page {id!r} in {self.folder}") from None

    def digest(self) -> str:
        """The content hash of the whole collection: the same documents in the same order give the same."""
        import pyarrow.parquet as pq

        metadata = pq.read_metadata(self.folder / "pages.parquet").metadata
        return str(metadata[b"pagetune.digest"].decode())

    def image(
        self, page_id: str, *, long_side: int | None = None, max_pixels: int | None = None, mask: Sequence[Rect] = ()
    ) -> Image:
        """One page's picture, RGB, within both bounds (long side 1280 if none is given).

        A page of a PDF is rendered right at the bound; a picture is never enlarged. `mask`: rectangles in points
        that are painted over with the page's background. Raises ReadingError if it cannot be rendered.
        """
        with self._lock:
            ((_, image),) = self._render(
                [page_id], self._single, {page_id: mask}, long_side=long_side, max_pixels=max_pixels
            )
        return image

    def images(
        self,
        ids: Sequence[str],
        *,
        long_side: int | None = None,
        max_pixels: int | None = None,
        masks: Mapping[str, Sequence[Rect]] | None = None,
        leave_out_broken: bool = False,
    ) -> Iterator[tuple[str, Image]]:
        """The pictures of many pages, in the order of `ids`, rendered in parallel; otherwise as `image`.

        `leave_out_broken`: a page that cannot be rendered is left out; else it raises ReadingError.
        """
        bounds: dict[str, Any] = {"long_side": long_side, "max_pixels": max_pixels}
        how = bounds | {"leave_out_broken": leave_out_broken}
        if self._lasting:
            # A pool is not for two threads at once, and whoever is given a picture may ask for another.
            with self._lock:
                found = list(self._render(ids, self._many, masks or {}, **how))
            yield from found
            return
        with self._pool() as pool:
            yield from self._render(ids, pool, masks or {}, **how)

    def marks(self, ids: Sequence[str]) -> dict[str, Marks]:
        """Where pictures and paths are on these pages; those that cannot be opened are left out."""
        from pagetune.pages.marks import all_picture, unpack_marks
        from pagetune.pages.pool import Request

        queue: deque[Request] = deque()
        found: dict[str, Marks] = {}
        for source, names in self._parts(sorted(set(ids), key=lambda name: (self.page(name).document, name))):
            if source.format != "pdf":
                found |= {name: all_picture(self.page(name).width, self.page(name).height) for name in names}
            else:
                body: dict[str, Any] = {"op": "marks", "path": str(source.path.absolute()), "format": "pdf"}
                pages = [self.page(name).number - 1 for name in names]
                queue.append(Request(body | {"pages": pages, "names": names}, decode=unpack_marks))
        if not queue:
            return found
        with self._pool() as pool:
            for event in pool.events(queue):
                body = event.request.body
                if event.kind == "answer":
                    found[body["names"][0]] = event.value
                if event.kind != "done":  # The first page is answered, or is what its worker has failed on.
                    body["names"], body["pages"] = body["names"][1:], body["pages"][1:]
                if event.kind not in ("answer", "done") and body["pages"]:
                    queue.appendleft(replace(event.request, fresh=False))
        return found

    def close(self) -> None:
        """End the workers that are kept."""
        for name in ("_single", "_many"):
            if pool := self.__dict__.pop(name, None):
                pool.close()

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process starts its own worker and loads its own records.
        kept = ("folder", "_limits", "_workers", "_lasting")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock())

    @cached_property
    def _documents(self) -> list[tuple[Document, str]]:
        import pyarrow.parquet as pq

        from pagetune.pages.tables import table_to_documents

        return table_to_documents(pq.read_table(self.folder / "documents.parquet"))

    @cached_property
    def _sources(self) -> dict[str, _Source]:
        from pagetune.pages.formats import PICTURES

        found = {}
        for document, name in self._documents:
            if name:
                format = document.format if document.format in PICTURES else "pdf"
                found[document.id] = _Source(self.folder / "sources" / name, format)
        return found

    @cached_property
    def _pages(self) -> dict[str, Page]:
        import pyarrow.parquet as pq

        from pagetune.pages.tables import table_to_pages

        return {page.id: page for page in table_to_pages(pq.read_table(self.folder / "pages.parquet"))}

    @cached_property
    def _single(self) -> WorkerPool:
        from pagetune.pages.pool import WorkerPool

        return WorkerPool(1, **self._limits)

    @cached_property
    def _many(self) -> WorkerPool:
        return self._pool()

    def _pool(self) -> WorkerPool:
        from pagetune.pages.pool import WorkerPool, worker_count

        return WorkerPool(worker_count(self._workers), **self._limits)

    def _render(
        self,
        ids: Sequence[str],
        pool: WorkerPool,
        masks: Mapping[str, Sequence[Rect]],
        *,
        long_side: int | None,
        max_pixels: int | None,
        leave_out_broken: bool = False,
    ) -> Iterator[tuple[str, Image]]:
        from pagetune.pages.pool import Request

        if long_side is None and max_pixels is None:
            long_side = DEFAULT_LONG_SIDE
        parts = self._parts(ids)
        queue: deque[Request] = deque()
        ready: dict[int, Image | None] = {}
        asked = given = 0

        def fill() -> None:
            # Only so far ahead that the workers stay busy: pictures that wait are what takes the memory.
            nonlocal asked
            while asked - given < 3 * PAGES_A_RENDERING * pool.count and (part := next(parts, None)):
                source, names = part
                indices = [self.page(name).number - 1 for name in names]
                body: dict[str, Any] = {"op": "render", "path": str(source.path.absolute()), "format": source.format}
                body |= {"pages": indices, "at": asked, "long_side": long_side, "max_pixels": max_pixels}
                queue.append(Request(body, decode=picture_of))
                asked += len(indices)

        fill()
        for event in pool.events(queue):
            if event.kind == "answer":
                self._collect(event, ids, masks, ready)
            elif event.kind in ("crash", "memory") and event.used and not event.request.fresh:
                queue.appendleft(replace(event.request, fresh=True))
            elif event.kind != "done":
                body = event.request.body
                if not leave_out_broken:
                    raise ReadingError(f"page {ids[body['at']]!r} cannot be rendered: {event.reason}")
                ready[body["at"]] = None
                _go_on(body)
                if body["pages"]:
                    queue.appendleft(replace(event.request, fresh=False))
            while given in ready:
                if (image := ready.pop(given)) is not None:
                    yield ids[given], image
                given += 1
            fill()

    def _collect(
        self, event: Event, ids: Sequence[str], masks: Mapping[str, Sequence[Rect]], ready: dict[int, Image | None]
    ) -> None:
        body = event.request.body
        image = event.value
        name = ids[body["at"]]
        if mask := masks.get(name):
            paint_over(image, self.page(name), mask)
        ready[body["at"]] = image
        _go_on(body)

    def _parts(self, ids: Sequence[str]) -> Iterator[tuple[_Source, list[str]]]:
        """Runs of pages of one document, a few at a time."""
        for document, run in groupby(ids, key=lambda name: self.page(name).document):
            names = list(run)
            for start in range(0, len(names), PAGES_A_RENDERING):
                yield self._sources[document], names[start : start + PAGES_A_RENDERING]


def picture_of(message: Mapping[str, Any], blobs: Sequence[Blob]) -> Image:
    """The picture, RGB, that an answer to "render" brings: a copy. Raises ValueError where size and pixels differ."""
    from PIL import Image

    (pixels,) = blobs
    width, height = message["size"]
    # Before anything is allocated: the size is the worker's word only.
    if min(width, height) < 1 or 4 * width * height != len(pixels):
        raise ValueError(f"{len(pixels)} bytes for a picture of {width} x {height}")
    return Image.frombytes("RGB", (width, height), pixels, "raw", "RGBX")


def _go_on(body: dict[str, Any]) -> None:
    """Leave in a request what is left of it after its first page, should its worker end."""
    body["at"] += 1
    body["pages"] = body["pages"][1:]


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    format: str


def paint_over(image: Image, page: Page, mask: Sequence[Rect]) -> None:
    """Paint rectangles (points of `page`) over with the page's background: its most frequent colour."""
    from PIL import ImageDraw

    small = image.resize((max(1, image.width // 4), max(1, image.height // 4)), 0)
    colours = small.getcolors(small.width * small.height) or [(1, (255, 255, 255))]
    background: Any = max(colours, key=lambda entry: entry[0])[1]
    draw = ImageDraw.Draw(image)
    across, down = image.width / page.width, image.height / page.height
    for left, bottom, right, top in mask:
        box = (left * across - 1, (page.height - top) * down - 1, right * across + 1, (page.height - bottom) * down + 1)
        draw.rectangle(box, fill=background)
