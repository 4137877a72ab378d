from __future__ import annotations

import math
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetune.layout.words import cut, fold, is_short, join, letters_of, script_of, spans, split, unwrap
from pagetune.records import Page

WORDS = {
    "latin": ("Reverse a payment.", ["Reverse", "a", "payment."]),
    "vietnamese": ("Hủy giao dịch này.", ["Hủy", "giao", "dịch", "này."]),
    "greek": ("Ακύρωση πληρωμής;", ["Ακύρωση", "πληρωμής;"]),
    "cyrillic": ("Отмена платежа.", ["Отмена", "платежа."]),
    "armenian": ("Վճարման չեղարկում։", ["Վճարման", "չեղարկում։"]),
    "georgian": ("გადახდის გაუქმება.", ["გადახდის", "გაუქმება."]),
    "hebrew": ("בִּטּוּל תַּשְׁלוּם.", ["בִּטּוּל", "תַּשְׁלוּם."]),
    "arabic": ("إِلْغَاءُ الدَّفْعِ؟", ["إِلْغَاءُ", "الدَّفْعِ؟"]),
    "persian": ("لغو تراکنش‌ها", ["لغو", "تراکنش‌ها"]),
    "devanagari": ("भुगतान रद्द करें।", ["भुगतान", "रद्द", "करें।"]),
    "bengali": ("লেনদেন ফেরত।", ["লেনদেন", "ফেরত।"]),
    "tamil": ("பரிவர்த்தனையை ரத்து", ["பரிவர்த்தனையை", "ரத்து"]),
    "ethiopic": ("ክፍያን ለመሰረዝ።", ["ክፍያን", "ለመሰረዝ።"]),
    "hangul": ("거래를 취소한다.", ["거래를", "취소한다."]),
    "han": ("按下“确定”按钮，以撤销交易。", ["按下", "“确定”", "按钮，", "以", "撤销", "交易。"]),
    "han and latin": (
        "打开ABC-200的PDF文件（共3页）。",
        ["打开", "ABC-200", "的", "PDF", "文件", "（共", "3", "页）。"],
    ),
    "kana": ("タンクの容量を確認する。", ["タンク", "の", "容量", "を", "確認", "する。"]),
    "thai": ("กดปุ่มสีเขียว เพื่อยกเลิก", ["กด", "ปุ่ม", "สี", "เขียว", "เพื่อ", "ยกเลิก"]),
    "lao": ("ຍົກເລີກ", ["ຍົກເລີກ"]),
    "khmer": ("ពាក្យសម្ងាត់\u200bថ្មី។", ["ពាក្យសម្ងាត់", "ថ្មី។"]),
    "burmese": ("စာကြည့်တိုက်၊", ["စာကြည့်တိုက်၊"]),
    "tibetan": ("བོད་ཡིག་གི་", ["བོད་", "ཡིག་", "གི་"]),
}
BEYOND = "𠀀"
"""A Han character outside the BMP: ICU counts it as two."""


@pytest.mark.parametrize("name", sorted(WORDS))
def test_words_of_every_script_with_the_marks_around_them(name: str) -> None:
    text, words = WORDS[name]
    assert split(text) == words
    assert [text[start:stop] for start, stop in spans(text)] == words


def test_a_mark_goes_with_the_word_before_and_an_opening_one_with_the_word_after() -> None:
    assert split("（甲）乙「丙」") == ["（甲）", "乙", "「丙」"]
    assert split("，，") == ["，，"]
    assert split(f"{BEYOND}{BEYOND}，撤销交易") == [BEYOND, f"{BEYOND}，", "撤销", "交易"]


def test_four_han_characters_are_two_words_whatever_the_dictionary_says() -> None:
    assert split("定期存款") == ["定期", "存款"]


@given(st.text(max_size=80))
def test_a_token_is_cut_without_a_loss(text: str) -> None:
    for token in text.split():
        pieces = cut(token)
        assert [stop for _, stop in pieces[:-1]] == [start for start, _ in pieces[1:]]
        assert (pieces[0][0], pieces[-1][1]) == (0, len(token))
        assert all(start < stop for start, stop in pieces)


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=80))
def test_latin_text_is_split_at_its_spaces(text: str) -> None:
    assert split(text) == text.split()


@pytest.mark.parametrize("name", ["latin", "cyrillic", "devanagari", "han", "kana", "tibetan", "hangul"])
def test_words_are_joined_as_their_script_writes_them(name: str) -> None:
    text, words = WORDS[name]
    assert join(words) == text


