"""Whether a page's text layer can be used, judged from the characters alone, and reading a picture of a page by OCR."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from pagetune.pages.words import Words, no_words
from pagetune.records import SOURCES

if TYPE_CHECKING:
    from PIL.Image import Image

FEW_WORDS = 20
"""A page with a picture over most of it and fewer words than this is a scan with a stamp or a running head on it."""

_SPACE = re.compile(r"[^\S\x0b\x0c\x1c-\x1f\x85]+")
"""White space without the control codes that Python counts as such: in a text layer they are a fault."""
_LEADERS = re.compile(r"[.·_\-=*|+~#<>/\\\u2010-\u2015\u2022\u2026\u2500-\u259f]{3,}")
_RUN = re.compile(r"[^\W\d_]{4,}")
_LONG_RUN = 31
"""Letters; no word of a script that parts words with spaces has as many."""
_VOWELS = frozenset("aeiouyäöüàáâãåæèéêëìíîïòóôõøùúûýœąęįųěůőűāēīōūıаеёиоуыэюяіїєαεηιουωάέήίόύώ")
_NARROW = frozenset(" iljtfrI.,:;!|'()[]")
_BROAD = frozenset("mw%@—")
_STAND_OFF = 0.1
"""The share of its height by which the detector's box stands off the type, above and below."""

_ALIKE = frozenset("ABCEHIKMOPSTXYaceiopsxyhАВСЕНІКМОРЅТХУасеіорѕхуһΑΒΕΗΙΚΜΝΟΡΤΥΧΖον")
_WIDE = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


def text_layer_fault(text: str, *, picture: float = 0.0, visible: bool = True) -> str | None:
    """Why the text layer of a page cannot be used; None if it can.

    `text`: the layer as it came, whitespace and all. `picture`: the share of the page that its largest picture covers.
    `visible`: False when the words are not painted (which is right over a picture: somebody's OCR, and wrong without).
    """
    words = [word for word in _SPACE.split(text) if word]
    if not words:
        return "no text layer"
    if not visible and picture < 0.5:
        return "text is not visible"
    fault = _broken_characters("".join(words)) or _broken_words(words)
    if fault is None and picture > 0.5 and len(words) < FEW_WORDS:
        return "a picture with hardly any text"
    return fault


def _broken_characters(characters: str) -> str | None:
    if characters.isascii() and characters.isprintable():
        return None
    total = len(characters)
    counts = Counter(characters)
    lost = counts["\ufffd"]
    private = sum(n for c, n in counts.items() if "\ue000" <= c <= "\uf8ff" or c >= "\U000f0000")
    control = sum(n for c, n in counts.items() if c < " " or "\x7f" <= c < "\xa0")
    if lost > 0.1 * total:
        return "replacement characters"
    if private > 0.1 * total:
        return "private-use glyphs"
    if control + lost + private > 0.1 * total:
        return "control characters"
    return None


def _broken_words(words: list[str]) -> str | None:
    whole = " ".join(words)
    plain = Counter(_LEADERS.sub("", whole))
    for leader in " .":  # A table of contents is mostly dots, which is no fault.
        plain.pop(leader, None)
    total = sum(plain.values())
    letters = sum(number for character, number in plain.items() if character.isalpha())
    if total >= 200 and sum(n for c, n in plain.items() if c.isalnum()) < 0.4 * total:
        return "mostly symbols"
    if letters < 60:
        return None
    scripts: Counter[str] = Counter()
    for character, number in plain.items():
        if character.isalpha():
            scripts[_script(character)] += number
    if sum(scripts[name] for name in _WIDE) > 0.3 * letters:
        return None  # These scripts do not part words with spaces, and have no vowels to count.
    runs = _RUN.findall(whole)
    if sum(len(run) for run in runs if len(run) >= _LONG_RUN) > 0.4 * letters:
        return "no spaces"
    if len(words) >= 60 and sum(len(word) == 1 and word.isalpha() for word in words) > 0.6 * len(words):
        return "letters apart"
    return _broken_spelling({run.lower() for run in runs}, single=len(scripts) < 2)


def _broken_spelling(runs: set[str], *, single: bool) -> str | None:
    """Judge the distinct runs of four or more letters; `single`: all letters are of one script."""
    if len(runs) < 15:
        return None
    if not single and sum(not run.isascii() and _mixes(run) for run in runs) > 0.25 * len(runs):
        return "wrong script"
    judged = [run for run in runs if _script(run[0]) in ("LATIN", "CYRILLIC", "GREEK")]
    if len(judged) >= 15 and sum(_VOWELS.isdisjoint(_plain(run)) for run in judged) > 0.4 * len(judged):
        return "gibberish"
    return None


