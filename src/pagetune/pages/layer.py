"""The text layer of an open page: its characters, one for each of pdfium's indices, and what is known of each."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pypdfium2.raw as raw
from numpy.typing import NDArray

from pagetune.errors import DocumentRefused
from pagetune.pages.geometry import Frame
from pagetune.pages.words import NO_CHARACTER, UNKNOWN

INVISIBLE = 3
"""The render mode of text that is not painted."""

_VISIBLE = re.compile(r"\S")


def loose(function: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    """One of pdfium's functions with plain addresses and numbers.

    Asked for thousands of times a page: the generated binding would wrap every argument, and give up the interpreter's
    lock each time, though a call is too short to keep the thread waiting that watches the parent.
    """
    address = cast(int, ctypes.cast(function, ctypes.c_void_p).value)
    return ctypes.PYFUNCTYPE(result, *arguments)(address)


def address_of(handle: Any) -> int:
    """The address of one of pdfium's handles."""
    return cast(int, ctypes.cast(handle, ctypes.c_void_p).value)


_P, _I = ctypes.c_void_p, ctypes.c_int
_char_box = loose(raw.FPDFText_GetLooseCharBox, _I, _P, _I, _P)
_char_angle = loose(raw.FPDFText_GetCharAngle, ctypes.c_float, _P, _I)
_char_object = loose(raw.FPDFText_GetTextObject, _P, _P, _I)
_char_code = loose(raw.FPDFText_GetUnicode, ctypes.c_uint, _P, _I)
_char_unmapped = loose(raw.FPDFText_HasUnicodeMapError, _I, _P, _I)


class TextLayer:
    """The characters of a page; to be closed. Raises DocumentRefused where there is no text page to be had."""

    def __init__(self, page: Any, frame: Frame) -> None:
        self._layer = raw.FPDFText_LoadPage(page)
        if not self._layer:
            raise DocumentRefused("text cannot be loaded")
        self._address = address_of(self._layer)
        self._frame = frame
        self.text = _layer_text(self._layer, self._address)

    def close(self) -> None:
        """Close it."""
        raw.FPDFText_ClosePage(self._layer)

    def boxes(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """float32 [n, 4]: the loose boxes of the characters at these indices, on the page as it is shown."""
        found = np.zeros((len(indices), 4), np.float32)
        start, size = found.ctypes.data, found.strides[0]
        for index, place in zip(indices, range(start, start + found.nbytes, size), strict=True):
            _char_box(self._address, index, place)
        # The structure's order is left, top, right, bottom.
        return self._frame.shown(found[:, [0, 3, 2, 1]])

    def size(self, index: int) -> float:
        """The size in points of the type of the character at `index`."""
        matrix, scale = raw.FS_MATRIX(), 1.0
        if raw.FPDFText_GetMatrix(self._layer, index, ctypes.byref(matrix)):
            scale = float(abs(matrix.a * matrix.d - matrix.b * matrix.c)) ** 0.5
        return float(raw.FPDFText_GetFontSize(self._layer, index)) * (scale or 1.0)

    def turns(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """int64 [n]: by how many quarter turns clockwise the type at these indices stands upright on the page shown."""
        angles = np.asarray([_char_angle(self._address, index) for index in indices])
        quarters = np.round(np.maximum(angles, 0.0) / (math.pi / 2)).astype(np.int64)
        return -(quarters + self._frame.turns) % 4  # The angles, too, are clockwise.

    def objects(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """int64 [n]: the address of the text object that each character is of; 0 for one that pdfium put in."""
        return np.asarray([_char_object(self._address, index) or 0 for index in indices], np.int64)

    def painted(self) -> bool:
        """Whether any of up to eight characters, spread over the page, is painted."""
        found = False
        for start in range(0, len(self.text), max(1, len(self.text) // 8)):
            if match := _VISIBLE.search(self.text, start):
                found = True
                item = raw.FPDFText_GetTextObject(self._layer, match.start())
                if not item or raw.FPDFTextObj_GetTextRenderMode(item) != INVISIBLE:
                    return True
        return not found

    def is_unmapped(self, index: int) -> bool:
        """Whether the font does not say which character a glyph is: pdfium gives the glyph's code instead."""
        return bool(_char_unmapped(self._address, index) == 1)

    def font_of(self, index: int) -> str:
        """The base name of the font of the character at `index`, "" if it is not told."""
        item = raw.FPDFText_GetTextObject(self._layer, index)
        return font_name(raw.FPDFTextObj_GetFont(item)) if item else ""


def font_name(font: Any) -> str:
    """The base name of one of pdfium's fonts, "" if it has none."""
    if not font:
        return ""
    buffer = ctypes.create_string_buffer(256)
    raw.FPDFFont_GetBaseFontName(font, buffer, len(buffer))
    return buffer.value.decode("utf-8", "replace")


def _layer_text(layer: Any, address: int) -> str:
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
    return _joined([_char_code(address, index) for index in range(count)])


def _joined(codes: Sequence[int]) -> str:
    """Characters of codes. One beyond the first plane may come in two halves: the second has no character then."""
    characters = [chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else UNKNOWN for code in codes]
    for place, (high, low) in enumerate(pairwise(codes)):
        if 0xD800 <= high < 0xDC00 <= low < 0xE000:
            characters[place] = chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
            characters[place + 1] = NO_CHARACTER
    return "".join(characters)
