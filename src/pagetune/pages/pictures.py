"""One picture file inside a worker: its frames as pages (Pillow)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pagetune.errors import DocumentRefused
from pagetune.pages.geometry import fit

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
"""The values of EXIF's orientation that lay a picture on its side."""
_WIDTH, _LENGTH, _SUBFILE, _PHOTOMETRIC = 256, 257, 254, 262
"""Tags of a TIFF's frame: its size as it is stored, whether it is a copy (1) or a mask (4) of another, and what a value
stands for (0: nothing is white)."""
_HARDLY, _LARGEST = 1 / 16, 1e30
"""Grey values that differ by less of their depth are one grey; beyond the largest a value stands for none."""
_DRAFT = 2
"""A JPEG is decoded to no less than so many times the size asked for, so that the resizing decides how it looks."""


class PictureFile:
    """A PNG, JPEG, WebP or TIFF. Raises DocumentRefused with the reason if it cannot be opened.

    Each frame is decoded from a file that was opened for it: Pillow's decoders keep what they were asked before (a
    JPEG its draft size, what is damaged the part that it had), and the same file must give the same pages.
    """

    def __init__(self, path: Path, format: str, max_side: int) -> None:
        self._path, self._format, self._max_side = path, format, max_side
        self._sizes: dict[int, tuple[int, int]] = {}
        with self._open() as image:
            self._frames = _frames(image) if format == "tiff" else [0]
        self.pages = len(self._frames)

    def close(self) -> None:
        """Nothing stays open between two askings."""

    def size(self, index: int) -> tuple[int, int]:
        """Width and height in pixels of page `index` as it is shown (its EXIF orientation applied)."""
        if index not in self._sizes:
            with self._frame(index) as image:
                self._sizes[index] = self._judged_size(image)
        return self._sizes[index]

    def render(self, index: int, long_side: int | None = None, max_pixels: int | None = None) -> Image.Image:
        """Page `index`, RGB on white, within the bounds; never larger than it is."""
        width, height = fit(*self.size(index), long_side, max_pixels, grow=False)
        with self._frame(index) as image:
            if self._format == "jpeg":
                # Its decoder can stop at an eighth of the size, which is most of a thumbnail's work saved.
                stored = (height, width) if _orientation(image) in _TURNED else (width, height)
                image.draft("RGB", (_DRAFT * stored[0], _DRAFT * stored[1]))
            shown = upright(image)
            if shown.size == (width, height):
                return shown
            return shown.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)

    @contextmanager
    def _open(self) -> Iterator[Image.Image]:
        # Given a path, Pillow would map a TIFF that is not compressed into memory, as if it stood upright.
        with _reasons(), self._path.open("rb") as file, Image.open(file, formats=[self._format]) as image:
            yield image

    @contextmanager
    def _frame(self, index: int) -> Iterator[Image.Image]:
        with self._open() as image:
            image.seek(self._frames[index])
            yield image

    def _judged_size(self, image: Image.Image) -> tuple[int, int]:
        width, height = shown_size(image)
        if min(width, height) < 1:
            raise DocumentRefused(f"picture of {width} x {height} pixels")
        if max(width, height) > self._max_side:
            raise DocumentRefused(f"picture of {width} x {height} pixels, above max_image_side={self._max_side}")
        return width, height


def _frames(image: Image.Image) -> list[int]:
    """The frames of a TIFF that are pages: not those that are smaller copies or masks of another; all if all are."""
    frames: Any = image
    found = []
    for index in range(frames.n_frames):
        frames.seek(index)
        if not int(frames.tag_v2.get(_SUBFILE, 0)) & 5:
            found.append(index)
    return found or [*range(frames.n_frames)]


def shown_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of what `upright` makes of an image just opened; nothing is decoded."""
    width, height = image.size
    tags = getattr(image, "tag_v2", {})
    if _WIDTH in tags:  # The size of a TIFF is turned already, if its orientation stands where Pillow looks first.
        width, height = int(tags[_WIDTH]), int(tags[_LENGTH])
    return (height, width) if _orientation(image) in _TURNED else (width, height)


def upright(image: Image.Image) -> Image.Image:
    """An image just opened as RGB, the way it is to be looked at: EXIF's orientation applied, else as `as_rgb`."""
    tags = getattr(image, "tag_v2", {})
    shown = as_rgb(image if _orientation(image) == 1 else ImageOps.exif_transpose(image))
    # Of grey TIFFs in which nothing is white, Pillow gives those of more than 8 bits as they are stored.
    negative = image.mode.startswith(("I", "F")) and tags.get(_PHOTOMETRIC) == 0
    return ImageOps.invert(shown) if negative else shown


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation: 1 is upright, also where there is no EXIF that can be read."""
    # Asking a PNG for an orientation that does not stand in its head would decode all of it.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # What stands in it is not needed to show the picture.
        return 1


def as_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB: on white where it is see-through, stretched to its range where it is 16 bits."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values of any depth as 8 bits: over their own range, or over their whole depth where they hardly differ.

    What is no number is white, as the paper is.
    """
    numbers = values.astype(np.float32)
    known = numbers[np.abs(numbers) < _LARGEST] if values.dtype.kind == "f" else numbers
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    depth = 1.0
    if values.dtype.kind != "f" or high > 1:
        depth = 2.0 ** max(8, math.ceil(math.log2(high + 1))) - 1 if high > 0 else 255.0
    if high - low < _HARDLY * depth:  # A blank page must not become a page of noise.
        low, high = min(low, 0.0), depth
    numbers = np.clip(np.nan_to_num(numbers, nan=high, posinf=high, neginf=low), low, high)
    return ((numbers - low) * (255 / (high - low))).astype(np.uint8)


@contextmanager
def _reasons() -> Iterator[None]:
    try:
        yield
    except DocumentRefused:
        raise
    except UnidentifiedImageError:
        raise DocumentRefused("damaged: not readable as a picture") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged input.
        line = " ".join(str(error).split()) or type(error).__name__
        raise DocumentRefused(f"damaged: {line[:120]}") from None
