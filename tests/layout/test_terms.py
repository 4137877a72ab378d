from __future__ import annotations

import re
import unicodedata

import bm25s.stopwords
import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetune.evaluation.lexical import BM25
from pagetune.layout.terms import terms


def plain(text: str) -> list[str]:
    """English as it always was: two or more of \\w, without stop words, stemmed."""
    text = re.sub(r"(?<=\w)[-\u00ad\u2010]\n(?=\w)", "", unicodedata.normalize("NFKC", text)).lower()
    words = [word for word in re.findall(r"\b\w\w+\b", text) if word not in bm25s.stopwords.STOPWORDS_EN]
    return Stemmer.Stemmer("english").stemWords(words)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet=st.sampled_from("theandrunningsTHEé_ß½ﬁ3-\n\u00ad\u2010 ’.–ıİ"), max_size=60))
def test_latin_text_is_counted_as_it_always_was(text: str) -> None:
    assert terms(text) == plain(text)


def test_latin_words_are_the_same_beside_another_script() -> None:
    english = "Reversing the transactions of 2024 in the database_name"
    assert [term for term in terms(f"{english} отмена платежа αβγ 撤销") if term.isascii()] == plain(english)


SETS = {
    "gujarati": [
        ("ચુકવણી રદ કરવા માટે બટન દબાવો", "ચુકવણી રદ"),
        ("બોર્ડનો વાર્ષિક અહેવાલ", "વાર્ષિક અહેવાલ"),
        ("બિલાડી પુસ્તકાલયમાં સૂવે છે", "પુસ્તકાલયમાં"),
    ],
    "hindi": [
        ("लेन-देन वापस करने के लिए बटन दबाएँ", "लेनदेन वापस दबाएं"),
        ("बोर्ड की वार्षिक रिपोर्टें", "वार्षिक रिपोर्ट"),
        ("बिल्ली पुस्तकालय में सोती है", "बिल्लियाँ पुस्तकालयों"),
    ],
    "telugu": [
        ("చెల్లింపును రద్దు చేయండి", "చెల్లింపును రద్దు"),
        ("బోర్డు వార్షిక నివేదిక", "వార్షిక నివేదిక"),
        ("పిల్లి గ్రంథాలయంలో నిద్రిస్తుంది", "గ్రంథాలయంలో"),
    ],
    "malayalam": [
        ("പണമടയ്ക്കൽ റദ്ദാക്കാൻ അമർത്തുക", "റദ്ദാക്കാന്\u200d"),
        ("ബോർഡിന്റെ വാർഷിക റിപ്പോർട്ട്", "വാര്\u200dഷിക റിപ്പോര്\u200dട്ട്"),
        ("പൂച്ച ലൈബ്രറിയിൽ ഉറങ്ങുന്നു", "ലൈബ്രറിയില്\u200d"),
    ],
    "sinhala": [
        ("ගෙවීම අවලංගු කිරීමට ඔබන්න", "ගෙවීම අවලංගු"),
        ("මණ්ඩලයේ වාර්ෂික වාර්තාව", "වාර්ෂික වාර්තාව"),
        ("පූසා පුස්තකාලයේ නිදයි", "පුස්තකාලයේ"),
    ],
    "thai": [
        ("กดปุ่มเพื่อยกเลิกธุรกรรม", "ยกเลิกธุรกรรม"),
        ("รายงานประจำปีของคณะกรรมการ", "รายงานประจำปี"),
        ("แมวนอนในห้องสมุด", "ห้องสมุด"),
    ],
    "khmer": [
        ("ចុចប៊ូតុងដើម្បីលុបចោលប្រតិបត្តិការ", "លុបចោលប្រតិបត្តិការ"),
        ("របាយការណ៍ប្រចាំឆ្នាំរបស់ក្រុមប្រឹក្សា", "របាយការណ៍ប្រចាំឆ្នាំ"),
        ("ឆ្មាគេងក្នុងបណ្ណាល័យ", "បណ្ណាល័យ"),
    ],
    "lao": [
        ("ກົດປຸ່ມເພື່ອຍົກເລີກທຸລະກຳ", "ຍົກເລີກທຸລະກຳ"),
        ("ບົດລາຍງານປະຈຳປີຂອງຄະນະກຳມະການ", "ບົດລາຍງານປະຈຳປີ"),
        ("ແມວນອນໃນຫໍສະໝຸດ", "ຫໍສະໝຸດ"),
    ],
    "burmese": [("ငွေလွှဲမှုကို ပယ်ဖျက်ရန်", "ပယ်ဖျက်ရန်"), ("ဘုတ်အဖွဲ့၏ နှစ်ပတ်လည် အစီရင်ခံစာ", "အစီရင်ခံစာ"), ("ကြောင် စာကြည့်တိုက်တွင် အိပ်သည်", "စာကြည့်တိုက်")],
    "tibetan": [("དངུལ་སྤྲོད་ཕྱིར་འཐེན་བྱེད་པ།", "ཕྱིར་འཐེན"), ("ལོ་འཁོར་སྙན་ཐོ།", "སྙན་ཐོ"), ("གསང་གྲངས་བརྗེ་དགོས།", "གསང་གྲངས")],
    "hebrew": [("לְבִטּוּל תַּשְׁלוּם לְחַץ", "תשלום"), ("הַדּוּחַ הַשְּׁנָתִי שֶׁל הַמּוֹעָצָה", "דוח שנתי"), ("הֶחָתוּל יָשֵׁן בַּסִּפְרִיָּה", "ספריה")],
    "arabic": [
        ("اضْغَطْ لِإِلْغَاءِ المُعَامَلَةِ", "معاملة"),
        ("التَّقْرِيرُ السَّنَوِيُّ لِلْمَجْلِسِ", "مجلس سنوي"),
        ("القِطَّةُ تَنَامُ وبالمَكْتَبَةِ كتب", "قطه"),
    ],
    "persian": [
        ("گزارش سالانهٔ هیئت مدیره", "گزارش سالانه"),
        ("گذرواژه‌ها را عوض کنید", "گذرواژه"),
        ("گربه در کتابخانه می‌خوابد", "كتابخانه"),
    ],
    "urdu": [
        ("ادائیگی منسوخ کرنے کے لیے", "ادائیگی"),
        ("بورڈ کی سالانہ رپورٹ", "سالانہ رپورٹ"),
        ("بلی کتب خانے میں سوتی ہے", "کتب خانے"),
    ],
    "japanese": [
        ("取引を取り消すにはボタンを押す", "取引の取り消し"),
        ("パスワードは毎月変更する", "ﾊﾟｽﾜｰﾄﾞ"),
        ("猫が図書館で眠る", "猫"),
    ],
    "chinese": [("按下按钮以撤销\n交易", "撤销交易"), ("银行退还费用", "银行费用"), ("猫在图书馆里睡觉", "猫")],
    "korean": [
        ("물을 자주 마시면 좋다", "물"),
        ("은행에서 수수료를 환불합니다", "은행은 수수료"),
        ("책이 도서관에 많다", "도서관의 책"),
    ],
    "greek": [
        ("Για να ακυρώσετε μια πληρωμή", "ΠΛΗΡΩΜΕΣ"),
        ("Η ετήσια έκθεση του συμβουλίου", "ετησια εκθεση"),
        ("Η γάτα στη βιβλιοθήκη", "γάτες"),
    ],
    "russian": [
        ("Чтобы отменить платёж", "отмена платежа"),
        ("Годовой отчёт правления", "годовые отчеты"),
        ("Ко́шка в библиотеке", "кошки"),
    ],
    "ukrainian": [
        ("Скасувати платіж", "платіж"),
        ("Річний звіт правління", "річний звіт"),
        ("Кіт спить у бібліотеці", "бібліотеці"),
    ],
    "armenian": [
        ("Վճարումը չեղարկելու համար", "վճարում"),
        ("Խորհրդի տարեկան հաշվետվությունը", "հաշվետվություն"),
        ("Կատուն քնում է", "կատուն"),
    ],
    "georgian": [
        ("გადახდის გაუქმება", "გადახდის"),
        ("საბჭოს წლიური ანგარიში", "წლიური ანგარიში"),
        ("პაროლი შეცვალეთ", "ᲞᲐᲠᲝᲚᲘ"),
    ],
    "amharic": [("ክፍያን ለመሰረዝ አዝራሩን", "ክፍያን"), ("የቦርዱ ዓመታዊ ሪፖርት", "ሪፖርት"), ("ድመቷ፡በቤተመጻሕፍት፡ትተኛለች", "በቤተመጻሕፍት")],
    "vietnamese": [
        ("Để hủy giao dịch hãy nhấn nút", unicodedata.normalize("NFD", "hủy giao dịch")),
        ("Báo cáo thường niên", "thường niên"),
        ("Con mèo trong thư viện", "thư viện"),
    ],
}


@pytest.mark.parametrize("language", sorted(SETS))
def test_a_query_of_a_pages_words_finds_the_page_in_every_script(language: str) -> None:
    index = BM25({str(number): text for number, (text, _) in enumerate(SETS[language])})
    for number, (_, query) in enumerate(SETS[language]):
        assert next(iter(index.rank(query, 3)), None) == str(number), query


def test_vowel_signs_are_part_of_their_word() -> None:
    assert terms("किताब") != terms("कताब")
    assert terms("পাসওয়ার্ড") == terms("পাসওয়ার্ড।")
    assert len(terms("கடவுச்சொல்லை")) == 2  # the stem and the word


def test_a_word_of_one_syllable_is_found_with_and_without_its_particle() -> None:
    assert set(terms("물을")) & set(terms("물"))
    assert not set(terms("물을")) & set(terms("불을"))


def test_the_language_asked_for_stems_the_words_of_its_script() -> None:
    assert terms("лепота", "russian") != []
    assert terms("Häuser Haus", "german") == ["haus", "haus"]
    assert terms("words 言葉", "nowhere") == ["words", "言", "言葉", "葉"]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=50))
def test_no_text_fails_and_no_term_is_empty(text: str) -> None:
    assert all(terms(text))
