"""One picture file inside a worker: its frames as pages (Pillow)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pagetune.errors import DocumentRefused
from pagetune.pages.geometry import fit


class PictureFile:
    """An open PNG, JPEG, WebP or TIFF. Raises DocumentRefused with the reason if it cannot be opened."""

    def __init__(self, path: Path, format: str, max_side: int) -> None:
        # Sizes are judged here, before any pixel is decoded, so Pillow's own guard is not needed.
        Image.MAX_IMAGE_PIXELS = None
        warnings.simplefilter("ignore")
        self._max_side = max_side
        with _reasons():
            self._image = Image.open(path, formats=[format])
            self.pages = int(getattr(self._image, "n_frames", 1)) if format == "tiff" else 1

    def close(self) -> None:
        self._image.close()

    def size(self, index: int) -> tuple[int, int]:
        """Width and height in pixels of frame `index` as it is shown (its EXIF orientation applied)."""
        with _reasons():
            self._image.seek(index)
            width, height = self._image.size
            if max(width, height) > self._max_side:
                raise DocumentRefused(f"picture of {width} x {height} pixels, above max_image_side={self._max_side}")
            turned = self._turns() and self._image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return (height, width) if turned else (width, height)

    def _turns(self) -> bool:
        # Asking a PNG for an orientation that does not stand in its head would decode all of it.
        return self._image.format != "PNG" or "exif" in self._image.info

    def render(self, index: int, long_side: int | None = None, max_pixels: int | None = None) -> Image.Image:
        """Frame `index`, RGB on white, within the bounds; never larger than it is."""
        pixels = fit(*self.size(index), long_side, max_pixels, grow=False)
        with _reasons():
            turns = self._turns()
            # A JPEG decoder can stop at an eighth of the size, which is most of the work saved.
            self._image.draft("RGB", (max(pixels), max(pixels)))
            image = as_rgb(ImageOps.exif_transpose(self._image) if turns else self._image)
            return image if image.size == pixels else image.resize(pixels, Image.Resampling.LANCZOS, reducing_gap=3.0)


def as_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB: on white where it is see-through, stretched to its range where it is 16 bits."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image, np.float32)
        low, high = float(values.min()), float(values.max())
        grey = (values - low) * (255 / max(high - low, 1e-9))
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


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
