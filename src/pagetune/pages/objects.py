"""The objects of an open page, asked by plain addresses: what each is, where it lies, what it hides."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pypdfium2.raw as raw

from pagetune.pages.layer import address_of, loose

_P, _I = ctypes.c_void_p, ctypes.c_int
_count = loose(raw.FPDFPage_CountObjects, _I, _P)
_get = loose(raw.FPDFPage_GetObject, _P, _P, _I)
kind_of = loose(raw.FPDFPageObj_GetType, _I, _P)
_bounds = loose(raw.FPDFPageObj_GetBounds, _I, _P, _P, _P, _P, _P)
count_marks = loose(raw.FPDFPageObj_CountMarks, _I, _P)
mode_of = loose(raw.FPDFTextObj_GetTextRenderMode, _I, _P)
_fill = loose(raw.FPDFPageObj_GetFillColor, _I, _P, _P, _P, _P, _P)
_draw_mode = loose(raw.FPDFPath_GetDrawMode, _I, _P, _P, _P)
_set_active = loose(raw.FPDFPageObj_SetIsActive, _I, _P, _I)
_form_count = loose(raw.FPDFFormObj_CountObjects, _I, _P)
_form_get = loose(raw.FPDFFormObj_GetObject, _P, _P, ctypes.c_ulong)
_clip = loose(raw.FPDFPageObj_GetClipPath, _P, _P)
_clip_count = loose(raw.FPDFClipPath_CountPaths, _I, _P)
MOST_OBJECTS = 20_000
"""Objects of a page that are looked at."""
_PALE = 240
"""Of 255: type with no darker channel is looked at."""
_THIN = 3.0
"""Points: what is drawn over text and is no higher is a rule."""
_DEEPEST = 4
_FAR = 1e6
"""Points: no page is as large."""
_CHANNELS = (ctypes.c_uint * 4)()
_CHANNEL = [ctypes.addressof(_CHANNELS) + 4 * place for place in range(4)]
_SIDES = (ctypes.c_float * 4)()
_SIDE = [ctypes.addressof(_SIDES) + 4 * place for place in range(4)]
_MODES = (ctypes.c_int * 2)()
_MODE = [ctypes.addressof(_MODES) + 4 * place for place in range(2)]


def objects_of(page: Any) -> list[int]:
    """The addresses of a page's objects, in the order of drawing."""
    address = address_of(page)
    return [_get(address, order) for order in range(_count(address))]


@contextmanager
def switched_off(items: Collection[int]) -> Iterator[None]:
    """Objects switched off: neither painted nor read."""
    for item in items:
        _set_active(item, False)
    try:
        yield
    finally:
        for item in items:
            _set_active(item, True)


@contextmanager
def out_of_the_way(items: Collection[int]) -> Iterator[None]:
    """Objects switched off, and texts moved off the page: pdfium compares a text with the ones before it even where
    these are off, and leaves it out if it is the same in the same place."""
    texts = [ctypes.cast(item, raw.FPDF_PAGEOBJECT) for item in items if kind_of(item) == raw.FPDF_PAGEOBJ_TEXT]
    places = [raw.FS_MATRIX() for _ in texts]
    for text, place in zip(texts, places, strict=True):
        raw.FPDFPageObj_GetMatrix(text, place)
        raw.FPDFPageObj_SetMatrix(text, raw.FS_MATRIX(place.a, place.b, place.c, place.d, _FAR, _FAR))
    try:
        with switched_off(items):
            yield
    finally:
        for text, place in zip(texts, places, strict=True):
            raw.FPDFPageObj_SetMatrix(text, place)


def optional_layer(item: int) -> str | None:
    """The name of the optional layer ("OC") that an object is marked to be of; None if it is not."""
    handle = ctypes.cast(item, raw.FPDF_PAGEOBJECT)
    for index in range(min(count_marks(item), 8)):
        mark = raw.FPDFPageObj_GetMark(handle, index)
        if _said(raw.FPDFPageObjMark_GetName, mark) == "OC":
            return _said(raw.FPDFPageObjMark_GetParamStringValue, mark, b"Name") or f" layer of object {item}"
    return None


def _said(ask: Any, mark: Any, *arguments: Any) -> str:
    """The text that one of pdfium's functions writes into a buffer."""
    size = ctypes.c_ulong()
    buffer = (ctypes.c_ushort * 64)()
    if not ask(mark, *arguments, buffer, ctypes.sizeof(buffer), size) or size.value > ctypes.sizeof(buffer):
        return ""
    return bytes(buffer)[: max(0, size.value - 2)].decode("utf-16-le", "replace")


def is_pale(text: int) -> bool:
    red, green, blue, alpha = _CHANNELS if _fill(text, *_CHANNEL) else (0, 0, 0, 255)
    return (red >= _PALE and green >= _PALE and blue >= _PALE) or alpha < 16


def box_of(item: int) -> tuple[float, float, float, float] | None:
    return (_SIDES[0], _SIDES[1], _SIDES[2], _SIDES[3]) if _bounds(item, *_SIDE) else None


def cover_of(item: int, kind: int) -> tuple[float, float, float, float] | None:
    """The box of an object that would hide what lies under it; None of one that would not."""
    if kind == raw.FPDF_PAGEOBJ_PATH and not (_draw_mode(item, *_MODE) and _MODES[0]):
        return None
    box = box_of(item)
    return box if box and box[3] - box[1] > _THIN and box[2] - box[0] > _THIN else None


def is_clipped_away(text: int) -> bool:
    """Whether the middle of a text lies outside of the box of its clipping."""
    clip = _clip(text)
    if not clip or _clip_count(clip) <= 0:
        return False
    box, handle = box_of(text), ctypes.cast(clip, raw.FPDF_CLIPPATH)
    if box is None:
        return False
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    across, up = ctypes.c_float(), ctypes.c_float()
    for path in range(min(_clip_count(clip), 4)):
        points = []
        for place in range(min(raw.FPDFClipPath_CountPathSegments(handle, path), 16)):
            segment = raw.FPDFClipPath_GetPathSegment(handle, path, place)
            if segment and raw.FPDFPathSegment_GetPoint(segment, across, up):
                points.append((across.value, up.value))
        if points and not (
            min(p[0] for p in points) <= x <= max(p[0] for p in points)
            and min(p[1] for p in points) <= y <= max(p[1] for p in points)
        ):
            return True
    return False


def leaves_of(holder: Any, depth: int = 0) -> Iterator[int]:
    """The objects of a page and of the forms in it. `holder`: pdfium's page, or below it a form's address."""
    items = (
        (_form_get(holder, at) for at in range(min(_form_count(holder), MOST_OBJECTS))) if depth else objects_of(holder)
    )
    for item in items:
        if depth < _DEEPEST and kind_of(item) == raw.FPDF_PAGEOBJ_FORM:
            yield from leaves_of(item, depth + 1)
        else:
            yield item
