"""OCR of pages that the tests draw: what it reads, what it says it cannot, turned pages, further models."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scans import ENGLISH, GERMAN, RUSSIAN, SIZE, draw, words_of

from pagetune.errors import ReadingError
from pagetune.pages.ocr import Ocr
from pagetune.pages.recogniser import Recogniser, list_models
from pagetune.pages.store import PageStore
from pagetune.pages.unread import Reason

rapidocr = pytest.importorskip("rapidocr")
pytestmark = pytest.mark.integration

GREEK = ("Για να ακυρώσετε μια συναλλαγή επιλέξτε", "πρώτα την εγγραφή και πατήστε το κουμπί", "ακύρωσης στην οθόνη.")
ARMENIAN = (
    "Բոլոր մարդիկ ծնվում են ազատ ու հավասար",
    "իրենց արժանապատվությամբ ու իրավունքներով",
)
HEBREW = (
    "כל בני האדם נולדו בני חורין ושווים בערכם",
    "כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם",
)
BUNDLED = next((Path(rapidocr.__file__).parent / "models").glob("*_rec_*.onnx"))


@pytest.fixture(scope="module")
def ocr() -> Ocr:
    return Ocr()


def with_letters(path: Path, change: dict[str, str]) -> Path:
    """The model of RapidOCR's wheel with some of its characters named otherwise: the last entry of a key holds."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(BUNDLED), providers=["CPUExecutionProvider"])
    characters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    value = "\n".join(change.get(character, character) for character in characters).encode()

    def field(number: int, content: bytes) -> bytes:
        size, length = len(content), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    path.write_bytes(BUNDLED.read_bytes() + field(14, field(1, b"character") + field(2, value)))
    return path


def test_umlauts_are_kept_and_boxes_lie_on_the_print(ocr):
    picture = draw(GERMAN)
    found = ocr.read(picture, *SIZE)
    assert (found.words.words, found.trouble) == (words_of(GERMAN), None)
    dark = np.asarray(picture.convert("L")) < 128
    for left, bottom, right, top in found.words.boxes[[0, 7, -1]] * 2:
        assert dark[int(picture.height - top) : int(picture.height - bottom), int(left) : int(right)].mean() > 0.1
    assert np.bincount(found.words.lines).tolist() == [len(line.split()) for line in GERMAN]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_scan_on_its_side_or_head_is_read_as_the_upright_one(ocr, turns):
    picture = draw(ENGLISH)
    upright = ocr.read(picture, *SIZE).words
    width, height = SIZE if turns == 2 else SIZE[::-1]
    found = ocr.read(picture.rotate(-90 * turns, expand=True), width, height).words
    assert found.words == upright.words == words_of(ENGLISH)
    assert found.lines.tolist() == upright.lines.tolist()
    x0, y0, x1, y1 = found.boxes.T
    shown = {
        1: (SIZE[0] - y1, x0, SIZE[0] - y0, x1),
        2: (SIZE[0] - x1, SIZE[1] - y1, SIZE[0] - x0, SIZE[1] - y0),
        3: (y0, SIZE[1] - x1, y1, SIZE[1] - x0),
    }[turns]
    assert np.stack(shown, axis=1) == pytest.approx(upright.boxes, abs=4)


def test_a_scan_askew_keeps_its_lines(ocr):
    picture = draw(ENGLISH * 2).rotate(3, Image.Resampling.BICUBIC, fillcolor=(250, 250, 250))
    found = ocr.read(picture, *SIZE).words
    assert found.words == words_of(ENGLISH * 2)
    assert np.bincount(found.lines).tolist() == [len(line.split()) for line in ENGLISH * 2]


def test_capitals_and_figures_are_not_turned_on_their_head(ocr):
    lines = [line.upper() for line in ENGLISH] + ["1,204 89% 77 2019 44.10 18/04 63% 0.071"]
    assert ocr.read(draw(lines), *SIZE).words.words == words_of(lines)


@pytest.mark.parametrize(
    ("lines", "script"),
    [
        (RUSSIAN, "Cyrillic"),
        (GREEK, "Greek"),
        ([line.upper() for line in GREEK], "Greek"),
        (ARMENIAN, "Armenian"),
        (HEBREW, "Hebrew"),
    ],
)
def test_what_the_model_cannot_read_is_said_and_not_made_up(ocr, lines, script):
    found = ocr.read(draw(lines), *SIZE)
    assert (found.words.words, found.trouble, found.detail) == ([], Reason.SCRIPT, script)