def test_measured_gaps_decide_between_words_without_spaces() -> None:
    assert join(["กด", "ปุ่ม", "เพื่อ", "ยกเลิก"], [math.inf, 0.0, 0.3, 0.0]) == "กดปุ่ม เพื่อยกเลิก"
    assert join(["打开", "PDF", "文件"], [math.inf, 0.02, 0.25]) == "打开PDF 文件"
    assert join(["第", "三", "章"], [math.inf, 0.3, 0.9]) == "第三 章"
    assert join(["撤销", "交易"], [math.inf, math.nan]) == "撤销交易"
    assert join(["撤销", "交易"], [math.inf, math.inf]) == "撤销 交易"
    assert join(["two", "words"], [math.inf, 0.0]) == "two words"
    assert join([]) == ""


def test_a_page_has_its_text_as_it_is_printed() -> None:
    words = ("撤销", "交易，", "按", "F2", "键。", "再见")
    boxes = np.array(
        [
            [0, 20, 20, 30],
            [20, 20, 50, 30],
            [50, 20, 60, 30],
            [62.5, 20, 72.5, 30],
            [72.5, 20, 92.5, 30],
            [0, 5, 20, 15],
        ],
        np.float32,
    )
    page = Page("p", "d", 1, 100, 40, words, boxes, np.full(6, 10, np.float32), np.array([0, 0, 0, 0, 0, 1], np.int32))
    assert page.text() == "撤销交易，按 F2键。\n再见"
    # What is masked leaves a space, so that no word arises of what stood apart.
    assert page.text([(20, 15, 50, 35)]) == "撤销 按 F2键。\n再见"
    assert page.text([(0, 0, 100, 40)]) == ""


def test_line_ends_inside_words_go() -> None:
    assert unwrap("办理撤\n销交易\nand\n其他") == "办理撤销交易\nand\n其他"
    assert fold("办理撤\n销交易") == fold("办理撤销交易") == "办理 撤销 交易"


FOLDED = [
    ("The ﬁle – Größe", "the file grösse"),
    ("ΑΣΦΑΛΕΙΑ λόγος", "ασφαλεια λογοσ"),
    ("Ёлка ВСЁ", "елка все"),
    ("التَّقْرِيرُ السَّنَوِيّ ١٢", "التقرير السنوي 12"),
    ("مكتبــة إلى آخر", "مكتبة الي اخر"),
    ("کتاب‌ها", "كتاب ها"),
    ("שָׁלוֹם־עוֹלָם", "שלום עולם"),
    ("फ़ीस २४ पाँच", "फीस 24 पांच"),
    ("ﾊﾟｽﾜｰﾄﾞ Ｘ１", "パスワード x1"),
    ("น\u0e49ำ", "น้ำ"),
    ("น\u0e4d\u0e49\u0e32", "น้ำ"),
    ("ലൈബ്രറിയില്\u200d", "ലൈബ്രറിയില്"),
    ("ലൈബ്രറിയിൽ", "ലൈബ്രറിയില്"),
    (unicodedata.normalize("NFD", "Hủy giao dịch 한글"), "hủy giao dịch 한글"),
]


@pytest.mark.parametrize(("text", "folded"), FOLDED)
def test_the_same_words_typed_differently_fold_to_the_same(text: str, folded: str) -> None:
    assert fold(text) == unicodedata.normalize("NFC", folded)


@given(st.text(max_size=60))
def test_folding_twice_changes_nothing_of_ascii_and_never_fails(text: str) -> None:
    folded = fold(text)
    assert folded == " ".join(folded.split())
    if text.isascii():
        assert fold(folded) == folded


def test_scripts_letters_and_short_words() -> None:
    scripts = [script_of(letter) for letter in "aéαжאبहকกລកပ한漢かアა"]
    assert scripts == [
        *("LATIN", "LATIN", "GREEK", "CYRILLIC", "HEBREW", "ARABIC", "DEVANAGARI", "BENGALI", "THAI", "LAO", "KHMER"),
        *("MYANMAR", "HANGUL", "CJK", "HIRAGANA", "KATAKANA", "GEORGIAN"),
    ]
    assert script_of(BEYOND) == "CJK"
    assert letters_of("हिन्दी 12.") == 6
    assert [word for word in ("费用", "费", "of", "off", "책", "은행") if is_short(word)] == ["费", "of", "책"]
