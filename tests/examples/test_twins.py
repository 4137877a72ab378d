"""The same manual in ten languages writes as many queries, of the same kinds, as it does in English."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
from manuals import library, page_of
from twins import SUBJECTS, twin

from pagetune.errors import DataError
from pagetune.examples.build import build_data
from pagetune.examples.leakage import near_duplicates
from pagetune.examples.queries import WrittenQueries, write_queries
from pagetune.examples.structure import study
from pagetune.layout.words import HAN, KANA, STACKED
from pagetune.pages.kinds import classify_pages
from pagetune.recipe import QueriesRecipe, SplitsRecipe
from pagetune.records import Document, Page

_SPACED_OUT = re.compile(f"[{HAN}{KANA}{STACKED}] [{HAN}{KANA}{STACKED}]")


def written(language: str) -> tuple[WrittenQueries, dict[str, Page]]:
    document, pages = twin(language)
    return write_queries([document], pages, QueriesRecipe()), {page.id: page for page in pages}


@pytest.mark.parametrize("language", sorted(set(SUBJECTS) - {"en"}))
def test_a_twin_writes_as_many_queries_within_a_third(language: str) -> None:
    english, _ = written("en")
    own, pages = written(language)
    for kind in ("outline", "caption", "sentence", "phrase"):
        assert abs(own.written[kind] - english.written[kind]) <= english.written[kind] / 3, kind
    for query in own.queries:
        page = pages[query.page]
        # As it is printed: the words of the query, with the spaces that its page has between them.
        if query.kind in ("outline", "sentence"):
            assert query.text in page.text().replace("\n", "" if language in ("zh", "ja", "th", "km") else " ")
        if query.kind != "phrase" and language in ("zh", "ja"):
            assert not _SPACED_OUT.search(query.text), query.text
        assert query.rects
        assert page.visible(query.rects).sum() < len(page.words)


@pytest.mark.parametrize("language", sorted(SUBJECTS))
def test_captions_lose_their_label_and_headings_their_number(language: str) -> None:
    own, _ = written(language)
    for query in own.queries:
        assert not re.match(r"\d|Fig|图|図|그림|รูป|चित्र|شكل|Рис|Εικόνα|រូប", query.text), query.text


@pytest.mark.parametrize("language", sorted(SUBJECTS))
def test_a_paragraph_is_cut_into_its_sentences(language: str) -> None:
    document, pages = twin(language)
    structure = study(document, pages)
    assert structure.laid.language == language
    for page in pages:
        assert len(structure.sentences(page.number)) == 3
        assert all(sentence.whole for sentence in structure.sentences(page.number))


@pytest.mark.parametrize("language", sorted(SUBJECTS))
def test_pages_of_a_few_lines_are_no_blank_pages(language: str) -> None:
    document, pages = twin(language)
    assert classify_pages(pages, document.outline) == ["body"] * len(pages)


def test_slides_of_five_lines_are_bodies_and_a_divider_is_blank() -> None:
    lines = [
        "办理撤销交易时请先选择菜单",
        "系统会显示错误代码",
        "通常需要两个工作日",
        "必须由本人确认",
        "费用列在价目表中",
    ]
    slide = page_of([(line, 72, 700 - 60 * place, 24) for place, line in enumerate(lines)])
    assert classify_pages([slide, page_of([("第二部分", 72, 400, 40)], 2)], []) == ["body", "blank"]


@pytest.mark.parametrize(
    "name", ["目录", "目 次", "목차", "Содержание", "المحتويات", "สารบัญ", "विषय सूची", "תוכן עניינים"]
)
def test_contents_are_known_by_their_name_in_any_language(name: str) -> None:
    subjects = [subject for language in ("zh", "ru") for subject in SUBJECTS[language]]
    rows = [(name, 72, 760, 16)]
    rows += [
        (f"{subject} ........ {2 * place + 1}", 72, 720 - 14 * place, 10) for place, subject in enumerate(subjects)
    ]
    assert classify_pages([page_of(rows)], []) == ["contents"]


def test_near_duplicates_are_found_without_spaces_between_words() -> None:
    texts = {page.id: page.text() for page in twin("zh")[1]}
    first = texts["zh-0001"]
    texts["broken elsewhere"] = first.replace("\n", "").replace("。", "。\n")
    texts["one word more"] = first + "完"
    found = {frozenset(pair[:2]) for pair in near_duplicates(texts, 0.8)}
    assert frozenset(("zh-0001", "broken elsewhere")) in found
    assert frozenset(("zh-0001", "one word more")) in found
    assert frozenset(("zh-0001", "zh-0002")) not in found


def letters(count: int = 6) -> tuple[list[Document], list[Page]]:
    """Invoices of one page each: labels and values, no sentence."""
    customers = [
        "Sunflower Bakery",
        "Lakeside Hotel",
        "City Library",
        "Garden Centre",
        "Dental Practice",
        "Harbour Museum",
    ]
    pages = [
        page_of(
            [
                ("Spotless Services Ltd", 72, 770, 14),
                (f"Bill to: {customers[number]}", 72, 720, 10),
                (f"Invoice {4711 + number} for {number + 2} months of cleaning", 72, 700, 10),
                (f"Net amount: {100 * number + 250}.00 EUR", 72, 660, 10),
                ("Due within 14 days by bank transfer", 72, 620, 10),
            ],
            1,
            f"invoice-{number}",
        )
        for number in range(count)
    ]
    return [Document(page.document, f"{page.document}.pdf", page.document, "pdf", 1) for page in pages], pages


def test_invoices_are_asked_for_by_their_rarest_words() -> None:
    documents, pages = letters()
    found = write_queries(documents, pages, QueriesRecipe())
    assert not found.silent
    assert {query.document for query in found.queries} == {document.id for document in documents}
    assert any("Sunflower Bakery" in query.text for query in found.queries)
    assert not any("Spotless" in query.text for query in found.queries)


def test_documents_of_which_nothing_is_asked_are_told_with_their_reason() -> None:
    read, pages = library()
    odd = {
        "empty": (page_of([], 1, "empty", "blank"),),
        "divider": (page_of([("Part two", 72, 400, 40)], 1, "divider", "blank"),),
        "contents": (replace(pages[0], id="contents-0001", document="contents", kind="contents"),),
        "copy": (replace(pages[0], id="copy-0001", document="copy", duplicate_of=pages[0].id),),
        "label": (page_of([("Fragile", 72, 400, 40)] * 12, 1, "label"),),
    }
    documents = [*read, *(Document(name, name, name, "pdf", 1) for name in odd)]
    everything = [*pages, *(page for own in odd.values() for page in own)]
    found = write_queries(documents, everything, QueriesRecipe())
    assert {name: reason.partition(" (")[0] for name, reason in found.silent.items()} == {
        "empty": "no words",
        "divider": "only blank pages, of a few words",
        "contents": "only pages of contents, lists and index",
        "copy": "its pages are copies of others",
        "label": "too little prose: 12 words",
    }
    _, report = build_data(documents, everything, QueriesRecipe(), SplitsRecipe())
    assert Counter(report["documents_without_queries"]).total() == len(report["without_queries"]) == 5
    assert "empty: no words" in report["without_queries"]


def test_a_folder_of_blank_pages_says_so_in_one_line() -> None:
    pages = [page_of([], number, "blank", "blank") for number in (1, 2)]
    with pytest.raises(DataError, match="no page has words: all 2 page") as raised:
        build_data([Document("blank", "blank.pdf", "blank", "pdf", 2)], pages, QueriesRecipe(), SplitsRecipe())
    assert "\n" not in str(raised.value)


def test_a_letter_of_one_page_is_asked_for_by_its_sentences() -> None:
    document, pages = twin("en")
    found = write_queries([replace(document, outline=())], pages[:1], QueriesRecipe(kinds=("sentence", "phrase")))
    assert found.written["sentence"] == 1
