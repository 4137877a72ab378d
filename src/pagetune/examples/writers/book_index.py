"""Queries from a back-of-book index: each term with the pages that the index names, several of them relevant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pagetune.examples.drafts import Draft, Notes
from pagetune.examples.layout import LaidDocument, LaidPage
from pagetune.examples.structure import Collection, DocumentStructure
from pagetune.layout.language import content_words, stems, tidy
from pagetune.layout.words import fold, join
from pagetune.pages.kinds import page_list_start
from pagetune.pages.lines import Line, words_rects
from pagetune.records import QueryKind

_MOST_PAGES = 8  # a term on more pages is too broad
_LONGEST_RANGE = 4  # "12–40" is a chapter, not an answer
_REFERENCE = re.compile(r"(?:,|^|\()\s*(?:see(?: also)?|siehe(?: auch)?|s\.|voir(?: aussi)?|véase|vedi|zie)\b.*$", re.I)
_NUMBERS = re.compile(r"(\d{1,4})(?:\s*[-–—]+\s*(\d{1,4}))?")
_FOLIO_NUMBER = re.compile(r"(?<![\d.,])(\d{1,4})(?![\d.,]*\d)")
_GUTTER = 0.1  # of the width of the type: left edges farther apart belong to two columns
_INDENT = 4.0  # points that a sub-entry stands further in, at least


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A term of the index as printed, its parents before it, the printed numbers of its pages, its words' place."""

    term: str
    parents: tuple[str, ...]
    numbers: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class IndexWriter:
    """One query for each term ("term" or "parent, term"), answered by those of its pages that its words are on."""

    kind: QueryKind = "index"

    def write(self, document: DocumentStructure, collection: Collection, notes: Notes) -> Iterator[Draft]:
        laid = document.laid
        index = [page for page in laid if page.page.kind == "index"]
        if not index:
            return
        offset = folio_offset(laid)
        if offset is None:
            notes.drop("printed page numbers not found")
            return
        stemmed: dict[str, set[str]] = {}

        def there(page: LaidPage) -> set[str]:
            if page.page.id not in stemmed:
                words = {word for _, line in page.standing() for word in fold(line.text).split()}
                stemmed[page.page.id] = set(stems(words, laid.language))
            return stemmed[page.page.id]

        for page, entry in read_index(index):
            if len(entry.numbers) > _MOST_PAGES:
                notes.drop("too broad")
                continue
            text = tidy(", ".join((*entry.parents, entry.term)))
            targets = [laid.pages.get(number + offset) for number in entry.numbers]
            answers = tuple(
                (target.page.id, 2)
                for target in targets
                if target is not None and target.answers and _occurs(there(target), text, laid.language, collection)
            )
            if answers:
                rects = words_rects(page.page, range(entry.start, entry.stop))
                yield Draft(text, "index", page.page.id, rects, answers, ", ".join(entry.parents))
            else:
                notes.drop("words not on the pages")


def _occurs(there: AbstractSet[str], text: str, language: str, collection: Collection) -> bool:
    """Are the term's words on the page, endings apart? Its rarest word must be, and half of all at least."""
    words = content_words(text, language)
    if not words:
        return False
    rarest = max(words, key=collection.rarity)
    found = [stem in there for stem in stems(words, language)]
    return found[words.index(rarest)] and 2 * sum(found) >= len(found)


def folio_offset(laid: LaidDocument) -> int | None:
    """What to add to a printed page number to get the page's number in the file: the vote of all running lines."""
    votes: Counter[int] = Counter()
    voters = 0
    for page in laid:
        numbers = {
            int(found)
            for index in page.running
            for found in _FOLIO_NUMBER.findall(page.lines[index].text)
            if 0 < int(found) <= len(laid.pages) + 50
        }
        voters += bool(numbers)
        votes.update(page.page.number - number for number in numbers)
    if not votes:
        return None
    offset, count = max(votes.items(), key=lambda item: (item[1], -abs(item[0])))
    return offset if count >= max(2, 0.4 * voters) else None


def read_index(pages: Sequence[LaidPage]) -> Iterator[tuple[LaidPage, IndexEntry]]:
    """The entries of an index, column after column, sub-entries below their parents, also over a break of column."""
    above: list[tuple[float, str]] = []
    for page in pages:
        for column in _columns(page):
            base = min(line.left for line in column)
            for lines in _entries(column):
                text = re.sub(r"\s+,", ",", join([line.text for line in lines]))
                reference = _REFERENCE.search(text)
                words = (text[: reference.start()] if reference else text).split()
                begin = page_list_start(words)
                term = tidy(" ".join(words[:begin]))
                numbers = _page_numbers(" ".join(words[begin:]))
                if not term or (len(term) == 1 and not numbers):
                    continue
                indent = lines[0].left - base
                above = [(edge, name) for edge, name in above if edge < indent - _INDENT]
                parents = tuple(name for _, name in above)
                above.append((indent, term))
                if numbers:
                    yield page, IndexEntry(term, parents, numbers, lines[0].start, lines[-1].stop)


def _page_numbers(text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for first, last in _NUMBERS.findall(text):
        start = int(first)
        end = _range_end(first, last) if last else start
        if start <= end < start + _LONGEST_RANGE:
            numbers.extend(range(start, end + 1))
        else:
            numbers.append(start)
    return tuple(dict.fromkeys(numbers))


def _range_end(first: str, last: str) -> int:
    """The end of "134–7" is 137."""
    return int(first[: len(first) - len(last)] + last) if len(last) < len(first) else int(last)


def _columns(page: LaidPage) -> list[list[Line]]:
    """The lines by column, told apart by where they begin, each column from its top.

    Left edges that lie close together are one column with its indents; a column has a tenth of the lines or more.
    """
    lines = [line for _, line in page.standing()]
    if not lines:
        return []
    apart = _GUTTER * (max(line.right for line in lines) - min(line.left for line in lines))
    clusters: list[list[float]] = []
    for left in sorted(line.left for line in lines):
        if clusters and left - clusters[-1][-1] <= apart:
            clusters[-1].append(left)
        else:
            clusters.append([left])
    begins = [cluster[0] for cluster in clusters if len(cluster) >= 0.1 * len(lines)] or [clusters[0][0]]
    columns: list[list[Line]] = [[] for _ in begins]
    for line in lines:
        columns[max(0, sum(line.left >= begin for begin in begins) - 1)].append(line)
    return [sorted(column, key=lambda line: -line.top) for column in columns if column]


def _entries(column: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines that belong together: a page list that goes on, or a term that is broken, in the line below."""
    entry: list[Line] = []
    for line in column:
        if entry and _continues(entry, line):
            entry.append(line)
            continue
        if entry:
            yield entry
        entry = [line]
    if entry:
        yield entry


def _continues(entry: Sequence[Line], line: Line) -> bool:
    above = entry[-1]
    if above.bottom - line.bottom > 1.8 * max(line.size, above.size):
        return False
    same_row = abs(above.bottom - line.bottom) < 0.6 * line.size and line.left >= above.right - 1
    words = line.text.split()
    text = above.text.rstrip()
    begin = page_list_start(words)
    goes_on = begin == 0 and line.left > entry[0].left - 1
    open_list = text.endswith((",", "–", "-")) and page_list_start(text.split()) < len(text.split())
    return same_row or goes_on or (open_list and begin == 0)
