"""What is painted is what is read: layers, covers, clipping, the crop box, pale type, unpainted type."""

import pikepdf
import pytest
from drawn_pdfs import PROSE, add_page, font, form, layers, line, lines_of, picture, prose, read
from pikepdf import Array, Dictionary, Name

SEEN = list(PROSE)
LARGE = ["HEAT", "LIFT", "MILE", "FELT", "TIME", "HILL", "LIME"]


def one(path, content, **resources):
    """The text of one page of prose and some more, with these resources."""

    def draw(pdf):
        page = add_page(pdf, content(pdf) if callable(content) else content)
        for key, make in resources.items():
            page.Resources[f"/{key}"] = make(pdf)

    (found,) = read(path / "page.pdf", draw)
    return found


def test_a_layer_that_is_off_is_not_read_though_it_lies_over_one_that_is_on(tmp_path):
    def draw(pdf):
        shown, hidden = layers(pdf, on="English", off="German")
        content = f"/OC /A BDC\n{prose()}EMC /OC /B BDC\n{line(60, 780, 'Verborgene Zeile der anderen Fassung')}EMC\n"
        add_page(pdf, content).Resources.Properties = Dictionary(A=shown, B=hidden)

    (found,) = read(tmp_path / "layers.pdf", draw)
    assert lines_of(found) == SEEN
    assert sum(found.left_out.values()) == 5


def test_layers_of_forms_and_of_memberships_count_too(tmp_path):
    def draw(pdf):
        shown, hidden = layers(pdf, on="on", off="off")
        page = add_page(pdf, prose() + "/A Do /B Do\n")
        forms = {"/A": ("in the layer shown", shown), "/B": ("in the layer hidden", hidden)}
        page.Resources.XObject = Dictionary(
            {name: form(pdf, line(60, 600, text), (0, 0, 595, 842), OC=layer) for name, (text, layer) in forms.items()}
        )
        members = [Dictionary(Type=Name.OCMD, OCGs=[hidden], P=Name(f"/{when}")) for when in ("AllOff", "AllOn")]
        content = (
            f"/OC /A BDC\n{line(60, 600, 'shown by membership')}EMC /OC /B BDC\n{line(60, 600, 'hidden by it')}EMC\n"
        )
        add_page(pdf, prose() + content).Resources.Properties = Dictionary(A=members[0], B=members[1])

    forms, members = read(tmp_path / "layers.pdf", draw)
    assert lines_of(forms) == [*SEEN, "in the layer shown"]
    assert lines_of(members) == [*SEEN, "shown by membership"]


@pytest.mark.parametrize(
    ("cover", "seen"),
    [
        ("0 0 0 rg 40 735 500 16 re f\n", False),
        ("1 1 1 rg 40 735 500 16 re f\n", False),
        ("q 500 0 0 16 40 735 cm /I Do Q\n", False),
        ("q 595 0 0 842 0 0 cm /I Do Q\n", True),  # Over the whole page: the text is the picture's hidden layer.
        ("/Marker gs 1 1 0 rg 40 735 500 16 re f\n", True),
        ("0 0 0 RG 40 735 500 16 re S\n", True),
        ("0 0 0 rg 40 739 500 1 re f\n", True),
    ],
    ids=["black", "white", "picture", "page-large picture", "marker", "frame", "rule"],
)
def test_words_under_a_shape_that_is_drawn_later_are_not_read(tmp_path, cover, seen):
    found = one(
        tmp_path,
        prose() + cover,
        XObject=lambda pdf: Dictionary(I=picture(pdf)),
        ExtGState=lambda pdf: Dictionary(Marker=Dictionary(ca=0.4, BM=Name.Multiply)),
    )
    assert lines_of(found) == (SEEN if seen else [SEEN[0], SEEN[1], SEEN[3]])
    assert found.visible == ("842" not in cover)


def test_a_scan_in_strips_over_its_text_is_one_picture(tmp_path):
    strips = "".join(f"q 595 0 0 106 0 {105 * n} cm /I Do Q\n" for n in range(8))
    found = one(tmp_path, prose() + strips, XObject=lambda pdf: Dictionary(I=picture(pdf)))
    assert lines_of(found) == SEEN
    assert not found.visible