def _mixes(word: str) -> bool:
    """Letters of several scripts in one word, but for those that look alike and are typed for each other."""
    scripts = {_script(character) for character in word if character not in _ALIKE}
    return len(scripts & {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "ARMENIAN", "CHEROKEE"}) > 1


def _plain(word: str) -> str:
    return word if word.isascii() else word + "".join(c for c in unicodedata.normalize("NFD", word) if c.isalpha())


def _script(character: str) -> str:
    if character.isascii():
        return "LATIN"
    return unicodedata.name(character, "").partition(" ")[0]


def ocr_engine() -> Any:
    """The OCR engine (RapidOCR, PP-OCR models on ONNX Runtime), one thread, silent.

    One thread, because pages are read in parallel over processes. The models lie inside the wheel.
    """
    import logging

    from rapidocr import RapidOCR

    logging.disable(logging.CRITICAL)
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            # Lines of a batch are padded to its longest: one at a time takes a third less on one core.
            "Rec.rec_batch_num": 1,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def read_picture(engine: Any, picture: Image, width: float, height: float) -> Words:
    """Read a picture of a page of `width` x `height` points: words in reading order, their boxes in points.

    The engine finds lines; a line's box is shared out among its words by the breadth of their characters.
    """
    found = engine(np.asarray(picture.convert("RGB"))[:, :, ::-1])
    if found.boxes is None or not len(found.boxes):
        return no_words()
    corners = np.asarray(found.boxes, np.float32)
    across, down = width / picture.width, height / picture.height
    lefts, rights = corners[:, :, 0].min(1) * across, corners[:, :, 0].max(1) * across
    tops, bottoms = height - corners[:, :, 1].min(1) * down, height - corners[:, :, 1].max(1) * down
    edges = zip(found.txts, lefts.tolist(), bottoms.tolist(), rights.tolist(), tops.tolist(), strict=True)
    lines: list[Line] = [(" ".join(text.split()), le, bo, ri, to) for text, le, bo, ri, to in edges if text.strip()]
    words: list[str] = []
    boxes: list[tuple[float, float, float, float]] = []
    numbers: list[int] = []
    for number, (text, left, bottom, right, top) in enumerate(in_reading_order(lines)):
        ends = np.cumsum([0.0, *map(_breadth, text)])
        scale, trim = (right - left) / float(ends[-1]), _STAND_OFF * (top - bottom)
        at = 0
        for word in text.split(" "):
            reach = at + len(word)
            words.append(word)
            boxes.append((left + scale * ends[at], bottom + trim, left + scale * ends[reach], top - trim))
            numbers.append(number)
            at = reach + 1
    if not words:
        return no_words()
    places = np.asarray(boxes, np.float32)
    sources = np.full(len(words), SOURCES.index("ocr"), np.uint8)
    return Words(words, places, places[:, 3] - places[:, 1], np.asarray(numbers, np.int32), sources)


def _breadth(character: str) -> float:
    """Roughly how broad a character is beside its neighbours."""
    if character in _NARROW:
        return 0.6
    return 1.4 if character in _BROAD or character.isupper() else 1.0


Line = tuple[str, float, float, float, float]
"""Text, left, bottom, right, top."""


def in_reading_order(lines: list[Line]) -> list[Line]:
    """Sort lines as they are read: cut at the widest gap across the page, else between columns (the XY cut)."""
    if len(lines) < 2:
        return lines
    height = float(np.median([line[4] - line[2] for line in lines]))
    # Columns are parted first, and only by a gutter that several lines on both sides respect.
    left = _cut(lines, 1, 3, 1.0 * height)
    if left and min(len(part) for part in left) >= 3:
        return in_reading_order(left[0]) + in_reading_order(left[1])
    upper = _cut([(t, -r, -top, -le, -b) for t, le, b, r, top in lines], 2, 4, 0.0)
    if upper:
        back = [[(t, -r, -top, -le, -b) for t, le, b, r, top in part] for part in upper]
        return in_reading_order(back[0]) + in_reading_order(back[1])
    return sorted(lines, key=lambda line: (-round((line[2] + line[4]) / 2 / max(height, 1e-3)), line[1]))


def _cut(lines: list[Line], low: int, high: int, least: float) -> tuple[list[Line], list[Line]] | None:
    """Part the lines at the widest empty strip along one axis, if it is wider than `least`."""
    ordered = sorted(lines, key=lambda line: float(line[low]))
    reach = float(ordered[0][high])
    best, place = least, 0
    for position, line in enumerate(ordered[1:], start=1):
        gap = float(line[low]) - reach
        if gap > best:
            best, place = gap, position
        reach = max(reach, float(line[high]))
    return (ordered[:place], ordered[place:]) if place else None
