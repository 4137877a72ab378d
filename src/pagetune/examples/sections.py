"""Sections: where a heading stands, and the pages that its section goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pagetune.examples.layout import LaidDocument
from pagetune.layout.words import split
from pagetune.records import Rect

_GOES_ON = 40  # a section goes on on the page where the next one starts if so many words stand above that heading
_FEW_WORDS = 12  # with fewer words under it, a heading's answer is on the next page


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading where it stands: page number, lines `first` to `last`, and the rectangles of its words.

    `level` orders headings (0 is the highest). `ancestors` are the titles above it. `found` is False for an
    outline entry whose words are not on the page that it points at; `first` is then the line nearest to it.
    """

    title: str
    level: float
    page: int
    first: int
    last: int
    rects: tuple[Rect, ...] = ()
    ancestors: tuple[str, ...] = ()
    found: bool = True


def section_answers(laid: LaidDocument, headings: Sequence[Heading], position: int) -> list[tuple[str, int]]:
    """The pages of a section with their grades, in order: 2 where it starts, 1 where it goes on.

    A section ends where the next heading of the same or a higher level stands, or the body of the document does.
    Where a heading stands alone at the foot of a page, grade 2 goes to the page that its text starts on.
    """
    heading = headings[position]
    end = next((after for after in headings[position + 1 :] if after.level <= heading.level), None)
    numbers = _numbers(laid, heading, end)
    answers = [laid.pages[number] for number in numbers if laid.pages[number].answers]
    if not answers or answers[0].page.number != heading.page:
        return []
    graded = [(page.page.id, 2 if place == 0 else 1) for place, page in enumerate(answers)]
    below = headings[position + 1] if position + 1 < len(headings) else None
    if len(graded) > 1 and below is not None and below.page != heading.page:
        under = [line for index, line in answers[0].standing() if index > heading.last]
        if sum(len(split(line.text)) for line in under) < _FEW_WORDS:
            graded[0], graded[1] = (graded[0][0], 1), (graded[1][0], 2)
    return graded


def _numbers(laid: LaidDocument, heading: Heading, end: Heading | None) -> list[int]:
    numbers = [heading.page]
    last = end.page if end is not None else max(laid.pages)
    if end is not None and end.page > heading.page and not _text_above(laid, end):
        last -= 1
    for number in range(heading.page + 1, last + 1):
        page = laid.pages.get(number)
        if page is None or page.page.kind in ("contents", "list", "index"):
            break
        numbers.append(number)
    return numbers


def _text_above(laid: LaidDocument, heading: Heading) -> bool:
    page = laid.pages.get(heading.page)
    if page is None:
        return False
    above = [line for index, line in page.standing() if index < heading.first]
    return sum(len(split(line.text)) for line in above) >= _GOES_ON
