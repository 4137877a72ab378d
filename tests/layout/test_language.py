from __future__ import annotations

import pytest

from pagetune.examples.generic import is_generic, is_references, needs_context
from pagetune.layout.language import (
    content_words,
    core,
    is_prose,
    is_wordlike,
    language_of,
    stems,
    stop_words,
    strip_numbering,
    tidy,
)
from pagetune.layout.words import split

SENTENCES = {
    "en": "If the payment cannot be changed, the system shows a message with the reason for it.",
    "de": "Wenn die Zahlung nicht geändert werden kann, zeigt das System eine Meldung mit dem Grund.",
    "fr": "Si le paiement ne peut pas être modifié, le système affiche un message avec la raison.",
    "es": "Si el pago no se puede cambiar, el sistema muestra un mensaje con la causa del error.",
    "pl": "Jeśli nie można zmienić płatności, to system pokaże komunikat o tym, co się stało.",
    "fi": "Jos maksua ei voi muuttaa, niin järjestelmä näyttää viestin ja sen syyn tässä ikkunassa.",
    "vi": "Nếu không thể thay đổi khoản thanh toán này thì hệ thống sẽ hiện ra một thông báo và lý do.",
    "ru": "Если изменить платёж нельзя, то система покажет на экране сообщение и его причину.",
    "uk": "Якщо змінити платіж не можна, то система покаже на екрані повідомлення та його причину.",
    "el": "Αν δεν μπορείτε να αλλάξετε την πληρωμή, το σύστημα δείχνει ένα μήνυμα με την αιτία.",
    "ar": "إذا لم يكن من الممكن تغيير الدفع فإن النظام يعرض رسالة مع بيان السبب.",
    "fa": "اگر تغییر پرداخت ممکن نباشد، سیستم یک پیام با دلیل آن را نشان می‌دهد.",
    "ur": "اگر ادائیگی کو تبدیل نہیں کیا جا سکتا تو سسٹم ایک پیغام اور اس کی وجہ دکھاتا ہے۔",
    "he": "אם אי אפשר לשנות את התשלום, המערכת מציגה הודעה עם הסיבה לכך.",
    "hi": "यदि भुगतान नहीं बदला जा सकता, तो सिस्टम एक संदेश और उसका कारण दिखाता है।",
    "mr": "जर देयक बदलता येत नसेल तर प्रणाली एक संदेश आणि त्याचे कारण दाखवते व ते नोंदवून ठेवली आहे.",
    "bn": "যদি অর্থপ্রদান পরিবর্তন করা না যায় তবে সিস্টেম একটি বার্তা এবং তার কারণ দেখায়।",
    "ta": "கட்டணத்தை மாற்ற முடியாவிட்டால் கணினி ஒரு செய்தியையும் காரணத்தையும் காட்டும்.",
    "th": "ถ้าไม่สามารถเปลี่ยนการชำระเงินได้ระบบจะแสดงข้อความและเหตุผลบนหน้าจอ",
    "km": "ប្រសិនបើមិនអាចផ្លាស់ប្តូរការទូទាត់បានទេ ប្រព័ន្ធនឹងបង្ហាញសារនិងមូលហេតុ។",
    "ko": "만약 결제 항목을 바꿀 수 없으면 시스템이 그 이유를 화면에 표시합니다.",
    "zh": "如果付款不能更改，系统会显示一条消息，并且说明原因。",
    "ja": "支払いを変更できない場合は、システムがメッセージとその理由を表示します。",
    "hy": "Եթե վճարումը հնարավոր չէ փոխել, համակարգը ցույց է տալիս հաղորդագրություն։",
    "ka": "თუ გადახდის შეცვლა შეუძლებელია, სისტემა აჩვენებს შეტყობინებას და მიზეზს.",
    "am": "ክፍያውን መቀየር ካልተቻለ ስርዓቱ መልእክት እና ምክንያቱን ያሳያል።",
}


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_the_language_is_known_and_its_sentences_are_prose(language: str) -> None:
    words = split(SENTENCES[language])
    assert language_of(words) == language
    assert is_prose(words, language)
    assert content_words(SENTENCES[language], language)


