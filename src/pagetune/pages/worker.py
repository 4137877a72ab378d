"""The worker process: opens files that nobody trusts, under a limit on its address space, and answers requests.

Started by `pool.WorkerPool` as `python -m pagetune.pages.worker SOCKET PARENT MEMORY_MB ARENA`. One request may have
several answers; the last one says so ("done"), or why it failed ("refused", "memory"). It ends when its parent does.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pagetune.errors import DocumentRefused
from pagetune.machine import keep_freed_memory
from pagetune.pages import wire
from pagetune.pages.arena import Arena
from pagetune.pages.formats import PICTURES, look_inside
from pagetune.pages.geometry import Frame, fit
from pagetune.pages.marks import pack_marks
from pagetune.pages.ocr import Found, Ocr
from pagetune.pages.pdf import PageText, PdfFile, PdfPage
from pagetune.pages.pictures import PictureFile
from pagetune.pages.placeholders import MOST_WORDS, says_so
from pagetune.pages.text import PICTURE_BEHIND, text_layer_fault
from pagetune.pages.unread import Reason
from pagetune.pages.words import Words, no_words, pack
from pagetune.workspace import write_atomically

Answer = tuple[dict[str, Any], list[bytes]]
THIN_PAGE = 50
"""A page of fewer words is told apart by its pixels too."""
_MANY = 0.02
"""The share of a page's words, or characters, from which it is worth a line that they are missing."""


