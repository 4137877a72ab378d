"""What is drawn on a page beside its words: where its pictures and its paths are. Counted, never painted.

Asked for when it is needed, of single pages, rather than kept of all: reading goes on at its speed, and a workspace
that was read long ago has it too.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pypdfium2.raw as raw
from numpy.typing import NDArray

from pagetune.pages.geometry import Frame

MOST = 20_000
"""Objects of a page that are looked at: a map of a hundred thousand paths is told by its first ones."""
_KINDS = (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_SHADING)
_DEEPEST = 5
_BAR = 8.0
"""Points: a line as thick as that is a bar."""
_Matrix = tuple[float, float, float, float, float, float]
_AS_IT_IS: _Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """Boxes float32 [n, 4] (left, bottom, right, top, in points of the page as shown) of pictures and of paths.

    `segments` int32 [paths]: of how many pieces a path is; `filled` bool [paths]: its inside is painted. `text_shown`:
    the words of the text layer are painted, not somebody's OCR laid invisibly over a picture.
    """

    pictures: NDArray[np.float32]
    paths: NDArray[np.float32]
    segments: NDArray[np.int32]
    filled: NDArray[np.bool_]
    text_shown: bool = True


def collect(page: Any, frame: Frame, text_shown: bool) -> Marks:
    """The marks of an open pdfium page, those inside of forms included."""
    pictures: list[list[float]] = []
    paths: list[list[float]] = []
    segments: list[int] = []
    filled: list[bool] = []
    for kind, item, box in _objects(page):
        if kind == raw.FPDF_PAGEOBJ_IMAGE:
            pictures.append(box)
            continue
        mode, stroke = ctypes.c_int(), ctypes.c_int()
        if kind == raw.FPDF_PAGEOBJ_PATH:
            raw.FPDFPath_GetDrawMode(item, mode, stroke)
            if not mode.value and not stroke.value:  # It only clips.
                continue
        pieces = raw.FPDFPath_CountSegments(item) if kind == raw.FPDF_PAGEOBJ_PATH else 1
        paths.append(
            _without_width(item, box) if pieces == 2 and min(box[2] - box[0], box[3] - box[1]) <= _BAR else box
        )
        segments.append(pieces)
        filled.append(bool(mode.value) or kind == raw.FPDF_PAGEOBJ_SHADING)
    return Marks(
        frame.shown(_boxes(pictures)),
        frame.shown(_boxes(paths)),
        np.array(segments, np.int32),
        np.array(filled, bool),
        text_shown,
    )


def all_picture(width: float, height: float) -> Marks:
    """The marks of a page that is a picture file."""
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, bool)
    return Marks(np.array([[0, 0, width, height]], np.float32), *nothing)


def pack_marks(marks: Marks) -> list[bytes]:
    """As raw parts of a message."""
    return [part.tobytes() for part in (marks.pictures, marks.paths, marks.segments, marks.filled)]


def unpack_marks(message: dict[str, Any], blobs: Sequence[Any]) -> Marks:
    """What `pack_marks` packed. Raises ValueError, TypeError or LookupError where it is not that."""
    pictures, paths = (np.frombuffer(bytes(blob), np.float32).reshape(-1, 4) for blob in blobs[:2])
    segments, filled = np.frombuffer(bytes(blobs[2]), np.int32), np.frombuffer(bytes(blobs[3]), bool)
    if not len(paths) == len(segments) == len(filled):
        raise ValueError(f"{len(paths)} paths, {len(segments)} counts and {len(filled)} flags")
    return Marks(pictures, paths, segments, filled, bool(message["text_shown"]))


def _objects(page: Any) -> Iterator[tuple[int, Any, list[float]]]:
    """Kind, object and box of the first MOST pictures, paths and shadings; of forms what is in them."""
    left = [MOST]
    yield from _inside(page, raw.FPDFPage_CountObjects, raw.FPDFPage_GetObject, _AS_IT_IS, left, 0)


def _inside(
    holder: Any, count: Any, get: Any, matrix: _Matrix, left: list[int], depth: int
) -> Iterator[tuple[int, Any, list[float]]]:
    sides = [ctypes.c_float() for _ in range(4)]
    for index in range(count(holder)):
        if left[0] <= 0:
            return
        left[0] -= 1
        item = get(holder, index)
        kind = raw.FPDFPageObj_GetType(item)
        if kind == raw.FPDF_PAGEOBJ_FORM and depth < _DEEPEST:
            own = _joined(_matrix_of(item), matrix)
            yield from _inside(item, raw.FPDFFormObj_CountObjects, raw.FPDFFormObj_GetObject, own, left, depth + 1)
        elif kind in _KINDS and raw.FPDFPageObj_GetBounds(item, *sides):
            yield kind, item, _moved(matrix, *(side.value for side in sides))


def _without_width(line: Any, box: list[float]) -> list[float]:
    """The box of a level or an upright line without its stroke's width, which pdfium adds on all sides."""
    x, y = ctypes.c_float(), ctypes.c_float()
    ends = []
    for index in (0, 1):
        raw.FPDFPathSegment_GetPoint(raw.FPDFPath_GetPathSegment(line, index), x, y)
        ends.append((x.value, y.value))
    a, b, c, d, _, _ = _matrix_of(line)
    across, up = ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]
    across, up = abs(a * across + c * up), abs(b * across + d * up)
    left, bottom, right, top = box
    if up <= 0.1 * across:
        bottom = top = (bottom + top) / 2
    elif across <= 0.1 * up:
        left = right = (left + right) / 2
    return [left, bottom, right, top]


def _matrix_of(item: Any) -> _Matrix:
    found = raw.FS_MATRIX()
    if not raw.FPDFPageObj_GetMatrix(item, found):
        return _AS_IT_IS
    return found.a, found.b, found.c, found.d, found.e, found.f


def _joined(first: _Matrix, then: _Matrix) -> _Matrix:
    a, b, c, d, e, f = first
    p, q, r, s, t, u = then
    return a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u


def _moved(matrix: _Matrix, left: float, bottom: float, right: float, top: float) -> list[float]:
    a, b, c, d, e, f = matrix
    x = [a * px + c * py + e for px in (left, right) for py in (bottom, top)]
    y = [b * px + d * py + f for px in (left, right) for py in (bottom, top)]
    return [min(x), min(y), max(x), max(y)]


def _boxes(rows: list[list[float]]) -> NDArray[np.float32]:
    return np.nan_to_num(np.array(rows, np.float32).reshape(-1, 4))