def test_what_a_file_says_is_believed_where_it_is_of_the_words_script() -> None:
    chinese = split(SENTENCES["zh"])
    assert language_of(chinese, "en-US") == "zh"
    assert language_of(split(SENTENCES["ru"]), "bg-BG") == "bg"
    assert language_of(split("Table 3 ABC-200 4.5 kg"), "de-CH") == "de"
    assert language_of(split("Table 3 ABC-200 4.5 kg")) == ""


def test_no_language_of_another_script_has_english_stop_words() -> None:
    assert "the" in stop_words("") == stop_words("en")
    for language in ("zh", "ja", "ko", "th", "km", "ka", "ta", "und-Cyrl", "ar"):
        assert "the" not in stop_words(language)
    assert {"的", "在"} <= stop_words("zh")
    assert core("إلى") in stop_words("ar")


@pytest.mark.parametrize(
    ("words", "language"),
    [
        ("3.5 12% 撤销 7 8 9", "zh"),
        ("A1 B2 C3 ข้อ 4 5 6", "th"),
        ("TOTAL VAT NET SUM OF ALL THE GOODS", "en"),
        ("Widget Gadget Bolt Screw Washer Nut", "en"),
    ],
)
def test_tables_and_lists_are_no_prose(words: str, language: str) -> None:
    assert not is_prose(split(words), language)


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("第3章 撤销交易", "撤销交易"),
        ("第三章撤销交易", "撤销交易"),
        ("第二節、費用", "費用"),
        ("一、概述", "概述"),
        ("（二）退款", "退款"),
        ("3.2撤销交易", "撤销交易"),
        ("１．概要", "概要"),
        ("附录A 错误代码", "错误代码"),
        ("제3장 거래 취소", "거래 취소"),
        ("Глава 4. Отмена платежа", "Отмена платежа"),
        ("الفصل الثالث: إلغاء الدفع", "إلغاء الدفع"),
        ("บทที่ 3 การยกเลิก", "การยกเลิก"),
        ("अध्याय 3 भुगतान", "भुगतान"),
        ("פרק ג' ביטול", "ביטול"),
        ("Chương 3 Hủy", "Hủy"),
        ("Chapter 4: Fire", "Fire"),
        *((title, title) for title in ("3年計画", "24小时服务", "第三方接口", "一般事項", "十大问题", "mix of words")),
    ],
)
def test_numbers_go_and_words_that_look_like_them_stay(title: str, plain: str) -> None:
    assert strip_numbering(title) == plain


def test_titles_that_ask_for_nothing() -> None:
    for title in (
        "目录",
        "目 录",
        "1 はじめに",
        "第三章",
        "附录",
        "참고 문헌",
        "Введение",
        "Глава 3",
        "ΕΙΣΑΓΩΓΗ",
        "المقدمة",
        "บทนำ",
    ):
        assert is_generic(title), title
    for title in ("撤销交易", "はじめての設定", "Отмена платежа", "การยกเลิก"):
        assert not is_generic(title), title
    assert is_references("参考文献")
    assert is_references("Список литературы")
    assert needs_context("1、安装")
    assert not needs_context("安装水泵")


def test_marks_around_words_and_titles() -> None:
    assert core("「撤销」，") == "撤销"
    assert core("करें।") == "करें"
    assert core("؟Πληρωμή;") == "πληρωμη"
    assert tidy(" 撤销交易。 ") == "撤销交易"
    assert [word for word in ("हिन्दी", "می‌شود", "об’єкт", "撤销", "A4", "3.5") if is_wordlike(word)] == [
        *("हिन्दी", "می‌شود", "об’єкт", "撤销")
    ]


def test_endings_go_in_the_scripts_that_have_stems() -> None:
    assert stems(["수수료를", "은행은"], "ko") == ["수수료", "은행"]
    assert stems(["المكتبة"], "ar") == stems(["مكتبه"], "ar")
    assert stems(["撤销"], "zh") == ["撤销"]
    assert stems(["houses"], "en") == ["hous"]