def test_a_poor_scan_of_a_known_script_is_not_called_an_unknown_one(ocr):
    image = draw(ENGLISH * 2, 1.0).filter(ImageFilter.GaussianBlur(1.6)).resize((1190, 840))
    noise = np.random.default_rng(1).normal(0, 60, (840, 1190, 1))
    found = ocr.read(Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)), *SIZE)
    assert found.trouble is not Reason.SCRIPT
    assert found.words.words or found.trouble is Reason.BADLY


def test_of_a_page_in_two_scripts_the_known_one_is_kept(ocr):
    found = ocr.read(draw([*ENGLISH * 2, *RUSSIAN]), *SIZE)
    assert (found.words.words, found.trouble) == (words_of(ENGLISH * 2), Reason.SCRIPT)


def test_pages_that_cannot_be_read_are_in_the_report_from_the_cache_too(read, tmp_path):
    pictures = [draw(RUSSIAN), draw(ENGLISH), draw(RUSSIAN)]
    pictures[0].save(tmp_path / "scans.tiff", save_all=True, append_images=pictures[1:])
    for _ in range(2):
        report, workspace = read(tmp_path / "scans.tiff", ocr="auto")
        assert [(page.page, page.reason) for page in report.unread] == [(1, Reason.SCRIPT), (3, Reason.SCRIPT)]
        assert [page.origin for page in PageStore(workspace.pages).pages()] == ["none", "ocr", "none"]
        for file in (workspace.cache / "pages").glob("*.parquet"):
            file.unlink()  # Then only what OCR made of the pixels is left.


def test_scripts_are_told_by_a_models_characters(tmp_path):
    latin = with_letters(tmp_path / "named-as-you-like.onnx", {})
    assert list_models(tmp_path) == [latin]
    assert Recogniser(latin).scripts == Recogniser().scripts >= {"LATIN", "CJK", "HIRAGANA", "KATAKANA"}
    assert not Recogniser().scripts & {"GREEK", "CYRILLIC", "HANGUL", "VIETNAMESE"}
    russian = with_letters(tmp_path / "russian.onnx", dict(zip("abcdefgh", "аеиностр", strict=True)))
    assert "CYRILLIC" in Recogniser(russian).scripts


def test_the_model_that_reads_a_line_best_is_taken(ocr, tmp_path):
    """A first model that has Greek letters for the Latin ones reads every line badly, the one of the folder well."""
    folder = tmp_path / "models"
    folder.mkdir()
    with_letters(folder / "latin.onnx", {})
    greek = with_letters(
        tmp_path / "greek.onnx", dict(zip("abcdefghiklmnoprstuxyz", "αβγδεφχηικλμνοπρστυξψζ", strict=True))
    )
    both = Ocr(folder)
    both._first = Recogniser(greek)
    found = both.read(draw(ENGLISH).rotate(180), *SIZE)
    assert (found.words.words, found.trouble) == (words_of(ENGLISH), None)
    alone = Ocr()
    alone._first = both._first
    assert alone.read(draw(ENGLISH), *SIZE)[1:] == (Reason.SCRIPT, "Greek")


def test_a_folder_without_models_is_refused_in_a_line(read, tmp_path):
    draw(ENGLISH).save(tmp_path / "scan.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReadingError, match=r"'.*nowhere' is not a folder"):
        read(tmp_path / "scan.png", ocr="auto", ocr_models=str(tmp_path / "nowhere"))
    with pytest.raises(ReadingError, match=r"'.*empty' holds no recognition model"):
        read(tmp_path / "scan.png", ocr="auto", ocr_models=str(tmp_path / "empty"))
    (tmp_path / "empty" / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ReadingError, match=r"model\.onnx is not a model that can be loaded"):
        read(tmp_path / "scan.png", ocr="auto", ocr_models=str(tmp_path / "empty"))
    # Where OCR is off, its models are not looked at.
    assert read(tmp_path / "scan.png", ocr="never", ocr_models=str(tmp_path / "nowhere"))[0].pages == 1


def test_other_models_are_another_reading(read, tmp_path):
    draw(ENGLISH).save(tmp_path / "scan.png")
    folder = tmp_path / "models"
    folder.mkdir()
    with_letters(folder / "one.onnx", {})
    first, workspace = read(tmp_path / "scan.png", ocr="auto")
    second, _ = read(tmp_path / "scan.png", ocr="auto", ocr_models=str(folder))
    assert first.digest == second.digest
    assert len(list((workspace.cache / "pages").glob("*.parquet"))) == 2
