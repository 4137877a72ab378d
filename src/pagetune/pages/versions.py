"""What decides, beside a file's bytes and the recipe, what reading it gives: fonts, libraries, models."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import metadata as packages
from pathlib import Path

from pagetune.pages.recogniser import list_models
from pagetune.workspace import file_digest, fingerprint

OCR_VERSION = 2
"""Of how OCR is used here; raised, pages are read by it again."""

_SUFFIXES = (".ttf", ".ttc", ".otf", ".pfb")


@cache
def installed_fonts() -> str:
    """A digest of the names and sizes of the fonts that pdfium finds on this machine.

    A page whose own fonts are not embedded is drawn and read with them.
    """
    files = [path for folder in _folders() if folder.is_dir() for path in folder.rglob("*")]
    fonts = sorted(
        (str(path), path.stat().st_size) for path in files if path.suffix.lower() in _SUFFIXES and path.is_file()
    )
    return fingerprint(fonts)[:16]


def _folders() -> list[Path]:
    if sys.platform == "win32":
        return [Path(os.environ.get("WINDIR", "C:\\Windows")) / "Fonts"]
    if sys.platform == "darwin":
        return [Path.home() / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")]
    shared = ("/usr/share/fonts", "/usr/share/X11/fonts/Type1", "/usr/share/X11/fonts/TTF", "/usr/local/share/fonts")
    return [Path(folder) for folder in shared]


def ocr_version(models: str) -> str:
    """The engine, and the models in the folder `models` beside its own. Raises ReadingError where it holds none."""
    engine = f"rapidocr-{packages.version('rapidocr')}-{OCR_VERSION}"
    if not models:
        return engine
    return f"{engine}-{fingerprint([[path.name, file_digest(path)] for path in list_models(Path(models))])[:16]}"
