"""Pages as the model's processor scales them, kept on disk, so that later epochs neither decode nor resize them again.

A page is one file of uint8 pixels, read through a memory map. What is kept is used only if the processor makes the same
features of it, to the bit, as of the page itself: that is looked at with the first page.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pagetune.models.pixels import has_bounds, image_processor
from pagetune.workspace import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image


RECOUNT = 64
"""After so small a part of the limit it is looked how much the folder holds: other processes keep pages too."""


class ResizedPages:
    """`open(key, load)` gives a page, from the folder where it is there.

    The pages of each of a processor's settings have a folder of their own in `folder`, and `limit` bytes are for all of
    them: pages of settings that were in use before give way, the longest unused first. Of its own none do: an epoch
    that goes through all of them would push each out just before its turn.
    """

    def __init__(self, folder: Path, model: Any, limit: int) -> None:
        self._processor = _picture_processor(model)
        self._preprocess = model.preprocess
        self._resize = resizer(self._processor)
        told = repr(sorted(self._processor.to_dict().items(), key=str)) if self._resize else ""
        self.folder = folder / hashlib.sha256(told.encode()).hexdigest()[:16]
        self.limit = limit
        self._began = time.time()
        with suppress(OSError):
            os.utime(self.folder)  # In use.
        self._used: int | None = None
        self._since = 0
        self._trusted: bool | None = None if self._resize else False

    def open(self, key: str, load: Callable[[], Image]) -> Image:
        """The page of this content key, RGB; `load` gives it where it is not kept."""
        from PIL import Image as Pictures

        if self._trusted is False:
            return load()
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        file = self.folder / name[:2] / f"{name}.npy"
        with suppress(OSError, ValueError):
            return Pictures.fromarray(np.load(file, mmap_mode="r"), "RGB")
        image = load().convert("RGB")
        small = self._resized(image)
        if self._trusted is None:
            self._trusted = self._same(image, small)
        if not self._trusted:
            return image
        self._keep(file, np.asarray(small))
        return small

    def _resized(self, image: Image) -> Image:
        from PIL import Image as Pictures

        assert self._resize is not None
        return Pictures.fromarray(self._resize(np.asarray(image)), "RGB")

    def _same(self, image: Image, small: Image) -> bool:
        import torch

        one, other = (self._preprocess([page], task="document") for page in (image, small))
        return one.keys() == other.keys() and all(
            torch.equal(value, other[name]) for name, value in one.items() if isinstance(value, torch.Tensor)
        )

    def _keep(self, file: Path, pixels: Any) -> None:
        import io

        if pixels.nbytes > self.limit:
            return
        if self._used is None or self._since > self.limit // RECOUNT:
            self._used, self._since = _bytes(self.folder.parent), 0
        if self._used + pixels.nbytes > self.limit:
            self._used -= self._make_room(self._used + pixels.nbytes - self.limit)
        if self._used + pixels.nbytes > self.limit:
            return
        buffer = io.BytesIO()
        np.save(buffer, pixels)
        with suppress(OSError):  # A full disk takes nothing away but speed.
            write_atomically(file, buffer.getvalue())
            self._used += len(buffer.getvalue())
            self._since += len(buffer.getvalue())

    def _make_room(self, wanted: int) -> int:
        """Remove the pages of settings that nobody has taken up since this began, until so many bytes are free; returns
        how many are."""
        others = [(_used_at(each), each) for each in self.folder.parent.iterdir() if each != self.folder]
        freed = 0
        for used_at, folder in sorted(others):
            if freed >= wanted or used_at >= self._began:
                break
            freed += _bytes(folder)
            shutil.rmtree(folder, ignore_errors=True)
        return freed


def _bytes(folder: Path) -> int:
    """Of all pages in it."""
    return sum(_of(file, "st_size") for file in folder.rglob("*.npy"))


def _used_at(folder: Path) -> float:
    return _of(folder, "st_mtime")


def _of(file: Path, what: str) -> Any:
    try:
        return getattr(file.stat(), what)
    except OSError:  # It has gone since it was listed.
        return 0


def kept_pages(folder: Path | None, model: Any, gib: float) -> ResizedPages | None:
    """The pages kept for this model in `folder`, up to so many GiB; None where there is no folder or no room."""
    limit = round(gib * 2**30)
    return ResizedPages(folder, model, limit) if folder is not None and limit else None


def _picture_processor(model: Any) -> Any:
    """The model's own, or that of the encoder which a router sends pages to."""
    if (found := image_processor(model)) is not None:
        return found
    processors = (getattr(module, "processor", None) for module in model.modules())
    inner = (getattr(processor, "image_processor", None) for processor in processors)
    return next((each for each in inner if each is not None), None)


def resizer(processor: Any) -> Callable[[Any], Any] | None:
    """uint8 [height, width, 3] -> the same page as the processor scales it; None where it does more than scale."""
    import torch

    size = getattr(processor, "size", None)
    if not hasattr(processor, "resize") or getattr(processor, "do_center_crop", False) or size is None:
        return None
    if not getattr(processor, "do_resize", False) or getattr(processor, "do_pad", False):
        return None
    if has_bounds(processor):
        more = {"factor": processor.patch_size * processor.merge_size}
    elif getattr(size, "height", None) and getattr(size, "width", None):
        more = {}
    else:
        return None

    def resize(pixels: Any) -> Any:
        page = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]
        scaled = processor.resize(page, size, resample=processor.resample, **more)
        return np.ascontiguousarray(scaled[0].permute(1, 2, 0).numpy())

    return resize
