"""Anything that stands for a picture -> an RGB image, or the encoded bytes that are kept until it is used.

A picture may be a PIL image, a path, an http(s) URL, encoded bytes, a cell {"bytes", "path"} as `datasets` has it, or
an array: numpy or torch, height x width, with 1, 3 or 4 channels last or first, integers 0..255 or floats 0..1.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pagetune.errors import DataError
from pagetune.examples.fetching import Fetcher
from pagetune.pages.pictures import shown_size, upright

MAX_PIXELS = 80_000_000
"""A larger picture is refused before it is decoded: a few bytes can stand for it. Pillow warns a little above this."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF")
"""What is decoded. Pillow knows more, some of which start other programs (EPS)."""

_OPAQUE = frozenset({"1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV"})
_CHANNELS = (1, 3, 4)
_TAIL = 4096
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as it is kept: encoded, in `content` or in the file `path`; its header has been read.

    `key` is the sha256 of the encoded bytes as they were found, `size` their number.
    """

    key: str
    width: int
    height: int
    size: int
    content: bytes | None
    path: str | None

    def cell(self) -> dict[str, Any]:
        """The picture as a cell of a `datasets.Image` column."""
        return {"bytes": self.content, "path": self.path}


def to_rgb(
    value: Any, where: str = "picture", folder: Path | None = None, fetcher: Fetcher | None = None
) -> Image.Image:
    """The picture as a PIL image of mode RGB, upright (EXIF applied), on white where it was see-through.

    `where` begins the message of an error; `folder` is what a relative path starts from; `fetcher` gets URLs.
    Raises DataError if it is not there, not a picture, damaged, or above MAX_PIXELS.
    """
    if isinstance(value, Image.Image):
        return _decoded(value, f"{where} {shown(value)}")
    if is_array(value):
        return _from_array(value, where)
    content, path = _content(value, where, folder, fetcher)
    label = f"{where} {shown(path or value)}"
    return _decoded(_opened(content, label), label)


def encode(value: Any, where: str = "picture", folder: Path | None = None, fetcher: Fetcher | None = None) -> Picture:
    """The picture as it is kept. Arguments and errors as for `to_rgb`.

    Bytes and files stay as they are, except see-through and 16-bit ones: what reads them later would not know how to
    make them RGB, so they become RGB PNGs here.
    """
    if isinstance(value, Image.Image) or is_array(value):
        image = to_rgb(value, where)
        content = _png(image)
        return Picture(sha256(content), *image.size, len(content), content, None)
    content, path = _content(value, where, folder, fetcher)
    label = f"{where} {shown(path or value)}"
    image = _opened(content, label)
    key, size = sha256(content), len(content)
    width, height = shown_size(image)
    if image.mode not in _OPAQUE or image.has_transparency_data:
        image = _loaded(image, label)
        if not _is_opaque(image):
            return Picture(key, width, height, size, _png(_decoded(image, label)), None)
    elif not _is_whole(content, image.format or ""):
        _loaded(image, label)
    return Picture(key, width, height, size, None if path else content, path)


def sha256(content: bytes) -> str:
    """The content key of bytes."""
    return hashlib.sha256(content).hexdigest()


def is_url(value: Any) -> bool:
    """Whether a text is an address rather than a path."""
    return isinstance(value, str) and "://" in value[:16]


def is_array(value: Any) -> bool:
    """Whether a value is an array of numpy or torch."""
    return isinstance(value, np.ndarray) or type(value).__module__.partition(".")[0] == "torch"


def shown(value: Any) -> str:
    """A value as a message shows it: short, on one line."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"of {len(value)} bytes"
    if isinstance(value, Image.Image):
        return f"({value.mode}, {value.width} x {value.height})"
    if is_array(value):
        return f"({value.dtype}, shape {tuple(value.shape)})"
    if isinstance(value, Mapping) and value.get("bytes") is not None:
        return f"of {len(value['bytes'])} bytes" + (f" ({value['path']})" if value.get("path") else "")
    text = repr(str(value) if isinstance(value, Path) else value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


@lru_cache(maxsize=1)
def default_fetcher() -> Fetcher:
    """The fetcher of addresses in datasets: public addresses only."""
    return Fetcher()


def _content(value: Any, where: str, folder: Path | None, fetcher: Fetcher | None) -> tuple[bytes, str | None]:
    """The encoded bytes, and the file that holds them, if one does."""
    if isinstance(value, Mapping):
        if value.get("bytes") is not None:
            return _content(value["bytes"], where, folder, fetcher)
        if value.get("path"):
            return _content(value["path"], where, folder, fetcher)
        raise DataError(f"{where} is empty; give a picture or remove the row")
    if isinstance(value, bytes | bytearray | memoryview):
        if not len(value):
            raise DataError(f"{where} has 0 bytes; write the picture again or remove the row")
        return bytes(value), None
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DataError(f"{where} is empty; give a picture or remove the row")
    if is_url(value):
        path = (fetcher or default_fetcher()).fetch(
            value, where, lambda content: _opened(content, f"{where} {shown(value)}")
        )
    elif isinstance(value, str | Path):
        path = Path(value).expanduser()
        path = path if path.is_absolute() or folder is None else folder / path
    else:
        raise DataError(
            f"{where} {shown(value)} is no picture but of type {type(value).__name__}; "
            "give a PIL image, a path, a URL, bytes or an array"
        )
    try:
        return path.read_bytes(), str(path.absolute())
    except FileNotFoundError:
        raise DataError(f"{where} {shown(value)}: there is no such file; correct the path or add the file") from None
    except IsADirectoryError:
        raise DataError(f"{where} {shown(value)} is a folder; name a picture in it") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{where} {shown(value)} cannot be read: {_reason(error)}; check the file") from None


def _opened(content: bytes, label: str) -> Image.Image:
    """The picture with its header read and its size judged, nothing decoded yet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own warning of a bomb: the size is judged below
            image = Image.open(io.BytesIO(content), formats=_formats())
    except Image.DecompressionBombError:
        raise DataError(f"{label} is far above {MAX_PIXELS} pixels; shrink it") from None
    except UnidentifiedImageError:
        begins = content[:12]
        raise DataError(
            f"{label} is no picture that can be read (it begins {begins!r}); give PNG, JPEG, WebP or TIFF"
        ) from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged input.
        raise DataError(f"{label} is damaged: {_reason(error)}; write it again") from None
    _judge_size(image, label)
    return image


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    """Those of FORMATS that this Pillow was built with."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _judge_size(image: Image.Image, label: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"{label} is of {image.width} x {image.height} pixels, above {MAX_PIXELS} in all; shrink it")
    if not image.width or not image.height:
        raise DataError(f"{label} is of {image.width} x {image.height} pixels: nothing to see; remove the row")


def _loaded(image: Image.Image, label: str) -> Image.Image:
    try:
        image.load()
    except Exception as error:
        raise DataError(f"{label} is damaged: {_reason(error)}; write it again") from None
    return image


def _decoded(image: Image.Image, label: str) -> Image.Image:
    _judge_size(image, label)
    try:
        return upright(image)
    except Exception as error:
        raise DataError(f"{label} is damaged: {_reason(error)}; write it again") from None


def _is_opaque(image: Image.Image) -> bool:
    """Whether plain conversion to RGB shows what there is: 8 bits, and nothing see-through."""
    if image.mode.startswith("I") or image.mode == "F":
        return False
    if not image.has_transparency_data:
        return True
    lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
    return lowest == 255


def _is_whole(content: bytes, format: str) -> bool:
    """Whether the end of the file is there; False where only decoding can tell."""
    tail = content[-_TAIL:]
    if format in ("JPEG", "MPO"):
        return b"\xff\xd9" in tail
    if format == "PNG":
        return b"IEND" in tail
    if format == "WEBP":
        return len(content) >= int.from_bytes(content[4:8], "little") + 8
    return False


def _from_array(value: Any, where: str) -> Image.Image:
    first = not isinstance(value, np.ndarray)
    if first:
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = _channels_last(value, where, first)
    grey = array.ndim == 2
    mode = "L" if grey else {1: "L", 3: "RGB", 4: "RGBA"}[array.shape[2]]
    flat = array[:, :, 0] if not grey and array.shape[2] == 1 else array
    image = Image.fromarray(np.ascontiguousarray(_eight_bits(flat, where)), mode)
    return _decoded(image, f"{where} {shown(value)}")


def _channels_last(array: NDArray[Any], where: str, first: bool) -> NDArray[Any]:
    """The array as [height, width] or [height, width, channels]; `first`: where both ends could be the channels."""
    if array.ndim == 2 and array.size:
        return array
    if array.ndim == 3 and array.size:
        ends = array.shape[0] in _CHANNELS, array.shape[2] in _CHANNELS
        if ends[0] and (first or not ends[1]):
            return np.moveaxis(array, 0, 2)
        if ends[1]:
            return array
    raise DataError(
        f"{where} {shown(array)} is not a picture; give height x width, with 1, 3 or 4 channels first or last"
    )


def _eight_bits(array: NDArray[Any], where: str) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{where} {shown(array)} holds no numbers; give integers 0 to 255 or floats 0 to 1")
    low, high = float(array.min()), float(array.max())
    top = 1.0 if array.dtype.kind == "f" else 255.0
    if not (low >= 0 and high <= top):  # also where one is not a number
        raise DataError(
            f"{where} {shown(array)} has values from {low:.4g} to {high:.4g}; give integers 0 to 255 or floats 0 to 1"
        )
    return np.round(array * 255.0).astype(np.uint8) if top == 1.0 else array.astype(np.uint8)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def _reason(error: BaseException) -> str:
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return text.partition(" (")[0][:120] or type(error).__name__
