import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pagetune.pages.geometry import Frame, fit
from pagetune.pages.line_numbers import number_lines
from pagetune.pages.splitting import split_words
from pagetune.pages.words import Words, join_cut_words, pack, unpack


def grid(text: str):
    """Each character 6 wide and 10 high, a new line 12 lower."""
    places, x, y = [], 0.0, 700.0
    for character in text:
        places.append((x, y, x + 6, y + 10))
        x += 6
        if character == "\n":
            x, y = 0.0, y - 12
    table = np.asarray(places, np.float32).reshape(-1, 4)
    return lambda indices: table[list(indices)]


def split(text: str) -> Words:
    return split_words(text, grid(text), lambda index: 9.0)


def test_words_get_boxes_sizes_and_lines():
    found = split("one two\r\nthree")
    assert found.words == ["one", "two", "three"]
    assert found.boxes[1].tolist() == [24, 700, 42, 710]
    assert found.lines.tolist() == [0, 0, 1]
    assert found.sizes.tolist() == [9, 9, 9]


def test_words_without_spaces_between_them_get_their_own_boxes():
    found = split("撤销交易，按F2键。 end\n再见")
    assert found.words == ["撤销", "交易，", "按", "F2", "键。", "end", "再见"]
    assert found.boxes[1].tolist() == [12, 700, 30, 710]
    assert found.lines.tolist() == [0] * 6 + [1]
    thai = split("กดปุ่มสีเขียว")
    assert thai.words == ["กด", "ปุ่ม", "สี", "เขียว"]
    assert thai.boxes[1:, 0].tolist() == thai.boxes[:-1, 2].tolist()


def test_ligatures_and_control_characters_are_made_plain():
    assert split("e\ufb03cient so\xadft \x01 a\x07b").words == ["efficient", "soft", "ab"]


def test_a_word_cut_at_the_line_end_is_joined_where_it_began():
    page = split("an exam\ufffeple of it")
    joined = join_cut_words([page])[0]
    assert joined.words == ["an", "example", "of", "it"]
    assert len(joined.boxes) == len(joined.sizes) == len(joined.lines) == 4


def test_a_hyphen_that_the_document_writes_elsewhere_stays():
    pages = [split("a well\ufffeknown thing"), split("a well-known thing")]
    assert join_cut_words(pages)[0].words == ["a", "well-known", "thing"]


def test_a_cut_before_a_capital_or_at_the_page_end_keeps_its_hyphen():
    assert join_cut_words([split("Post\ufffeScript")])[0].words == ["Post-Script"]
    assert join_cut_words([split("end exam\ufffe")])[0].words == ["end", "exam-"]


def test_a_break_inside_a_printed_line_is_undone_and_a_jump_is_a_line():
    boxes = np.asarray([[0, 0, 20, 10], [21, 2, 30, 9], [0, -12, 20, -2]], np.float32)
    assert number_lines(boxes, [False, True, False]).tolist() == [0, 0, 1]


@given(st.text(alphabet=st.sampled_from("ab \n\ufffe\xad\x00é語"), max_size=60))
def test_any_text_gives_arrays_of_one_length_and_rising_lines(text):
    found = join_cut_words([split(text)])[0]
    assert len(found.words) == len(found.boxes) == len(found.sizes) == len(found.lines)
    assert all(word.strip() for word in found.words)
    assert (np.diff(found.lines) >= 0).all()


@given(
    st.floats(0.1, 1e5), st.floats(0.1, 1e5), st.integers(1, 3000) | st.none(), st.integers(100, 4_000_000) | st.none()
)
def test_pixels_stay_within_both_bounds(width, height, long_side, max_pixels):
    pixels = fit(width, height, long_side, max_pixels)
    assert min(pixels) >= 1
    if long_side:
        assert max(pixels) <= long_side
    if max_pixels and min(pixels) > 1:
        assert pixels[0] * pixels[1] <= max_pixels


def test_a_picture_is_not_enlarged():
    assert fit(30, 20, 1280, grow=False) == (30, 20)
    assert fit(30, 20, 1280) == (1280, 853)


def test_four_quarter_turns_bring_a_box_back():
    box = np.asarray([[10, 20, 50, 30]], np.float32)
    width, height = 200.0, 100.0
    turned = box
    for _ in range(4):
        turned = Frame(0, 0, width, height, 1).shown(turned)
        width, height = height, width
    assert np.allclose(turned, box)
    assert np.allclose(
        Frame(0, 0, 200, 100, 2).shown(box), Frame(0, 0, 100, 200, 1).shown(Frame(0, 0, 200, 100, 1).shown(box))
    )


@given(st.text(alphabet=st.sampled_from("ab \n\ufffe\xad\x00é語\ud800"), max_size=60))
def test_packed_words_come_back_the_same(text):
    words = split(text)
    back = unpack(pack(words))
    assert back.words == words.words
    for mine, theirs in zip(words[1:], back[1:], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_words_from_right_to_left_are_one_line_numbers_and_other_scripts_between_them_too():
    words = ["שלום", "עולם", "240", "abc", "סוף"]
    text = " ".join(words) + "\r\nשוב"
    lefts = {0: 400.0, 5: 360.0, 10: 330.0, 14: 300.0, 18: 270.0, 23: 410.0}

    def boxes_of(indices):
        boxes = []
        for index in indices:
            start = max(at for at in lefts if at <= index)
            left = lefts[start] + 20 - 6 * (index - start)
            boxes.append((left, 676.0, left + 6, 690.0) if start == 23 else (left, 700.0, left + 6, 714.0))
        return np.asarray(boxes, np.float32)

    found = split_words(text, boxes_of, lambda _: 12.0)
    assert found.words == [*words, "שוב"]
    assert found.lines.tolist() == [0, 0, 0, 0, 0, 1]
