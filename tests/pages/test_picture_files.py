"""Picture files of every kind that scanners, cameras and programs write: the same pixels however they are asked for."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageFont

from pagetune.errors import DocumentRefused
from pagetune.pages.pictures import PictureFile
from pagetune.pages.store import PageStore

LIMIT = 20_000
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What undoes each orientation of EXIF, 1 apart."""


def drawing(size: tuple[int, int] = (300, 200)) -> Image.Image:
    """No two corners alike, and no way up like another."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, size[0] // 5, size[1] // 5), fill="red")
    draw.rectangle((size[0] // 2, size[1] // 2, size[0] - 1, size[1] - 20), fill=(0, 0, 120))
    return image


def text(size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, (250, 250, 250))
    draw = ImageDraw.Draw(image)
    for row in range(60, size[1] - 60, 60):
        draw.text((60, row), f"{row} the quick brown fox jumps over it", (15, 15, 15), ImageFont.load_default(36))
    return image


def opened(content: bytes, folder: Path, format: str) -> PictureFile:
    path = folder / f"file.{format}"
    path.write_bytes(content)
    return PictureFile(path, format, LIMIT)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def apart(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures' values, of 255."""
    assert one.size == other.size
    return float(np.abs(np.asarray(one.convert("RGB"), float) - np.asarray(other.convert("RGB"), float)).mean())


@pytest.mark.parametrize(
    ("format", "written", "options"),
    [
        ("jpeg", "JPEG", {"quality": 90}),
        ("jpeg", "JPEG", {"quality": 90, "progressive": True}),
        ("jpeg", "MPO", {"quality": 90, "save_all": True, "append_images": [drawing()]}),
        ("png", "PNG", {}),
        ("webp", "WEBP", {"quality": 90}),
        ("tiff", "TIFF", {"compression": "tiff_lzw"}),
        ("tiff", "TIFF", {"compression": "jpeg", "quality": 90}),
    ],
)
def test_a_size_is_the_same_whatever_was_asked_before(
    tmp_path: Path, format: str, written: str, options: dict[str, Any]
) -> None:
    content = saved(text((1240, 1754)), written, **options)
    sides: Sequence[int | None] = (None, 1280, 640, 128, 33)
    alone = {side: opened(content, tmp_path, format).render(0, side) for side in sides}
    assert [max(image.size) for image in alone.values()] == [1754, 1280, 640, 128, 33]
    file = opened(content, tmp_path, format)
    for side in (128, None, 33, 1280, 128, 640, 1280, None):
        assert file.render(0, side).tobytes() == alone[side].tobytes()
    assert file.render(0, max_pixels=10_000).size == (84, 119)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_is_as_sharp_as_a_png(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    page = text((2480, 1754)).convert(mode)
    jpeg = opened(saved(page, "JPEG", quality=95, **options), tmp_path, "jpeg")
    png = opened(saved(page, "PNG"), tmp_path, "png")
    for side in (2000, 1280, 700, 310):
        # Decoded right at half the size asked for, 310 would be apart by 3.
        assert apart(jpeg.render(0, side), png.render(0, side)) < 1.5
    turned = Image.Exif()
    turned[0x0112] = 6
    content = saved(page.transpose(TURNS[6]), "JPEG", quality=95, exif=turned, **options)
    assert apart(opened(content, tmp_path, "jpeg").render(0, 310), png.render(0, 310)) < 1.5


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "tiff", "tiff grey", "tiff packed", "tiff deep"])
def test_all_orientations_are_shown_upright(tmp_path: Path, format: str) -> None:
    upright = drawing()
    for orientation in range(1, 9):
        stored = upright.transpose(TURNS[orientation]) if orientation > 1 else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        options: dict[str, Any] = {"exif": exif, "quality": 95, "subsampling": 0, "lossless": True}
        expected, kind = upright, format.partition(" ")[0]
        if kind == "tiff":
            options = {"tiffinfo": {274: orientation}}
            options |= {"compression": "tiff_lzw"} if "packed" in format else {}
        if "grey" in format:
            stored, expected = stored.convert("L"), upright.convert("L")
        elif "deep" in format:
            grey = np.asarray(stored.convert("L")).astype(np.uint16)
            stored, expected = Image.fromarray((grey - grey.min()) * 257), upright.convert("L")
        file = opened(saved(stored, kind.upper(), **options), tmp_path, kind)
        shown = file.render(0)
        assert file.size(0) == shown.size == (300, 200)
        assert apart(shown, expected) < (15 if "deep" in format else 2)
        assert file.render(0, 60).size == (60, 40)
        assert file.size(0) == (300, 200)


