"""Whatever a document is made of, query writing ends well: with queries that hold, or with a reason."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manuals import Row, page_of
from twins import CAPTION, SENTENCES, SUBJECTS

from pagetune.examples.masks import with_queries
from pagetune.examples.queries import write_queries
from pagetune.layout.words import fold
from pagetune.recipe import QueriesRecipe
from pagetune.records import Document, OutlineEntry, Page

_LANGUAGES = st.sampled_from(sorted(SUBJECTS))
_ODD = [
    "",
    "—",
    "3",
    "II",
    "Figure 1: A",
    "图1",
    "表二 ",
    "References",
    "参考文献",
    "•",
    "ก",
    "ُ",
    "a.b",
    "�",
    "‏",
    "12 / 40",
    "第3页",
]


@st.composite
def _text(draw: st.DrawFn, language: str) -> str:
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(st.sampled_from(_ODD))
    if kind == 1:
        return draw(st.text(max_size=30)).replace("\x00", "")
    subject = draw(st.sampled_from(SUBJECTS[language]))
    if kind == 2:
        return draw(st.sampled_from([subject, CAPTION[language].format(n=7, s=subject)]))
    return draw(st.sampled_from(SENTENCES[language])).format(s=subject)


@st.composite
def _page(draw: st.DrawFn, language: str, number: int, document: str) -> Page:
    rows: list[Row] = []
    y = 760.0
    for _ in range(draw(st.integers(0, 9))):
        size = draw(st.sampled_from([8.0, 10.0, 10.0, 10.0, 16.0]))
        rows.append((draw(_text(language)), 72, y, size))
        y -= draw(st.sampled_from([1.2, 1.3, 3.0])) * size
    kind = draw(st.sampled_from(["body", "body", "body", "body", "contents", "index", "blank"]))
    return page_of(rows, number, document, kind)


@st.composite
def _document(draw: st.DrawFn, name: str) -> tuple[Document, list[Page]]:
    language = draw(_LANGUAGES)
    pages = [draw(_page(language, number, name)) for number in range(1, draw(st.integers(0, 4)) + 1)]
    entry = st.builds(
        OutlineEntry,
        st.integers(0, 5),
        st.one_of(st.sampled_from(SUBJECTS[language]), st.sampled_from(_ODD), _text(language)),
        st.integers(-1, 7),
        st.one_of(st.none(), st.floats(-100, 1e5)),
    )
    outline = draw(st.lists(entry, max_size=6))
    outline += draw(st.sampled_from([[], outline[:1]]))
    said = draw(st.sampled_from(["", "en-US", "zh", "xx"]))
    found = Document(name, f"{name}.pdf", name, "pdf", len(pages), language=said, outline=tuple(outline))
    if len(pages) > 1 and draw(st.booleans()):
        pages[-1] = replace(pages[0], id=pages[-1].id, number=pages[-1].number, duplicate_of=pages[0].id)
    return found, pages


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.tuples(_document("one"), _document("two")))
def test_any_documents_give_sound_queries_or_a_reason(drawn: tuple[tuple[Document, list[Page]], ...]) -> None:
    documents = [document for document, _ in drawn]
    pages = {page.id: page for _, own in drawn for page in own}
    recipe = QueriesRecipe(sentences_per_page=2, phrases_per_page=2)
    written = write_queries(documents, [*pages.values()], recipe)
    again = write_queries(documents, [*pages.values()], recipe)
    assert (written.queries, written.judgements) == (again.queries, again.judgements)
    assert len({query.id for query in written.queries}) == len(written.queries)
    asked = {query.document for query in written.queries}
    for document, own in drawn:
        assert (document.id in written.silent) == (bool(own) and document.id not in asked)
    for judgement in written.judgements:
        page = pages[judgement.page]
        assert judgement.grade in (1, 2)
        assert page.kind == "body"
        assert page.duplicate_of is None
    best = {judgement.query for judgement in written.judgements if judgement.grade == 2}
    for query in written.queries:
        page = pages[query.page]
        assert query.id in best
        assert query.text == query.text.strip() != ""
        assert recipe.min_words <= len(fold(query.text).split()) <= recipe.max_words
        for left, bottom, right, top in query.rects:
            assert left < right
            assert bottom < top
            assert page.boxes[:, 0].min() - 1 <= left
            assert right <= page.boxes[:, 2].max() + 1
        masks = with_queries(written.masks, [query])
        for judgement in written.judgements:
            if judgement.query == query.id and judgement.grade == 2:
                assert pages[judgement.page].visible(masks.get(judgement.page, ())).sum() >= 10
