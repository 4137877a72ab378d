"""Fonts that neither a file nor the machine has: the words are read all the same, and the font is named."""

import subprocess
import sys

import pikepdf
import pytest
from drawn_pdfs import add_page, line
from pikepdf import Array, Dictionary, Name, String

from pagetune.pages.pdf import PdfFile

TEXTS = {
    "Korea1": ("Batang", "KSCms-UHC-H", "cp949", "수도관을 닫고 거름망을 꺼내십시오"),
    "Japan1": ("MS-Mincho", "90ms-RKSJ-H", "cp932", "弁を閉めてから濾過器を取り出す"),
    "GB1": ("SimSun", "GBK-EUC-H", "gbk", "取出滤网之前请先关闭阀门"),
    "CNS1": ("MingLiU", "ETen-B5-H", "big5", "取出濾網之前請先關閉閥門"),
}
NAMES = [name for name, *_ in TEXTS.values()]
SCRIPTS = ["Korean", "Japanese", "Chinese", "Chinese"]

# The machine's fonts are hidden from pdfium by answering, in its stead, that there are none.
READ = """
import sys
from pathlib import Path
import ctypes
import pagetune.pages.substitute as fonts
one = fonts.substitute()
if sys.argv[2] == "without":
    one._machine["MapFont"] = lambda *_: None
from pagetune.pages.pdf import PdfFile
file = PdfFile(Path(sys.argv[1]))
for index in range(file.pages):
    with file.page(index) as page:
        text = page.text()
        print("".join(text.words.words), *sorted(text.missing_fonts.items()), sep="|")
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    pdf = pikepdf.new()
    for collection, (name, encoding, codec, text) in TEXTS.items():
        system = Dictionary(Registry=String("Adobe"), Ordering=String(collection), Supplement=2)
        sizes = {"ItalicAngle": 0, "Ascent": 859, "Descent": -141, "CapHeight": 700, "StemV": 80}
        box = Array([0, -200, 1000, 900])
        about = Dictionary(Type=Name.FontDescriptor, FontName=Name(f"/{name}"), Flags=6, FontBBox=box, **sizes)
        inner = Dictionary(Type=Name.Font, Subtype=Name.CIDFontType2, BaseFont=Name(f"/{name}"), CIDSystemInfo=system)
        inner.DW, inner.FontDescriptor = 1000, about
        outer = Dictionary(Type=Name.Font, Subtype=Name.Type0, BaseFont=Name(f"/{name}"), Encoding=Name(f"/{encoding}"))
        outer.DescendantFonts = Array([pdf.make_indirect(inner)])
        content = "".join(
            f"BT /F1 14 Tf {60 + 14 * place} 780 Td <{character.encode(codec).hex()}> Tj ET\n"
            for place, character in enumerate(text)
            if character != " "
        )
        add_page(pdf, content, Fonts={"/F1": pdf.make_indirect(outer)})
    add_page(pdf, line(60, 700, "Plain type in Helvetica"))
    found = tmp_path_factory.mktemp("fonts") / "fonts.pdf"
    pdf.save(found)
    return found


@pytest.mark.parametrize("fonts", ["with", "without"])
def test_every_character_is_read_whatever_fonts_the_machine_has(path, fonts):
    done = subprocess.run([sys.executable, "-c", READ, str(path), fonts], capture_output=True, text=True, check=True)
    rows = [row.split("|") for row in done.stdout.splitlines()]
    wanted = [text.replace(" ", "") for *_, text in TEXTS.values()] + ["PlaintypeinHelvetica"]
    assert [words for words, *_ in rows] == wanted
    assert rows[-1][1:] == []
    if fonts == "without":
        names = zip(NAMES, SCRIPTS, strict=True)
        assert [missing for _, *missing in rows[:-1]] == [[str(name)] for name in names]


def test_a_font_of_which_no_glyph_is_found_is_named(tmp_path):
    """Codes that are places in a font that is not there: nobody can draw them, and pdfium leaves them out."""
    pdf = pikepdf.new()
    system = Dictionary(Registry=String("Adobe"), Ordering=String("Identity"), Supplement=0)
    inner = Dictionary(Type=Name.Font, Subtype=Name.CIDFontType2, BaseFont=Name.Mangal, CIDSystemInfo=system, DW=600)
    outer = Dictionary(Type=Name.Font, Subtype=Name.Type0, BaseFont=Name.Mangal, Encoding=Name("/Identity-H"))
    outer.DescendantFonts = Array([pdf.make_indirect(inner)])
    content = "".join(f"BT /F1 14 Tf {60 + 14 * at} 700 Td <{900 + at:04X}> Tj ET\n" for at in range(20))
    add_page(pdf, content, Fonts={"/F1": pdf.make_indirect(outer)})
    add_page(pdf, line(60, 700, "A short page"))
    pdf.save(tmp_path / "codes.pdf")
    file = PdfFile(tmp_path / "codes.pdf")
    found = []
    for index in range(file.pages):
        with file.page(index) as page:
            found.append(page.text())
    file.close()
    assert not found[0].words.words
    assert found[0].missing_fonts == {"Mangal": "no glyph of it"}
    assert found[1].words.words == ["A", "short", "page"]
    assert found[1].missing_fonts == {}
