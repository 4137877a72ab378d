"""One PDF inside a worker: its pages' words and pixels, its outline and metadata (pdfium, by pypdfium2)."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pypdfium2
import pypdfium2.raw as raw
from numpy.typing import NDArray
from PIL import Image

from pagetune.errors import DocumentRefused
from pagetune.pages.formats import ENCRYPTED
from pagetune.pages.geometry import Frame
from pagetune.pages.marks import Marks, collect
from pagetune.pages.words import Words, split_words

MAX_BOOKMARKS = 20_000
_METADATA = ("Title", "Author", "Subject", "Keywords", "Creator", "Producer", "CreationDate", "ModDate")
_INVISIBLE = 3
_VISIBLE = re.compile(r"\S")
_MAX_OBJECTS = 4000
_CIPHER = re.compile(rb"/CFM\s*/(\w+)")
_CIPHERS = {b"V2", b"AESV2", b"AESV3"}


class PdfFile:
    """An open PDF. Raises DocumentRefused with the reason if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        # pdfium keeps the last file's error where it does not set one (a document without pages): set it to one
        # that cannot happen here, that of a file that is not there.
        raw.FPDF_LoadDocument(str(path / "none").encode(), None)
        try:
            self.document = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError as error:
            raise DocumentRefused(_why(str(error), path)) from None
        self.pages = len(self.document)
        if not self.pages:
            raise DocumentRefused("no pages")
        self._forms = self.document.get_formtype() != raw.FORMTYPE_NONE and self._open_forms()

    def close(self) -> None:
        self.document.close()

    def _open_forms(self) -> bool:
        try:
            self.document.init_forms()
        except pypdfium2.PdfiumError:
            return False
        return True

    def about(self) -> dict[str, Any]:
        """The outline as [level from 1, title, page from 1, height in PDF coordinates or None], and metadata."""
        metadata = self.document.get_metadata_dict(skip_empty=True)
        return {
            "outline": list(self._bookmarks()),
            "metadata": {key: " ".join(metadata[key].split())[:2000] for key in _METADATA if key in metadata},
        }

    def _bookmarks(self) -> Iterator[tuple[int, str, int, float | None]]:
        try:
            for count, bookmark in enumerate(self.document.get_toc(max_depth=12)):
                destination = bookmark.get_dest()
                index = destination.get_index() if destination else None
                title = " ".join(bookmark.get_title().replace("\x00", "").split())[:500]
                if title and destination is not None and index is not None and 0 <= index < self.pages:
                    yield bookmark.level + 1, title, index + 1, _height(*destination.get_view())
                if count >= MAX_BOOKMARKS:
                    return
        except pypdfium2.PdfiumError:
            return

    @contextmanager
    def page(self, index: int) -> Iterator[PdfPage]:
        """Page `index` (from 0), open. Raises DocumentRefused if it cannot be loaded."""
        try:
            page = self.document.get_page(index)
        except pypdfium2.PdfiumError as error:
            raise DocumentRefused(f"page cannot be loaded: {_plain(str(error))}") from None
        try:
            yield PdfPage(page, self.document.formenv.raw if self._forms and self.document.formenv else None)
        finally:
            page.close()


class PdfPage:
    """One open page."""

    def __init__(self, page: pypdfium2.PdfPage, forms: Any = None) -> None:
        self._page = page
        self._raw = page.raw
        self._forms = forms
        self.width = float(raw.FPDF_GetPageWidthF(self._raw))
        self.height = float(raw.FPDF_GetPageHeightF(self._raw))
        if not (0 < self.width < 1e6 and 0 < self.height < 1e6):
            raise DocumentRefused(f"page of {self.width:g} x {self.height:g} points")
        box = raw.FS_RECTF()
        raw.FPDF_GetPageBoundingBox(self._raw, box)
        self.frame = Frame(box.left, box.bottom, box.right, box.top, int(raw.FPDFPage_GetRotation(self._raw)) % 4)

    def text(self) -> tuple[str, Words, bool]:
        """The text layer as it came, its words with boxes in the shown page's points, and whether it is painted."""
        layer = raw.FPDFText_LoadPage(self._raw)
        if not layer:
            raise DocumentRefused("text cannot be loaded")
        try:
            text = _layer_text(layer)
            words = split_words(text, _char_boxes(layer), _type_size(layer))
            visible = _painted(layer, text)
        finally:
            raw.FPDFText_ClosePage(layer)
        return text, words._replace(boxes=self.frame.shown(words.boxes)), visible

    def marks(self) -> Marks:
        """Where its pictures and paths are."""
        layer = raw.FPDFText_LoadPage(self._raw)
        try:
            shown = not layer or _painted(layer, _layer_text(layer))
        finally:
            if layer:
                raw.FPDFText_ClosePage(layer)
        return collect(self._raw, self.frame, shown)

    def picture_share(self) -> float:
        """The share of the page that its largest picture covers, 0 to 1."""
        largest = 0.0
        sides = [ctypes.c_float() for _ in range(4)]
        for index in range(min(raw.FPDFPage_CountObjects(self._raw), _MAX_OBJECTS)):
            item = raw.FPDFPage_GetObject(self._raw, index)
            kind = raw.FPDFPageObj_GetType(item)
            if kind not in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM):
                continue
            if kind == raw.FPDF_PAGEOBJ_FORM and not _holds_picture(item):
                continue
            if raw.FPDFPageObj_GetBounds(item, *sides):
                left, bottom, right, top = (side.value for side in sides)
                largest = max(largest, abs((right - left) * (top - bottom)))
        return min(1.0, largest / (self.width * self.height))

    def render(self, width: int, height: int, memory: memoryview | None = None) -> Image.Image:
        """The page in `width` x `height` pixels on white, annotations and form fields included.

        Of mode RGBX, and the renderer's own memory: `memory` (4 bytes a pixel) if given, else new. A conversion to RGB
        costs a third of the rendering, and not everybody needs one.
        """
        stride = width * 4
        buffer: Any = bytearray(b"\xff") * (stride * height) if memory is None else memory
        pixels = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        if memory is not None:
            ctypes.memset(pixels, 255, len(buffer))
        bitmap = raw.FPDFBitmap_CreateEx(width, height, raw.FPDFBitmap_BGRx, pixels, stride)
        if not bitmap:
            raise DocumentRefused(f"no bitmap of {width} x {height} pixels")
        try:
            flags = raw.FPDF_ANNOT | raw.FPDF_REVERSE_BYTE_ORDER
            raw.FPDF_RenderPageBitmap(bitmap, self._raw, 0, 0, width, height, 0, flags)
            if self._forms:
                raw.FPDF_FFLDraw(self._forms, bitmap, self._raw, 0, 0, width, height, 0, flags)
        finally:
            raw.FPDFBitmap_Destroy(bitmap)
        return Image.frombuffer("RGBX", (width, height), buffer, "raw", "RGBX", stride, 1)


