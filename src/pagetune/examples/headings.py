"""Headings that the outline does not have: short lines in larger type, or with a number like 3.2."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pagetune.examples.captions import Caption
from pagetune.examples.layout import LaidDocument, LaidPage, follows
from pagetune.examples.sections import Heading
from pagetune.layout.language import squash, strip_numbering
from pagetune.layout.words import HAN, KANA, UNSPACED, is_short, join, letters_of, split
from pagetune.pages.lines import Line, words_rects

_LARGER = 1.12  # times the body's size
_LARGER_BY_OCR = 1.4  # where a size is the height of what OCR has found: with letters that go up and down, or without
_MOST_WORDS = 16
_MOST_LINES = 3
_EVERYWHERE = 4  # the same words in large type more often than this are part of a design, not headings
_SHORT_DOCUMENT = 8  # pages; in a longer one, a size of type that is used once is not that of headings
_NUMBERED = re.compile(
    rf"(?:\d{{1,2}}|[A-Z])(?:\.\d{{1,2}}){{1,4}}\.?(?:\s+|(?=[{HAN}{KANA}]))[^\W\d_].{{2,}}"
    r"|第\s*[\d〇一二三四五六七八九十百]{1,4}\s*[章节節].{2,}|[一二三四五六七八九十]{1,3}、.{2,}|제\s*\d{1,3}\s*[장절].{2,}"
)


def find_headings(
    laid: LaidDocument, captions: Mapping[int, Sequence[Caption]], outlined: Sequence[Heading]
) -> tuple[Heading, ...]:
    """Headings by their type, without those of the outline. `level` is minus the size: larger type is higher."""
    taken: dict[int, set[int]] = {}
    for heading in outlined:
        if heading.found:
            taken.setdefault(heading.page, set()).update(range(heading.first, heading.last + 1))
    titles = {squash(strip_numbering(heading.title)) for heading in outlined}
    found: list[Heading] = []
    for page in laid:
        if not page.answers:
            continue
        used = set(taken.get(page.page.number, ()))
        for caption in captions.get(page.page.number, ()):
            used.update(range(caption.first, caption.last + 1))
        found += [
            heading
            for heading in _on_page(page, laid.body_size, used)
            if squash(strip_numbering(heading.title)) not in titles
        ]
    times = Counter(squash(heading.title) for heading in found)
    sizes = Counter(heading.level for heading in found)
    for heading in outlined:
        if heading.found:
            sizes[-round(laid.pages[heading.page].lines[heading.first].size, 1)] += 1
    few = 1 if len(laid.pages) < _SHORT_DOCUMENT else 2
    return tuple(h for h in found if times[squash(h.title)] <= _EVERYWHERE and sizes[h.level] >= few)


def _on_page(page: LaidPage, body_size: float, used: set[int]) -> Iterator[Heading]:
    lines = page.lines
    index = 0
    while index < len(lines):
        first = index
        index += 1
        line = lines[first]
        if first in used or first in page.running or not _stands_out(page, first, body_size):
            continue
        while index < len(lines) and index - first < _MOST_LINES and _goes_on(lines, first, index, body_size):
            index += 1
        last = index - 1
        title = join([row.text for row in lines[first : last + 1]])
        if not _reads_as_heading(title) or not _text_below(page, last, line.size, body_size):
            continue
        rects = words_rects(page.page, range(line.start, lines[last].stop))
        size = line.size if _is_larger(page, line, body_size) else body_size
        yield Heading(title, -round(size, 1), page.page.number, first, last, rects)


def _is_larger(page: LaidPage, line: Line, body_size: float) -> bool:
    return line.size >= (_LARGER_BY_OCR if page.page.origin == "ocr" else _LARGER) * body_size


def _stands_out(page: LaidPage, index: int, body_size: float) -> bool:
    line = page.lines[index]
    if _is_larger(page, line, body_size):
        return True
    if (
        line.size < 0.97 * body_size
        or not _NUMBERED.fullmatch(line.text)
        or line.text.endswith((".", ",", ";", ":", "。", "，", "；", "："))
    ):
        return False
    above = page.lines[index - 1] if index else None
    below = page.lines[index + 1] if index + 1 < len(page.lines) else None
    apart = above is None or index - 1 in page.running or above.bottom - line.bottom > 1.5 * line.size
    return apart and (below is None or line.bottom - below.bottom > 1.2 * line.size or below.bottom > line.bottom)


def _goes_on(lines: Sequence[Line], first: int, index: int, body_size: float) -> bool:
    """Is this the next line of the same heading?"""
    above, line = lines[index - 1], lines[index]
    same = abs(line.size - lines[first].size) <= 0.04 * line.size
    return same and line.size >= _LARGER * body_size and follows(line, above) and not _NUMBERED.match(line.text)


def _reads_as_heading(title: str) -> bool:
    words = split(title)
    letters = letters_of(title)
    # Letters of a figure, not of a line.
    spaced = sum(len(word) == 1 and not UNSPACED.match(word) for word in words) > 0.5 * len(words)
    return (
        1 <= len(words) <= _MOST_WORDS
        and not is_short(title)
        and letters >= min(3, len(title))
        and letters >= 0.6 * len(title.replace(" ", ""))
        and not spaced
        and not title.endswith((".", ",", ";", "。", "，", "、", "；", "।", "،", "؛"))
        and title[0] not in ",.;)]}–-，。、；）】」』》"
        and not re.search(r"[{}\\=<>_^].*[{}\\=<>_^]|://|[\ue000-\uf8ff]", title)
    )


def _text_below(page: LaidPage, last: int, size: float, body_size: float) -> bool:
    """Some body type stands below a heading on its page; large words inside a figure have none close by."""
    below = [line for index, line in page.standing() if index > last][:4]
    words = sum(len(split(line.text)) for line in below if line.size <= max(0.95 * size, body_size * 1.05))
    return words >= 8
