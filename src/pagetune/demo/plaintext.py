"""Indented plain text (what Sphinx's text builder writes, or a plain reST description) as a flat list of blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["heading", "paragraph", "term", "code", "item", "table", "rubric"]

_LEVELS = {"*": 0, "=": 1, "-": 2, "~": 3}
_MARKER = re.compile(r"(\*|-|\d+\.|\[\d+\]|\(\d+\)) +(?=\S)")
_RUBRIC = re.compile(r"-\[ (.+) \]-")
_WORD = re.compile(r"^[(\"'“‘*]*[A-Za-z][a-z’'-]*[\"'”’*.,:;!?)]*$")


@dataclass(frozen=True, slots=True)
class Block:
    """One block. `level` is a heading's level from 0, `depth` how deep it is indented, `marker` a list item's sign,
    `rows` a table's cells, its head first."""

    kind: BlockKind
    text: str = ""
    level: int = 0
    depth: int = 0
    marker: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


def parse(text: str) -> list[Block]:
    """The blocks of a text, in order."""
    return _terms_named(list(_blocks(text.expandtabs(8).rstrip().split("\n"), 0)))


def _blocks(lines: list[str], depth: int) -> Iterator[Block]:
    position = 0
    while position < len(lines):
        line = lines[position]
        if not line.strip() or re.fullmatch(r"[=*-]{20,}", line):
            position += 1
        elif line.startswith("+--"):
            end = _end_of_paragraph(lines, position)
            yield _table(lines[position:end], depth)
            position = end
        elif line.startswith(" "):
            end = _end_of_region(lines, position, _indent(line))
            region = _dedent(lines[position:end])
            if _is_code(region):
                yield Block("code", "\n".join(region), depth=depth)
            else:
                yield from _blocks(region, depth + 1)
            position = end
        elif marker := _MARKER.match(line):
            width = marker.end()
            end = _end_of_region(lines, position + 1, width)
            yield from _item(marker[1], [" " * width + line[width:], *lines[position + 1 : end]], depth)
            position = end
        else:
            end = _end_of_paragraph(lines, position)
            yield _paragraph(lines[position:end], depth)
            position = end


def _paragraph(lines: list[str], depth: int) -> Block:
    if len(lines) == 2 and lines[1] and lines[1] == lines[1][0] * len(lines[1]) and lines[1][0] in _LEVELS:
        return Block("heading", _plain(lines[0]), level=_LEVELS[lines[1][0]])
    if len(lines) == 1 and (rubric := _RUBRIC.fullmatch(lines[0])):
        return Block("rubric", rubric[1], depth=depth)
    return Block("paragraph", _join(lines), depth=depth)


def _item(marker: str, lines: list[str], depth: int) -> Iterator[Block]:
    inner = list(_blocks(_dedent(lines), depth + 1))
    for position, block in enumerate(inner):
        if position == 0 and block.kind == "paragraph":
            yield Block("item", block.text, depth=depth, marker="•" if marker in "*-" else marker)
        else:
            yield block


def _terms_named(blocks: list[Block]) -> list[Block]:
    """A line that is no sentence and stands over an indented block is what the block explains."""
    named = []
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        explains = following is not None and following.depth > block.depth and following.kind != "code"
        if block.kind == "paragraph" and explains and not block.text.endswith((".", ":", ";", ",")):
            block = Block("term", _plain(block.text) if block.text[0] in '*"' else block.text, depth=block.depth)
        named.append(block)
    return named


def _table(lines: list[str], depth: int) -> Block:
    edges = [place for place, sign in enumerate(lines[0]) if sign == "+"]
    rows: list[tuple[str, ...]] = []
    cells: list[list[str]] = [[] for _ in edges[1:]]
    for line in lines[1:]:
        if line.startswith(("+", "|=")):
            rows.append(tuple(_join(cell) for cell in cells))
            cells = [[] for _ in edges[1:]]
        elif len(line) == len(lines[0]) and all(line[edge] == "|" for edge in edges):
            for cell, left, right in zip(cells, edges, edges[1:], strict=False):
                cell.append(line[left + 1 : right].strip())
        else:  # cells that span columns: better shown as they were drawn than guessed at
            return Block("code", "\n".join(lines), depth=depth)
    return Block("table", depth=depth, rows=tuple(rows))


def _is_code(lines: list[str]) -> bool:
    first = lines[: _end_of_paragraph(lines, 0)]
    text = _join(first)
    if _MARKER.match(text) or text.startswith("+--"):
        return False
    if text.startswith((">>>", "(Pdb)", "> ", "$ ", "#")) or "::=" in text or " = " in text:
        return True
    explains = len(lines) > len(first) and lines[len(first)].startswith("  ")
    if explains and len(first) == 1 and re.match(r"(Module|Class|Function|\*\*PEP|\")", text):
        return False
    words = text.split()
    prose = sum(bool(_WORD.match(word)) for word in words) / len(words)
    ends_like_prose = text.endswith((".", ":", ".)", "]"))
    if len(words) >= 4 and prose > 0.6 and ends_like_prose and len(first[0]) > 20:
        return False
    signature = len(first) == 1 and re.fullmatch(r"[\w.]+\([^()]*(\([^()]*\))?[^()]*\)", text) is not None
    rest = lines[len(first) :]
    if signature and len(rest) > 1 and not rest[0].strip():
        return _is_code(_dedent(rest))
    return True


def _end_of_paragraph(lines: list[str], start: int) -> int:
    end = start
    indent = _indent(lines[start])
    while end < len(lines) and lines[end].strip() and _indent(lines[end]) == indent:
        if end > start and _MARKER.match(lines[end].strip()) and not lines[end].strip().startswith("- "):
            break
        end += 1
    return end


def _end_of_region(lines: list[str], start: int, indent: int) -> int:
    end = start
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) >= indent):
        end += 1
    return end


def _dedent(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    while lines and not lines[0].strip():
        lines = lines[1:]
    margin = min((_indent(line) for line in lines if line.strip()), default=0)
    return [line[margin:].rstrip() for line in lines]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _join(lines: list[str]) -> str:
    # The text builder breaks words at their own hyphens: "double-" at a line's end goes on without a space.
    text = " ".join(line.strip() for line in lines if line.strip())
    text = re.sub(r"(?<=[a-z])- (?=[a-z]+\b)(?!(and|or|to)\b)", "-", text)
    return re.sub(r" {2,}", " ", text)


def _plain(title: str) -> str:
    """A title without the signs of "literals", *emphasis* and **strong** words."""
    return re.sub(r"(\*{1,2})(\w[^*]*)\1", r"\2", title).replace('"', "")
