"""The language of a text: its stop words and endings, its numbering, and telling prose from everything else."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from pagetune.layout.terms import stem_of
from pagetune.layout.words import HAN, OTHER, UNSPACED, fold, has_case, marks, normal, script_of, word_pattern

_LANGUAGES = {
    "en": "english",
    "de": "german",
    "nl": "dutch",
    "fr": "french",
    "es": "spanish",
    "pt": "portuguese",
    "it": "italian",
    "sv": "swedish",
    "no": "norwegian",
    "da": "danish",
    "ru": "russian",
    "tr": "turkish",
}
"""What bm25s has stop words of and Snowball stems, by Snowball's names."""
_LATIN = {
    **{"pl": "polish", "cs": "czech", "sk": "", "sl": "", "hr": "", "ro": "romanian", "hu": "hungarian"},
    **{"fi": "finnish", "et": "estonian", "lv": "", "lt": "lithuanian", "vi": "", "id": "indonesian"},
}
"""More languages in Latin letters, whose stop words are those of stopwords-iso."""
_OF_SCRIPT = {
    **{"CJK": ("zh",), "HIRAGANA": ("ja",), "HANGUL": ("ko",), "THAI": ("th",), "LAO": ("lo",), "KHMER": ("km",)},
    **{"MYANMAR": ("my",), "TIBETAN": ("bo",), "HEBREW": ("he",), "GREEK": ("el",), "ARMENIAN": ("hy",)},
    **{"GEORGIAN": ("ka",), "ETHIOPIC": ("am",), "BENGALI": ("bn",), "GURMUKHI": ("pa",), "GUJARATI": ("gu",)},
    **{"ORIYA": ("or",), "TAMIL": ("ta",), "TELUGU": ("te",), "KANNADA": ("kn",), "MALAYALAM": ("ml",)},
    **{"SINHALA": ("si",), "THAANA": ("dv",), "SYRIAC": ("syr",), "NKO": ("nqo",)},
    **{"ARABIC": ("ar", "fa", "ur"), "DEVANAGARI": ("hi", "mr", "ne"), "CYRILLIC": ("ru", "uk", "bg")},
}
_UNKNOWN = {"ARABIC": "und-Arab", "DEVANAGARI": "und-Deva", "CYRILLIC": "und-Cyrl"}
"""A language of a script that several have, where no stop words tell which (BCP 47)."""
_LISTLESS = {code for codes in _OF_SCRIPT.values() for code in codes} | {*_UNKNOWN.values(), "und"}
_OWN_LETTERS = {
    **{"ru": frozenset("ыэё"), "uk": frozenset("іїєґ"), "bg": frozenset("ъ"), "ur": frozenset("ٹڈڑںےہھ")},
    **{"fa": frozenset("پچژ"), "ar": frozenset("ةىإ"), "mr": frozenset("ळ")},
}
"""Letters that tell a language from its neighbours."""
_PROSE = 0.15
"""The share of a sentence that its stop words are, at least, in the languages that bm25s has them of."""
_EDGES = (
    "\"'“”‘’«»‹›„‚()[]{}<>.,;:!?…*†‡•·–—"
    "。，、；：？！．・（）［］｛｝【】〔〕《》〈〉「」『』〖〗～〜｡｢｣､।॥۔؟؛،၊။។៕៖։՞՜՝፡።፣፤፥፦፧་།༎׃־"
)
_NUMERAL = "\\d〇零一二三四五六七八九十百两"
_NUMBERING = re.compile(
    r"^(?:(?:chapter|section|part|appendix|kapitel|abschnitt|teil|anhang|chapitre|partie|annexe|capítulo|sección|parte"
    r"|anexo|capitolo|sezione|hoofdstuk|deel|глава|раздел|часть|приложение|розділ|частина|додаток|κεφάλαιο|ενότητα"
    r"|μέρος|παράρτημα|rozdział|część|załącznik|kapitola|část|příloha|bölüm|kısım|chương|phần|phụ lục)"
    r"\s+(?:\d{1,3}(?:\.\d{1,3})*|[ivxlc]{1,6}|[^\W\d_])\b[\s.:)–—-]*"
    rf"|第\s*[{_NUMERAL}]{{1,5}}\s*[章节節部篇编編卷回条條款项項讲講课課话話][\s:：、.．]*|제\s*\d{{1,3}}\s*[장절부편항][\s.:]*"
    rf"|[一二三四五六七八九十]{{1,3}}[、．.]\s*|[（(][{_NUMERAL}]{{1,3}}[)）]\s*|(?:附录|附錄|付録|부록)\s*[A-Z\d一二三四五六]\b[\s:：]*"
    r"|(?:الفصل|القسم|الباب|الجزء|الملحق|فصل|بخش|پیوست|باب|פרק|חלק|נספח|अध्याय|खंड|भाग|परिशिष्ट|บทที่|บท|ส่วนที่|ภาคผนวก)"
    r"\s*(?:\d{1,3}(?:\.\d{1,3})*|[אבגדהוזחטיק-ת]['׳]?|[ก-ฮ]|(?:ال)?(?:أول|ثاني|ثالث|رابع|خامس))(?!\w)[\s.:：–—-]*"
    rf"|\d{{1,3}}(?:[.．]\d{{1,3}})+[.．、]?(?=[{HAN}ぁ-ヿ])|\d{{1,3}}[、．][\s\u3000]*"
    r"|§+\s*\d+(?:\.\d+)*\s*|\(?\d{1,3}(?:\.\d{1,3})*[.)]?\s+|[A-Z](?:\.\d{1,3})+[.)]?\s+"
    r"|[IVXL]{1,6}(?:[.)]\s*|\s+(?=\w\w))|[A-Z][.)]\s+)",
    re.I,
)
_MARKS = re.compile(r"[\W_]+")
_WORDLIKE = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@lru_cache(maxsize=1 << 16)
def squash(text: str) -> str:
    """Letters and digits only, folded: for finding a title in type that spaces it in another way."""
    if not OTHER.search(text):
        return _MARKS.sub("", unicodedata.normalize("NFKC", text).casefold())
    return "".join(word_pattern().findall(normal(text))).replace("_", "")


