"""The tables inside scikit-learn, as they were measured, with their own descriptions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pagetune.demo.plaintext import Block, BlockKind, parse

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One data set: `values` float [rows, columns]; `groups` int [rows] into `group_names`, or none."""

    title: str
    row: str
    description: str
    names: tuple[str, ...]
    values: Matrix
    groups: NDArray[np.int64] | None = None
    group_names: tuple[str, ...] = ()


def load_measured(name: str) -> Measured:
    """Load one of scikit-learn's tables as it was measured (not scaled)."""
    from sklearn import datasets

    loaders = {
        "iris": ("Irises", "flower", {}),
        "wine": ("Italian Wines", "wine", {}),
        "breast_cancer": ("Breast Tumours", "tumour", {}),
        "diabetes": ("Diabetes Progression", "patient", {"scaled": False}),
        "linnerud": ("Physical Exercise", "man", {}),
    }
    title, row, options = loaders[name]
    data = getattr(datasets, f"load_{name}")(**options)
    names = [_words(each) for each in data.feature_names]
    values = np.asarray(data.data, dtype=np.float64)
    if name in ("diabetes", "linnerud"):
        target = np.asarray(data.target, dtype=np.float64).reshape(len(values), -1)
        names += [_words(each) for each in getattr(data, "target_names", [])] or ["progression after a year"]
        return Measured(title, row, data.DESCR, tuple(names), np.hstack([values, target]))
    groups = np.asarray(data.target, dtype=np.int64)
    return Measured(title, row, data.DESCR, tuple(names), values, groups, tuple(_words(g) for g in data.target_names))


_SHORT = {
    "bmi": "body mass index", "bp": "blood pressure", "s1": "total cholesterol", "s2": "low-density lipoproteins",
    "s3": "high-density lipoproteins", "s4": "cholesterol to HDL ratio", "s5": "log triglycerides", "s6": "blood sugar",
    "od280/od315 of diluted wines": "OD280/OD315", "class_0": "first cultivar", "class_1": "second cultivar",
    "class_2": "third cultivar",
}  # fmt: skip


def _words(name: str) -> str:
    plain = str(name).replace(" (cm)", "").strip()
    return _SHORT.get(plain.lower(), plain.replace("_", " ").lower())


def description(text: str) -> list[Block]:
    """A data set's own description as blocks: its title and simple tables left out, as the chapter brings its own."""
    text = re.sub(r"^\.\. _.*$|^\.\. (?:dropdown|rubric|topic|note)::\s*", "", text, flags=re.M)
    text = re.sub(r"^ *=+(?: =+)+\n.*?^ *=+(?: =+)+\n.*?^ *=+(?: =+)+$", "", text, flags=re.M | re.S)
    text = re.sub(r":Summary Statistics:", "", text)
    text = re.sub(r"^:([A-Z][\w ]+?):[ ]*(.*)$", r"\n**\1:** \2\n", text, flags=re.M)
    text = re.sub(r"^\s*\|details-\w+\|\s*$", "", text, flags=re.M)
    text = re.sub(r'"([^"\n]*(?:\n[^"\n]+){0,2})"', r"“\1”", text).replace("``", '"').replace("`", '"')
    kinds: dict[BlockKind, BlockKind] = {"code": "paragraph", "term": "rubric"}
    return [
        replace(block, kind=kinds.get(block.kind, block.kind), text=" ".join(block.text.split()))
        for block in parse(text)
        if block.kind != "heading"
    ]
