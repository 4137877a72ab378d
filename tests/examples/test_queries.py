from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from manuals import library, manual, page_of, prose

from pagetune.errors import DataError
from pagetune.examples.drafts import Draft, Notes
from pagetune.examples.masks import evaluation_masks, with_queries
from pagetune.examples.queries import WrittenQueries, default_writers, write_queries
from pagetune.recipe import QueriesRecipe
from pagetune.records import Document, OutlineEntry, Page, Query, QueryKind


def write(document: Document, pages: list[Page], **recipe: object) -> WrittenQueries:
    return write_queries([document], pages, QueriesRecipe(**recipe))  # type: ignore[arg-type]


def of_kind(written: WrittenQueries, kind: QueryKind) -> list[Query]:
    return [query for query in written.queries if query.kind == kind]


def answers(written: WrittenQueries, query: Query) -> dict[str, int]:
    return {j.page: j.grade for j in written.judgements if j.query == query.id}


def test_outline_titles_lose_their_number_and_are_answered_by_their_pages() -> None:
    document, pages = manual()
    written = write(document, pages, kinds=("outline",))
    assert len(written.queries) == 6
    first = written.queries[0]
    assert first.text.startswith("Replacing the ")
    assert answers(written, first) == {"manual-0001": 2, "manual-0002": 1}
    assert first.text.split()[0] not in pages[0].text(first.rects)
    assert "inspected" in pages[0].text(first.rects) or "worn" in pages[0].text(first.rects)


def test_an_outline_target_that_is_one_page_off_is_mended() -> None:
    document, pages = manual()
    moved = tuple(replace(entry, page=max(1, entry.page - 1), top=None) for entry in document.outline)
    written = write(replace(document, outline=moved), pages, kinds=("outline",))
    assert {query.page for query in written.queries} == {f"manual-{number:04d}" for number in (1, 3, 5, 7, 9, 11)}


def test_short_and_repeated_titles_get_their_parent_and_generic_ones_go() -> None:
    rows = {
        "p2": [("Examples", 72, 440, 14)],
        "p4": [("Introduction", 72, 440, 14)],
        "p6": [("Oiling", 72, 440, 14)],
    }
    document, pages = manual(**rows)
    more = (
        OutlineEntry(1, "Examples", 2, 450),
        OutlineEntry(1, "Introduction", 4, 450),
        OutlineEntry(1, "Oiling", 6, 450),
    )
    outline = sorted((*document.outline, *more), key=lambda entry: (entry.page, entry.level))
    written = write(replace(document, outline=tuple(outline)), pages, kinds=("outline",))
    texts = [query.text for query in written.queries]
    assert any(text.startswith("Replacing") and text.endswith(": Examples") for text in texts)
    assert any(text.endswith(": Oiling") for text in texts)
    assert not any("Introduction" in text for text in texts)
    assert written.dropped["generic"] == 1


def test_a_section_over_too_many_pages_is_too_broad() -> None:
    document, pages = manual(pages=12)
    outline = (document.outline[0], document.outline[-1])
    written = write(replace(document, outline=outline), pages, kinds=("outline",))
    assert [query.page for query in written.queries] == ["manual-0011"]
    assert written.dropped == {"too broad": 1}


def test_captions_lose_their_label_and_mask_all_their_words() -> None:
    document, pages = manual()
    written = write(document, pages, kinds=("caption",))
    assert written.queries[0].text == "Cross section of manual part gasket"
    query = written.queries[0]
    left = pages[2].text(query.rects)
    assert "Figure" not in left
    assert "gasket" not in left.split("\n")[-2]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("Table 4. Pressure limits of the second boiler", "Pressure limits of the second boiler"),
        ("Fig. 3.2 – Steam flow through the nozzle", "Steam flow through the nozzle"),
        ("Abbildung 7: Querschnitt durch das große Ventil", "Querschnitt durch das große Ventil"),
        ("Tableau 2 : Pression maximale de la chaudière", "Pression maximale de la chaudière"),
        ("Figura 1. Sección transversal de la válvula", "Sección transversal de la válvula"),
        ("图 3.2：锅炉的剖面示意图", "锅炉的剖面示意图"),
        ("表2　锅炉的最高压力", "锅炉的最高压力"),
        ("表二、锅炉的最高压力", "锅炉的最高压力"),
        ("圖１．鍋爐的剖面圖", "鍋爐的剖面圖"),
        ("図 4 ボイラーの断面を示す図", "ボイラーの断面を示す図"),
        ("그림 5. 보일러의 단면을 보여 주는 그림", "보일러의 단면을 보여 주는 그림"),
        ("Рис. 3. Разрез второго котла", "Разрез второго котла"),
        ("Таблица 2 — Давление второго котла", "Давление второго котла"),
        ("Εικόνα 2: Τομή του δεύτερου λέβητα", "Τομή του δεύτερου λέβητα"),
        ("شكل ٣: مقطع الغلاية الثانية", "مقطع الغلاية الثانية"),
        ("جدول 2: ضغط الغلاية الثانية", "ضغط الغلاية الثانية"),
        ("איור 4: חתך של הדוד השני", "חתך של הדוד השני"),
        ("चित्र २: दूसरे बॉयलर का आड़ा काट", "दूसरे बॉयलर का आड़ा काट"),
        ("รูปที่ 3 ภาพตัดขวางของหม้อไอน้ำ", "ภาพตัดขวางของหม้อไอน้ำ"),
        ("Hình 2. Mặt cắt của nồi hơi", "Mặt cắt của nồi hơi"),
        ("Şekil 3: İkinci kazanın kesiti", "İkinci kazanın kesiti"),
        ("Rysunek 4. Przekrój drugiego kotła", "Przekrój drugiego kotła"),
        ("Obrázek 1: Řez druhým kotlem", "Řez druhým kotlem"),
        ("Algorithm 2: Closing a valve without a hammer", "Closing a valve without a hammer"),
    ],
)
def test_captions_of_several_languages(line: str, text: str) -> None:
    document, pages = manual(pages=4, p2=[(line, 72, 400, 10)])
    assert text in [query.text for query in of_kind(write(document, pages), "caption")]


