"""What could not be read is named by reason, page and remedy, from the worker to the screen."""

import json
from pathlib import Path

from PIL import Image, ImageDraw
from scans import ENGLISH, draw, sandwich
from typer.testing import CliRunner

from pagetune.cli.app import app
from pagetune.pages.assembly import PageParts
from pagetune.pages.ocr import Found
from pagetune.pages.pictures import PictureFile
from pagetune.pages.unread import REMEDIES, Reason, UnreadPage, group_unread, unread_line
from pagetune.pages.words import no_words
from pagetune.pages.worker import _picture_page


def test_every_reason_has_a_remedy():
    assert set(REMEDIES) == set(Reason)


def test_pages_are_grouped_by_reason_most_first():
    pages = [UnreadPage("manual", page, Reason.SCRIPT, "Cyrillic") for page in (3, 4, 5, 9, 12, 14, 16, 18)]
    pages += [UnreadPage("letter", 1, Reason.SCRIPT, "Cyrillic"), UnreadPage("letter", 2, Reason.EMPTY)]
    script, empty = group_unread(pages)
    assert json.loads(json.dumps(script)) == {
        "reason": "OCR cannot read the script (Cyrillic)",
        "pages": 9,
        "where": {"manual": "3-5, 9, 12, 14, 16, 18", "letter": "1"},
        "remedy": REMEDIES[Reason.SCRIPT],
    }
    assert unread_line(script) == (
        "9 pages: OCR cannot read the script (Cyrillic): manual p. 3-5, 9, 12, 14, 16 …; "
        "install a PP-OCR recognition model of the script in a folder, and name it: read.ocr_models=FOLDER"
    )
    assert unread_line(empty).startswith("1 page: is not blank, but no word was found on it: letter p. 2; ")


def test_pages_without_ocr_are_counted_and_blank_ones_are_not(read, tmp_path):
    sandwich(tmp_path / "scan.pdf", [(ENGLISH, ()), ((), ()), (ENGLISH, ())])
    report, _ = read(tmp_path / "scan.pdf", ocr="never")
    assert [tuple(page) for page in report.unread] == [
        ("scan", 1, Reason.OCR_OFF, "no text layer"),
        ("scan", 3, Reason.OCR_OFF, "no text layer"),
    ]
    summary = report.summary()
    assert (summary["pages"], summary["unread_pages"]) == (3, 2)
    # The second reading takes the pages from the cache, and what was noted with them.
    assert read(tmp_path / "scan.pdf", ocr="never")[0].unread == report.unread


def parts_of(picture: Image.Image, path: Path) -> PageParts:
    picture.save(path)
    file = PictureFile(path, "png", 10_000)
    message, blobs = _picture_page(file, 0)
    file.close()
    return PageParts.of(message, blobs)


def test_ink_without_words_is_counted_and_a_rule_is_not(tmp_path):
    drawing, rule = (Image.new("RGB", (600, 600), (230, 240, 255)) for _ in range(2))
    for radius in range(40, 280, 40):
        ImageDraw.Draw(drawing).ellipse((300 - radius, 300 - radius, 300 + radius, 300 + radius), outline=0, width=6)
    ImageDraw.Draw(rule).line((50, 300, 550, 300), fill=0, width=3)
    for picture, expected in ((drawing, [(Reason.EMPTY, "")]), (rule, [])):
        part = parts_of(picture, tmp_path / "page.png")
        part.ocr = Found(no_words())
        assert not part.blank
        assert list(part.unread("none", Reason.OCR_OFF)) == expected
    part.ocr = Found(no_words(), Reason.SCRIPT, "Greek")
    assert list(part.unread("none", Reason.OCR_OFF)) == [(Reason.SCRIPT, "Greek")]
    assert list(part.unread("text layer", Reason.OCR_OFF)) == [(Reason.SCRIPT, "Greek")]  # Of a stamp on the scan.
    part.fault = None
    assert list(part.unread("text layer", Reason.OCR_OFF)) == []


def test_the_screen_names_them(tmp_path):
    draw(ENGLISH).save(tmp_path / "scan.png")
    arguments = ["read", str(tmp_path / "scan.png"), "-w", str(tmp_path / "ws"), "read.ocr=never", "read.workers=1"]
    line = "unread: 1 page: needs OCR, which is switched off (a picture): scan p. 1; read.ocr=auto"
    for _ in range(2):  # The second time nothing is read: the line comes from the record of the stage.
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert line in done.output.splitlines()
    done = CliRunner().invoke(app, [*arguments, "--json", "--quiet"])
    (entry,) = json.loads(done.stdout)["unread"]
    assert entry["where"] == {"scan": "1"}
