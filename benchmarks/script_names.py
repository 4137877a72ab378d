"""Scripts that the built-in OCR model cannot read are named right in 95 of 100 lines, in a font that is new to it.

    python benchmarks/script_names.py [--fonts FOLDER] [--write]

Draws lines of made-up words in every font of the machine (and of FOLDER) that has a script's letters, asks the model
what it nearly reads, and fits a linear discriminant. One font after the other is left out and its lines are named, six
at a time, as on a page. With --write the weights of all fonts become pagetune/pages/script_names.npz.
"""

from __future__ import annotations

import argparse
import random
import sys
import unicodedata
from pathlib import Path

import numpy as np
from matplotlib.font_manager import findSystemFonts
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from pagetune.pages.recogniser import Recogniser
from pagetune.pages.script_names import WEIGHTS, alphabet_of
from pagetune.pages.scripts import NEEDED

SCRIPTS = (
    *("CYRILLIC", "GREEK", "ARMENIAN", "GEORGIAN", "HEBREW", "ARABIC", "DEVANAGARI", "BENGALI", "TAMIL", "TELUGU"),
    *("KANNADA", "GUJARATI", "THAI", "LAO", "KHMER", "MYANMAR", "ETHIOPIC", "HANGUL"),
)
KNOWN = ("LATIN", "CJK")
"""Scripts that the model knows, which have to be told apart where the picture is too poor to be read."""
FONTS, LINES, LINES_A_PAGE = 6, 18, 6
SHRINKAGE = 0.5


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fonts", type=Path)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    recogniser = Recogniser()
    names: list[str] = []
    fonts: list[str] = []
    rows: list[NDArray[np.float32]] = []
    for script in SCRIPTS + KNOWN:
        for font in fonts_with(script, asked.fonts):
            rng = random.Random(f"{script}{font.name}")
            lines = [draw(words(script, rng), font, rng, poor=script in KNOWN) for _ in range(LINES)]
            rows += recogniser.nearly(lines)
            names += [script] * LINES
            fonts += [f"{script} {font.name}"] * LINES
        print(f"{script.capitalize():12} {len({font for font in fonts if font.startswith(script)})} fonts", flush=True)
    kinds, left_out, found = np.asarray(names), np.asarray(fonts), np.stack(rows)
    right = total = 0
    for font in sorted(set(fonts)):
        mine = left_out == font
        script = kinds[mine][0]
        if not (kinds[~mine] == script).any():
            continue
        scripts, weights, offsets = fit(found[~mine], kinds[~mine])
        pages = found[mine].reshape(-1, LINES_A_PAGE, found.shape[1]).mean(axis=1)
        named = [scripts[place] for place in (pages @ weights.T + offsets).argmax(axis=1)]
        right, total = right + named.count(script), total + len(named)
        if named.count(script) < len(named):
            print(f"  {font}: {', '.join(named)}")
    print(f"named right in a font that is left out: {right} of {total} pages of {LINES_A_PAGE} lines")
    if asked.write:
        scripts, weights, offsets = fit(found, kinds)
        np.savez_compressed(
            WEIGHTS,
            scripts=np.asarray([script.capitalize() for script in scripts]),
            weights=weights.astype(np.float32),
            offsets=offsets.astype(np.float32),
            alphabet=alphabet_of(recogniser.characters),
        )
    return 0 if right >= 0.95 * total else 1


def fit(
    lines: NDArray[np.float32], kinds: NDArray[np.str_]
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Fisher's linear discriminant, the common covariance drawn towards that of equal variances."""
    scripts = sorted(set(kinds.tolist()))
    means = np.stack([lines[kinds == script].mean(axis=0) for script in scripts])
    rest = lines - means[[scripts.index(kind) for kind in kinds]]
    covariance = rest.T @ rest / len(rest)
    covariance += np.eye(len(covariance)) * SHRINKAGE * np.trace(covariance) / len(covariance)
    weights = means @ np.linalg.inv(covariance)
    return scripts, weights, -0.5 * (weights * means).sum(axis=1)


def fonts_with(script: str, folder: Path | None) -> list[Path]:
    """At most FONTS fonts that have the script's letters, spread over all of them."""
    paths = {Path(path).name: Path(path) for path in findSystemFonts([str(folder)] if folder else None)}
    paths |= {Path(path).name: Path(path) for path in findSystemFonts()}
    found = [paths[name] for name in sorted(paths) if name.endswith((".ttf", ".otf")) and _has(paths[name], script)]
    return [found[place] for place in np.unique(np.linspace(0, len(found) - 1, FONTS).astype(int))] if found else []


def _has(path: Path, script: str) -> bool:
    try:
        return all(ord(letter) in FT2Font(str(path)).get_charmap() for letter in NEEDED[script])
    except RuntimeError:
        return False


def words(script: str, rng: random.Random) -> str:
    """A line of made-up words: mostly the script's frequent letters, some of its others, marks only after a letter."""
    block = [chr(code) for code in range(0x61, 0xD7A4) if unicodedata.name(chr(code), "").startswith(f"{script} ")]
    block = [c for c in block if unicodedata.category(c) in ("Ll", "Lo") and "ARCHAIC" not in unicodedata.name(c)][:80]
    letters = NEEDED[script]
    line = []
    while sum(map(len, line)) < 34:
        word = [rng.choice(block if rng.random() < 0.25 else letters) for _ in range(rng.randint(2, 9))]
        while unicodedata.category(word[0]).startswith("M"):
            word[0] = rng.choice(letters)
        line.append("".join(word))
    text = " ".join(line)
    return text.upper() if script in ("CYRILLIC", "GREEK", "ARMENIAN") and rng.random() < 0.15 else text


def draw(text: str, font: Path, rng: random.Random, *, poor: bool) -> NDArray[np.uint8]:
    """A line as the detector would cut it from a scan: a margin, some blur and noise, much of them if `poor`."""
    face = ImageFont.truetype(str(font), rng.randint(16, 40))
    left, top, right, bottom = face.getbbox(text)
    margin = (bottom - top) * rng.uniform(0.05, 0.25)
    image = Image.new("L", (int(right - left + 2 * margin), int(bottom - top + 2 * margin)), rng.randint(235, 255))
    ImageDraw.Draw(image).text((margin - left, margin - top), text, rng.randint(0, 60), face)
    image = image.filter(ImageFilter.GaussianBlur(rng.choice([0, 0, 0.7, 1.2])))
    noise = np.random.default_rng(rng.randint(0, 1 << 30)).normal(
        0, rng.choice([0, 5, 20]), (image.height, image.width)
    )
    grey = (np.asarray(image, np.float32) + noise).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


if __name__ == "__main__":
    sys.exit(main())
