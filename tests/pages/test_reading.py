"""Reading real files through real workers."""

import io
import json
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pdfencrypt import StandardEncryption

from _damage import bomb, endless_tree, flipped, huge_page, huge_picture, many_pages, no_pages, one_page, stream
from _typeset import prose, typeset
from pagetune.errors import ReadingError, WorkspaceError
from pagetune.pages.office import MISSING, office_command
from pagetune.pages.store import PageStore


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return typeset(tmp_path_factory.mktemp("typeset") / "The Report (final).pdf", 4, 1)


def word_page(page: bytes) -> bytes:
    return one_page(stream(b"BT /F1 24 Tf 150 600 Td (Turning) Tj ET"), page)


def ink(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L")) < 128


def test_a_pdf_gives_words_outline_and_metadata(read, document):
    report, workspace = read(document)
    store = PageStore(workspace.pages)
    (found,) = store.documents()
    assert (found.id, found.format, found.pages, found.title) == ("the-report-final", "pdf", 4, "Typeset 1")
    assert found.metadata["Author"] == "Pagetune"
    assert [(entry.level, entry.page) for entry in found.outline] == [(1, 1), (1, 2), (1, 3), (1, 4)]
    page = store.page("the-report-final-0002")
    assert page.number == 2
    assert page.origin == "text layer"
    heading = [word for word, size in zip(page.words, page.sizes, strict=True) if size == page.sizes.max()]
    assert " ".join(heading) == found.outline[1].title
    assert (np.diff(page.lines) >= 0).all()
    assert report.pages == len(store.pages()) == 4
    json.dumps(report.summary())


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("box", [b"", b"/CropBox [100 500 400 700]"])
def test_boxes_lie_on_the_ink_however_the_page_is_turned_and_cropped(read, tmp_path, turn, box):
    path = tmp_path / "turned.pdf"
    path.write_bytes(word_page(b"/MediaBox [0 0 612 792] /Rotate %d %s" % (turn, box)))
    _, workspace = read(path)
    store = PageStore(workspace.pages)
    (page,) = store.pages()
    image = store.image(page.id, long_side=1000)
    dark = ink(image)
    scale = image.width / page.width
    left, bottom, right, top = page.boxes[0] * scale
    inside = dark[int(image.height - top) - 1 : int(image.height - bottom) + 2, int(left) - 1 : int(right) + 2]
    assert page.words == ("Turning",)
    assert dark.sum() > 100
    assert inside.sum() == dark.sum()
    assert page.sizes[0] == pytest.approx(24, abs=0.01)
    store.close()


def test_a_mask_is_painted_with_the_background(read, document):
    _, workspace = read(document)
    store = PageStore(workspace.pages)
    page = store.pages()[0]
    box = tuple(page.boxes[0].tolist())
    plain, masked = (store.image(page.id, max_pixels=400_000, mask=mask) for mask in ((), [box]))
    assert plain.width * plain.height <= 400_000
    scale = plain.width / page.width
    area = tuple(int(v * scale) for v in (box[0], page.height - box[3], box[2], page.height - box[1]))
    assert ink(plain.crop(area)).any()
    assert not ink(masked.crop(area)).any()
    many = list(store.images([page.id, "the-report-final-0003", page.id], long_side=200, masks={page.id: [box]}))
    assert [name for name, _ in many] == [page.id, "the-report-final-0003", page.id]
    assert all(max(image.size) == 200 for _, image in many)
    store.close()


def test_a_picture_that_cannot_be_had_need_not_stop_the_others(read, document, tmp_path):
    _, workspace = read(document, typeset(tmp_path / "broken.pdf", 2, 5))
    store = PageStore(workspace.pages)
    broken, *_ = workspace.pages.glob(f"sources/{store.documents()[1].digest}*")
    broken.unlink()
    broken.write_bytes(b"%PDF-1.4 no more")
    ids = [page.id for page in store.pages()]
    whole = [page.id for page in store.pages() if page.document == store.documents()[0].id]
    assert [name for name, _ in store.images([*ids[4:], *ids[:4]], long_side=64, leave_out_broken=True)] == whole
    with pytest.raises(ReadingError, match="cannot be rendered"):
        list(store.images(ids, long_side=64))


def test_threads_and_copies_may_ask_one_store_for_pictures(read, document):
    _, workspace = read(document)
    store = PageStore(workspace.pages)
    names = [page.id for page in store.pages()]
    with ThreadPoolExecutor(4) as threads:
        sizes = list(threads.map(lambda name: store.image(name, long_side=100).size, names * 3))
    assert set(sizes) == {store.image(names[0], long_side=100).size}
    copy = pickle.loads(pickle.dumps(store))
    assert copy.image(names[0], long_side=50).size[1] == 50
    copy.close()
    store.close()


def test_pictures_are_pages_of_a_point_a_pixel(read, tmp_path):
    frames = [Image.new("RGB", (300, 200), color) for color in ("red", "blue", "green")]
    frames[0].save(tmp_path / "frames.tiff", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    frames[0].save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGBA", (64, 32), (0, 0, 0, 0)).save(tmp_path / "clear.webp")
    Image.fromarray(np.arange(6000, dtype=np.uint16).reshape(60, 100) * 10).save(tmp_path / "deep.png")
    report, workspace = read(
        tmp_path / "frames.tiff", *(tmp_path / n for n in ("turned.jpg", "clear.webp", "deep.png"))
    )
    store = PageStore(workspace.pages)
    sizes = {page.id: (page.width, page.height) for page in store.pages()}
    assert sizes["frames-0001"] == sizes["frames-0003"] == (300, 200)
    assert sizes["turned-0001"] == (200, 300)
    assert report.pages == 6
    assert store.image("frames-0002").getpixel((5, 5)) == (0, 0, 255)
    assert store.image("turned-0001", long_side=150).size == (100, 150)
    assert store.image("clear-0001").getpixel((1, 1)) == (255, 255, 255)
    deep = store.image("deep-0001").convert("L")
    assert deep.getpixel((0, 0)) < 10
    assert deep.getpixel((99, 59)) > 245
    store.close()


def test_content_decides_not_the_name(read, document, tmp_path):
    shutil.copy(document, tmp_path / "really a report.png")
    (tmp_path / "notes.pdf").write_text("only text")
    report, _ = read(tmp_path)
    told = {Path(found.path).name: (found.status, found.reason) for found in report.documents}
    assert told["really a report.png"] == ("read", "")
    assert told["notes.pdf"] == ("refused", "not of a type that is read (.pdf, judged by its content)")


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_name_that_is_not_utf8_is_read_like_any_other(read, document, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    for name in (b"caf\xe9.pdf", b"caf\xe8.pdf"):
        (folder / os.fsdecode(name)).write_bytes(document.read_bytes())
    report, _ = read(folder)
    assert [found.status for found in report.documents] == ["read", "duplicate"]
    assert json.dumps(report.summary(), ensure_ascii=False).encode()


def test_an_empty_folder_is_an_error_that_says_so(read, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReadingError, match="no files"):
        read(tmp_path / "empty")


def test_what_cannot_be_read_has_its_reason_and_the_rest_goes_on(read, document, tmp_path):
    folder = tmp_path / "in" / "deeper"
    folder.mkdir(parents=True)
    (folder.parent / ".hidden").mkdir()
    (folder.parent / ".hidden" / "x.pdf").write_bytes(b"junk")
    shutil.copy(document, folder / "good.pdf")
    shutil.copy(document, folder / "twin.pdf")
    typeset(folder / "locked.pdf", 1, 2, encrypt=StandardEncryption("secret", strength=128))
    made = {"empty.pdf": b"", "none.pdf": no_pages(), "many.pdf": many_pages(30), "large.png": huge_picture()}
    made |= {"loop.pdf": endless_tree(), "half.pdf": document.read_bytes()[:700], "wide.pdf": huge_page()}
    for name, content in made.items():
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.pdf")
    report, workspace = read(tmp_path / "in", max_pages=20, workers=2)
    told = {Path(found.path).name: (found.status, found.reason) for found in report.documents}
    assert told == {
        "empty.pdf": ("refused", "empty file"),
        "good.pdf": ("read", ""),
        "half.pdf": ("refused", "damaged: not readable as a PDF"),
        "large.png": ("refused", "no page can be read: picture of 50000 x 50000 pixels, above max_image_side=20000"),
        "locked.pdf": ("refused", "encrypted: it asks for a password"),
        "loop.pdf": ("refused", "no page can be read: page cannot be loaded: Failed to load page"),
        "many.pdf": ("refused", "30 pages, above max_pages=20"),
        "none.pdf": ("refused", "damaged: it has no pages"),
        "pipe.pdf": ("refused", "not a regular file"),
        "twin.pdf": ("duplicate", f"same content as {folder / 'good.pdf'}"),
        "wide.pdf": ("read", ""),
    }
    store = PageStore(workspace.pages)
    assert [found.id for found in store.documents()] == ["good", "wide"]
    assert len(store.documents(all=True)) == 11
    assert store.image("wide-0001", long_side=300).size == (300, 300)
    assert len(list((workspace.pages / "sources").iterdir())) == 2
    store.close()


@pytest.mark.integration
def test_a_worker_that_swells_is_ended_and_the_good_file_is_read(read, document, tmp_path):
    (tmp_path / "bomb.pdf").write_bytes(bomb())
    report, _ = read(tmp_path / "bomb.pdf", document, memory_mb=512, timeout=60)
    assert [found.status for found in report.documents] == ["refused", "read"]
    assert report.refused[0].reason.startswith("no page can be read: ")


def test_the_same_files_give_the_same_pages_whatever_the_workers(read, tmp_path):
    files = [typeset(tmp_path / f"d{seed}.pdf", 30, seed) for seed in (3, 4)]
    one, first = read(*files, workspace="one", workers=1)
    two, second = read(*files, workspace="two", workers=2)
    again, _ = read(*files, workspace="two", workers=2)
    assert (
        one.digest == two.digest == again.digest == PageStore(first.pages).digest() == PageStore(second.pages).digest()
    )
    assert (first.pages / "pages.parquet").read_bytes() == (second.pages / "pages.parquet").read_bytes()


def test_pages_of_the_same_content_are_found(read, tmp_path, document):
    import pypdfium2

    source = pypdfium2.PdfDocument(document)
    target = pypdfium2.PdfDocument.new()
    target.import_pages(source, [1, 0, 1])
    target.save(tmp_path / "again.pdf")
    report, workspace = read(document, tmp_path / "again.pdf")
    marks = {page.id: page.duplicate_of for page in PageStore(workspace.pages).pages() if page.duplicate_of}
    assert marks == {
        "again-0001": "the-report-final-0002",
        "again-0002": "the-report-final-0001",
        "again-0003": "the-report-final-0002",
    }
    assert report.duplicate_pages == 3


def test_finished_documents_are_not_opened_again(read, document, tmp_path):
    report, workspace = read(document)
    (kept,) = workspace.cache.glob("pages/*.parquet")
    before = kept.stat().st_mtime_ns
    other = typeset(tmp_path / "other.pdf", 1, 9)
    more, _ = read(document, other)
    assert kept.stat().st_mtime_ns == before
    assert more.pages == report.pages + 1
    kept.write_bytes(flipped(kept.read_bytes()[:200], __import__("random").Random(1)))
    assert read(document)[0].digest == report.digest


def test_the_sources_are_copies_and_stay_when_the_users_file_changes(read, tmp_path, document):
    mine = shutil.copy(document, tmp_path / "mine.pdf")
    _, workspace = read(tmp_path / "mine.pdf")
    with open(mine, "r+b") as file:
        file.write(b"gone" * 1000)
    store = PageStore(workspace.pages)
    assert ink(store.image("mine-0001", long_side=400)).any()
    store.close()


def test_nothing_readable_and_nothing_there_are_errors(read, tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"")
    with pytest.raises(ReadingError, match="empty file"):
        read(tmp_path / "a.pdf")
    with pytest.raises(ReadingError, match="neither a file nor a folder"):
        read(tmp_path / "missing.pdf")
    with pytest.raises(WorkspaceError, match="read documents first"):
        PageStore(tmp_path / "nowhere")


def scan(lines: list[str], size: tuple[int, int] = (700, 260)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((30, 30 + 60 * number), line, "black", ImageFont.load_default(30))
    return image


@pytest.mark.integration
def test_a_scan_is_read_by_ocr_once(read, tmp_path, document):
    pytest.importorskip("rapidocr")
    scan(["Reversing a transaction", "needs the approval of two"]).save(tmp_path / "scan.png")
    report, workspace = read(tmp_path / "scan.png", document, ocr="auto")
    store = PageStore(workspace.pages)
    page = store.page("scan-0001")
    assert page.text().split() == ["Reversing", "a", "transaction", "needs", "the", "approval", "of", "two"]
    assert page.origin == "ocr"
    assert report.ocr_pages == 1
    assert page.lines.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    image = ink(store.image("scan-0001"))
    left, bottom, right, top = page.boxes[2].astype(int)
    inside = image[int(page.height) - top : int(page.height) - bottom, left:right]
    assert inside.mean() > 0.1
    (kept,) = (workspace.cache / "pages" / "ocr").rglob("*.json")
    # Read again without the document's cache: the page's pixels are known, so OCR is not asked.
    words = json.loads(kept.read_text())
    words[1][0] = "Remembering"
    kept.write_text(json.dumps(words))
    for file in (workspace.cache / "pages").glob("*.parquet"):
        file.unlink()
    read(tmp_path / "scan.png", ocr="auto")
    assert PageStore(workspace.pages).page("scan-0001").words[0] == "Remembering"
    store.close()


def test_without_ocr_a_scan_is_a_page_without_words_and_it_is_said(read, tmp_path, monkeypatch):
    monkeypatch.setattr("pagetune.pages.reading.can_ocr", lambda: False)
    said = []
    from pagetune.pages.reading import read_documents
    from pagetune.progress import Silent
    from pagetune.recipe import ReadRecipe
    from pagetune.workspace import Workspace

    class Saying(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    scan(["unread"]).save(tmp_path / "scan.png")
    report = read_documents([tmp_path / "scan.png"], Workspace(tmp_path / "w").create(), ReadRecipe(), Saying())
    assert said == ["1 of 1 pages were not read, or not wholly: needs OCR, which is not installed (a picture) 1"]
    assert (report.pages, report.unread_pages, report.ocr_pages) == (1, 1, 0)


def office_file(path, text: str) -> None:
    """The smallest DOCX."""
    import zipfile

    types = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'  # noqa: E501
    rels = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>'  # noqa: E501
    body = f'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", types)
        archive.writestr("_rels/.rels", rels)
        archive.writestr("word/document.xml", body)


@pytest.mark.integration
@pytest.mark.skipif(office_command() is None, reason="LibreOffice is not installed")
def test_an_office_document_is_converted_and_its_pdf_kept(read, tmp_path):
    office_file(tmp_path / "letter.bin", "Dear reader of letters")
    report, workspace = read(tmp_path / "letter.bin")
    store = PageStore(workspace.pages)
    assert store.documents()[0].format == "docx"
    assert store.pages()[0].text() == "Dear reader of letters"
    assert ink(store.image("letter-0001", long_side=800)).any()
    assert [file.suffix for file in (workspace.pages / "sources").iterdir()] == [".pdf"]
    assert read(tmp_path / "letter.bin")[0].digest == report.digest
    store.close()


def test_without_libreoffice_the_document_is_refused_with_a_way_out(read, tmp_path, document, monkeypatch):
    monkeypatch.setattr("pagetune.pages.reading.office_command", lambda: None)
    office_file(tmp_path / "letter.docx", "Dear reader")
    (tmp_path / "other.zip").write_bytes(io.BytesIO().getvalue() or b"PK\x03\x04 nothing")
    report, _ = read(tmp_path / "letter.docx", tmp_path / "other.zip", document)
    assert [found.reason for found in report.refused] == [
        MISSING, "not of a type that is read (.zip, judged by its content)"
    ]  # fmt: skip


def test_prose_of_the_typesetter_is_the_same_every_time():
    import random

    assert prose(random.Random(1), 5) == prose(random.Random(1), 5)
