"""Which words of a page a reader sees: not those of layers that are off, nor those under a shape drawn later.

Looking at every word's pixels would cost as much as the reading. So the page's objects are asked first, which is
cheap, for what may be unseen: text of an optional layer, text inside of forms, text that a picture or a filled shape
is drawn over later, text whose clipping leaves it out, text in nearly white. Only pages that have such are rendered,
small and grey: as they are, without these objects, and these objects alone. A word is seen where a good part of what
it paints alone is changed by leaving it out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from ctypes import c_void_p
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pypdfium2.raw as raw
from numpy.typing import NDArray

from pagetune.pages.geometry import Frame, covered_share, fit
from pagetune.pages.layer import INVISIBLE, TextLayer
from pagetune.pages.objects import (
    MOST_OBJECTS,
    box_of,
    count_marks,
    cover_of,
    is_clipped_away,
    is_pale,
    kind_of,
    leaves_of,
    mode_of,
    objects_of,
    optional_layer,
    switched_off,
)

_MOST_LAYERS = 8
"""Groups that are looked at one by one; what is left is looked at together."""
_MOST_ASKED = 100
"""Groups that are asked whether they paint anything."""
_FILLED = 0.5
"""The share of a page that its pictures cover, from which it is a picture."""
_LONG_SIDE = 800
_AT_ONCE = 1 << 18
"""Pairs of a text and what may lie over it that are compared at once."""
_GREY = 128
"""The paper on which ink of any colour shows."""
_CHANGED = 12
"""Of 255: as much darker or lighter is ink."""
_SEEN_SHARE = 0.3
"""Of a word's ink: as much must be seen on the page."""
_PALE_SHARE = 0.1
"""The same of pale type: on paper nothing of it is seen, and over the bright half of a photograph it is read still."""
_PALE_GROUP = " pale"
UNSEEN = "not painted, or under something drawn later"


@dataclass
class Suspects:
    """Objects that may be unseen, by group: those of one group do not lie over each other and are looked at at once.

    `texts`: address of a text object -> its group; `unpainted`: text objects of the mode that paints nothing;
    `pictures`: boxes of pictures; under or over those that fill a page, text is its hidden layer.
    """

    texts: dict[int, str] = field(default_factory=dict)
    unpainted: set[int] = field(default_factory=set)
    pictures: list[tuple[float, float, float, float]] = field(default_factory=list)


