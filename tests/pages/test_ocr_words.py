from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from PIL import Image

from pagetune.pages.text import read_picture


def test_words_of_an_ocr_line_share_its_box_by_their_breadth():
    """A line as the engine finds it: its words cut by script, Chinese ones twice as broad as Latin ones."""
    found = SimpleNamespace(
        boxes=[[[0, 0], [160, 0], [160, 20], [0, 20]], [[0, 40], [70, 40], [70, 60], [0, 60]]],
        txts=["撤销交易，用F2键", "two words"],
    )
    words = read_picture(lambda pixels: found, Image.new("RGB", (200, 100)), 200, 100)
    assert words.words == ["撤销", "交易，", "用", "F2", "键", "two", "words"]
    assert words.lines.tolist() == [0] * 5 + [1, 1]
    left, right = words.boxes[:5, 0], words.boxes[:5, 2]
    assert np.allclose(left[1:], right[:-1])
    assert np.allclose(
        (right - left) / (right - left).sum(), [4 / 16.4, 6 / 16.4, 2 / 16.4, 2.4 / 16.4, 2 / 16.4], atol=1e-3
    )
