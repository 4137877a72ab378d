from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pagetune.search.snippets import snippet

TEXT = (
    "Opening words about nothing. " * 20
    + "Reversing a transaction\nwrites a second entry. "
    + "Closing words here. " * 20
)


def test_shows_the_place_with_the_querys_words_in_any_form() -> None:
    shown = snippet(TEXT, "how do I reverse transactions")
    assert "Reversing a transaction writes a second entry." in shown
    assert shown.startswith("… ")
    assert shown.endswith(" …")
    assert len(shown) <= 244


def test_without_a_word_of_the_query_it_is_the_passage_or_the_beginning() -> None:
    assert snippet(TEXT, "zebra").startswith("Opening words")
    place = TEXT.index("Reversing")
    assert "Reversing a transaction" in snippet(TEXT, "zebra", (place, place + 60))


def test_looks_in_the_passage_first() -> None:
    text = "ledger " * 3 + "x " * 300 + "ledger entry of the year " + "y " * 100
    place = text.index("ledger entry")
    assert "entry of the year" in snippet(text, "ledger", (place - 10, place + 40))


def test_short_and_empty_texts_are_shown_whole() -> None:
    assert snippet("one\n  two", "two") == "one two"
    assert snippet("", "two") == snippet("   ", "two") == ""


def test_text_without_spaces_is_cut_between_words() -> None:
    page = (
        "请先在首页选择相应的菜单，然后按照屏幕提示\n逐步操作。" * 20
        + "猫在图书馆里睡觉。"
        + "每年一月一日更新价目表。" * 20
    )
    shown = snippet(page, "图书馆的猫", length=60)
    assert "猫在图书馆里睡觉。" in shown
    assert len(shown) <= 64
    assert "\n" not in shown
    for piece in shown.strip("… ").split("。"):
        assert piece in page.replace("\n", "")
    assert "提示逐步" in snippet("按照屏幕提示\n逐步操作", "操作")


@given(st.text(max_size=600), st.text(max_size=40), st.integers(1, 300))
def test_never_longer_than_asked_for(text: str, query: str, length: int) -> None:
    assert len(snippet(text, query, length=length)) <= length + 4
