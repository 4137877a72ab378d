"""Lines on a picture become words in reading order, however the picture lies."""

import random

import numpy as np
import pytest

from pagetune.pages.ocr_lines import Block, Read, in_reading_order, lay_out


def test_columns_are_read_one_after_the_other():
    title = ("title", 50.0, 90.0, 450.0, 100.0)
    left = [(f"l{n}", 50.0, 70.0 - 12 * n, 230.0, 80.0 - 12 * n) for n in range(5)]
    right = [(f"r{n}", 260.0, 70.0 - 12 * n, 450.0, 80.0 - 12 * n) for n in range(5)]
    mixed = [line for pair in zip(left, right, strict=True) for line in pair]
    random.Random(3).shuffle(mixed)
    assert [line[0] for line in in_reading_order([*mixed, title])] == [
        "title", *(line[0] for line in left), *(line[0] for line in right)
    ]  # fmt: skip


def quads(lines: list[tuple[float, float, float, float]]) -> np.ndarray:
    return np.asarray([[[x0, y0], [x1, y0], [x1, y1], [x0, y1]] for x0, y0, x1, y1 in lines], np.float32)


def turned(corners: np.ndarray, turns: int, size: tuple[float, float]) -> np.ndarray:
    """The corners on a picture of `size` that is turned clockwise by quarters, again from the top left."""
    for _ in range(turns):
        corners = np.stack([size[1] - corners[..., 1], corners[..., 0]], axis=-1)
        size = size[1], size[0]
    return np.roll(corners, turns, axis=1)


READS = [Read("one two", 1, 1), Read("three", 1, 1), Read("four five", 1, 1)]
LINES = quads([(20, 20, 180, 40), (20, 60, 100, 80), (20, 100, 190, 120)])


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_turned_picture_gives_the_words_of_the_upright_one_at_their_places(turns):
    size = (200.0, 300.0)
    upright = lay_out([Block(LINES, READS, 0)], (1.0, 1.0), size[1])
    shown = size if turns % 2 == 0 else size[::-1]
    found = lay_out([Block(turned(LINES, turns, size), READS, turns)], (1.0, 1.0), shown[1])
    assert found.words == upright.words == ["one", "two", "three", "four", "five"]
    assert found.lines.tolist() == upright.lines.tolist() == [0, 0, 1, 2, 2]
    assert found.sizes == pytest.approx(upright.sizes, abs=0.01)
    x0, y0, x1, y1 = upright.boxes.T
    corners = quads(list(zip(x0, size[1] - y1, x1, size[1] - y0, strict=True)))
    expected = turned(corners, turns, size)
    low, high = expected.min(1), expected.max(1)
    assert found.boxes == pytest.approx(
        np.stack([low[:, 0], shown[1] - high[:, 1], high[:, 0], shown[1] - low[:, 1]], axis=1), abs=0.01
    )


def test_lines_askew_stay_lines():
    angle = np.radians(4)
    turn = np.asarray([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    lines = quads([(20, 20 + 30 * n, 900, 40 + 30 * n) for n in range(8)])
    reads = [Read(f"l{n} " + "word " * 20, 1, 1) for n in range(8)]
    order = random.Random(1).sample(range(8), 8)
    found = lay_out([Block((lines @ turn)[order], [reads[n] for n in order], 0)], (1.0, 1.0), 500.0)
    assert found.words[::21] == [f"l{n}" for n in range(8)]
    assert np.bincount(found.lines).tolist() == [21] * 8


def test_pieces_of_one_line_are_one_line_and_cells_are_not():
    pieces = quads([(20, 20, 100, 40), (110, 21, 190, 41), (300, 20, 380, 40)])
    found = lay_out([Block(pieces, [Read("left", 1, 1), Read("right", 1, 1), Read("cell", 1, 1)], 0)], (1, 1), 100)
    assert (found.words, found.lines.tolist()) == (["left", "right", "cell"], [0, 0, 1])


def test_a_line_from_right_to_left_is_read_from_its_right():
    found = lay_out([Block(quads([(0, 0, 300, 20)]), [Read("abc def םלוע םולש 42", 1, 1)], 0)], (1, 1), 100)
    assert found.words == ["42", "שלום", "עולם", "abc", "def"]
    assert (np.diff(found.boxes[:3, 0]) < 0).all()
    assert found.boxes[3, 0] < found.boxes[4, 0]


def test_words_of_a_line_share_its_box_by_their_breadth():
    """A line's words are cut by script, Chinese ones twice as broad as Latin ones."""
    lines = quads([(0, 0, 160, 20), (0, 40, 70, 60)])
    words = lay_out([Block(lines, [Read("撤销交易，用F2键", 1, 1), Read("two words", 1, 1)], 0)], (1.0, 1.0), 100.0)
    assert words.words == ["撤销", "交易，", "用", "F2", "键", "two", "words"]
    assert words.lines.tolist() == [0] * 5 + [1, 1]
    left, right = words.boxes[:5, 0], words.boxes[:5, 2]
    assert np.allclose(left[1:], right[:-1])
    wanted = np.asarray([4, 6, 2, 2.4, 2]) / 16.4
    assert np.allclose((right - left) / (right - left).sum(), wanted, atol=1e-3)
