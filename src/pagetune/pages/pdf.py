"""One PDF inside a worker: its pages' words and pixels, its outline and metadata (pdfium, by pypdfium2)."""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pypdfium2
import pypdfium2.raw as raw
from PIL import Image

from pagetune.errors import DocumentRefused
from pagetune.pages.annotations import Flattened, FlattenedDocument
from pagetune.pages.formats import ENCRYPTED
from pagetune.pages.geometry import Frame, covered_share
from pagetune.pages.glyph_names import GlyphNames
from pagetune.pages.layer import TextLayer, font_name
from pagetune.pages.line_numbers import merge_words
from pagetune.pages.marks import Marks, collect
from pagetune.pages.objects import leaves_of, objects_of, out_of_the_way
from pagetune.pages.painted import UNSEEN, Painted, inside_of
from pagetune.pages.placeholders import stand_in
from pagetune.pages.repair import GlyphNamer, repair
from pagetune.pages.splitting import split_words
from pagetune.pages.substitute import substitute
from pagetune.pages.words import Words
from pagetune.records import SOURCES

MAX_BOOKMARKS = 20_000
_METADATA = ("Title", "Author", "Subject", "Keywords", "Creator", "Producer", "CreationDate", "ModDate")
_MAX_OBJECTS = 4000
_HARDLY_ANY = 200
"""Characters of a page, white space included, of which it is asked whether there should be more."""
_READINGS = 3
"""Times that a page is read, each without what the ones before found unseen."""
_CIPHER = re.compile(rb"/CFM\s*/(\w+)")
_CIPHERS = {b"V2", b"AESV2", b"AESV3"}


