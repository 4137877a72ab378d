"""Documents that are encrypted: read where no password is asked for, else refused with the reason."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pikepdf import Encryption, Pdf

from _damage import one_page, stream
from pagetune.errors import DocumentRefused
from pagetune.pages.formats import look_inside
from pagetune.pages.pdf import PdfFile

PASSWORD, METHOD = "encrypted: it asks for a password", "encrypted: by a method that is not supported"


def encrypted(revision: int, user: str, owner: str) -> bytes:
    """A page of two words by RC4 (revisions 2 and 3), AES-128 (4) or AES-256 (5 and 6)."""
    plain = one_page(stream(b"BT /F1 24 Tf 150 600 Td (Quiet words) Tj ET"), b"/MediaBox [0 0 612 792]")
    aes = revision > 3
    target = io.BytesIO()
    with warnings.catch_warnings(), Pdf.open(io.BytesIO(plain)) as pdf:
        warnings.simplefilter("ignore")  # Revision 5 was never a standard; files of it are there all the same.
        pdf.save(target, encryption=Encryption(R=revision, user=user, owner=owner, aes=aes, metadata=aes))  # type: ignore[arg-type]
    return target.getvalue()


def read_words(content: bytes, folder: Path) -> str:
    path = folder / "document.pdf"
    path.write_bytes(content)
    file = PdfFile(path)
    with file.page(0) as page:
        found = page.text()[0]
    file.close()
    return found


@pytest.mark.parametrize("revision", [2, 3, 4, 5, 6])
def test_a_pdf_is_read_unless_it_asks_for_a_password(tmp_path: Path, revision: int) -> None:
    assert read_words(encrypted(revision, "", ""), tmp_path) == "Quiet words"
    assert read_words(encrypted(revision, "", "owner"), tmp_path) == "Quiet words"
    for owner in ("", "owner"):
        with pytest.raises(DocumentRefused, match=f"^{PASSWORD}$"):
            read_words(encrypted(revision, "user", owner), tmp_path)


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        (b"/Filter /Standard", b"/Filter /Adobe.PubSec"),  # Certificates.
        (b"/Filter /Standard", b"/Filter /SomebodysOwn"),
        (b"/CFM /AESV3", b"/CFM /AESV4"),  # AES-GCM, of a later standard.
    ],
)
def test_a_method_that_is_not_known_is_no_question_for_a_password(tmp_path: Path, there: bytes, instead: bytes) -> None:
    content = encrypted(6, "", "owner")
    assert content.count(there) == 1
    with pytest.raises(DocumentRefused, match=f"^{METHOD}$"):
        read_words(content.replace(there, instead), tmp_path)


def ole(*streams: str, sectors: int = 1) -> bytes:
    """The head and the directory of an OLE file; the directory lies after so many sectors of 512 bytes."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(30, b"\0") + struct.pack("<H", 9)
    head = head.ljust(48, b"\0") + struct.pack("<I", sectors)
    entries = b"".join(name.encode("utf-16-le").ljust(128, b"\0") for name in ("Root Entry", *streams))
    return head.ljust(512 * (sectors + 1), b"\0") + entries + bytes(512 * sectors)


def open_document(*, locked: bool) -> bytes:
    about = '<manifest:encryption-data manifest:checksum-type="SHA1/1K"/>' if locked else ""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("content.xml", "<office:document-content/>")
        archive.writestr(
            "META-INF/manifest.xml",
            f'<manifest:file-entry manifest:full-path="content.xml">{about}</manifest:file-entry>',
        )
    return target.getvalue()


def zipped_with_a_password() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in ("[Content_Types].xml", "word/document.xml"):
            archive.writestr(name, "<x/>")
    content = bytearray(target.getvalue())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + flags] |= 1
            at = content.find(mark, at + 4)
    return bytes(content)


@pytest.mark.parametrize(
    ("outer", "content"),
    [
        ("ole", ole("EncryptionInfo", "EncryptedPackage")),
        ("ole", ole("EncryptionInfo", "EncryptedPackage", sectors=5000)),
        ("zip", open_document(locked=True)),
        ("zip", zipped_with_a_password()),
    ],
)
def test_an_encrypted_office_file_is_refused_before_it_is_converted(tmp_path: Path, outer: str, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DocumentRefused, match=f"^{PASSWORD}$"):
        look_inside(tmp_path / "file", outer)


def test_other_office_files_are_what_they_were(tmp_path: Path) -> None:
    for outer, content, kind in (
        ("zip", open_document(locked=False), "odt"),
        ("ole", ole("WordDocument"), "doc"),
        ("ole", ole("Workbook", sectors=5000), "xls"),
        ("ole", ole("Something"), None),
    ):
        (tmp_path / "file").write_bytes(content)
        assert look_inside(tmp_path / "file", outer) == kind


def test_the_report_names_the_reason(read: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pdf").write_bytes(encrypted(6, "", "owner"))
    (tmp_path / "in" / "b.docx").write_bytes(ole("EncryptionInfo", "EncryptedPackage"))
    (tmp_path / "in" / "c.odt").write_bytes(open_document(locked=True))
    report, _ = read(tmp_path / "in")
    assert [found.reason for found in report.documents] == ["", PASSWORD, PASSWORD]
