"""Mending the characters of a text layer: what a font does not name, what is drawn twice, accents that stand alone.

A text keeps its length, since the index of a character is how its place on the page is asked for: what goes leaves
`NO_CHARACTER` behind, and a glyph of several characters becomes a sign of its own, which `Repaired.spelt` writes out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetune.pages.layer import TextLayer
from pagetune.pages.words import HYPHEN, NO_CHARACTER, UNKNOWN

GlyphNamer = Callable[[str], Mapping[int, str]]
"""The base name of a font -> what its glyphs are, by their codes, as far as their names say it."""

_CODES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BEYOND = re.compile("[^\x00-\x7e]")
_SIGNS = 0xF0000
"""The first of the private signs that stand for glyphs of several characters."""
_DOUBLED = re.compile(r"([^\W_])\1")
_DOUBLED_SHARE = 0.2
"""Of all letters, the pairs of equal ones in a text that is drawn twice letter by letter; prose has 0.03."""
_APART = re.compile(r"(?<!\S)\S(?: \S){3,}(?!\S)")
"""Single letters with spaces between them."""
_IN_STEPS = 0.15
"""Heights of type: farther apart such letters are words, as a space is a quarter wide."""
_TOGETHER = 0.12
"""Heights of type: letters of one word stand no farther apart."""
_ACCENTS = {
    "`": "\u0300", "\u00b4": "\u0301", "^": "\u0302", "\u02c6": "\u0302", "~": "\u0303", "\u02dc": "\u0303",
    "\u00af": "\u0304", "\u02c9": "\u0304", "\u02d8": "\u0306", "\u02d9": "\u0307", "\u00a8": "\u0308",
    "\u02da": "\u030a", "\u02dd": "\u030b", "\u02c7": "\u030c", "\u00b8": "\u0327", "\u02db": "\u0328",
}  # fmt: skip
_ALONE = re.compile(
    r"[\u00b4\u02c6\u02dc\u00af\u02c9\u02d8-\u02dd\u00a8\u02c7\u00b8]|(?<=[^\W\d_])[`^~]|[`^~](?=[^\W\d_])"
)
_SIGN = re.compile("[\u00b4\u02c6\u02dc\u00af\u02c9\u02d8-\u02dd\u00a8\u02c7\u00b8`^~]")
_DOTLESS = {"\u0131": "i", "\u0237": "j"}


class Repaired(NamedTuple):
    """A page's text of the layer's length, what its private signs stand for, and how many glyphs nobody knows."""

    text: str
    spelt: dict[int, str]
    unknown: int


def repair(layer: TextLayer, glyph_names: GlyphNamer) -> Repaired:
    """The characters of a layer as a reader would write them down."""
    text, spelt, unknown = _named(layer, layer.text, glyph_names)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    alike, blank = (codes[1:] == codes[:-1]) & (codes[1:] > 0x2F), codes == 0x20
    # Most texts have nothing of either, and a look at the codes is a tenth of a search.
    if np.count_nonzero(alike) > max(2, _DOUBLED_SHARE * np.count_nonzero(codes > 0x20)):
        text = _once(layer, text)
    if (blank[:-4] & blank[2:-2] & blank[4:] & ~blank[1:-3] & ~blank[3:-1]).any():
        text = _closed_up(layer, text)
    return Repaired(_accented(layer, text), spelt, unknown)


def _named(layer: TextLayer, text: str, glyph_names: GlyphNamer) -> Repaired:
    """Glyphs that the font gives no character for: by their names, where they have any, else unknown."""
    pattern = _CODES if text.isascii() else _BEYOND
    found = {match.start() for each in (pattern, _CODES) for match in each.finditer(text)}
    unmapped = sorted(index for index in found if layer.is_unmapped(index))
    codes = [match.start() for match in _CODES.finditer(text)]  # A font may name a control code as the character.
    if not unmapped and not codes:
        return Repaired(text, {}, 0)
    characters, signs, unknown = list(text), dict[str, int](), 0
    fonts: dict[str, Mapping[int, str]] = {}
    for index in unmapped:
        font = layer.font_of(index)
        if font not in fonts:
            fonts[font] = glyph_names(font)
        spelling = fonts[font].get(ord(text[index]), UNKNOWN)
        unknown += spelling == UNKNOWN
        characters[index] = spelling if len(spelling) == 1 else chr(signs.setdefault(spelling, _SIGNS + len(signs)))
    for index in codes:
        if characters[index] == text[index] != HYPHEN:
            characters[index] = UNKNOWN
            unknown += 1
    return Repaired("".join(characters), {sign: spelling for spelling, sign in signs.items()}, unknown)


def _once(layer: TextLayer, text: str) -> str:
    """Letters that are drawn twice in one place, one after the other, stand once."""
    pairs = [match.start() for match in _DOUBLED.finditer(text)]
    if len(pairs) < 3:
        return text
    boxes = layer.boxes([index for start in pairs for index in (start, start + 1)]).reshape(-1, 2, 4)
    width = np.maximum(boxes[:, 0, 2] - boxes[:, 0, 0], 0.1)
    same = np.abs(boxes[:, 0, 0] - boxes[:, 1, 0]) < 0.4 * width
    characters = list(text)
    for start in np.asarray(pairs)[same].tolist():
        characters[start + 1] = NO_CHARACTER
    return "".join(characters)


def _closed_up(layer: TextLayer, text: str) -> str:
    """The text without the spaces that pdfium sees between the letters of type that is set letter by letter."""
    spaces = [start + 1 for match in _APART.finditer(text) for start in range(match.start(), match.end() - 1, 2)]
    if not spaces:
        return text
    before, after = layer.boxes([at - 1 for at in spaces]), layer.boxes([at + 1 for at in spaces])
    gap = after[:, 0] - before[:, 2]
    together = (np.abs(gap) < _IN_STEPS * (before[:, 3] - before[:, 1])) & (after[:, 1] < before[:, 3])
    characters = list(text)
    for at in np.asarray(spaces)[together].tolist():
        characters[at] = NO_CHARACTER
    return "".join(characters)


def _accented(layer: TextLayer, text: str) -> str:
    """Accents that are glyphs of their own become one with the letter that they are set over.

    So do TeX's older fonts write `r´esum´e`; pdfium may even put such an accent words away from its letter, so that
    only the boxes tell which it is.
    """
    accents = _lone_accents(layer, text)
    if not accents:
        return text
    letters = [index for index, character in enumerate(text) if character.isalpha()]
    if not letters:
        return text
    own, others = layer.boxes(accents), layer.boxes(letters)
    rows = np.argsort(others[:, 1], kind="stable")
    foot, tallest = others[rows, 1], float((others[:, 3] - others[:, 1]).max())
    characters = list(text)
    for at, box in zip(accents, own, strict=True):
        # Only letters that reach up to the accent and begin below its top.
        near = np.sort(rows[np.searchsorted(foot, box[1] - tallest) : np.searchsorted(foot, box[3])])
        shares = _overlap(box, others[near])
        if not len(near) or shares.max() < 0.6 or text[at] == NO_CHARACTER:
            continue
        letter = letters[near[int(np.argmax(shares))]]
        whole = unicodedata.normalize("NFC", _DOTLESS.get(characters[letter], characters[letter]) + _ACCENTS[text[at]])
        if len(whole) == 1:
            characters[letter], characters[at] = whole, NO_CHARACTER
            _close_up(layer, characters, at)
    return "".join(characters)


def _lone_accents(layer: TextLayer, text: str) -> list[int]:
    """Where signs stand that may be accents; those that code is full of only where they lie over a neighbour."""
    found = [match.start() for match in _ALONE.finditer(text)] if _SIGN.search(text) else []
    typed = [at for at in found if text[at].isascii() and 0 < at < len(text) - 1]
    if not typed:
        return found
    boxes = layer.boxes([index for at in typed for index in (at - 1, at, at + 1)]).reshape(-1, 3, 4)
    shared = np.minimum(boxes[:, 1, 2:3], boxes[:, ::2, 2]) - np.maximum(boxes[:, 1, 0:1], boxes[:, ::2, 0])
    apart = (shared < 0.3 * (boxes[:, 1, 2:3] - boxes[:, 1, 0:1])).all(axis=1)
    return sorted({*found} - {*np.asarray(typed)[apart].tolist()})


def _overlap(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [n]: how much of the narrower of two boxes lies in the other, across times up, 0 to 1."""
    shares = []
    for low, high in ((0, 2), (1, 3)):
        shared = np.minimum(box[high], others[:, high]) - np.maximum(box[low], others[:, low])
        size = np.minimum(box[high] - box[low], others[:, high] - others[:, low])
        shares.append(np.clip(shared / np.maximum(size, 0.1), 0.0, 1.0))
    return np.asarray(shares[0] * shares[1], np.float32)


def _close_up(layer: TextLayer, characters: list[str], at: int) -> None:
    """Take out the spaces that pdfium saw around an accent, where the letters beside it stand together."""
    before, after = at - 1, at + 1
    while before > 0 and characters[before] in (" ", NO_CHARACTER):
        before -= 1
    while after < len(characters) - 1 and characters[after] in (" ", NO_CHARACTER):
        after += 1
    if " " not in characters[max(before, 0) : after] or before < 0:
        return
    left, right = layer.boxes([before, after])
    if abs(right[0] - left[2]) < _TOGETHER * (left[3] - left[1]) and abs(right[1] - left[1]) < left[3] - left[1]:
        characters[before + 1 : after] = NO_CHARACTER * (after - before - 1)
