"""The name of a script that the built-in recogniser cannot read, told from what it nearly read.

It gives lines of Russian as blanks, yet which of its characters come next in likelihood differs from script to script.
A linear discriminant (Fisher, 1936) over the mean log-likelihoods of some characters names the script; its weights are
made, and its accuracy measured, by `benchmarks/script_names.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetune.workspace import fingerprint

SURE = 6.0
"""Log odds between the likeliest script and the next: English too blurred to be read stays below 5, clean print of the
scripts themselves above 6."""

WEIGHTS = Path(__file__).with_name("script_names.npz")


class ScriptNames(NamedTuple):
    """`scripts`: names; `weights` float32 [scripts, characters], `offsets` float32 [scripts]: of the discriminant."""

    scripts: list[str]
    weights: NDArray[np.float32]
    offsets: NDArray[np.float32]
    alphabet: str
    """Fingerprint of the characters of the model that the weights were made with."""

    def name(self, lines: Sequence[NDArray[np.float32]]) -> str:
        """The script of lines, of which `features` gave `lines`; "" where no script stands out."""
        scores = self.weights @ np.mean(lines, axis=0) + self.offsets
        best, second = np.argsort(-scores)[:2]
        return self.scripts[int(best)] if scores[best] - scores[second] >= SURE else ""


@cache
def load_script_names() -> ScriptNames:
    """The weights that lie beside this module."""
    with np.load(WEIGHTS, allow_pickle=False) as kept:
        return ScriptNames(kept["scripts"].tolist(), kept["weights"], kept["offsets"], str(kept["alphabet"]))


def alphabet_of(characters: Sequence[str]) -> str:
    """The fingerprint of a model's characters."""
    return fingerprint(list(characters))[:16]


def features(likelihoods: NDArray[np.float32], characters: Sequence[str]) -> NDArray[np.float32]:
    """Mean log-likelihoods of a line's compared characters: `likelihoods` [steps, classes], class 0 for "nothing", then
    the model's characters."""
    kept = [place for place, character in enumerate(characters, start=1) if character in COMPARED]
    logs = np.log(likelihoods[:, kept] + 1e-9)
    return np.asarray((logs - logs.mean(axis=1, keepdims=True)).mean(axis=0), np.float32)


COMPARED = frozenset(
    "".join(map(chr, range(0x21, 0x7F))) + "αβγδεζηθικλμνξοπρστυφχψωΩΣΠΔΛΓΦΨ□ıęčßøþ一口工日十人的ひしのうアフイ∩①·"
)
"""Characters whose likelihoods are compared: plain strokes, bows and boxes of any kind."""
