"""A font for the characters that neither a file nor the machine has one for.

pdfium drops a character without a glyph from the text too, so that a Chinese page in fonts that are not embedded reads
as blank on a machine without a Chinese font. Here such fonts are stood in for by one whose only glyph is a box: the
words are read wherever the machine stands, and the page's picture shows boxes where signs are missing.
"""

from __future__ import annotations

import ctypes
import io
from functools import cache
from typing import Any

import pypdfium2.raw as raw

_HANDLE = 0x7FFFFFF0
"""Our font, among the addresses of pdfium's own."""
_LATIN = frozenset({0, 1, 2, 77, 255})
"""Character sets (Windows' numbers) for which pdfium has fonts of its own: ANSI, default, symbol, Macintosh, OEM."""
_SCRIPTS = {
    **{128: "Japanese", 129: "Korean", 130: "Korean", 134: "Chinese", 136: "Chinese", 161: "Greek", 162: "Turkish"},
    **{163: "Vietnamese", 177: "Hebrew", 178: "Arabic", 186: "Baltic", 204: "Cyrillic", 222: "Thai"},
    238: "Central European",
}
_PROBES = {"Japanese": "\u306e\u4e8b", "Korean": "\ub294", "Chinese": "\u7684", "Thai": "\u0e01", "Arabic": "\u0628"}
"""A font that has not even these characters is of no use for the script, whatever it says of itself."""

_P = ctypes.c_void_p
_INFO = ctypes.POINTER(raw.FPDF_SYSFONTINFO)
_TYPES: dict[str, Any] = {
    "MapFont": ctypes.CFUNCTYPE(_P, _INFO, *[ctypes.c_int] * 4, ctypes.c_char_p, _P),
    "GetFontData": ctypes.CFUNCTYPE(ctypes.c_ulong, _INFO, _P, ctypes.c_uint, _P, ctypes.c_ulong),
    "GetFaceName": ctypes.CFUNCTYPE(ctypes.c_ulong, _INFO, _P, _P, ctypes.c_ulong),
    "GetFontCharset": ctypes.CFUNCTYPE(ctypes.c_int, _INFO, _P),
    "DeleteFont": ctypes.CFUNCTYPE(None, _INFO, _P),
}


class Substitute:
    """What pdfium asks for fonts, with ours where the machine has none of the script.

    `missing`: the names of the fonts that ours stands in for, with the names of their scripts.
    """

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self._covers: dict[tuple[int, str], bool] = {}
        self._info = raw.FPDF_GetDefaultSystemFontInfo()
        fields, types = self._info.contents, dict(raw.FPDF_SYSFONTINFO._fields_)
        address = {name: ctypes.cast(getattr(fields, name), _P).value for name in _TYPES}
        self._machine: dict[str, Any] = {name: kind(address[name]) for name, kind in _TYPES.items()}
        ours = (self._map_font, self._font_data, self._face_name, self._charset, self._delete)
        # pdfium keeps their addresses, so they must live as long as it does.
        self._callbacks = [kind(answer) for kind, answer in zip(_TYPES.values(), ours, strict=True)]
        for name, callback in zip(_TYPES, self._callbacks, strict=True):
            setattr(fields, name, ctypes.cast(callback, types[name]))
        raw.FPDF_SetSystemFontInfo(self._info)

    def _map_font(
        self, info: Any, weight: int, italic: int, charset: int, pitch: int, face: bytes, exact: int
    ) -> int | None:
        found: int | None = self._machine["MapFont"](info, weight, italic, charset, pitch, face, exact)
        script = _SCRIPTS.get(charset, "another script")
        if charset in _LATIN or (found and self._has(info, found, _PROBES.get(script, ""))):
            return found
        if found:
            self._machine["DeleteFont"](info, found)
        self.missing[(face or b"").decode("utf-8", "replace")] = script
        return _HANDLE

    def _has(self, info: Any, font: int, characters: str) -> bool:
        """Whether a font of the machine has a glyph for each of these characters."""
        if not characters:
            return True
        size = self._machine["GetFontData"](info, font, 0, None, 0)
        if (size, characters) not in self._covers:
            from fontTools.ttLib import TTFont, TTLibError

            program = ctypes.create_string_buffer(max(size, 1))
            self._machine["GetFontData"](info, font, 0, ctypes.addressof(program), size)
            try:
                known = TTFont(io.BytesIO(program.raw[:size]), fontNumber=0, lazy=True).getBestCmap() or {}
            except (TTLibError, KeyError, ValueError, AssertionError):
                known = {}
            self._covers[size, characters] = all(ord(character) in known for character in characters)
        return self._covers[size, characters]

    def _font_data(self, info: Any, font: int, table: int, buffer: int | None, size: int) -> int:
        if font != _HANDLE:
            return int(self._machine["GetFontData"](info, font, table, buffer, size))
        if table:  # A table by its name: ours is asked for whole.
            return 0
        program = boxes()
        if buffer and size >= len(program):
            ctypes.memmove(buffer, program, len(program))
        return len(program)

    def _face_name(self, info: Any, font: int, buffer: int | None, size: int) -> int:
        return 0 if font == _HANDLE else int(self._machine["GetFaceName"](info, font, buffer, size))

    def _charset(self, info: Any, font: int) -> int:
        return 1 if font == _HANDLE else int(self._machine["GetFontCharset"](info, font))

    def _delete(self, info: Any, font: int) -> None:
        if font != _HANDLE:
            self._machine["DeleteFont"](info, font)


@cache
def substitute() -> Substitute:
    """The one that this process's pdfium asks, from the first call on."""
    return Substitute()


@cache
def boxes() -> bytes:
    """A TrueType font that draws a box for every character, an em wide."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from fontTools.ttLib.tables._c_m_a_p import CmapSubtable

    pen = TTGlyphPen(None)
    for left, bottom, right, top in ((60, -80, 940, 840), (890, -30, 110, 790)):  # The inner one the other way round.
        corners = [(left, bottom), (left, top), (right, top), (right, bottom)]
        pen.moveTo(corners[0])
        for corner in corners[1:]:
            pen.lineTo(corner)
        pen.closePath()
    box = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "box"])
    builder.setupGlyf({".notdef": box, "box": box})
    builder.setupHorizontalMetrics({".notdef": (1000, 60), "box": (1000, 60)})
    builder.setupHorizontalHeader(ascent=860, descent=-140)
    builder.setupCharacterMap({0x4E00: "box"})
    every = CmapSubtable.newSubtable(13)  # The format in which many characters share a glyph.
    every.platformID, every.platEncID, every.language = 3, 10, 0
    every.cmap = {code: "box" for code in range(0x21, 0x30000) if not 0xD800 <= code < 0xE000}
    builder.font["cmap"].tables = [every]
    builder.setupNameTable({"familyName": "Missing", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    file = io.BytesIO()
    builder.font.save(file)
    return file.getvalue()
