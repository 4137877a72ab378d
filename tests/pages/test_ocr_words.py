from __future__ import annotations

import numpy as np

from pagetune.pages.ocr_lines import Block, Read, lay_out


def test_words_of_an_ocr_line_share_its_box_by_their_breadth() -> None:
    """A line as the engine finds it: its words cut by script, Chinese ones twice as broad as Latin ones."""
    corners = np.asarray([[[0, 0], [160, 0], [160, 20], [0, 20]], [[0, 40], [70, 40], [70, 60], [0, 60]]], np.float32)
    words = lay_out([Block(corners, [Read("撤销交易，用F2键", 1, 1), Read("two words", 1, 1)], 0)], (1.0, 1.0), 100)
    assert words.words == ["撤销", "交易，", "用", "F2", "键", "two", "words"]
    assert words.lines.tolist() == [0] * 5 + [1, 1]
    wide = words.boxes[:5, 2] - words.boxes[:5, 0]
    assert np.allclose(words.boxes[1:5, 0], words.boxes[:4, 2])
    assert np.allclose(wide / wide.sum(), np.asarray([4, 6, 2, 2.4, 2]) / 16.4, atol=1e-3)