def lab(image: Image.Image) -> Image.Image:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    found = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert found is not None
    return found


def see_through(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    alpha = np.full((image.height, image.width), 255, np.uint8)
    alpha[:, :30] = 0
    image.putalpha(Image.fromarray(alpha))
    return image


def without_left(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.paste((255, 255, 255), (0, 0, 30, image.height))
    return image


AGAIN = {"save_all": True, "append_images": [drawing().rotate(180)]}
MODES: dict[str, tuple[str, str, Callable[[Image.Image], Image.Image], Callable[[Image.Image], Image.Image], Any]] = {
    "CMYK JPEG": ("jpeg", "JPEG", lambda i: i.convert("CMYK"), lambda i: i, {"quality": 95}),
    "CMYK TIFF": ("tiff", "TIFF", lambda i: i.convert("CMYK"), lambda i: i, {}),
    "LAB TIFF": ("tiff", "TIFF", lab, lambda i: i, {}),
    "grey JPEG": ("jpeg", "JPEG", lambda i: i.convert("L"), lambda i: i.convert("L"), {"quality": 95}),
    "1 bit": ("tiff", "TIFF", lambda i: i.convert("1"), lambda i: i.convert("1"), {"compression": "group4"}),
    "palette": ("png", "PNG", lambda i: i.quantize(8), lambda i: i, {}),
    "palette with a hole": ("png", "PNG", lambda i: see_through(i).quantize(8), without_left, {}),
    "RGBA": ("png", "PNG", see_through, without_left, {}),
    "RGBA WebP": ("webp", "WEBP", see_through, without_left, {"lossless": True}),
    "LA": ("png", "PNG", lambda i: see_through(i).convert("LA"), lambda i: without_left(i).convert("L"), {}),
    "animated WebP": ("webp", "WEBP", lambda i: i, lambda i: i, {"lossless": True, **AGAIN}),
    "animated PNG": ("png", "PNG", lambda i: i, lambda i: i, AGAIN),
    "MPO": ("jpeg", "MPO", lambda i: i, lambda i: i, {**AGAIN, "quality": 95}),
    "no resolution": ("jpeg", "JPEG", lambda i: i, lambda i: i, {"dpi": (0, 0), "quality": 95}),
    "no resolution in TIFF": ("tiff", "TIFF", lambda i: i, lambda i: i, {"tiffinfo": {282: 0.0, 283: 0.0, 296: 2}}),
    "EXIF that is none": ("jpeg", "JPEG", lambda i: i, lambda i: i, {"exif": b"Exif\0\0no such thing", "quality": 95}),
}  # fmt: skip


@pytest.mark.parametrize("kind", MODES)
def test_pictures_of_all_modes_are_rgb_on_white(tmp_path: Path, kind: str) -> None:
    format, written, made, expected, options = MODES[kind]
    file = opened(saved(made(drawing()), written, **options), tmp_path, format)
    assert (file.pages, file.size(0)) == (1, (300, 200))
    shown = file.render(0)
    assert shown.mode == "RGB"
    assert apart(shown, expected(drawing())) < 3
    assert file.render(0, 64).size == (64, 43)


def test_a_grey_that_stands_for_nothing_is_white(tmp_path: Path) -> None:
    content = saved(Image.fromarray(np.full((40, 60), 90, np.uint8)), "PNG", transparency=90)
    assert opened(content, tmp_path, "png").render(0).getpixel((5, 5)) == (255, 255, 255)


GREY = np.tile(np.linspace(0, 1, 60), (40, 1))


@pytest.mark.parametrize(
    ("format", "values"),
    [
        ("png", (GREY * 65535).astype(np.uint16)),
        ("tiff", (GREY * 65535).astype(np.uint16)),
        ("tiff", (GREY * 65535).astype(">u2")),
        ("tiff", (GREY * 4095).astype(np.uint16)),
        ("tiff", (GREY * 1_000_000).astype(np.int32)),
        ("tiff", GREY.astype(np.float32)),
        ("tiff", (GREY * 255 - 30).astype(np.float32)),
    ],
)
def test_grey_of_any_depth_goes_from_black_to_white(tmp_path: Path, format: str, values: np.ndarray) -> None:
    shown = np.asarray(opened(saved(Image.fromarray(values), format.upper()), tmp_path, format).render(0).convert("L"))
    assert np.abs(shown - GREY * 255).max() < 3


def test_colours_of_16_bits(tmp_path: Path) -> None:
    colours = np.asarray(drawing((60, 40))).astype(">u2") * 257
    lines = b"".join(b"\0" + line.tobytes() for line in colours)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    assert apart(opened(content, tmp_path, "png").render(0), drawing((60, 40))) < 1


def test_values_that_are_no_numbers_spoil_nothing(tmp_path: Path) -> None:
    values = GREY.astype(np.float32)
    values[0, 0], values[0, 1], values[1, 59] = np.nan, np.inf, -np.inf
    shown = opened(saved(Image.fromarray(values), "TIFF"), tmp_path, "tiff").render(0).convert("L")
    assert [shown.getpixel(place) for place in ((0, 0), (1, 0), (59, 1))] == [255, 255, 0]
    assert np.abs(np.asarray(shown)[2:] - GREY[2:] * 255).max() < 3
    nothing = Image.fromarray(np.full((4, 4), np.nan, np.float32))
    assert opened(saved(nothing, "TIFF"), tmp_path, "tiff").render(0).getpixel((1, 1)) == (255, 255, 255)


def test_a_blank_page_of_16_bits_stays_blank(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for values in (np.full((40, 60), 65535), rng.integers(64_000, 65_000, (40, 60))):
        file = opened(saved(Image.fromarray(values.astype(np.uint16)), "PNG"), tmp_path, "png")
        assert np.asarray(file.render(0)).min() > 240
    black = Image.fromarray(np.zeros((40, 60), np.uint16))
    assert np.asarray(opened(saved(black, "PNG"), tmp_path, "png").render(0)).max() == 0


def test_16_bits_in_which_nothing_is_white_are_no_negative(tmp_path: Path) -> None:
    content = saved(Image.fromarray((GREY * 65535).astype("<u2")), "TIFF")
    entry = (262).to_bytes(2, "little") + (3).to_bytes(2, "little") + (1).to_bytes(4, "little")
    assert content.count(entry + b"\1") == 1
    shown = opened(content.replace(entry + b"\1", entry + b"\0"), tmp_path, "tiff").render(0).convert("L")
    assert np.abs(np.asarray(shown) - (1 - GREY) * 255).max() < 3


def test_frames_of_all_kinds_in_any_order(tmp_path: Path) -> None:
    page = drawing()
    deep = Image.fromarray(np.asarray(page.convert("L")).astype(np.uint16) * 257)
    frames = [page, page.convert("L").resize((100, 50)), page.convert("1"), page.convert("CMYK"), deep]
    frames += [page.rotate(90, expand=True)]
    content = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    alone = [opened(content, tmp_path, "tiff").render(index).tobytes() for index in range(6)]
    assert len(set(alone)) == 5  # CMYK is the same picture.
    file = opened(content, tmp_path, "tiff")
    assert file.pages == 6
    assert [file.size(index) for index in (5, 1, 0)] == [(200, 300), (100, 50), (300, 200)]
    for index in (5, 0, 3, 3, 1, 4, 2, 0):
        assert file.render(index, 20).size == file.render(index, 20).size
        assert file.render(index).tobytes() == alone[index]


def test_smaller_copies_and_masks_of_a_frame_are_no_pages(tmp_path: Path) -> None:
    page = drawing()
    small, mask, second = page.resize((60, 40)), page.convert("1"), page.rotate(180)
    small.encoderinfo = {"tiffinfo": {254: 1}}  # type: ignore[attr-defined]
    mask.encoderinfo = {"tiffinfo": {254: 4}}  # type: ignore[attr-defined]
    second.encoderinfo = {"tiffinfo": {274: 3, 254: 2}}  # type: ignore[attr-defined]
    content = saved(page, "TIFF", save_all=True, append_images=[small, mask, second])
    with Image.open(io.BytesIO(content)) as image:
        assert getattr(image, "n_frames", 0) == 4
    file = opened(content, tmp_path, "tiff")
    assert [file.size(index) for index in range(file.pages)] == [(300, 200), (300, 200)]
    assert apart(file.render(1), page) == 0
    assert opened(saved(page, "TIFF", tiffinfo={254: 1}), tmp_path, "tiff").pages == 1


@pytest.mark.parametrize(("format", "written"), [("jpeg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("tiff", "TIFF")])
def test_half_a_file_has_the_same_reason_each_time(tmp_path: Path, format: str, written: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8))
    content = saved(noise, written)
    half = content[: len(content) // 2]
    reasons = set()
    if format in ("webp", "tiff"):  # A WebP is decoded as a whole, and a TIFF's head may stand at its end.
        with pytest.raises(DocumentRefused, match="damaged: "):
            opened(half, tmp_path, format).render(0)
        return
    file = opened(half, tmp_path, format)
    for side in (None, 64, None, 300, 64):
        with pytest.raises(DocumentRefused) as refused:
            file.render(0, side)
        reasons.add(str(refused.value).partition(" (")[0])
    assert reasons == {"damaged: image file is truncated"}


def test_a_frame_that_is_damaged_does_not_show_what_it_had(tmp_path: Path) -> None:
    noise = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (90, 90, 3), np.uint8)) for n in range(3)]
    content = bytearray(
        saved(noise[0], "TIFF", save_all=True, append_images=noise[1:], compression="tiff_adobe_deflate")
    )
    with Image.open(io.BytesIO(content)) as image:
        image.seek(1)
        (begin,), (size,) = image.tag_v2[273], image.tag_v2[279]  # type: ignore[attr-defined]
    content[begin + size // 2 : begin + size] = bytes(size - size // 2)
    file = opened(bytes(content), tmp_path, "tiff")
    for _ in range(2):
        with pytest.raises(DocumentRefused, match="damaged: "):
            file.render(1)
        assert file.render(2).tobytes() == noise[2].tobytes()
    assert file.render(0).tobytes() == noise[0].tobytes()


@pytest.mark.integration
def test_a_scan_has_the_same_words_as_jpeg_and_as_png(read: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    page = Image.new("RGB", (1000, 1400), (250, 250, 250))
    lines = ["Reversing a transaction", "needs the approval of two", "members of the board"]
    for number, line in enumerate(lines):
        ImageDraw.Draw(page).text((90, 120 + 90 * number), line, (15, 15, 15), ImageFont.load_default(40))
    (tmp_path / "in").mkdir()
    page.save(tmp_path / "in" / "plain.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    page.transpose(TURNS[6]).save(tmp_path / "in" / "turned.jpg", quality=90, exif=exif)
    digests = set()
    for workers in (1, 2):
        report, workspace = read(tmp_path / "in", workspace=f"w{workers}", ocr="auto", workers=workers)
        digests.add(report.digest)
    assert len(digests) == 1
    assert [page.text().split() for page in PageStore(workspace.pages).pages()] == [" ".join(lines).split()] * 2