def test_a_line_of_text_that_begins_with_a_label_is_no_caption() -> None:
    rows = [
        ("The pressure rises for a while and falls again afterwards, which can be seen in", 72, 300, 10),
        ("Figure 9. The alarm sounds when it does not, and the operator has to look after", 72, 287, 10),
        ("it at once, with the hammer in the hand and the grease beside it on a low table.", 72, 274, 10),
    ]
    document, pages = manual(pages=4, p2=rows)
    assert not any("alarm sounds when" in query.text for query in of_kind(write(document, pages), "caption"))


@pytest.mark.parametrize(
    "line", ["图3显示锅炉的温度在一天之内的变化情况。", "表２に示すように、圧力は一日の間に変化します。"]
)
def test_a_sentence_that_begins_with_a_label_is_no_caption(line: str) -> None:
    document, pages = manual(pages=4, p2=[(line, 72, 300, 10)])
    assert not any(query.page == "manual-0002" for query in of_kind(write(document, pages), "caption"))


def test_a_caption_over_two_lines_is_one_and_stops_before_the_text() -> None:
    rows = [
        ("Figure 9: Temperature of the second boiler over a day in which the operators had a", 72, 380, 10),
        ("longer break than usual.", 72, 367, 10),
        *prose(77, 5, 330),
    ]
    document, pages = manual(pages=4, p2=rows)
    texts = [query.text for query in of_kind(write(document, pages), "caption")]
    assert "Temperature of the second boiler over a day in which the operators had a longer break than usual" in texts


def test_headings_outside_the_outline_are_found_by_their_type() -> None:
    rows = {
        f"p{n}": [(f"Cleaning {what} after winter", 72, 440, 14), *prose(90 + n, 5, 420)]
        for n, what in ((2, "tubes"), (4, "coils"))
    }
    document, pages = manual(pages=9, **rows)
    written = write(document, pages, kinds=("heading",))
    assert {query.text for query in written.queries} == {"Cleaning tubes after winter", "Cleaning coils after winter"}
    assert all(answers(written, query)[query.page] == 2 for query in written.queries)
    assert all("Cleaning" not in pages[int(q.page[-4:]) - 1].text(written.masks[q.page]) for q in written.queries)


def test_sentences_are_prose_of_the_body_and_mask_themselves() -> None:
    document, pages = manual()
    written = write(document, pages, kinds=("sentence",), sentences_per_page=2)
    assert written.queries
    for query in written.queries:
        page = pages[int(query.page[-4:]) - 1]
        assert 6 <= len(query.text.split()) <= 30
        assert "Handbook" not in query.text
        assert "Figure" not in query.text
        assert len(page.text(query.rects).split()) == len(page.words) - len(query.text.split())
    per_page = [sum(query.page == page.id for query in written.queries) for page in pages]
    assert max(per_page) <= 2


def test_phrases_are_on_the_page_they_ask_for() -> None:
    documents, pages = library(3)
    written = write_queries(documents, pages, QueriesRecipe(kinds=("phrase",)))
    by_id = {page.id: page for page in pages}
    assert len(written.queries) > 10
    for query in written.queries:
        on_page = by_id[query.page].text().casefold()
        assert all(word.casefold().strip(",.") in on_page for word in query.text.split())
        assert answers(written, query)[query.page] == 2


