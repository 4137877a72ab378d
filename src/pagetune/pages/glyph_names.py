"""What the names of a font's glyphs say, where the font does not say which characters they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

_DAMAGE = (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError)
"""What pikepdf raises on a damaged file, beside its own: a glyph's name is then not known."""
_DUP = re.compile(rb"dup\s+(\d{1,3})\s*/([\w.]+)\s+put")
_DEEPEST = 3
_MOST_FORMS = 100


class GlyphNames:
    """What the glyphs of a PDF's simple fonts are, by their codes, told from their names (Adobe's glyph list).

    The file is opened a second time, by pikepdf, since pdfium does not tell the names: only for files that have
    glyphs without a character.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, page: int, font: str) -> Mapping[int, str]:
        """Code -> characters of the glyphs of the fonts of this base name on page `page` (from 0)."""
        import pikepdf

        found: dict[int, str] = {}
        clashing: set[int] = set()
        with suppress(*_DAMAGE, pikepdf.PdfError):
            for entry in _fonts_of(self._file.pages[page].obj.get("/Resources"), 0):
                if str(entry.get("/BaseFont", "")).rpartition("+")[2].lstrip("/") == font.rpartition("+")[2]:
                    for code, spelling in dict(_spellings(entry)).items():
                        if found.setdefault(code, spelling) != spelling:
                            clashing.add(code)
        return {code: spelling for code, spelling in found.items() if code not in clashing}

    @cached_property
    def _file(self) -> Any:
        import pikepdf

        return pikepdf.open(self._path)


def _fonts_of(resources: Any, depth: int) -> Iterator[Any]:
    """The fonts of a page's resources, and of the forms in them."""
    if resources is None:
        return
    for font in dict(resources.get("/Font", {})).values():
        if font.get("/Subtype") != "/Type0":
            yield font
    if depth < _DEEPEST:
        for item in list(dict(resources.get("/XObject", {})).values())[:_MOST_FORMS]:
            if item.get("/Subtype") == "/Form":
                yield from _fonts_of(item.get("/Resources"), depth + 1)


def _spellings(font: Any) -> Iterator[tuple[int, str]]:
    """Code and characters of the glyphs that a font's encoding names."""
    import pikepdf
    from fontTools.agl import toUnicode

    yield from _built_in(font.get("/FontDescriptor", {}).get("/FontFile"))
    encoding = font.get("/Encoding")
    if not isinstance(encoding, pikepdf.Dictionary):
        return
    code = 0
    for entry in encoding.get("/Differences", []):
        if isinstance(entry, pikepdf.Name):
            if spelling := toUnicode(str(entry).lstrip("/")):
                yield code, spelling
            code += 1
        else:
            code = int(entry)


def _built_in(program: Any) -> Iterator[tuple[int, str]]:
    """The encoding that a Type 1 font has of its own; it stands in the part of the program that is plain text."""
    from fontTools.agl import toUnicode

    if program is None:
        return
    for code, name in _DUP.findall(program.read_bytes()[: int(program.get("/Length1", 0))]):
        if spelling := toUnicode(name.decode("latin-1")):
            yield int(code), spelling
