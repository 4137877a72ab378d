"""Which script a text is of, and which scripts a set of letters is enough for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pagetune.layout.words import script_of

UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
"""Scripts whose words hold few letters, or are not parted by spaces."""

RIGHT_TO_LEFT = frozenset({"ARABIC", "HEBREW", "SYRIAC", "THAANA"})

NEEDED = {
    "LATIN": "aeinorst",
    "GREEK": "αειοντσόίή",
    "CYRILLIC": "аеиностр",
    "ARMENIAN": "աեինորստ",
    "GEORGIAN": "აეიორსმნ",
    "HEBREW": "אבהוילמנרת",
    "ARABIC": "ابتدرلمنوي",
    "DEVANAGARI": "कतनमरलसहािे",
    "BENGALI": "কতনমরলসািে",
    "TAMIL": "கதநமரலவாி",
    "TELUGU": "కతనమరలసాి",
    "KANNADA": "ಕತನಮರಲಸಾಿ",
    "GUJARATI": "કતનમરલસાિ",
    "THAI": "กนมรลสอา",
    "LAO": "ກນມລສອາ",
    "KHMER": "កនមរសា",
    "MYANMAR": "ကနမရသာ",
    "ETHIOPIC": "ለመሰረተነ",
    "CJK": "一不人大中有",
    "HIRAGANA": "のにはをたが",
    "KATAKANA": "アイスルンー",
    "HANGUL": "이다는을의가",
    "VIETNAMESE": "ơưạếộợ",
}
"""Letters without which hardly a line of the script can be written. Vietnamese is Latin with letters of its own."""

_ALPHABETS = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "ARMENIAN", "CHEROKEE"})
_HORNED = frozenset("ơưƠƯ")


def mixes_scripts(word: str) -> bool:
    """Whether letters of two alphabets stand in one word, as only a wrong reading has them."""
    return len({script_of(character) for character in word} & _ALPHABETS) > 1


def scripts_of_letters(characters: Iterable[str]) -> frozenset[str]:
    """The scripts that can be written with these characters."""
    known = set(characters)
    return frozenset(script for script, letters in NEEDED.items() if known.issuperset(letters))


def main_script(text: str) -> str:
    """The script of most letters of the text, "" where it has none; that of Vietnamese is told from other Latin."""
    counts = Counter(script_of(character) for character in text if character.isalpha())
    if not counts:
        return ""
    script = counts.most_common(1)[0][0]
    horned = sum(character in _HORNED for character in text)
    return "VIETNAMESE" if script == "LATIN" and horned > max(1, 0.02 * counts["LATIN"]) else script


def script_known(script: str, scripts: frozenset[str]) -> bool:
    """Whether a text of this script can be written with letters that are enough for `scripts`."""
    return script in scripts or script not in NEEDED
