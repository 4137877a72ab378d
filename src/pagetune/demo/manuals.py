"""Manuals out of Python's own help topics (`pydoc_data.topics`), grouped by theme."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from pagetune.demo.book import BookPlan, Part
from pagetune.demo.plaintext import Block, parse

_SOURCE = (
    "Set by pagetune demo from the help topics of Python {version}, which are part of the installed Python "
    "(pydoc_data.topics; © Python Software Foundation, PSF License Version 2)."
)
_THEMES: tuple[tuple[str, str, str, tuple[str, ...], tuple[int, ...]], ...] = (
    (
        "python-special-methods",
        "Special Methods",
        "How classes take part in Python’s own syntax",
        (
            "# Objects and their attributes", "customization", "attribute-access",
            "# Emulating built-in types", "callable-types", "sequence-types", "numeric-types", "context-managers",
        ),
        (),
    ),
    (
        "python-compound-statements",
        "Compound Statements",
        "Control flow, pattern matching, functions and classes",
        ("compound",),
        (),
    ),
    (
        "python-simple-statements",
        "Simple Statements",
        "Assignment, import and every statement of one line",
        (
            "# Assignment and deletion", "exprlists", "assignment", "del",
            "# Checks and the flow of control", "assert", "pass", "return", "raise", "break", "continue",
            "# Modules and scopes", "import", "global", "nonlocal",
        ),
        (),
    ),
    (
        "python-expressions",
        "Expressions and Operators",
        "Literals, calls, operators and their precedence",
        (
            "# Literals and displays", "conversions", "numbers", "lists", "dict",
            "# Primaries", "subscriptions", "slicings", "calls",
            "# Operators", "power", "unary", "binary", "shifting", "bitwise", "booleans", "lambda", "operator-summary",
        ),
        (),
    ),
    (
        "python-debugger-and-formatting",
        "Debugging and Formatting",
        "The pdb debugger and the format string language",
        ("debugger", "formatstrings"),
        (8, 9, 10, 11),
    ),
)  # fmt: skip
_WITH_INDEX = ("python-special-methods",)


def manuals() -> list[BookPlan]:
    """The manuals, in the order of the shelf. A topic that this Python does not know is left out."""
    source = _SOURCE.format(version=".".join(platform.python_version_tuple()[:2]))
    return [
        BookPlan(name, title, subtitle, source, partial(_parts, keys), index=name in _WITH_INDEX, scanned=scanned)
        for name, title, subtitle, keys, scanned in _THEMES
    ]


def _parts(keys: Sequence[str]) -> list[Part]:
    """The topics' blocks; a key "# Title" opens a chapter, and the topics after it become its sections."""
    from pydoc_data.topics import topics

    parts: list[Part] = []
    deeper = 0
    for key in keys:
        if key.startswith("# "):
            parts.append(Block("heading", key[2:], level=0))
            deeper = 1
        elif key in topics:
            parts.extend(_topic(topics[key], deeper))
    return parts


def _topic(text: str, deeper: int) -> list[Block]:
    # Cross-references of a web page have no target here.
    kept = (block for block in parse(text) if not block.text.startswith(("**Source code:**", "Related help topics")))
    return [replace(block, level=block.level + deeper) if block.kind == "heading" else block for block in kept]