def strip_numbering(title: str) -> str:
    """A title without its "3.2", "Chapter 4:", "IV." or "A.1"; unchanged if nothing else were left."""
    found = _NUMBERING.match(title.strip())
    if found is None:
        return title.strip()
    prefix = found.group().strip()
    rest = title.strip()[found.end() :]
    if prefix.isalpha() and has_case(prefix) and (not prefix.isupper() or rest[:1].islower()):
        return title.strip()  # the word "I" or "mix", not a number
    return rest.strip() or title.strip()


def tidy(text: str) -> str:
    """One line, single spaces, no dangling marks at its ends."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    text = re.sub(r"\s+([,.;:!?)\]])", r"\1", re.sub(r"([(\[])\s+", r"\1", text))
    text = text.strip(" \t.,;:–—-|•·。，、；：．｡､।॥۔،؛។៖။၊།։")
    if text.count("(") < text.count(")"):
        text = text.rstrip(")")
    return text


def bare(word: str) -> str:
    """A word without the marks around it."""
    return word.strip(_EDGES)


@lru_cache(maxsize=1 << 18)
def core(word: str) -> str:
    """A word without the marks around it, in lower case (of another script than Latin: as `normal` spells it)."""
    plain = word.strip(_EDGES).casefold()
    return normal(plain) if OTHER.search(plain) else plain


def language_of(words: Iterable[str], said: str = "") -> str:
    """The language of these words: "en", "zh" …; "" for Latin letters with hardly a stop word.

    The script decides, and where several languages share it (Latin, Cyrillic, Arabic, Devanagari), the stop words that
    these words hold most of. `said`: what a file says of itself, which is believed where it is of the words' script.
    """
    counts = Counter(words)
    script = _script(counts)
    if said and script in ("", _script_of_language(said[:2])):
        return said[:2]
    if script not in ("LATIN", ""):
        codes = _OF_SCRIPT.get(script, ("und",))
        return codes[0] if len(codes) == 1 else _most(counts, codes, 0.05) or _UNKNOWN[script]
    return _most(counts, (*_LANGUAGES, *_LATIN))


def _script(counts: Counter[str]) -> str:
    """The script that most words begin in; HIRAGANA for Japanese, of which most words may be Han."""
    scripts: Counter[str] = Counter()
    for word, times in counts.items():
        letter = word.strip(_EDGES)[:1]
        if letter.isalpha():
            scripts[script_of(letter)] += times
    kana, han = scripts.pop("HIRAGANA", 0) + scripts.pop("KATAKANA", 0), scripts.pop("CJK", 0)
    if kana + han:
        scripts["HIRAGANA" if kana >= 0.1 * (kana + han) else "CJK"] = kana + han
    return max(scripts, key=lambda name: scripts[name], default="")


def _script_of_language(code: str) -> str:
    return next((script for script, codes in _OF_SCRIPT.items() if code in codes), "LATIN")


def _most(counts: Counter[str], codes: Iterable[str], share: float = 0.1) -> str:
    """The language whose stop words and own letters there are most of, "" if it is not such a share of the words."""
    plain: Counter[str] = Counter()
    for word, times in counts.items():
        plain[core(word)] += times
    hits = {code: sum(plain[word] for word in stop_words(code)) for code in codes}
    for code in hits.keys() & _OWN_LETTERS.keys():
        own = _OWN_LETTERS[code]
        hits[code] += sum(times for word, times in counts.items() if not own.isdisjoint(word))
    best = max(hits, key=lambda code: hits[code])
    return best if hits[best] >= share * max(1, sum(counts.values())) else ""


@lru_cache(maxsize=64)
def stop_words(language: str) -> frozenset[str]:
    """The stop words of a language, as `core` spells them: those kept by bm25s, else those of stopwords-iso, else none.

    Of "" and of a language that nobody knows they are the English ones.
    """
    import bm25s.stopwords
    import stopwordsiso

    if language in _LANGUAGES and language != "en":
        found = frozenset(getattr(bm25s.stopwords, f"STOPWORDS_{_LANGUAGES[language].upper()}"))
        return found if language != "ru" else found | {core(word) for word in found}
    if stopwordsiso.has_lang(language) and language != "en":
        return frozenset(core(word) for word in stopwordsiso.stopwords(language)) - {""}
    return frozenset() if language in _LISTLESS else frozenset(bm25s.stopwords.STOPWORDS_EN_PLUS)


@lru_cache(maxsize=32)
def _stemmer(language: str) -> Any:
    import Stemmer

    name = _LANGUAGES.get(language) or _LATIN.get(language)
    return Stemmer.Stemmer(name) if name in Stemmer.algorithms() else None


def stems(words: Iterable[str], language: str) -> list[str]:
    """Folded words without their endings (Snowball, as PyStemmer has it); unchanged in a language it does not know."""
    if language in _LISTLESS:
        return [stem_of(word) for word in words]
    stemmer = _stemmer(language)
    return [*words] if stemmer is None else stemmer.stemWords([*words])


def content_words(text: str, language: str) -> list[str]:
    """The words of a text that are neither stop words nor numbers, folded, in order."""
    stops = stop_words(language)
    return [
        word
        for word in fold(text).split()
        if word not in stops and not word.isdigit() and (len(word) > 1 or UNSPACED.match(word))
    ]


@lru_cache(maxsize=1 << 18)
def is_wordlike(word: str) -> bool:
    """Letters only, perhaps with an apostrophe or a hyphen inside, the marks around it apart."""
    plain = word.strip(_EDGES)
    return (_WORDLIKE if plain.isascii() else _marked_word()).fullmatch(plain) is not None


@lru_cache(maxsize=1)
def _marked_word() -> re.Pattern[str]:
    letters = rf"[^\W\d_](?:[^\W\d_]|[\u200c\u200d{marks()}])*"
    return re.compile(rf"{letters}(?:['’׳״་-]{letters})*")


def is_prose(words: Sequence[str], language: str, share: float = 0.8) -> bool:
    """Do these words read as a sentence: nearly all real words, stop words among them, no rows of capitals?

    Stop words are asked for as far as the language's are known and stand as words of their own: in Korean and of
    Chinese and Japanese type without spaces, letters alone have to do.
    """
    if not words:
        return False
    like = [word for word in words if is_wordlike(word)]
    if len(like) < share * len(words):
        return False
    stops = stop_words(language)
    stopped = sum(core(word) in stops for word in like)
    short = sum(len(core(word)) == 1 and core(word) not in stops and has_case(core(word)) for word in like)
    upper = sum(len(word) > 1 and word.isupper() for word in like)
    few = 0.0 if language == "ko" or not stops else 1.0
    wanted = few if language in _LISTLESS or language in _LATIN else max(1, _PROSE * len(words))
    return stopped >= wanted and short <= 0.1 * len(words) and upper <= 0.3 * len(like)
