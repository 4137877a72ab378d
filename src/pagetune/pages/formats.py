"""What a file is, judged by its first bytes: a PDF that is named .png is a PDF."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from pagetune.errors import DocumentRefused

HEAD_BYTES = 2048
ENCRYPTED = "encrypted: it asks for a password"

PICTURES = frozenset({"png", "jpeg", "webp", "tiff"})
OFFICE = frozenset({"docx", "pptx", "xlsx", "odt", "odp", "ods", "doc", "ppt", "xls", "rtf"})

_OPEN_DOCUMENT = {"text": "odt", "presentation": "odp", "spreadsheet": "ods"}
_OFFICE_OPEN = {"word/": "docx", "ppt/": "pptx", "xl/": "xlsx"}
_READ = 1 << 20
"""Bytes of each part of an "ole" file that is looked into."""
_ENCRYPTED_STREAM = "EncryptedPackage"
"""Holds all of a document that Office has encrypted, whichever it is."""
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
    """The office format inside a "zip" or "ole" file, None if it is no office document. For a worker: it parses.

    Raises DocumentRefused where it is encrypted.
    """
    if outer == "zip":
        return _inside_zip(path)
    if outer == "ole":
        return _inside_ole(path)
    return outer


def _inside_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            format = _open_document(archive) if "mimetype" in names else _office_open(names)
            locked = any(member.flag_bits & 1 for member in archive.infolist())
            if format and (locked or _encryption(archive)):
                raise DocumentRefused(ENCRYPTED)
            return format
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError, EOFError):
        return None


def _open_document(archive: zipfile.ZipFile) -> str | None:
    kind = _beginning(archive, "mimetype", 200).decode("ascii", "replace")
    return _OPEN_DOCUMENT.get(kind.rpartition("opendocument.")[2].partition("-")[0].strip())


def _office_open(names: list[str]) -> str | None:
    if "[Content_Types].xml" not in names:
        return None
    return next((kind for folder, kind in _OFFICE_OPEN.items() if any(n.startswith(folder) for n in names)), None)


def _encryption(archive: zipfile.ZipFile) -> bool:
    """Whether the manifest of an OpenDocument says how its parts are encrypted."""
    manifest = "META-INF/manifest.xml"
    return manifest in archive.namelist() and b"encryption-data" in _beginning(archive, manifest, 1 << 20)


def _beginning(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    with archive.open(name) as member:
        return member.read(size)


def _inside_ole(path: Path) -> str | None:
    # The directory's names are UTF-16; finding one anywhere is enough, since LibreOffice judges for itself.
    content = b""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        # The directory may lie anywhere: its first sector's number, and the length of a sector, stand in the head.
        file.seek(0)
        head = file.read(64).ljust(64, b"\0")
        directory = int.from_bytes(head[48:52], "little") + 1 << min(int.from_bytes(head[30:32], "little"), 16)
        for start in (0, directory, size - _READ):
            file.seek(max(0, start))
            content += file.read(_READ)
    if _ENCRYPTED_STREAM.encode("utf-16-le") in content:
        raise DocumentRefused(ENCRYPTED)
    return next((kind for name, kind in _OLE_STREAMS.items() if name.encode("utf-16-le") in content), None)
