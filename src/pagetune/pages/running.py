"""Running heads, running feet and folios: what every page carries and no page says."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence

from pagetune.pages.lines import Line
from pagetune.records import Page

_EDGE_LINES = 3  # a running head or foot is among so many lines at the top or the bottom
_EDGE_SHARE = 0.2  # and within this share of the page's height from its edge
_SAME_PLACE = 3.0  # points
_OFTEN = 0.1  # a line further in than the outermost one runs if so many of the pages carry it
_FOLIO = re.compile(
    r"\W*(?:page|seite|p\.?|第|стр\.?|страница|сторінка|σελ\.?|σελίδα|صفحة|صفحه|الصفحة|עמוד|หน้า|trang|strona|strana|sayfa"
    r"|sivu|sida|side|पृष्ठ|পৃষ্ঠা|쪽|페이지)?\W*(?:\d{1,4}|[ivxlc]{1,7})\s*(?:页|頁|ページ|쪽|페이지|面)?"
    r"(?:[\s,，、(（]*(?:/|of|von|de|sur|共|全|из|з|από|من|از|מתוך|จาก|của|z|ze)\s*\d{1,4}\s*(?:页|頁|ページ|쪽|페이지)?)?\W*",
    re.I,
)


def running_lines(pages: Sequence[Page], lines: Sequence[Sequence[Line]]) -> list[frozenset[int]]:
    """For each page of one document: which of its lines are running heads, running feet or folios.

    A line at the page's edge runs if it holds nothing but the page's number, if the same words (numbers apart)
    stand at the same height on three pages or more, or if it stands where most pages carry a line that repeats.
    """
    edges = [_edge_lines(page, rows) for page, rows in zip(pages, lines, strict=True)]
    heights: dict[str, list[float]] = defaultdict(list)
    for rows, edge in zip(lines, edges, strict=True):
        for index in edge:
            heights[without_numbers(rows[index].text)].append(_height(rows[index]))
    repeated = {text: sorted(found) for text, found in heights.items() if text and len(found) >= 2}
    often = max(3, round(_OFTEN * len(pages)))
    twice: Counter[int] = Counter()
    filled: Counter[int] = Counter()
    running: list[set[int]] = []
    for rows, edge in zip(lines, edges, strict=True):
        runs = set()
        for index, outermost in edge.items():
            line = rows[index]
            times = _near(repeated.get(without_numbers(line.text), ()), _height(line))
            if times >= (3 if outermost else often) or (outermost and is_folio(line.text)):
                runs.add(index)
            if outermost:
                filled[_band(line)] += 1
                twice[_band(line)] += index in runs or times >= 2
        running.append(runs)
    for rows, edge, runs in zip(lines, edges, running, strict=True):
        for index in (index for index, outermost in edge.items() if outermost):
            around = range(_band(rows[index]) - 1, _band(rows[index]) + 2)
            seen = sum(filled[band] for band in around)
            if seen >= 4 and sum(twice[band] for band in around) >= 0.6 * seen:
                runs.add(index)
    return [frozenset(runs) for runs in running]


def is_folio(text: str) -> bool:
    """Does this line hold a page number and nothing else?"""
    return len(text) <= 20 and _FOLIO.fullmatch(text) is not None


def without_numbers(text: str) -> str:
    """A line as it is on every page: folded to lower case, page numbers left out, other digits as #."""
    words = [word for word in text.casefold().split() if not _FOLIO.fullmatch(word)]
    return re.sub(r"\d+", "#", " ".join(words))


def _edge_lines(page: Page, rows: Sequence[Line]) -> dict[int, bool]:
    """The few lines next to the upper and the lower edge of the page; True for those with none beyond them."""
    if not rows:
        return {}
    order = sorted(range(len(rows)), key=lambda index: rows[index].bottom)
    lowest, highest = rows[order[0]], rows[order[-1]]
    feet = [index for index in order[:_EDGE_LINES] if rows[index].top <= _EDGE_SHARE * page.height]
    heads = [index for index in order[-_EDGE_LINES:] if rows[index].bottom >= (1 - _EDGE_SHARE) * page.height]
    found = {index: _beside(rows[index], lowest) for index in feet}
    found.update({index: _beside(rows[index], highest) for index in heads})
    return found


def _beside(line: Line, other: Line) -> bool:
    return abs(line.bottom - other.bottom) <= 0.5 * max(line.height, other.height, 1.0)


def _height(line: Line) -> float:
    return (line.bottom + line.top) / 2


def _band(line: Line) -> int:
    return round(_height(line) / (2 * _SAME_PLACE))


def _near(heights: Sequence[float], height: float) -> int:
    return bisect_right(heights, height + _SAME_PLACE) - bisect_left(heights, height - _SAME_PLACE)