class Painted:
    """What of an open page's text is painted. `page`: pdfium's handle; `without`: its texts that are known to be
    unseen; `left_out` counts words by the reason."""

    def __init__(self, page: Any, frame: Frame, width: float, height: float, without: Collection[int] = ()) -> None:
        self._without = frozenset(without)
        self._page = page
        self._frame, self._width, self._height = frame, width, height
        self.left_out: Counter[str] = Counter()
        self.covered = False
        """Most words lie under a picture that covers the page: they are its hidden layer."""
        self.unseen: list[int] = []
        """Text objects of which no word is seen, and their likes in the same places."""

    def seen(self, layer: TextLayer, boxes: NDArray[np.float32], starts: Sequence[int]) -> NDArray[np.bool_]:
        """bool [n]: which words are seen, of their boxes [n, 4] on the page as shown and their first indices."""
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        inside = (x >= 0) & (x <= self._width) & (y >= 0) & (y <= self._height)
        self.left_out["outside the page's visible box"] += int((~inside).sum())
        suspects = self._suspects()
        if not suspects.texts and not suspects.unpainted:
            return inside
        owners = layer.objects(starts)
        unpainted = np.asarray([owner in suspects.unpainted for owner in owners.tolist()])
        groups = np.asarray([suspects.texts.get(owner, "") for owner in owners.tolist()])
        hidden = self._unseen(suspects, groups, owners, boxes)
        pictures = self._frame.shown(np.asarray(suspects.pictures, np.float32).reshape(-1, 4))
        filled = covered_share(pictures, self._width, self._height) >= _FILLED
        over = inside_of(boxes, pictures) & filled
        layered = (hidden & over) | unpainted
        if layered.sum() > 0.5 * len(boxes):
            # Text under, or unpainted over, a picture of the page is somebody's OCR: whether it is good is for others.
            self.covered = not unpainted.all()
            layered[:] = False
            hidden[:] = False
        lost = hidden | (layered & ~over)
        self.left_out[UNSEEN] += int((lost & inside).sum())
        whole = _none_of(owners, lost, np.ones(len(lost), bool))
        self.unseen = [*(whole & suspects.unpainted), *_with_likes(whole, suspects.texts)]
        return inside & ~lost

    def _suspects(self) -> Suspects:
        """Ask the page's objects."""
        found = Suspects()
        texts: list[tuple[int, int]] = []
        covers: list[tuple[int, tuple[float, float, float, float]]] = []
        for order, item in enumerate(objects_of(self._page)[:MOST_OBJECTS]):
            kind = kind_of(item)
            layer = optional_layer(item) if count_marks(item) > 0 else None
            if kind == raw.FPDF_PAGEOBJ_TEXT:
                mode = mode_of(item)
                if mode != raw.FPDF_TEXTRENDERMODE_CLIP:  # What is drawn over that shows its letters.
                    texts.append((order, item))
                if mode == INVISIBLE:
                    found.unpainted.add(item)
                elif layer is not None:
                    found.texts[item] = layer
                elif is_pale(item) or is_clipped_away(item):
                    found.texts[item] = _PALE_GROUP
            elif kind == raw.FPDF_PAGEOBJ_FORM:
                group = layer or f" form {order}"
                found.texts |= {leaf: group for leaf in leaves_of(item, 1) if kind_of(leaf) == raw.FPDF_PAGEOBJ_TEXT}
            if kind != raw.FPDF_PAGEOBJ_TEXT and (box := cover_of(item, kind)) is not None:
                if kind in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM):
                    found.pictures.append(box)
                if texts:
                    covers.append((order, box))
        for item in _covered(texts, covers):
            if item not in found.unpainted:
                found.texts.setdefault(item, " covered")
        return found

    def _unseen(
        self, suspects: Suspects, groups: NDArray[Any], owners: NDArray[np.int64], boxes: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """bool [n]: words of a group of suspects that the page looks the same without."""
        hidden = np.zeros(len(boxes), bool)
        if not (groups != "").any():
            return hidden
        size = fit(self._width, self._height, _LONG_SIDE)
        scale = size[0] / self._width
        whole = self._render(size, 255)
        leaves = list(leaves_of(self._page))

        def ink_of(holders: Collection[int]) -> NDArray[np.bool_]:
            with switched_off([item for item in leaves if item not in holders]):
                return np.abs(self._render(size, _GREY) - _GREY) > _CHANGED

        holders_of: dict[str, set[int]] = defaultdict(set)
        for item, name in suspects.texts.items():
            holders_of[name].add(item)
        present = [name for name in holders_of if (groups == name).any()]
        if len(present) > _MOST_LAYERS:  # Layers that are off paint nothing alone; so fewer are left to be told apart.
            empty = [name for name in present[:_MOST_ASKED] if not ink_of(holders_of[name]).any()]
            hidden |= np.isin(groups, empty)
            present = [name for name in present if name not in empty]
        gone = set(self._without)
        for names in _bundles(present):
            holders = set[int]().union(*(holders_of[name] for name in names))
            ink = ink_of(holders)
            with switched_off(holders | gone):
                changed = ink & (np.abs(self._render(size, 255) - whole) > _CHANGED // 2)
            members = np.isin(groups, names)
            for place in np.flatnonzero(members).tolist():
                window = _window(boxes[place], scale, size)
                painted = int(ink[window].sum())
                share = _PALE_SHARE if groups[place] == _PALE_GROUP else _SEEN_SHARE
                hidden[place] = not painted or changed[window].sum() < share * painted
            # Of two in one place either is unseen because of the other: the second is looked at without the first.
            gone |= _none_of(owners, hidden, members)
        return hidden

    def _render(self, size: tuple[int, int], paper: int) -> NDArray[np.int16]:
        width, height = size
        stride = (width + 3) // 4 * 4
        pixels = np.full((height, stride), paper, np.uint8)
        memory = pixels.ctypes.data_as(c_void_p)
        bitmap = raw.FPDFBitmap_CreateEx(width, height, raw.FPDFBitmap_Gray, memory, stride)
        try:
            raw.FPDF_RenderPageBitmap(bitmap, self._page, 0, 0, width, height, 0, 0)
        finally:
            raw.FPDFBitmap_Destroy(bitmap)
        return pixels[:, :width].astype(np.int16)


def _none_of(owners: NDArray[np.int64], unseen: NDArray[np.bool_], among: NDArray[np.bool_]) -> set[int]:
    """The objects of which, among these words, none is seen."""
    return {*owners[among & unseen].tolist()} - {*owners[among & ~unseen].tolist(), 0}


def _bundles(groups: Collection[str]) -> list[list[str]]:
    names = list(groups)
    alone, rest = names[: _MOST_LAYERS - 1], names[_MOST_LAYERS - 1 :]
    return [[name] for name in alone] + ([rest] if rest else [])


def _with_likes(unseen: Collection[int], groups: Mapping[int, str]) -> Iterator[int]:
    """These text objects, and those of their groups that lie in their places: a halo is drawn many times."""
    for group in {groups[item] for item in unseen if item in groups}:
        items = [item for item, name in groups.items() if name == group]
        boxes = np.asarray([box_of(item) or (0, 0, 0, 0) for item in items], np.float32)
        across = np.argsort(boxes[:, 0], kind="stable")
        left = boxes[across, 0]
        near = np.zeros(len(items), bool)
        for box in boxes[[item in unseen for item in items]]:
            step = 0.25 * (box[3] - box[1])
            some = across[np.searchsorted(left, box[0] - step) : np.searchsorted(left, box[0] + step, side="right")]
            near[some] |= np.abs(boxes[some] - box).max(1) <= step
        yield from (item for item, own in zip(items, near.tolist(), strict=True) if own)


def _covered(
    texts: Sequence[tuple[int, int]], covers: Sequence[tuple[int, tuple[float, float, float, float]]]
) -> Iterator[int]:
    """The text objects of which a part lies under something that is drawn later; all are in the order of drawing."""
    if not texts or not covers:
        return
    orders = np.asarray([order for order, _ in texts])[:, None]
    boxes = np.asarray([box_of(item) or (0, 0, 0, 0) for _, item in texts], np.float32)
    later, areas = np.asarray([order for order, _ in covers]), np.asarray([box for _, box in covers], np.float32)
    under = np.zeros(len(texts), bool)
    place = 0
    while place < len(covers) and not under.all():
        left = np.flatnonzero(~under)  # Those that are known to lie under something need not be asked again.
        part = slice(place, place + max(1, _AT_ONCE // len(left)))
        place = part.stop
        x0, y0, x1, y1 = (side[:, None] for side in boxes[left].T)
        left_of, below, right_of, above = areas[part].T
        lower = np.minimum(y1, above) - np.maximum(y0, below) > 0.5 * (y1 - y0)
        lower &= (orders[left] < later[part]) & (np.minimum(x1, right_of) - np.maximum(x0, left_of) > 1)
        under[left] = lower.any(1)
    yield from (item for (_, item), own in zip(texts, under.tolist(), strict=True) if own)


def inside_of(boxes: NDArray[np.float32], areas: NDArray[np.float32]) -> NDArray[np.bool_]:
    """bool [n]: the middle of the box lies in one of the areas."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    found = np.zeros(len(boxes), bool)
    for left, bottom, right, top in areas.tolist():
        found |= (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    return found


def _window(box: NDArray[np.float32], scale: float, size: tuple[int, int]) -> tuple[slice, slice]:
    left, bottom, right, top = (float(side) * scale for side in box)
    rows = slice(max(0, int(size[1] - top)), max(0, int(size[1] - bottom) + 1))
    return rows, slice(max(0, int(left)), max(0, int(right) + 1))
