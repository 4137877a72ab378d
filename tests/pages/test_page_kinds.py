from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds_pages import Row, column, page_of

from pagetune.pages.kinds import classify_pages
from pagetune.pages.lines import lines_of, words_rects
from pagetune.pages.running import is_folio, running_lines
from pagetune.records import OutlineEntry, Page

PROSE = [
    "The reader of a manual wants one answer and has no patience for",
    "two of them, so every chapter starts with the shortest thing that",
    "works and explains afterwards why it does, at the pace of a walk.",
] * 6


NAMES = ("Abel", "Berg", "Cole", "Dorn", "Falk", "Gray", "Holm", "Ives", "Jung", "Kahn", "Lund", "Moll", "Nord", "Otto")


def varied(seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    words = " ".join(PROSE).split()
    return [" ".join(random.permutation(words)[:11]) for _ in range(18)]


def flush_right(text: str, number: str, y: float, right: float = 500, dots: int = 0) -> list[Row]:
    body = " ".join([text, *["."] * dots])
    return [(body, 72, y, 10), (number, right - 5 * len(number), y, 10)]


def contents(first: int, count: int = 20, dots: int = 12) -> list[Row]:
    rows: list[Row] = []
    for position in range(count):
        rows += flush_right(
            f"{position + 1}.1 About {string.ascii_lowercase[position]} thing",
            str(first + 3 * position),
            650 - 14 * position,
            dots=dots,
        )
    return rows


def book(special: dict[int, list[Row]], count: int = 30) -> list[Page]:
    return [page_of(special.get(number, column(PROSE)), number) for number in range(1, count + 1)]


def test_contents_with_leaders_and_their_second_page() -> None:
    pages = book({2: [("Contents", 72, 700, 20), *contents(1)], 3: contents(61, 6)})
    kinds = classify_pages(pages, ())
    assert kinds[:4] == ["body", "contents", "contents", "body"]
    assert set(kinds[3:]) == {"body"}


def test_contents_without_heading_or_leaders() -> None:
    pages = book({2: contents(1, 20, dots=0)}, 70)
    assert classify_pages(pages, ())[1] == "contents"


def test_list_of_figures_is_a_list() -> None:
    for heading in ("List of Figures", "Abbildungsverzeichnis", "Table des figures", "Índice de figuras"):
        pages = book({2: contents(1), 3: [(heading, 72, 700, 20), *contents(2)]})
        assert classify_pages(pages, ())[2] == "list", heading


def test_the_outline_names_a_list_without_a_heading() -> None:
    pages = book({3: contents(2)})
    assert classify_pages(pages, (OutlineEntry(0, "List of Tables", 3),))[2] == "list"


def index_page() -> list[Row]:
    left = [
        f"{letter}{rest}, {number}"
        for letter in "abcdefg"
        for rest, number in (("lpha", 3), ("rgon", "4, 17–19"), ("xle", 28))
    ]
    right = [
        f"{letter}{rest}, {number}"
        for letter in "nopqrst"
        for rest, number in (("ail", 5), ("ent", "9, 12"), ("ylon", 22))
    ]
    return [*column(left), *column(right, x=330)]


def test_index_at_the_end() -> None:
    pages = book({29: [("Index", 72, 740, 20), *index_page()], 30: index_page()[:8]})
    assert classify_pages(pages, ())[27:] == ["body", "index", "index"]


def test_an_index_without_its_name_is_known_by_its_lines() -> None:
    assert classify_pages(book({30: index_page()}), ())[29] == "index"


def test_tables_of_numbers_stay_body() -> None:
    random = np.random.default_rng(3)
    table = [
        f"{name} {random.integers(90)} {random.integers(900)} {random.integers(90)}" for name in PROSE[0].split() * 2
    ]
    prices = [f"{name} . . . . . . {random.integers(1, 200)}" for name in PROSE[1].split() * 2]
    measured = [f"{name}, {random.integers(90)}, {random.integers(90)}" for name in (PROSE[2] + PROSE[0]).split()]
    pages = book({2: column(table), 15: column(prices), 28: column(measured)})
    assert set(classify_pages(pages, ())) == {"body"}


def test_references_stay_body() -> None:
    entries = [
        f"{name}, A. (20{n:02d}). On {name} things and their uses. Journal of {name}, {n}(1), 12–{n + 20}"
        for n, name in enumerate(NAMES)
    ]
    assert classify_pages(book({30: [("References", 72, 740, 16), *column(entries)]}), ())[29] == "body"


def test_a_page_with_its_running_head_only_is_blank() -> None:
    rows = [
        page_of(
            [
                ("Manual of things to be done", 72, 760, 8),
                *(column(PROSE) if number != 7 else []),
                (str(number), 300, 40, 8),
            ],
            number,
        )
        for number in range(1, 21)
    ]
    kinds = classify_pages(rows, ())
    assert kinds[6] == "blank"
    assert kinds.count("blank") == 1
    assert classify_pages([page_of([])], ()) == ["blank"]


def test_running_lines_change_with_the_chapter_and_titles_do_not_run() -> None:
    chapters = [
        "1. STARTING",
        "1. STARTING",
        "2. WORKING",
        "2. WORKING",
        "3.1 Alone",
        "4. ENDING",
        "4. ENDING",
        "4. ENDING",
    ]
    pages = [
        page_of([(head, 72, 770, 8), *column(varied(position)), (str(9 + position), 300, 40, 8)], position + 1)
        for position, head in enumerate(chapters)
    ]
    lines = [lines_of(page) for page in pages]
    assert all(len(runs) == 2 for runs in running_lines(pages, lines))
    titles = ["Who we are", "What we do", "Where it went", "What comes next", "Which it is", "How we know"]
    slides = [
        page_of([(title, 72, 700, 24), *column(varied(position)[:5], top=500)], position + 1)
        for position, title in enumerate(titles)
    ]
    assert not any(running_lines(slides, [lines_of(page) for page in slides]))


def test_pieces_of_one_line_are_joined() -> None:
    page = page_of([("3.2", 72, 700, 12), ("Reading files", 100, 699, 12), ("Another line here", 72, 680, 12)])
    assert [line.text for line in lines_of(page)] == ["3.2 Reading files", "Another line here"]


def test_columns_are_not_joined() -> None:
    page = page_of([("left column", 72, 700, 10), ("right column", 330, 700, 10)])
    assert len(lines_of(page)) == 2


@given(st.lists(st.integers(0, 17), max_size=30, unique=True))
def test_rects_of_words_mask_those_words_and_no_other(chosen: list[int]) -> None:
    page = page_of(column(["one two three", "four five six", "seven eight nine"] * 2))
    keep = page.visible(words_rects(page, chosen))
    assert sorted(np.flatnonzero(~keep).tolist()) == sorted(chosen)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "12",
            "- 12 -",
            "xii",
            "Page 3 of 12",
            "第3页",
            "第 3 页 共 12 页",
            "３",
            "3/12 页",
            "3 ページ",
            "- 3 쪽 -",
            "стр. 3 из 12",
        ),
        *("Σελίδα 3", "صفحة ٣ من ١٢", "หน้า ๓", "पृष्ठ ३", "עמוד 3"),
    ],
)
def test_a_page_number_in_any_script_is_a_folio(text: str) -> None:
    assert is_folio(text)


@pytest.mark.parametrize("text", ["第3章", "3 付款", "Page layout", "3年", "共 12 件", "หน้าจอ", "стр"])
def test_a_line_with_a_word_of_its_own_is_none(text: str) -> None:
    assert not is_folio(text)