class Reader:
    """What a worker keeps between requests: the file that is open, and the OCR engine."""

    def __init__(self, arena: Arena | None = None) -> None:
        self._arena = arena
        self._key: tuple[Any, ...] = ()
        self._file: PdfFile | PictureFile | None = None
        self._ocr: Ocr | None = None

    def answer(self, request: dict[str, Any]) -> Iterator[Answer]:
        """The answers to one request. Raises DocumentRefused if the whole of it fails."""
        if self._arena is not None:  # The parent has done with the request before.
            self._arena.clear()
        work = {"probe": self.probe, "about": self.about, "pages": self.pages, "ocr": self.ocr}
        work |= {"render": self.render, "marks": self.marks, "convert": self.convert}
        return work[request["op"]](request)

    def _open(self, request: dict[str, Any]) -> PdfFile | PictureFile:
        key = (request["path"], request["format"], request.get("max_side"))
        if key != self._key or self._file is None:
            self.close()
            path = Path(request["path"])
            if request["format"] in PICTURES:
                self._file = PictureFile(path, request["format"], request.get("max_side") or 1 << 30)
            else:
                self._file = PdfFile(path)
            self._key = key
        return self._file

    def close(self) -> None:
        """Close the open file."""
        if self._file is not None:
            self._file.close()
        self._file, self._key = None, ()

    def probe(self, request: dict[str, Any]) -> Iterator[Answer]:
        """The number of pages, and the format where only a look inside tells it."""
        format = look_inside(Path(request["path"]), request["format"])
        if format is None:
            raise DocumentRefused("not of a type that is read")
        pages = 0
        if format == "pdf" or format in PICTURES:
            pages = self._open(request | {"format": format}).pages
        yield {"format": format, "pages": pages}, []

    def convert(self, request: dict[str, Any]) -> Iterator[Answer]:
        """An office document to PDF, at request["target"]."""
        from pagetune.pages.office import convert_to_pdf

        convert_to_pdf(
            Path(request["path"]), request["format"], Path(request["target"]), Path(request["scratch"])
        )  # fmt: skip
        yield {}, []

    def about(self, request: dict[str, Any]) -> Iterator[Answer]:
        """Outline and metadata."""
        file = self._open(request)
        yield (file.about() if isinstance(file, PdfFile) else {"outline": [], "metadata": {}}), []

    def pages(self, request: dict[str, Any]) -> Iterator[Answer]:
        """Words and frame of each page from request["start"] to request["stop"]; one answer a page."""
        file = self._open(request)
        for index in range(request["start"], request["stop"]):
            try:
                yield _picture_page(file, index) if isinstance(file, PictureFile) else _pdf_page(file, index)
            except MemoryError:
                raise
            except Exception as error:
                yield {"page": index, "failed": _reason(error)}, []

    def ocr(self, request: dict[str, Any]) -> Iterator[Answer]:
        """The words of page request["page"], read from its pixels; kept in the folder request["cache"].

        With request["hidden"] the page's own layer is kept ("agrees", no words) where the picture shows the same words.
        """
        picture = self._render(request, request["page"], request["long_side"], None)
        image, points = picture.image.convert("RGB"), picture.points
        layer = self._layer(request) if request["hidden"] else no_words()
        digest = hashlib.sha256(f"{image.size}{points[0]:.2f}{points[1]:.2f}".encode() + image.tobytes())
        for part in pack(layer):
            digest.update(part)
        kept = Path(request["cache"]) / digest.hexdigest()[:2] / f"{digest.hexdigest()}.json"
        answer = _load_answer(kept)
        if answer is None:
            if self._ocr is None:
                self._ocr = Ocr(Path(request["models"]) if request["models"] else None)
            agrees = self._ocr.agrees(image, *points, layer) if layer.words else None
            found = Found(no_words()) if agrees else self._ocr.read(image, *points)
            answer = (
                {"agrees": agrees, "trouble": [found.trouble, found.detail] if found.trouble else None},
                found.words,
            )
            head, words = answer
            write_atomically(kept, json.dumps([head, words.words, *(part.tolist() for part in words[1:])]))
        head, words = answer
        yield {"page": request["page"], **head}, pack(words)

    def _layer(self, request: dict[str, Any]) -> Words:
        file = self._open(request)
        assert isinstance(file, PdfFile)
        with file.page(request["page"]) as page:
            return page.text().words

    def render(self, request: dict[str, Any]) -> Iterator[Answer]:
        """The pixels of the pages request["pages"], raw RGBX, in the arena where they fit; one answer a page."""
        for index in request["pages"]:
            picture = self._render(request, index, request["long_side"], request["max_pixels"], self._arena)
            head = {"page": index, "size": picture.image.size, "points": picture.points}
            if picture.at is None:
                yield head, [picture.image.tobytes("raw", "RGBX")]
            else:
                width, height = picture.image.size
                yield head | {"shared": [picture.at, 4 * width * height]}, []

    def marks(self, request: dict[str, Any]) -> Iterator[Answer]:
        """Where pictures and paths are on the pages request["pages"] of a PDF; one answer a page."""
        file = self._open(request)
        assert isinstance(file, PdfFile)
        for index in request["pages"]:
            with file.page(index) as page:
                found = page.marks()
            yield {"page": index, "text_shown": found.text_shown}, pack_marks(found)

    def _render(
        self,
        request: dict[str, Any],
        index: int,
        long_side: int | None,
        max_pixels: int | None,
        arena: Arena | None = None,
    ) -> _Picture:
        file = self._open(request)
        if isinstance(file, PictureFile):
            width, height = file.size(index)
            image = file.render(index, long_side, max_pixels)
            room = arena.take(4 * image.width * image.height) if arena else None
            if room:
                room[1][:] = image.tobytes("raw", "RGBX")
            return _Picture(image, (float(width), float(height)), room[0] if room else None)
        with file.page(index) as page:
            pixels = fit(page.width, page.height, long_side, max_pixels)
            room = arena.take(4 * pixels[0] * pixels[1]) if arena else None
            image = page.render(*pixels, memory=room[1] if room else None)
            return _Picture(image, (page.width, page.height), room[0] if room else None)


class _Picture(NamedTuple):
    """A page's picture, its width and height in points, and where in the arena its pixels are, if they are there."""

    image: Image.Image
    points: tuple[float, float]
    at: int | None


def _pdf_page(file: PdfFile, index: int) -> Answer:
    with file.page(index) as page:
        found = page.text()
        head, words = _describe(page, index, found)
    kind, about = file.stand_in or (says_so(found.text) if len(found.words.words) < MOST_WORDS else None, "")
    if kind is not None:  # Its words are the reader program's, and no picture of them says more.
        head |= {"fault": None, "lost": [[Reason[kind], about]]}
        words = no_words()
    return head, pack(words)


def _describe(page: PdfPage, index: int, found: PageText) -> tuple[dict[str, Any], Words]:
    words, visible = found.words, found.visible
    picture, pixels, blank, ink = 0.0, "", False, 0.0
    if len(words.words) < THIN_PAGE or not visible:
        picture = page.picture_share()
    if len(words.words) < THIN_PAGE:
        pixels, blank, ink = _small_digest(page.render(*fit(page.width, page.height, 128)))
    fault = text_layer_fault(found.text, picture=picture, visible=visible)
    hidden = fault is None and not visible and picture >= PICTURE_BEHIND
    head = {"page": index, "width": page.width, "height": page.height, "frame": list(page.frame)}
    head |= {"fault": fault, "blank": blank and not words.words, "pixels": pixels, "ink": ink, "hidden": hidden}
    return head | {"lost": list(_lost(found))}, words


