"""What a page is: body, contents, list of figures, back-of-book index, or blank.

Contents, lists and indexes name every subject of a document and answer nothing, so they must not be answers. The
rules are made to be right when they speak: a table full of numbers stays a body page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pagetune.layout.words import UNSPACED, split
from pagetune.pages.lines import Line, lines_of
from pagetune.pages.running import running_lines
from pagetune.records import OutlineEntry, Page, PageKind

BLANK_WORDS = 8
"""A page with fewer words than this, its running heads and feet apart, is blank (a divider, a part's title)."""

_CONTENTS = re.compile(
    r"(?:short |brief |detailed |table of )?contents|toc|inhalt|inhaltsverzeichnis|inhaltsübersicht"
    r"|table des matières|sommaire|índice(?: general| geral)?|contenido|tablas? de contenidos?"
    r"|indice(?: generale)?|sommario|inhoud|inhoudsopgave|sumário|spis treści|innehåll|sisällys(?:luettelo)?|obsah"
    r"|içindekiler|mục lục|tartalom(?:jegyzék)?|cuprins|daftar isi|目[录錄次]|もくじ|目次|차례|목차|содержание"
    r"|оглавление"
    r"|зміст|съдържание|садржај|περιεχόμενα|πίνακας περιεχομένων|(?:ال)?محتويات|المحتويات|فهرس|جدول المحتويات|فهرست"
    r"|فهرست مطالب|תוכן(?: ה)?עניינים|विषय[- ]?सूची|अनुक्रमणिका|সূচিপত্র|பொருளடக்கம்|విషయ సూచిక|สารบัญ|สารบาญ"
    r"|ສາລະບານ"
    r"|មាតិកា|မာတိကာ|სარჩევი|բովանդակություն"
)
_LISTS = re.compile(
    r"(?:list|index|table) of (?:\w+ )?(?:figures?|tables?|listings?|algorithms?|examples?|illustrations?|plates?"
    r"|boxes|maps|charts|code|programs?|procedures?|schemes?|equations?|symbols|abbreviations|acronyms)\b.*"
    r"|(?:abbildungs|tabellen|listing|algorithmen|quellcode|abkürzungs|symbol)verzeichnis"
    r"|(?:liste|table) des (?:figures|tableaux|illustrations|listings|algorithmes|abréviations)"
    r"|(?:índice|lista) de (?:figuras|tablas|cuadros|ilustraciones|algoritmos|abreviaturas|tabelas)"
    r"|(?:elenco|indice) delle (?:figure|tabelle)|lijst van (?:figuren|tabellen)"
    r"|(?:插?[图圖図]|[图圖図]?表|附[图圖図表]|插[图圖])(?:目[录錄次]|清单|一覧|索引)|(?:그림|표) ?(?:목차|차례)"
    r"|список (?:рисунков|таблиц)"
    r"|κατάλογος (?:πινάκων|σχημάτων|εικόνων)|(?:قائمة|فهرس|فهرست) (?:الأشكال|الجداول|شکل‌ها|جدول‌ها)"
    r"|สารบัญ(?:ตาราง|ภาพ|รูป)|danh mục (?:hình|bảng).*|spis (?:rysunków|tabel)|seznam (?:obrázků|tabulek)"
)
_INDEXES = re.compile(
    r"(?:\w+ )?index|(?:index|register) of \w+|(?:general|subject|author|name|command) index"
    r"|(?:stichwort|sach|personen|namens?)(?:verzeichnis|register)|register|index alphabétique|índice alfabético"
    r"|índice analítico|indice analitico|zakenregister|索引|さくいん|색인|찾아보기"
    r"|(?:предметный |алфавитный )?указатель"
    r"|(?:алфавітний |предметний )?покажчик|ευρετήριο(?: όρων)?|كشاف|الكشاف|نمایه|מפתח(?: העניינים)?|ดัชนี|dizin"
    r"|indeks|rejstřík"
)
_ARABIC = re.compile(r"[\d]{1,4}")
_ROMAN = re.compile(r"[ivxlcdm]{1,9}", re.I | re.A)
_CHAPTER_PAGE = re.compile(r"[A-Z\d]{1,3}[-–.]\d{1,3}")
_GLUED_LEADER = re.compile(r"(?:[.…·_．・]{4,}|…{2,})\s*(\d{1,4}|[ivxlcdm]{1,9})$", re.I)
_SEE = re.compile(r",\s*(?:see|see also|siehe|s\.|voir|véase|vedi|zie)\b", re.I)
_PAGE_ITEM = re.compile(
    r"[(\[]?(?:\d{1,4}|[ivxlc]{1,7})(?:(?:[-–—]+|ff?\.?|n)(?:\d{1,4}|[ivxlc]{1,7})?)?[)\]]?[,;.，、；،]?",
    re.I,
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line that ends in a page number, as in a table of contents."""

    title: str
    page: int
    leader: bool
    right: float


def classify_pages(pages: Sequence[Page], outline: Sequence[OutlineEntry]) -> list[PageKind]:
    """The kind of each page of one document, in order.

    `outline` is the document's own; its entry for the contents or the index helps where a page has no heading.
    """
    rows = [lines_of(page) for page in pages]
    runs = running_lines(pages, rows)
    hints = _outline_hints(outline)
    kinds: list[PageKind] = []
    for position, (page, lines, running) in enumerate(zip(pages, rows, runs, strict=True)):
        body = [line for index, line in enumerate(lines) if index not in running]
        before = kinds[-1] if kinds else "body"
        hint = hints.get(page.number) or _heading(lines)
        if sum(_is_word(word) for line in body for word in split(line.text)) < BLANK_WORDS:
            kinds.append("blank")
        elif (found := _contents(page, hint, before, position / max(len(pages), 1), len(pages))) is not None:
            kinds.append(found)
        elif _is_index(body, hint == "index", before == "index", position / max(len(pages), 1)):
            kinds.append("index")
        else:
            kinds.append("body")
    return kinds


def _is_word(word: str) -> bool:
    return any(character.isalnum() for character in word)


def _outline_hints(outline: Sequence[OutlineEntry]) -> dict[int, PageKind]:
    hints: dict[int, PageKind] = {}
    for entry in outline:
        kind = _named(entry.title)
        if kind is not None:
            hints.setdefault(entry.page, kind)
    return hints


def _heading(lines: Sequence[Line]) -> PageKind | None:
    for line in lines[:8]:
        kind = _named(line.text)
        if kind is not None:
            return kind
    return None


def _named(title: str) -> PageKind | None:
    words = [word for word in title.casefold().split() if not re.fullmatch(r"[\d.]+|[ivxlcdm]+\.?", word)]
    name = "".join(words) if UNSPACED.search(title) else " ".join(words)
    name = name.strip(" .:—-：．、《》【】[]")
    if _CONTENTS.fullmatch(name):
        return "contents"
    if _LISTS.fullmatch(name):
        return "list"
    return "index" if _INDEXES.fullmatch(name) else None


# Contents and lists -------------------------------------------------------------------------------------------------


def _contents(page: Page, hint: PageKind | None, before: PageKind, place: float, count: int) -> PageKind | None:
    """Is this a page of contents or a list of figures? Which of both, or None."""
    lines = [line for line in lines_of(page, gap=200.0) if _is_word(line.text)]
    entries = list(_entries(lines))
    if len(entries) < 3:
        return None
    rising = _rising([entry.page for entry in entries])
    share = len(entries) / max(len(lines), 1)
    led = sum(entry.leader for entry in entries)
    told = hint in ("contents", "list") or before in ("contents", "list")
    sure = (
        (told and rising >= 0.8 and share >= 0.35 and (led >= 3 or share >= 0.6))
        or (rising >= 0.95 and led >= 6 and led / len(lines) >= 0.4)
        or (place <= 0.15 and share >= 0.75 and _plain_contents(entries, count))
    )
    if not sure:
        return None
    if hint in ("contents", "list"):
        return hint
    return before if before in ("contents", "list") else "contents"


def _entries(lines: Sequence[Line]) -> Iterator[_Entry]:
    for line in lines:
        words = line.text.split()
        glued = _GLUED_LEADER.search(line.text)
        number = _page_number(words[-1]) if len(words) > 1 else None
        if glued:
            number = _page_number(glued.group(1))
        if number is None:
            continue
        dots = sum(1 for word in words[:-1] if word.strip("….·_-") == "" and not word.startswith("-"))
        dotted = bool(glued) or dots >= 3 or any(re.search(r"[.…·_]{4,}$", word) for word in words[:-1])
        title = " ".join(word for word in words[:-1] if word.strip("….·_") != "")
        if any(character.isalpha() for character in title) or (glued and any(map(str.isalpha, line.text))):
            yield _Entry(title, number, dotted, line.right)


def _page_number(word: str) -> int | None:
    """The number a contents line ends in; roman ones count below every arabic one."""
    if _ARABIC.fullmatch(word):
        return int(word)
    if _ROMAN.fullmatch(word):
        return _roman(word) - 10000
    if _CHAPTER_PAGE.fullmatch(word):
        chapter, page = re.split(r"[-–.]", word)
        start = int(chapter) if chapter.isdigit() else 100 + ord(chapter[0])
        return start * 1000 + int(page)
    return None


def _roman(word: str) -> int:
    values = [{"i": 1, "v": 5, "x": 10, "l": 50, "c": 100, "d": 500, "m": 1000}[letter] for letter in word.lower()]
    following = [*values[1:], 0]
    return sum(-value if value < after else value for value, after in zip(values, following, strict=True))


def _rising(numbers: Sequence[int]) -> float:
    pairs = list(pairwise(numbers))
    return sum(first <= second for first, second in pairs) / max(len(pairs), 1)


def _plain_contents(entries: Sequence[_Entry], count: int) -> bool:
    """Contents without leaders: many lines of words, numbers rising to the end, flush right, within the document."""
    numbers = [entry.page for entry in entries]
    flush = sum(abs(entry.right - max(e.right for e in entries)) < 4 for entry in entries) / len(entries)
    worded = sum(len(re.findall(r"[^\W\d_]{2,}", entry.title)) >= 1 for entry in entries) / len(entries)
    return (
        len(entries) >= 8
        and _rising(numbers) >= 0.97
        and flush >= 0.85
        and worded >= 0.9
        and len(set(numbers)) >= 0.4 * len(numbers)
        and max(numbers) <= count + 40
        and max(numbers) - max(1, min(numbers)) >= 0.3 * min(count, 40)
    )


# Back-of-book index -------------------------------------------------------------------------------------------------


def page_list_start(words: Sequence[str]) -> int:
    """Where the page list at the end of an index line begins: the position of its first word; len(words) if none."""
    start = len(words)
    while start and (
        words[start - 1] in {",", "–", "-", ";", "，", "、", "،"} or _PAGE_ITEM.fullmatch(words[start - 1])
    ):
        start -= 1
    while start < len(words) and not any(map(str.isalnum, words[start])):
        start += 1
    return start


def _is_index(lines: Sequence[Line], told: bool, continued: bool, place: float) -> bool:
    """Many short lines that end in page lists, in alphabetical order, late in the document."""
    entries: list[Line] = []
    other = 0
    commas = 0
    for line in lines:
        words = line.text.split()
        start = page_list_start(words)
        if start == 0 or (len(words) == 1 and len(words[0]) <= 2) or _SEE.search(line.text):
            continue  # the rest of a page list, the letter over a group, a reference to another entry
        if start == len(words):
            other += 1
            continue
        entries.append(line)
        commas += words[start - 1].endswith((",", ";", "，", "、", "،", "；")) or words[start] == ","
    needed = 4 if told or continued else 15
    if len(entries) < needed or not (told or continued or place >= 0.4):
        return False
    short = sorted(len(line.text) for line in entries)[len(entries) // 2] <= 60
    share = len(entries) / (len(entries) + other)
    enough = share >= (0.4 if told or continued else 0.55)
    return short and enough and commas >= 0.6 * len(entries) and _alphabetical(entries) >= 0.75


def _alphabetical(lines: Sequence[Line]) -> float:
    """The share of neighbouring lines with the same left edge whose first letters do not fall."""
    columns: dict[int, list[str]] = {}
    for line in lines:
        letters = re.search(r"[^\W\d_]", line.text)
        if letters:
            columns.setdefault(round(line.left / 4), []).append(letters.group().casefold())
    kept = pairs = 0
    for initials in columns.values():
        pairs += len(initials) - 1
        kept += sum(first <= second for first, second in pairwise(initials))
    return kept / pairs if pairs else 0.0
