import random

import pytest

from pagetune.pages.text import text_layer_fault

PROSE = (
    "The journal keeps every transaction that the ledger has accepted, and a reversal is written as an entry of its "
    "own, so that nothing is ever removed. Balances are computed from the entries whenever somebody asks for them, "
    "which is slower than storing them but cannot be wrong. Auditors prefer this arrangement for obvious reasons."
)


def shifted(text: str, by: int) -> str:
    return "".join(chr(ord(c) + by) if c.isalpha() else c for c in text)


def test_prose_tables_code_and_contents_are_usable():
    numbers = " ".join(f"{n}.{n % 7} ({n * 3}%)" for n in range(100, 300))
    code = "\n".join(f"\\renewcommand*{{\\chapnumfont}}{{\\normalfont\\huge\\sffamily#{n}}}" for n in range(40))
    contents = "\n".join(f"{n} Chapter name {'. ' * 50}{n * 3}" for n in range(30))
    for text in (PROSE, numbers, code, contents, "Figure 3", "第一章 " + "日本語の文章には空白がありません" * 30):
        assert text_layer_fault(text) is None, text[:40]


def test_other_alphabets_are_usable():
    assert text_layer_fault("Журнал хранит каждую операцию, которую приняла главная книга компании. " * 5) is None
    assert text_layer_fault("Strč prst skrz krk a čtvrt hodiny zmrzlý vlk mlčel před branami města " * 5) is None
    assert (
        text_layer_fault("Το ημερολόγιο κρατά κάθε συναλλαγή που δέχτηκε το λογιστικό βιβλίο της εταιρείας " * 5)
        is None
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" \n ", "no text layer"),
        (PROSE.replace(" ", "").replace(",", "").replace(".", ""), "no spaces"),
        (" ".join(PROSE.replace(" ", "")), "letters apart"),
        (shifted(PROSE, 0xF000), "private-use glyphs"),
        ("\ufffd" * 200 + PROSE, "replacement characters"),
        (shifted(PROSE.lower(), 0x80 - ord("a")), "control characters"),
        ("".join(chr(ord(c) - 0x40) if c.isalpha() else c for c in PROSE), "mostly symbols"),
        ("".join(c if n % 2 else chr(0x0400 + ord(c)) for n, c in enumerate(PROSE)), "wrong script"),
    ],
)
def test_a_broken_layer_is_named(text, reason):
    assert text_layer_fault(text) == reason


def test_words_without_vowels_are_gibberish():
    rng = random.Random(1)
    words = " ".join("".join(rng.choices("bcdfghjklmnpqrstvwxz", k=rng.randint(4, 9))) for _ in range(120))
    assert text_layer_fault(words) == "gibberish"


def test_a_stamp_on_a_scan_and_hidden_words_are_found():
    assert text_layer_fault("page 3 of 9", picture=0.95) == "a picture with hardly any text"
    assert text_layer_fault("page 3 of 9", picture=0.1) is None
    assert text_layer_fault(PROSE, visible=False) == "text is not visible"
    assert text_layer_fault(PROSE, visible=False, picture=0.9) is None


def test_letters_of_another_script_that_look_alike_are_no_fault():
    text = "Роздiл перший описує пiдготовку робочого мiсця та iншi кроки якi потрiбнi кожнiй людинi зранку " * 3
    assert text_layer_fault(text) is None
    mixed = (
        "Роzdiл pершиg oпиsует пodгoтoвkу рaбoчego mеsтa dругиe шagi kотoрыe нuжны kажdому vсегda утроm dля rаботы "
        "maстерскаg zadvиgка fиlьтры dаvлеnие voдоzаборnый kлапаn gлаvный вpроцеssе "
    )
    assert text_layer_fault(mixed * 3) == "wrong script"


@pytest.mark.parametrize(
    "sentence",
    [
        "စာကြည့်တိုက်တွင် စာအုပ်များကို ငှားရမ်းနိုင်ပါသည်။ ",
        "បណ្ណាល័យមានសៀវភៅជាច្រើនសម្រាប់អ្នកអាន។ ",
        "הַסִּפְרִיָּה פְּתוּחָה בְּכָל יוֹם מֵהַבֹּקֶר עַד הָעֶרֶב. ",
        "इस पुस्तकालय में हिन्दी की सभी पुस्तकें उपलब्ध हैं। ",
        "图书馆每天从早上九点开放到晚上八点，节假日除外。",
    ],
)
def test_marks_upon_letters_are_no_symbols_and_text_without_spaces_has_words(sentence: str) -> None:
    assert text_layer_fault(sentence * 12, picture=0.8) is None