def test_what_stands_over_a_cover_is_read(tmp_path):
    found = one(tmp_path, prose() + "1 1 1 rg 40 735 500 16 re f 0 g\n" + line(60, 740, "The third line as corrected"))
    assert lines_of(found) == [SEEN[0], SEEN[1], SEEN[3], "The third line as corrected"]


def test_pale_type_is_read_on_a_dark_ground_alone(tmp_path):
    pale = "1 1 1 rg\n" + line(60, 600, "white words") + "0 g\n"
    assert lines_of(one(tmp_path, pale + prose())) == SEEN
    assert "white words" in lines_of(one(tmp_path, "0 0 0.6 rg 0 590 595 40 re f\n" + pale + prose()))


@pytest.mark.parametrize(
    "before",
    ["1 g {}0 g", "BT 3 Tr ET {}BT 0 Tr ET", "{}1 g 50 490 500 30 re f 0 g", "1 1 1 RG 3 w 1 g 2 Tr {}0 g 0 Tr"],
    ids=["white", "unpainted", "covered", "halo"],
)
def test_words_that_are_painted_over_unseen_ones_of_the_same_place_are_read(tmp_path, before):
    """pdfium reads the first of them alone."""
    twin = line(60, 500, "Sum of 240 crowns")
    found = one(tmp_path, prose() + before.format(twin) + "\n" + twin)
    assert lines_of(found) == [*SEEN, "Sum of 240 crowns"]
    assert not found.left_out


@pytest.mark.parametrize("first", ["A", "B"])
def test_the_same_words_of_two_layers_are_read_once_where_one_of_them_is_on(tmp_path, first):
    def draw(pdf):
        shown, hidden = layers(pdf, on="English", off="German")
        second = "B" if first == "A" else "A"
        content = "".join(f"/OC /{name} BDC\n{line(60, 600, '240 V supply')}EMC\n" for name in (first, second))
        add_page(pdf, prose() + content).Resources.Properties = Dictionary(A=shown, B=hidden)

    (found,) = read(tmp_path / "layers.pdf", draw)
    assert lines_of(found) == [*SEEN, "240 V supply"]


def test_the_same_words_of_two_layers_that_are_on_do_not_hide_each_other(tmp_path):
    def draw(pdf):
        members = [pdf.make_indirect(Dictionary(Type=Name.OCG, Name=name)) for name in ("one", "two")]
        pdf.Root.OCProperties = Dictionary(OCGs=Array(members), D=Dictionary(ON=Array(members)))
        # So far apart in the file that pdfium reads both, and so large that edges drawn twice are no matter.
        rows = "".join(line(40, 760 - 90 * number, row, size=80, name="F2") for number, row in enumerate(LARGE))
        content = "".join(f"/OC /{name} BDC\n{rows}EMC\n" for name in "AB")
        page = add_page(pdf, content, Fonts={"/F2": font(pdf, "Helvetica-Bold")})
        page.Resources.Properties = Dictionary(A=members[0], B=members[1])

    (found,) = read(tmp_path / "layers.pdf", draw)
    assert lines_of(found) == LARGE


def test_of_many_layers_in_one_place_those_that_are_on_are_read(tmp_path):
    def draw(pdf):
        names = [f"L{number}" for number in range(24)]
        members = [pdf.make_indirect(Dictionary(Type=Name.OCG, Name=name)) for name in names]
        state = Dictionary(ON=Array(members[::2]), OFF=Array(members[1::2]))
        pdf.Root.OCProperties = Dictionary(OCGs=Array(members), D=state)
        content = "".join(
            f"/OC /{name} BDC\n{line(60, 700 - 20 * (at // 2), f'words of {name}')}EMC\n"
            for at, name in enumerate(names)
        )
        properties = {f"/{name}": member for name, member in zip(names, members, strict=True)}
        add_page(pdf, content).Resources.Properties = Dictionary(properties)

    (found,) = read(tmp_path / "layers.pdf", draw)
    assert lines_of(found) == [f"words of L{number}" for number in range(0, 24, 2)]


