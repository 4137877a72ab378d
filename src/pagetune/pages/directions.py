"""Which way type runs: downwards in columns, from right to left, on its side; and its words as they are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pagetune.pages.words import Words

RIGHT_TO_LEFT = re.compile(
    "[\u05d0-\u05f4\u0620-\u064a\u066e-\u06d3\u06fa-\u074f\u0750-\u077f\u0780-\u07b1\u08a0-\u08c7"
    "\ufb1d-\ufdfb\ufe70-\ufefc]"
)
_MARKS = "\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
_DIGITS = "0-9\u0660-\u0669\u06f0-\u06f9"
_CLUSTER = re.compile(f"[{_DIGITS}.,:/-]*[{_DIGITS}]|.[{_MARKS}]*", re.DOTALL)
"""A number, which runs from left to right everywhere, or a letter with its marks."""


def written_down(pairs: NDArray[np.float32], spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """bool [n]: the last character stands right below the first; `pairs` float32 [n, 2, 4] are the boxes of both.

    So does a word of one character, or digits side by side, between others of a column, and where most words do, one
    that stands alone.
    """
    middle = (pairs[:, :, :2] + pairs[:, :, 2:]) / 2
    across, down = np.abs(middle[:, 1, 0] - middle[:, 0, 0]), middle[:, 0, 1] - middle[:, 1, 1]
    size = pairs[:, 0, 2] - pairs[:, 0, 0]
    # Latin type never does, turned or not; a raised or lowered character is less than a square below its neighbour.
    found = (down > 0.8 * size) & (across < 0.25 * size) & (down > 0.8 * (pairs[:, 0, 3] - pairs[:, 0, 1]))
    if not found.any():
        return found
    ends = np.asarray(spans)
    whole = np.concatenate([pairs[:, :, :2].min(1), pairs[:, :, 2:].max(1)], axis=1)
    last = np.where(found[:, None], pairs[:, 1], whole)[:-1]
    first = np.where(found[:, None], pairs[:, 0], whole)[1:]
    apart, em = (last[:, :2] + last[:, 2:] - first[:, :2] - first[:, 2:]) / 2, last[:, 2] - last[:, 0]
    joined = ends[1:, 0] == ends[:-1, 1]
    below = joined & (np.abs(apart[:, 0]) < 0.5 * em) & (apart[:, 1] > 0.8 * em) & (apart[:, 1] < 2 * em)
    found = found | np.r_[False, below] | np.r_[below, False]
    if 2 * found.sum() > len(found):
        beside = joined & (np.abs(apart[:, 1]) < 0.5 * em)
        wide = (whole[:, 2] - whole[:, 0]) > 1.5 * (whole[:, 3] - whole[:, 1])
        found |= ~(wide | np.r_[False, beside] | np.r_[beside, False])
    return found


def written_backwards(words: Sequence[str], pairs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """bool [n]: a word of right-to-left letters of which the first stands left of the last.

    pdfium turns such words round, also where the file has their letters in the order of reading already.
    """
    found = np.zeros(len(words), bool)
    rightwards = pairs[:, 0, 0] < pairs[:, 1, 0]
    for place in np.flatnonzero(rightwards).tolist():
        word = words[place]
        found[place] = not word.isascii() and len(RIGHT_TO_LEFT.findall(word)) > 1
    return found


def run_leftwards(words: Sequence[str]) -> NDArray[np.bool_]:
    """bool [n]: the word is of a script that is written from right to left; all are where most are."""
    found = np.asarray([not word.isascii() and RIGHT_TO_LEFT.search(word) is not None for word in words], bool)
    return found | (2 * int(found.sum()) > len(words))


def turned_round(found: Words, backwards: NDArray[np.bool_]) -> Words:
    """The words as they are read: each letter with its marks, from the last to the first, and so the words of a line
    of which most were written backwards."""
    words = [_reverse(word) if back else word for word, back in zip(found.words, backwards.tolist(), strict=True)]
    order = np.arange(len(words))
    for line in np.unique(found.lines[backwards]).tolist():
        own = np.flatnonzero(found.lines == line)
        letters = [place for place in own.tolist() if RIGHT_TO_LEFT.search(words[place])]
        left = found.boxes[own, 0]
        if 2 * backwards[letters].sum() > len(letters) and (left[1:] > left[:-1]).all():
            order[own] = own[::-1]
    return found._replace(words=words).at(order)._replace(lines=found.lines)


def _reverse(word: str) -> str:
    return "".join(reversed(_CLUSTER.findall(word)))


def look_turned(words: Sequence[str], boxes: NDArray[np.float32]) -> bool:
    """Is a longer word higher than wide, or does the type run from right to left? Only then it is worth asking."""
    tall = (boxes[:, 3] - boxes[:, 1]) > 1.5 * (boxes[:, 2] - boxes[:, 0])
    if any(len(words[place]) > 3 for place in np.flatnonzero(tall).tolist()):
        return True
    return 2 * int((boxes[1:, 0] < boxes[:-1, 0]).sum()) >= len(words) > 1


def from_the_top(
    upright: NDArray[np.float32], numbers: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Lines of turned type that the file gives from the foot to the head of the page, turned round: their numbers and
    the order of their words."""
    heights = [float(upright[numbers == line, 1].mean()) for line in range(int(numbers[-1]) + 1)]
    rising = sum(after > before for before, after in pairwise(heights))
    if 2 * rising <= len(heights) - 1:
        return numbers, np.arange(len(numbers))
    sequence = np.argsort(-numbers, kind="stable")
    return (numbers[-1] - numbers[sequence]).astype(np.int32), sequence
