"""Pages and their masks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pagetune.records import Page


def page_of(*lines: str) -> Page:
    words, boxes, numbers = [], [], []
    for number, line in enumerate(lines):
        for place, word in enumerate(line.split()):
            words.append(word)
            boxes.append((place * 50, 700 - number * 20, place * 50 + 40, 710 - number * 20))
            numbers.append(number)
    return Page(
        id="book-0001", document="book", number=1, width=500, height=720, words=tuple(words),
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4), sizes=np.full(len(words), 10, dtype=np.float32),
        lines=np.array(numbers, dtype=np.int32),
    )  # fmt: skip


def test_text_keeps_the_lines_of_the_page():
    assert page_of("one two", "three").text() == "one two\nthree"


def test_a_mask_takes_out_the_words_whose_centre_it_covers():
    page = page_of("A heading", "and its body")
    assert page.text([(0, 695, 500, 715)]) == "and its body"
    assert page.text([(50, 695, 90, 715), (0, 675, 45, 695)]) == "A\nits body"


def test_a_mask_that_only_touches_a_word_leaves_it():
    assert page_of("one two").text([(0, 695, 15, 715)]) == "one two"


def test_a_line_masked_in_the_middle_leaves_no_empty_line():
    assert page_of("one", "two", "three").text([(0, 675, 500, 695)]) == "one\nthree"


def test_a_page_without_words_has_no_text_with_or_without_a_mask():
    assert page_of().text() == page_of().text([(0, 0, 500, 720)]) == ""


@given(st.lists(st.tuples(*[st.floats(0, 720, width=32)] * 4), max_size=4))
def test_a_mask_never_adds_words_or_changes_their_order(mask):
    page = page_of("one two three", "four five")
    seen = page.visible(mask)
    assert page.text(mask).split() == [word for word, keep in zip(page.words, seen, strict=True) if keep]
    for rect in mask:
        assert np.all(seen <= page.visible([rect]))
