"""The fonts that pdfium finds on this machine: a page whose own fonts are not embedded is drawn and read with them."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

from pagetune.workspace import fingerprint

_SUFFIXES = (".ttf", ".ttc", ".otf", ".pfb")


@cache
def installed_fonts() -> str:
    """A digest of the names and sizes of the fonts' files."""
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
