"""What a file is, judged by its first bytes: a PDF that is named .png is a PDF."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

HEAD_BYTES = 2048

PICTURES = frozenset({"png", "jpeg", "webp", "tiff"})
OFFICE = frozenset({"docx", "pptx", "xlsx", "odt", "odp", "ods", "doc", "ppt", "xls", "rtf"})

_OPEN_DOCUMENT = {"text": "odt", "presentation": "odp", "spreadsheet": "ods"}
_OFFICE_OPEN = {"word/": "docx", "ppt/": "pptx", "xl/": "xlsx"}
_OLE_STREAMS = {"WordDocument": "doc", "PowerPoint Document": "ppt", "Workbook": "xls", "Book": "xls"}


def sniff(head: bytes) -> str | None:
    """The format that the first HEAD_BYTES of a file tell: a format, "zip" or "ole" (look inside), or None."""
    if head.startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "tiff"
    if head.startswith(b"{\\rtf"):
        return "rtf"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return "ole"
    # Mail systems put their own lines before a PDF; readers accept its mark anywhere in the first kilobyte.
    if b"%PDF-" in head[:1024]:
        return "pdf"
    return None


def look_inside(path: Path, outer: str) -> str | None:
    """The office format inside a "zip" or "ole" file, None if it is no office document. For a worker: it parses."""
    if outer == "zip":
        return _inside_zip(path)
    if outer == "ole":
        return _inside_ole(path)
    return outer


def _inside_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "mimetype" in names:
                with archive.open("mimetype") as member:
                    kind = member.read(200).decode("ascii", "replace")
                return _OPEN_DOCUMENT.get(kind.rpartition("opendocument.")[2].partition("-")[0].strip())
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError, EOFError):
        return None
    if "[Content_Types].xml" not in names:
        return None
    return next((kind for folder, kind in _OFFICE_OPEN.items() if any(n.startswith(folder) for n in names)), None)


def _inside_ole(path: Path) -> str | None:
    # The directory's names are UTF-16; finding one anywhere is enough, since LibreOffice judges for itself.
    buffer = io.BytesIO()
    with path.open("rb") as file:
        buffer.write(file.read(1 << 20))
        file.seek(0, io.SEEK_END)
        file.seek(max(0, file.tell() - (1 << 20)))
        buffer.write(file.read())
    content = buffer.getvalue()
    return next((kind for name, kind in _OLE_STREAMS.items() if name.encode("utf-16-le") in content), None)