def index_page(number: int) -> Page:
    left = ["alarm, 5", "boiler", "cooling, 6, 7", "opening, 8", "cracks, 9–10", "grease, see lubricants"]
    rows = [(text, 72 if place in (0, 1, 4, 5) else 90, 700 - 14 * place, 10) for place, text in enumerate(left)]
    right = ["steam pressure, 5, 6, 7,", "8", "torque wrench, 12", "zebra crossing, 6"]
    rows += [(text, 330, 700 - 14 * place, 10) for place, text in enumerate(right)]
    return page_of(rows, number, kind="index")


def test_index_terms_are_answered_by_the_pages_that_have_their_words() -> None:
    extra = {
        f"p{n}": [("The boiler needs cooling, steam pressure and a torque wrench.", 72, 300, 10)] for n in (2, 3, 8)
    }
    document, pages = manual(pages=12, **extra)
    written = write(document, [*pages, index_page(13)], kinds=("index",))
    found = {query.text: answers(written, query) for query in written.queries}
    assert found["boiler, cooling"] == {"manual-0002": 2, "manual-0003": 2}  # printed page 6 is page 2 of the file
    assert found["torque wrench"] == {"manual-0008": 2}
    assert {"manual-0002", "manual-0003"} <= set(found["steam pressure"])
    assert not any("zebra" in text or "grease" in text for text in found)
    assert written.dropped["words not on the pages"] >= 1


def test_pages_that_are_not_body_are_never_answers() -> None:
    document, pages = manual()
    pages = [replace(page, kind="contents") if page.number in (1, 2) else page for page in pages]
    pages = [replace(page, duplicate_of="manual-0003") if page.number == 7 else page for page in pages]
    written = write(document, pages)
    assert not {j.page for j in written.judgements} & {"manual-0001", "manual-0002", "manual-0007"}


def test_the_same_words_for_different_pages_ask_for_none() -> None:
    first, pages = manual("alpha", 6, seed=1)
    second = [replace(page, id=page.id.replace("alpha", "beta"), document="beta") for page in pages]
    both = [first, replace(first, id="beta")]
    written = write_queries(both, [*pages, *second], QueriesRecipe(kinds=("outline",)))
    assert not written.queries
    assert written.dropped["ambiguous: the same words ask for different pages"] == 6


def test_masks_hold_the_structure_and_the_judged_queries() -> None:
    document, pages = manual()
    written = write(document, pages)
    for page in pages:
        left = page.text(written.masks[page.id])
        assert "Handbook" not in left
        assert "Replacing" not in left
        assert "Figure" not in left
    sentences = of_kind(written, "sentence")
    judged = evaluation_masks(written.masks, sentences, {sentences[0].id: "test", sentences[1].id: "train"})
    assert set(sentences[0].rects) <= set(judged[sentences[0].page])
    assert not set(sentences[-1].rects) & set(judged[sentences[-1].page])
    assert set(sentences[1].rects) <= set(with_queries(written.masks, sentences)[sentences[1].page])


def test_ids_and_texts_do_not_change_from_run_to_run() -> None:
    documents, pages = library(3)
    one, other = (write_queries(documents, pages, QueriesRecipe()) for _ in range(2))
    assert one.queries == other.queries
    fewer = write_queries(documents, pages, QueriesRecipe(max_queries=20))
    assert len(fewer.queries) == 20
    assert set(fewer.queries) <= set(one.queries)


@dataclass(frozen=True)
class FirstWords:
    """A writer from outside: the first words of each page."""

    kind: QueryKind = "phrase"
    page: str = ""

    def write(self, document: object, collection: object, notes: Notes) -> Iterator[Draft]:
        for laid in document.laid:  # type: ignore[attr-defined]
            line = laid.lines[2]
            yield Draft(line.text, self.kind, laid.page.id, (line.rect,), ((self.page or laid.page.id, 2),))


def test_a_writer_of_ones_own() -> None:
    document, pages = manual()
    written = write_queries([document], pages, QueriesRecipe(), [FirstWords()])
    assert written.written == {"phrase": 12}
    with pytest.raises(DataError, match="page 'nowhere'"):
        write_queries([document], pages, QueriesRecipe(), [FirstWords(page="nowhere")])


def test_only_the_kinds_asked_for_are_written() -> None:
    assert [writer.kind for writer in default_writers(QueriesRecipe(kinds=("caption", "index")))] == [
        "caption",
        "index",
    ]


def test_a_page_without_its_document_is_refused() -> None:
    with pytest.raises(DataError, match="'manual' is not among the documents"):
        write_queries([], manual()[1], QueriesRecipe())
