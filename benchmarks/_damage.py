"""Damaged, hostile and merely odd files, made from good ones; the same for the same seed."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image


def pdf_of(objects: Sequence[bytes], root: int = 1) -> bytes:
    """A PDF of numbered objects (the first is number 1), with a correct cross-reference table."""
    out = io.BytesIO()
    out.write(b"%PDF-1.5\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer << /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, root, start))
    return out.getvalue()


def stream(content: bytes, entries: bytes = b"") -> bytes:
    """A stream object."""
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


def one_page(content: bytes, page: bytes = b"/MediaBox [0 0 612 792]", more: Sequence[bytes] = ()) -> bytes:
    """A PDF of one page: its content stream object, further entries of the page, and more objects from number 6."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    head = b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R "
    if b"/Resources" not in page:
        page += b" /Resources << /Font << /F1 5 0 R >> >>"
    catalog, tree = b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    return pdf_of([catalog, tree, head + page + b" >>", content, font, *more])


def many_pages(count: int) -> bytes:
    """A PDF of so many empty pages."""
    kids = b" ".join(b"%d 0 R" % (number + 3) for number in range(count))
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] >>"
    tree = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, count)
    return pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", tree, *[page] * count])


def no_pages() -> bytes:
    """A PDF whose tree of pages is empty."""
    return pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [] /Count 0 >>"])


def endless_tree() -> bytes:
    """A PDF whose tree of pages contains itself."""
    return pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 7 >>"])


def huge_page(points: int = 50_000) -> bytes:
    """A page of 50,000 x 50,000 points with one word on it: large, and quite readable."""
    text = stream(b"BT /F1 900 Tf 1000 1000 Td (enormous) Tj ET")
    return one_page(text, b"/MediaBox [0 0 %d %d]" % (points, points))


def hanging() -> bytes:
    """Forms that draw forms that draw forms, ten times each and fifteen deep: a page that is never finished."""
    depth, first = 15, 6
    forms = []
    for level in range(depth):
        deeper = first + level + 1
        last = level == depth - 1
        resources = b"" if last else b"/Resources << /XObject << /X %d 0 R >> >>" % deeper
        drawing = b"0 0 10 10 re f" if last else b"/X Do " * 10
        forms.append(stream(drawing, b"/Type /XObject /Subtype /Form /BBox [0 0 612 792] " + resources))
    page = b"/MediaBox [0 0 612 792] /Resources << /XObject << /X 6 0 R >> >>"
    return one_page(stream(b"/X Do " * 10), page, forms)


def bomb(megabytes: int = 900, unit: bytes = b"q 1 0 0 1 0 0 cm ") -> bytes:
    """A content stream of a few kilobytes that unpacks, twice, to so many megabytes of saved graphics states."""
    squeeze = zlib.compressobj(9)
    block = unit * ((1 << 20) // len(unit))
    inner = b"".join([*(squeeze.compress(block) for _ in range(megabytes)), squeeze.flush()])
    return one_page(stream(zlib.compress(inner, 9), b"/Filter [/FlateDecode /FlateDecode]"))


def huge_picture(side: int = 50_000) -> bytes:
    """A PNG that claims side x side pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1 << 20))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def endless_tiff() -> bytes:
    """A TIFF whose directory names itself as the next."""
    buffer = io.BytesIO()
    Image.new("L", (40, 30), 200).save(buffer, "TIFF")
    content = bytearray(buffer.getvalue())
    (place,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, place)
    struct.pack_into("<I", content, place + 2 + 12 * entries, place)
    return bytes(content)


def truncated(content: bytes, rng: random.Random) -> bytes:
    """The beginning of a file."""
    return content[: rng.randrange(1, len(content))]


def flipped(content: bytes, rng: random.Random) -> bytes:
    """A file with one to four hundred bits turned over."""
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 4, 20, 100, 400])):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def damage(
    good: Sequence[Path], encrypted: Sequence[Path], folder: Path, count: int = 300, seed: int = 5
) -> dict[Path, str]:
    """Write `count` files into `folder`; path -> kind. Kinds that end in "!" cannot be read by anybody."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[Path, str] = {}

    def put(kind: str, suffix: str, content: bytes) -> None:
        path = folder / f"{len(made):04d}-{kind.rstrip('!').replace(' ', '-')}{suffix}"
        path.write_bytes(content)
        made[path] = kind

    for makes, kind, suffix, times in _odd_ones():
        for number in range(times):
            # A comment keeps the copies from being duplicates of one another.
            put(kind, suffix, makes() + (b"\n%%%d" % number if suffix == ".pdf" else bytes([number])))
    for path in encrypted:
        put("encrypted!", ".pdf", path.read_bytes())
    for number in range(8):
        put("empty!", rng.choice([".pdf", ".png", ".docx"]), b"")
        put("noise!", rng.choice([".pdf", ".jpg", ".tiff"]), b"\x00" + rng.randbytes(rng.randrange(10, 20_000)))
        put("text renamed!", ".pdf", f"only text, number {number}\n".encode() * 40)
    for path in rng.choices(good, k=16):
        wrong = rng.choice([end for end in (".pdf", ".png", ".webp", ".docx", ".bin") if end != path.suffix])
        put("renamed", wrong, path.read_bytes() + bytes([len(made) % 251]))
    while len(made) < count:
        path = rng.choice(good)
        change = rng.choice([truncated, flipped])
        put(change.__name__, path.suffix, change(path.read_bytes(), rng))
    return made


def _odd_ones() -> list[tuple[Callable[[], bytes], str, str, int]]:
    return [
        (lambda: many_pages(10_000), "10,000 pages!", ".pdf", 4),
        (no_pages, "no pages!", ".pdf", 4),
        (endless_tree, "endless tree", ".pdf", 4),
        (huge_page, "50,000 points", ".pdf", 4),
        (huge_picture, "50,000 pixels!", ".png", 4),
        (endless_tiff, "endless tiff", ".tiff", 4),
        (hanging, "hanging!", ".pdf", 3),
        (bomb, "bomb", ".pdf", 2),
    ]
