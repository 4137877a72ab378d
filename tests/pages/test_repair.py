"""Characters beyond the first plane, glyphs that only their names tell, accents that stand alone, type drawn twice."""

import pytest
from drawn_pdfs import PROSE, add_page, font, line, lines_of, prose, read
from pikepdf import Array, Dictionary, Name

UNICODE = """/CIDInit /ProcSet findresource begin 12 dict begin begincmap
1 begincodespacerange <00> <FF> endcodespacerange
{} endcmap end end"""


def named(pdf, codes):
    """Helvetica with a map from codes to characters, as hexadecimal UTF-16."""
    rows = "\n".join(f"<{code:02X}> <{character.encode('utf-16-be').hex()}>" for code, character in codes.items())
    ranges = f"1 beginbfrange <20> <7E> <0020> endbfrange {len(codes)} beginbfchar\n{rows}\nendbfchar"
    return font(pdf, ToUnicode=pdf.make_stream(UNICODE.format(ranges).encode()))


def differing(pdf, *names):
    """Helvetica whose codes from 1 on are glyphs of these names."""
    glyphs = Array([1, *(Name(f"/{name}") for name in names)])
    encoding = Dictionary(Type=Name.Encoding, BaseEncoding=Name.WinAnsiEncoding, Differences=glyphs)
    return font(pdf, Encoding=encoding)


def test_a_character_beyond_the_first_plane_is_one(tmp_path):
    signs = {1: "\U0001d465", 2: "\U00020bb7", 3: "\u91ce", 4: "\U0001f600"}
    content = line(60, 700, "slope of \x01 and \x02\x03 serves") + line(60, 680, "thanks \x04 all")
    (found,) = read(tmp_path / "far.pdf", lambda pdf: add_page(pdf, content, Fonts={"/F1": named(pdf, signs)}))
    assert lines_of(found) == ["slope of \U0001d465 and \U00020bb7\u91ce serves", "thanks \U0001f600 all"]


def test_ligatures_of_which_only_the_name_tells_are_spelt_out(tmp_path):
    content = line(60, 700, "The of\x01ce and \x02e ba\x03e, pla\x04orm") + line(60, 680, "and a \x05lost\x05 one")

    def draw(pdf):
        add_page(pdf, content, Fonts={"/F1": differing(pdf, "f_i", "T_h", "f_f_l", "t_f", "g117")})

    (found,) = read(tmp_path / "names.pdf", draw)
    assert lines_of(found) == ["The office and The baffle, platform", "and a \ufffdlost\ufffd one"]
    assert found.unknown == 2


def test_control_codes_are_a_fault_and_no_white_space(tmp_path):
    from pagetune.pages.text import text_layer_fault

    shifted = "".join(line(60, 700 - 20 * n, text.replace(" ", "!")) for n, text in enumerate(PROSE))
    (found,) = read(
        tmp_path / "codes.pdf", lambda pdf: add_page(pdf, shifted, Fonts={"/F1": named(pdf, {0x21: "\x1d"})})
    )
    assert found.unknown > 30
    assert text_layer_fault(found.text) == "replacement characters"
    assert text_layer_fault(PROSE[0].replace(" ", "\x1d") * 3) == "control characters"


@pytest.mark.parametrize("before", [True, False], ids=["accent first", "letter first"])
def test_accents_that_are_glyphs_of_their_own_join_their_letters(tmp_path, before):
    at = 60.0
    content = ""
    for character, accent in [("r", ""), ("e", "\xb4"), ("s", ""), ("u", "\xa8"), ("m", ""), ("e", "\xb4")]:
        width = 6.7 if character in "eu" else {"r": 4.0, "s": 6.0, "m": 10.0}[character]
        parts = [line(at, 700, character)]
        if accent:
            parts.insert(0 if before else 1, line(at + 1.4, 700, accent))
        content += "".join(parts)
        at += width
    (found,) = read(tmp_path / "accents.pdf", lambda pdf: add_page(pdf, content))
    assert lines_of(found) == ["résümé"]


def test_signs_that_are_no_accents_stay(tmp_path):
    (found,) = read(tmp_path / "signs.pdf", lambda pdf: add_page(pdf, line(60, 700, "x^2 and ~user and `name`")))
    assert lines_of(found) == ["x^2 and ~user and `name`"]


def test_words_that_are_drawn_twice_stand_once(tmp_path):
    halo = "".join(line(60 + dx, 700 + dy, "Reset the counter") for dx, dy in ((0, 0), (0.4, 0), (0, 0.4), (0.4, 0.4)))
    (found,) = read(tmp_path / "halo.pdf", lambda pdf: add_page(pdf, halo + line(60, 660, "Reset the clock")))
    assert lines_of(found) == ["Reset the counter", "Reset the clock"]


def test_letters_that_are_drawn_twice_in_two_fonts_stand_once(tmp_path):
    content = ""
    for name in ("F1", "F2"):
        at = 60.0
        for character in "weighted letters":
            content += line(at, 700, character, name=name) if character != " " else ""
            at += {"i": 3.0, "l": 3.0, "t": 3.6, "r": 4.4, "w": 9.0, " ": 5.0}.get(character, 6.9)
    fonts = lambda pdf: {"/F1": font(pdf), "/F2": font(pdf, "Helvetica-Bold")}  # noqa: E731
    (found,) = read(tmp_path / "twice.pdf", lambda pdf: add_page(pdf, content, Fonts=fonts(pdf)))
    assert "".join(found.words.words) == "weightedletters"


def test_prose_with_double_letters_is_left_alone(tmp_path):
    text = "The committee will assess all coffee accounts"
    (found,) = read(tmp_path / "double.pdf", lambda pdf: add_page(pdf, prose() + line(60, 600, text)))
    assert lines_of(found)[-1] == text


def test_spaces_between_letters_that_stand_together_are_no_spaces(tmp_path):
    """As in listings that are set letter by letter, in steps that are wider than the letters."""

    def draw(pdf):
        content = ""
        for word, left in (("openright", 60.0), ("draft", 140.0)):
            content += "".join(line(left + 6 * n, 700, letter, size=9, name="F2") for n, letter in enumerate(word))
        about = {"Type": Name.FontDescriptor, "FontName": Name.Courier, "Flags": 32, "StemV": 80, "CapHeight": 700}
        about |= {"FontBBox": Array([0, -200, 600, 800]), "ItalicAngle": 0, "Ascent": 800, "Descent": -200}
        narrow = {"FirstChar": 32, "LastChar": 126, "Widths": Array([520] * 95), "FontDescriptor": Dictionary(**about)}
        fonts = {"/F1": font(pdf), "/F2": font(pdf, "Courier", **narrow)}
        add_page(pdf, content + line(60, 660, "W I D E type stays apart"), Fonts=fonts)

    (found,) = read(tmp_path / "steps.pdf", draw)
    assert lines_of(found) == ["openright draft", "W I D E type stays apart"]


def test_a_page_full_of_signs_like_accents_is_read_as_it_stands_and_soon(tmp_path):
    import time

    rows = ["a^b x~y `q` e^x " * 10] * 160
    content = "".join(line(20, 830 - 5 * number, row, size=5) for number, row in enumerate(rows))
    started = time.perf_counter()
    (found,) = read(tmp_path / "signs.pdf", lambda pdf: add_page(pdf, content))
    assert time.perf_counter() - started < 20
    assert lines_of(found) == [" ".join(row.split()) for row in rows]
