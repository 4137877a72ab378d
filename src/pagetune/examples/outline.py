"""The headings of a document's outline, where they stand on its pages."""

from __future__ import annotations

from collections.abc import Sequence

from pagetune.examples.layout import LaidDocument, LaidPage
from pagetune.examples.sections import Heading
from pagetune.layout.language import squash, strip_numbering
from pagetune.layout.words import join
from pagetune.pages.lines import Line, words_rects
from pagetune.records import OutlineEntry

_LONGEST_HEADING = 4  # lines


def find_outlined(laid: LaidDocument) -> tuple[Heading, ...]:
    """The outline's entries in the order of the document, each at the place where its heading stands.

    Targets are often off by one: the heading is looked for on the page that the entry points at, then on the next,
    then on the one before; on a page, nearest to the height that the entry gives.
    """
    headings = []
    above: list[OutlineEntry] = []
    for entry in laid.document.outline:
        above = [parent for parent in above if parent.level < entry.level]
        ancestors = tuple(" ".join(parent.title.split()) for parent in above)
        above.append(entry)
        headings.append(_place(laid, entry, ancestors))
    return tuple(sorted(headings, key=lambda heading: (heading.page, heading.first)))


def _place(laid: LaidDocument, entry: OutlineEntry, ancestors: tuple[str, ...]) -> Heading:
    title = " ".join(entry.title.split())
    for number in (entry.page, entry.page + 1, entry.page - 1):
        page = laid.pages.get(number)
        if page is None or not page.answers:
            continue
        span = find_title(page, title, entry.top if number == entry.page else None, laid.body_size)
        if span is not None:
            first, last, words = span
            return Heading(title, entry.level, number, first, last, words_rects(page.page, words), ancestors)
    page = laid.pages.get(entry.page)
    first = 0
    if page is not None and entry.top is not None:
        first = sum(line.bottom > entry.top for line in page.lines)
    return Heading(title, entry.level, entry.page, first, first, (), ancestors, found=False)


def find_title(page: LaidPage, title: str, top: float | None, body_size: float) -> tuple[int, int, range] | None:
    """Where a title stands on a page: its first and last line and its words; None if it does not.

    The lines must hold the title and nothing else but its number, or begin with it (a heading run into its text).
    """
    wanted = {squash(title), squash(strip_numbering(title))} - {""}
    if not wanted:
        return None
    found: list[tuple[tuple[bool, float, int], tuple[int, int, range]]] = []
    lines = page.lines
    for index, line in page.standing():
        span = _match(lines, index, wanted)
        if span is None:
            continue
        last, words, whole = span
        away = abs(line.top - top) if top is not None else 0.0
        larger = line.size >= 1.1 * body_size
        rank = (not whole, round((0 if larger else 40) + (away if away > 60 else 0)), index)
        found.append((rank, (index, last, words)))
    return min(found)[1] if found else None


def _match(lines: Sequence[Line], first: int, wanted: set[str]) -> tuple[int, range, bool] | None:
    joined = ""
    endings = tuple(wanted)
    for last in range(first, min(first + _LONGEST_HEADING, len(lines))):
        joined += squash(lines[last].text)
        if joined in wanted or (joined.endswith(endings) and _numbered(lines[first : last + 1], wanted)):
            return last, range(lines[first].start, lines[last].stop), True
        if len(joined) > 2 * max(map(len, wanted)) + 20:
            break
    return None


def _numbered(lines: Sequence[Line], wanted: set[str]) -> bool:
    return squash(strip_numbering(join([line.text for line in lines]))) in wanted