def test_pale_type_over_a_photograph_that_is_bright_in_places_is_read(tmp_path):
    def striped(pdf):
        made = pdf.make_stream(bytes(60 if column % 4 < 1 else 255 for _ in range(64) for column in range(64)))
        made.Type, made.Subtype, made.Width, made.Height = Name.XObject, Name.Image, 64, 64
        made.ColorSpace, made.BitsPerComponent = Name.DeviceGray, 8
        return made

    caption = "q 500 0 0 300 40 300 cm /I Do Q 1 g " + line(60, 400, "Caption overlooking striped photographs") + "0 g "
    found = one(tmp_path, prose() + caption, XObject=lambda pdf: Dictionary(I=striped(pdf)))
    assert lines_of(found) == [*SEEN, "Caption overlooking striped photographs"]


def test_type_that_is_clipped_away_is_not_read(tmp_path):
    clipped = "q 60 600 60 20 re W n\n" + line(300, 605, "outside the clip") + "Q\n"
    kept = "q 60 600 300 20 re W n\n" + line(62, 605, "inside the clip") + "Q\n"
    assert lines_of(one(tmp_path, prose() + clipped + kept)) == [*SEEN, "inside the clip"]
    content = line(0, 10, "inside the box") + line(0, 200, "outside the box")
    found = one(
        tmp_path,
        prose() + "q 1 0 0 1 60 500 cm /S Do Q\n",
        XObject=lambda pdf: Dictionary(S=form(pdf, content, (0, 0, 200, 30))),
    )
    assert lines_of(found) == [*SEEN, "inside the box"]


def test_letters_that_a_picture_shows_through_are_read(tmp_path):
    letters = "q BT 7 Tr /F1 40 Tf 60 500 Td (Picture words) Tj ET 500 0 0 60 50 490 cm /I Do Q\n"
    found = one(tmp_path, prose() + letters, XObject=lambda pdf: Dictionary(I=picture(pdf)))
    assert lines_of(found) == [*SEEN, "Picture words"]


def test_marks_over_words_leave_them_readable(tmp_path):
    def draw(pdf):
        box, points = Array([58, 736, 500, 754]), Array([58, 754, 500, 754, 58, 736, 500, 736])
        mark = Dictionary(Type=Name.Annot, Subtype=Name.Highlight, Rect=box, F=4, C=Array([1, 1, 0]))
        mark.QuadPoints = points
        add_page(pdf, prose()).Annots = Array([pdf.make_indirect(mark)])

    (found,) = read(tmp_path / "marked.pdf", draw)
    assert lines_of(found) == SEEN


def test_unpainted_words_among_painted_ones_are_not_read(tmp_path):
    unpainted = "BT 3 Tr /F1 12 Tf 60 500 Td (unpainted words) Tj 0 Tr ET\n"
    assert lines_of(one(tmp_path, prose() + unpainted)) == SEEN


def test_words_outside_of_the_crop_box_are_not_read_and_the_halves_of_a_spread_differ(tmp_path):
    def draw(pdf):
        add_page(pdf, prose(300) + line(60, 700, "an earlier draft"), CropBox=[0, 0, 595, 421])
        for half in (0, 595):
            content = prose() + line(655, 780, "the right half speaks of other things")
            add_page(pdf, content, (1190, 842), CropBox=[half, 0, half + 595, 842])

    cropped, left, right = read(tmp_path / "crop.pdf", draw)
    assert lines_of(cropped) == SEEN
    assert lines_of(left) == SEEN
    assert lines_of(right) == ["the right half speaks of other things"]
    assert sum(cropped.left_out.values()) == 3
    assert float(right.words.boxes[:, 0].min()) == pytest.approx(60, abs=2)


def test_a_page_without_anything_unseen_is_not_rendered_for_it(tmp_path, monkeypatch):
    from pagetune.pages.painted import Painted

    monkeypatch.setattr(Painted, "_render", lambda *_: pytest.fail("a plain page was rendered"))
    (found,) = read(tmp_path / "plain.pdf", lambda pdf: add_page(pdf, "0 0 1 rg 40 820 500 10 re f 0 g\n" + prose()))
    assert lines_of(found) == SEEN


def test_broken_layers_do_not_stop_the_reading(tmp_path):
    def draw(pdf: pikepdf.Pdf) -> None:
        page = add_page(pdf, "/OC /Nowhere BDC\n" + prose() + "EMC\n")
        page.Resources.Properties = Dictionary(Other=Dictionary())

    (found,) = read(tmp_path / "broken.pdf", draw)
    assert lines_of(found) == SEEN
