"""Page images and datasets of them, small, for the tests."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw


def page(number: int, size: tuple[int, int] = (60, 80), mode: str = "RGB") -> Image.Image:
    """A page that is not like those of other numbers."""
    image = Image.new("RGB", size, (40 + number * 30 % 200, 90, 130))
    ImageDraw.Draw(image).text((8, 8), str(number), fill="white")
    return image.convert(mode)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def png(number: int) -> bytes:
    return encoded(page(number))


def bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A few bytes whose head promises a picture of that size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"IHDR", head), (b"IDAT", bytes(10)))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def pictures(folder: Path, count: int = 6) -> None:
    """img/0.png … in a folder, and with them what is no picture."""
    (folder / "img").mkdir(parents=True)
    for number in range(count):
        (folder / "img" / f"{number}.png").write_bytes(png(number))
    (folder / "img" / "note.png").write_text("not a picture")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8))
    (folder / "img" / "half.png").write_bytes(encoded(noise)[:3000])
    (folder / "img" / "half.jpg").write_bytes(encoded(noise, "JPEG")[:2000])
    (folder / "img" / "bomb.png").write_bytes(bomb())


def rows(count: int = 3, **changes: Any) -> list[dict[str, Any]]:
    """Triplets by path; `changes` are column=value for the row 1, or column=None to leave the column out."""
    found = [
        {"query": f"what is on page {row}", "image": f"img/{row}.png", "negative_0": f"img/{row + 1}.png"}
        for row in range(count)
    ]
    for column, value in changes.items():
        found[1][column] = value
    return found


def jsonl(content: Sequence[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in content)


def parquet(columns: Mapping[str, Any]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), stream)
    return stream.getvalue()


def cells(*contents: bytes | None) -> pa.Array:
    """A column of encoded pictures as `datasets` has it on disk."""
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return pa.array([{"bytes": content, "path": None} for content in contents], kind)


def beir(folder: Path, **changes: Any) -> Path:
    """corpus, queries and qrels of three pages and two queries; `changes` replace a table's columns."""
    tables = {
        "corpus": {"corpus-id": [10, 11, 12], "image": cells(png(0), png(1), png(2))},
        "queries": {"query-id": [1, 2], "query": ["the first page", "the second page"]},
        "qrels": {"query-id": [1, 2, 2], "corpus-id": [10, 11, 12], "score": [1, 2, 0]},
    }
    for name, columns in tables.items():
        (folder / name).mkdir(parents=True)
        columns |= changes.get(name, {})
        content = parquet({column: values for column, values in columns.items() if values is not None})
        (folder / name / "test-00000-of-00001.parquet").write_bytes(content)
    return folder