class PdfFile:
    """An open PDF. Raises DocumentRefused with the reason if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        # pdfium keeps the last file's error where it does not set one (a document without pages): set it to one
        # that cannot happen here, that of a file that is not there.
        raw.FPDF_LoadDocument(str(path / "none").encode(), None)
        substitute().missing.clear()
        try:
            self.document = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError as error:
            raise DocumentRefused(_why(str(error), path)) from None
        self.pages = len(self.document)
        if not self.pages:
            raise DocumentRefused("no pages")
        self._glyphs = GlyphNames(path)
        self._flattened = FlattenedDocument(path)
        self.stand_in = stand_in(self.document, path)
        if self.document.get_formtype() != raw.FORMTYPE_NONE:
            with suppress(pypdfium2.PdfiumError):
                self.document.init_forms()

    def close(self) -> None:
        self._flattened.close()
        self.document.close()

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
            names, flattened = partial(self._glyphs, index), partial(self._flattened.page, index)
            yield PdfPage(page, names, flattened, self.document.formenv.raw if self.document.formenv else None)
        finally:
            page.close()


class PageText(NamedTuple):
    """A page's text as its layer has it, the words that a reader sees with their boxes in the shown page's points,
    whether they are painted, how many words were left out, by the reason, how many of its glyphs nobody knows, and the
    fonts that neither the file nor the machine has, with their scripts."""

    text: str
    words: Words
    visible: bool
    left_out: Counter[str]
    unknown: int
    missing_fonts: dict[str, str]


class PdfPage:
    """One open page."""

    def __init__(
        self,
        page: pypdfium2.PdfPage,
        glyph_names: GlyphNamer,
        flattened: Callable[[Any], AbstractContextManager[Flattened | None]],
        forms: Any = None,
    ) -> None:
        self._page = page
        self._glyph_names = glyph_names
        self._flattened = flattened
        self._raw = page.raw
        self._forms = forms
        self.width = float(raw.FPDF_GetPageWidthF(self._raw))
        self.height = float(raw.FPDF_GetPageHeightF(self._raw))
        if not (0 < self.width < 1e6 and 0 < self.height < 1e6):
            raise DocumentRefused(f"page of {self.width:g} x {self.height:g} points")
        box = raw.FS_RECTF()
        raw.FPDF_GetPageBoundingBox(self._raw, box)
        self.frame = Frame(box.left, box.bottom, box.right, box.top, int(raw.FPDFPage_GetRotation(self._raw)) % 4)

    def text(self) -> PageText:
        """What a reader sees of its text: of its content, of form fields and of annotations."""
        with self._flattened(self._raw) as flat:
            if flat is None:
                return self._read(self._raw, [])
            objects = objects_of(flat.page)
            content, added = objects[: flat.content], objects[flat.content :]
            own = self._read(flat.page, added)
            others = self._read(flat.page, content)
            fields = inside_of(others.words.boxes, self.frame.shown(flat.fields))
            names = [SOURCES.index("annotation"), SOURCES.index("form field")]
            added_words = others.words._replace(sources=np.asarray(names, np.uint8)[fields.astype(int)])
            text = f"{own.text} {' '.join(added_words.words)}"
            return PageText(
                text,
                merge_words(own.words, added_words),
                own.visible,
                own.left_out + others.left_out,
                own.unknown + others.unknown,
                _missing_fonts(flat.page, text),
            )

    def _read(self, page: Any, left_out: Sequence[int]) -> PageText:
        """The text of a page (pdfium's handle) without these of its objects, which are painted all the same."""
        first, unseen = self._read_once(page, left_out, [])
        found, known = first, list[int]()
        for _ in range(_READINGS - 1):
            if not unseen:
                break
            # Of the same words drawn twice in one place pdfium reads the first ones alone, which may be the unseen
            # ones, and unseen words between others part or join these. So the page is read again without them.
            known += unseen
            found, unseen = self._read_once(page, left_out, known)
        gained = len(found.words.words) - len(first.words.words)
        counts = +Counter({**first.left_out, UNSEEN: first.left_out[UNSEEN] - max(0, gained)})
        return found._replace(left_out=counts, missing_fonts=first.missing_fonts)

    def _read_once(self, page: Any, left_out: Sequence[int], known: Sequence[int]) -> tuple[PageText, list[int]]:
        """The same without the text objects that are known to be unseen, and what else a reader sees nothing of."""
        with out_of_the_way([*left_out, *known]):
            layer = TextLayer(page, self.frame)
        try:
            painted = Painted(page, self.frame, self.width, self.height, known)
            found = repair(layer, self._glyph_names)
            words = split_words(
                found.text,
                layer.boxes,
                layer.size,
                turns_of=layer.turns,
                seen_of=lambda boxes, starts: painted.seen(layer, boxes, starts),
                spelt=found.spelt,
            )
            text = " ".join(words.words) if painted.left_out.total() else found.text
            shown = not painted.covered and layer.painted()
            read = PageText(text, words, shown, +painted.left_out, found.unknown, _missing_fonts(page, found.text))
            return read, painted.unseen
        finally:
            layer.close()

    def marks(self) -> Marks:
        """Where its pictures and paths are."""
        layer = TextLayer(self._raw, self.frame)
        try:
            shown = layer.painted()
        finally:
            layer.close()
        return collect(self._raw, self.frame, shown)

    def picture_share(self) -> float:
        """The share of the page that its pictures cover together, 0 to 1: a scan may be stored in strips."""
        boxes = []
        sides = [ctypes.c_float() for _ in range(4)]
        for index in range(min(raw.FPDFPage_CountObjects(self._raw), _MAX_OBJECTS)):
            item = raw.FPDFPage_GetObject(self._raw, index)
            kind = raw.FPDFPageObj_GetType(item)
            pictured = kind == raw.FPDF_PAGEOBJ_IMAGE or (kind == raw.FPDF_PAGEOBJ_FORM and _holds_picture(item))
            if pictured and raw.FPDFPageObj_GetBounds(item, *sides):
                boxes.append([side.value for side in sides])
        shown = self.frame.shown(np.asarray(boxes, np.float32).reshape(-1, 4))
        return covered_share(shown, self.width, self.height)

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


def _missing_fonts(page: Any, text: str) -> dict[str, str]:
    """Of the fonts that the open document was found to miss, those of a page's text, with their scripts; and where
    pdfium gives hardly a character of a page's many texts, the fonts whose glyphs it has not found."""
    missing, hardly_any = substitute().missing, len(text) < _HARDLY_ANY
    if not missing and not hardly_any:
        return {}
    found: dict[str, str] = {}
    without: dict[str, str] = {}
    texts = 0
    for item in leaves_of(page):
        handle = ctypes.cast(item, raw.FPDF_PAGEOBJECT)
        if raw.FPDFPageObj_GetType(handle) == raw.FPDF_PAGEOBJ_TEXT:
            texts += 1
            font = raw.FPDFTextObj_GetFont(handle)
            name = font_name(font).rpartition("+")[2]
            if script := missing.get(name) or missing.get(name.partition(",")[0]):
                found[name] = script
            elif hardly_any and font and not raw.FPDFFont_GetIsEmbedded(font):
                without[name] = "no glyph of it"
    return found | without if texts > 2 + 2 * len("".join(text.split())) else found


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