def _layer_text(layer: Any) -> str:
    """The whole text, exactly one character for each of pdfium's indices."""
    count = raw.FPDFText_CountChars(layer)
    if count <= 0:
        return ""
    buffer = (ctypes.c_ushort * (2 * count + 2))()
    got = raw.FPDFText_GetText(layer, 0, count, buffer)
    text = bytes(buffer)[: 2 * max(0, got - 1)].decode("utf-16-le", "replace")
    if len(text) == count and got - 1 == count:
        return text
    # Glyphs without a character, or characters of two units: the indices differ, so ask for each.
    codes = (raw.FPDFText_GetUnicode(layer, index) for index in range(count))
    return "".join(chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd" for code in codes)


# Asked for a thousand times a page, so with plain addresses, which the generated binding would wrap one by one, and
# without giving up the interpreter's lock: a call is too short to keep the thread waiting that watches the parent.
_loose_char_box = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(
    cast(int, ctypes.cast(raw.FPDFText_GetLooseCharBox, ctypes.c_void_p).value)
)


def _char_boxes(layer: Any) -> Callable[[Sequence[int]], NDArray[np.float32]]:
    address = ctypes.cast(layer, ctypes.c_void_p).value

    def boxes(indices: Sequence[int]) -> NDArray[np.float32]:
        found = np.zeros((len(indices), 4), np.float32)
        start, size = found.ctypes.data, found.strides[0]
        for index, place in zip(indices, range(start, start + found.nbytes, size), strict=True):
            _loose_char_box(address, index, place)
        # The structure's order is left, top, right, bottom.
        return found[:, [0, 3, 2, 1]]

    return boxes


def _type_size(layer: Any) -> Callable[[int], float]:
    matrix = raw.FS_MATRIX()
    reference = ctypes.byref(matrix)

    def size(index: int) -> float:
        scale = 1.0
        if raw.FPDFText_GetMatrix(layer, index, reference):
            scale = float(abs(matrix.a * matrix.d - matrix.b * matrix.c)) ** 0.5
        return float(raw.FPDFText_GetFontSize(layer, index)) * (scale or 1.0)

    return size


def _painted(layer: Any, text: str) -> bool:
    """Whether any of up to eight characters, spread over the page, is painted."""
    found = False
    for start in range(0, len(text), max(1, len(text) // 8)):
        if match := _VISIBLE.search(text, start):
            found = True
            item = raw.FPDFText_GetTextObject(layer, match.start())
            if not item or raw.FPDFTextObj_GetTextRenderMode(item) != _INVISIBLE:
                return True
    return not found


def _holds_picture(form: Any) -> bool:
    count = min(raw.FPDFFormObj_CountObjects(form), 200)
    items = (raw.FPDFFormObj_GetObject(form, index) for index in range(count))
    return any(raw.FPDFPageObj_GetType(item) == raw.FPDF_PAGEOBJ_IMAGE for item in items)


def _height(mode: int, values: list[float]) -> float | None:
    if mode == raw.PDFDEST_VIEW_XYZ and len(values) > 1:
        return float(values[1])
    if mode in (raw.PDFDEST_VIEW_FITH, raw.PDFDEST_VIEW_FITBH) and values:
        return float(values[0])
    if mode == raw.PDFDEST_VIEW_FITR and len(values) > 3:
        return float(values[3])
    return None


def _why(message: str, path: Path) -> str:
    lower = message.lower()
    # To pdfium a cipher that it does not know is a wrong password. What names it is never encrypted itself.
    foreign = "password" in lower and not {*_CIPHER.findall(path.read_bytes())} <= _CIPHERS
    if "password" in lower and not foreign:
        return ENCRYPTED
    if "security" in lower or foreign:
        return "encrypted: by a method that is not supported"
    if "format" in lower:
        return "damaged: not readable as a PDF"
    if "file access" in lower:
        return "damaged: it has no pages"
    return f"damaged: {_plain(message)}"


def _plain(message: str) -> str:
    return " ".join(message.split()).rstrip(".")
