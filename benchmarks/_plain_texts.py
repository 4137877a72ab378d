"""Writing letters, invoices, forms and scans for plain_documents.py, in the languages of _plain_texts.yaml."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

LINE = 92
"""Characters of a line of type, at most."""


@dataclass(frozen=True)
class Language:
    """One language's words, as _plain_texts.yaml has them."""

    code: str
    things: Sequence[str]
    places: Sequence[str]
    fixed: Sequence[str]
    sentences: Sequence[str]
    names: Sequence[str]


def languages() -> list[Language]:
    """All of them, those first that can be written in Latin-1."""
    text = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    names = text["names"].split()
    found = []
    for code, words in text["languages"].items():
        things, places, fixed = (words[key].split("|") for key in ("things", "places", "fixed"))
        found.append(Language(code, things, places, fixed, words["sentences"], names))
    return found


class Writer:
    """Writes about one thing at one place after the other in a language, no pair twice; the same for the same seed."""

    def __init__(self, language: Language, seed: int) -> None:
        self.language, self.chance = language, random.Random(f"{language.code} {seed}")
        self.pairs = [(thing, place) for thing in language.things for place in language.places]
        self.chance.shuffle(self.pairs)
        self.taken = 0

    def topic(self) -> tuple[str, str]:
        """The next thing and its place."""
        self.taken += 1
        return self.pairs[self.taken % len(self.pairs)]

    def paragraph(self, topic: tuple[str, str], count: int) -> str:
        """So many sentences about a topic, each of another form, with names, amounts and days of their own."""
        forms = self.chance.sample(list(self.language.sentences), count)
        return " ".join(form.format(thing=topic[0], place=topic[1], **self.slots()) for form in forms)

    def slots(self) -> dict[str, str]:
        chance = self.chance
        return {
            "name": f"{chance.choice('ABCDEFGHJKLMNPRSTW')}. {chance.choice(list(self.language.names))}",
            "amount": f"{chance.randint(20, 9000)},{chance.randint(0, 99):02d}",
            "day": f"{chance.randint(1, 28)}.{chance.randint(1, 12)}.{chance.randint(2015, 2026)}",
            "number": f"{chance.choice('ABKQXZ')}-{chance.randint(10000, 99999)}",
        }


@cache
def font() -> str:
    """The file of a font that has the letters of all eight languages: matplotlib brings it along."""
    import matplotlib

    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