def _lost(found: PageText) -> Iterator[tuple[Reason, str]]:
    """What of a page's text is missing, or was left out."""
    if found.missing_fonts:
        yield Reason.FONT, ", ".join(f"{name}: {script}" for name, script in sorted(found.missing_fonts.items()))
    if found.unknown > _MANY * len(found.text):
        yield Reason.GLYPHS, ""
    left_out = found.left_out.total()
    if left_out > max(2, _MANY * len(found.words.words)):
        yield Reason.UNSEEN, ", ".join(sorted(found.left_out))


def _picture_page(file: PictureFile, index: int) -> Answer:
    width, height = file.size(index)
    pixels, blank, ink = _small_digest(file.render(index, 128))
    head = {"page": index, "width": width, "height": height, "frame": list(Frame(0, 0, width, height))}
    head |= {"fault": "a picture", "blank": blank, "pixels": pixels, "ink": ink, "hidden": False}
    return head | {"lost": []}, pack(no_words())


def _small_digest(image: Image.Image) -> tuple[str, bool, float]:
    """A digest of a small grey copy, coarse enough for rounding, whether it is all of one shade, and the share of it
    that stands out from the shade that is most of it."""
    grey = np.asarray(image.convert("L"), np.uint8)
    blank = int(grey.max()) - int(grey.min()) < 8
    ground = int(np.bincount(grey.ravel() >> 3).argmax()) << 3
    ink = float((np.abs(grey.astype(np.int16) - ground) > 24).mean())
    return hashlib.sha256(f"{grey.shape}".encode() + (grey >> 3).tobytes()).hexdigest()[:32], blank, ink


def _reason(error: Exception) -> str:
    """Whatever a library makes of a damaged file is that file's reason."""
    if isinstance(error, DocumentRefused):
        return str(error)
    return f"damaged: {' '.join(f'{type(error).__name__}: {error}'.split())[:160]}"


def _load_answer(kept: Path) -> tuple[dict[str, Any], Words] | None:
    try:
        head, words, boxes, sizes, lines, sources = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    places = np.asarray(boxes, np.float32).reshape(-1, 4)
    rest = np.asarray(sizes, np.float32), np.asarray(lines, np.int32), np.asarray(sources, np.uint8)
    return head, Words(words, places, *rest)


def _limit_memory(megabytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent's clock is the only limit there.
        return
    start = 0
    if Path("/proc/self/statm").exists():
        start = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = start + (megabytes << 20)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ValueError, OSError):  # macOS knows the limit and refuses to set it.
        return


def _end_with(parent: int) -> None:
    """End this process, and what it has started, when its parent is gone, even while pdfium hangs."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def serve(channel: socket.socket, arena: Arena | None = None) -> None:
    """Answer requests until the channel closes."""
    reader = Reader(arena)
    while True:
        try:
            request, _ = wire.receive(channel)
        except wire.BrokenWire:
            return
        try:
            for message, blobs in reader.answer(request):
                wire.send(channel, message, blobs)
            wire.send(channel, {"done": True})
        except DocumentRefused as refusal:
            wire.send(channel, {"refused": str(refusal)})
        except MemoryError:
            wire.send(channel, {"memory": True})
            return
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:  # Whatever a library makes of a damaged file is that file's reason.
            reader.close()
            wire.send(channel, {"refused": _reason(error)})


def main() -> None:
    """Read the arguments, set the limits, serve."""
    handle, parent, megabytes, shared = (int(argument) for argument in sys.argv[1:5])
    _end_with(parent)
    arena = Arena(shared) if shared >= 0 else None
    _limit_memory(megabytes)
    keep_freed_memory()
    # Pictures' sizes are judged before any pixel is decoded, so Pillow's own guard is not needed.
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")
    # What the libraries have loaded stays: nobody need look through it again for every few pages of words.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    serve(socket.socket(fileno=handle), arena)
    os._exit(0)


if __name__ == "__main__":
    main()
