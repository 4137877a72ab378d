"""Pictures of pages for the report: each one once, as large as all of them fit, the most wanted first and larger."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pagetune.progress import SILENT, Progress

if TYPE_CHECKING:
    from PIL.Image import Image

PageImage = Callable[[str], "Image"]
"""Page id -> its picture."""

TYPE = "image/webp"
"""A third smaller than JPEG where a page is mostly text; every browser since 2020 shows it."""

SIDES = (560, 440, 340, 260)
"""Pixels of the longer side, the largest first."""
LARGE = 900
"""Of the pages that are to be read: their text is legible."""
QUALITY = 55
_SAMPLE = 48
"""Pages by which the size of all is estimated: those vary by a factor of ten."""
_SPARE = 1.1
"""So much larger than estimated they may all be."""


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """The pictures that the report holds, by page."""

    pictures: dict[str, bytes] = field(default_factory=dict)
    side: int = SIDES[0]
    wanted: int = 0
    """Pages that the report shows; those without a picture are named."""
    unreadable: int = 0
    """Of these, the ones of which no picture could be made."""


def make_thumbnails(
    pages: Sequence[str],
    image: PageImage | None,
    budget: int,
    large: Collection[str] = (),
    progress: Progress = SILENT,
) -> Thumbnails:
    """Pictures of the pages, the first ones where not all fit into `budget` bytes, as written into a page (base64).

    Those of `large` come first, and are LARGE. A page without a picture is left out: the report does not fail for a
    thumbnail.
    """
    if image is None or not pages or budget <= 0:
        return Thumbnails(wanted=len(pages))
    readable = set(large)
    first = [page for page in pages if page in readable]
    rest = [page for page in pages if page not in readable]
    found: dict[str, bytes] = {}
    broken = left = 0
    room, side = budget, 0
    with progress.task("draw pages", len(pages), "pages") as task:
        for page in (*first, *rest):
            task.advance()
            if page not in readable and not side:
                side = _side(rest, image, room)
            made = _thumbnail(image, page, LARGE if page in readable else side)
            if made is None:
                broken += 1
            elif (size := written(made)) <= room:
                found[page] = made
                room -= size
            else:
                # Some that come later may be small enough, but not many.
                left += 1
                if left > _SAMPLE:
                    break
    return Thumbnails(found, side or LARGE, len(pages), broken)


def encode(picture: Image, side: int, quality: int = QUALITY) -> bytes:
    """The picture, its longer side at most `side` pixels, as TYPE."""
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    out = io.BytesIO()
    small.save(out, "WEBP", quality=quality, method=4)
    return out.getvalue()


def written(content: bytes) -> int:
    """Bytes of it in base64, and of its place in a list."""
    return 4 * -(-len(content) // 3) + 12


def _side(pages: Sequence[str], image: PageImage, budget: int) -> int:
    """The largest size at which all pages would fit, judging by some of them; the smallest where none would."""
    step = max(1, -(-len(pages) // _SAMPLE))
    shown = pages[::step]
    for side in SIDES:
        sizes = [written(made) for page in shown if (made := _thumbnail(image, page, side)) is not None]
        if sizes and _SPARE * sum(sizes) / len(sizes) * len(pages) <= budget:
            return side
    return SIDES[-1]


def _thumbnail(image: PageImage, page: str, side: int) -> bytes | None:
    with suppress(Exception):
        return encode(image(page), side)
    return None
