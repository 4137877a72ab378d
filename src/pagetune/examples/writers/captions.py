"""Queries from the captions of figures, tables, listings and algorithms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pagetune.examples.drafts import Draft, Notes
from pagetune.examples.layout import LaidPage, follows
from pagetune.layout.language import tidy
from pagetune.layout.words import fold
from pagetune.pages.lines import Line, words_rects
from pagetune.records import QueryKind

if TYPE_CHECKING:
    from pagetune.examples.structure import Collection, DocumentStructure

_LABEL = re.compile(
    r"(?P<name>figure|fig\.|fig|table|tab\.|listing|algorithm|example|scheme|plate|chart|exhibit|box|diagram|map|graph"
    r"|abbildung|abb\.|bild|tabelle|algorithmus|diagramm|schema|übersicht|quelltext"
    r"|tableau|algorithme|schéma|graphique|encadré|code"
    r"|figura|tabla|cuadro|gráfico|gráfica|ilustración|listado|algoritmo|esquema|tabella|grafico|elenco|tabela|quadro"
    r"|figuur|tabel)"
    r"\s*(?P<number>(?:[A-Z]{1,2}[.-]?)?\d{1,3}(?:[.\-–]\d{1,3}){0,3}[a-z]?|[IVX]{1,5}|[A-Z])"
    r"(?P<mark>\s*[:.|–—-]|\s*\((?=[a-z]\))|(?=\s|$))\s*",
    re.I,
)
_RARE = frozenset({"example", "box", "map", "code", "graph", "chart", "plate", "scheme", "bild", "schema"})
_CONTINUED = frozenset({"continued", "cont", "cont d", "fortsetzung", "suite", "continuación", "continua", "seguito"})
_MOST_LINES = 8
_ENOUGH = 4  # words: a longer first sentence is the whole query


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption where it stands: its label, its text, its lines `first` to `last`, its words from `start` to `stop`."""

    label: str
    text: str
    first: int
    last: int
    start: int
    stop: int


@dataclass(frozen=True)
class CaptionWriter:
    """One query for each caption: its words without "Figure 3.2:", cut after a whole sentence where it is long."""

    kind: QueryKind = "caption"

    def write(self, document: DocumentStructure, collection: Collection, notes: Notes) -> Iterator[Draft]:
        for number, captions in document.captions.items():
            page = document.laid.pages[number].page
            for caption in captions:
                if fold(caption.text) in _CONTINUED:
                    notes.drop("generic")
                    continue
                rects = words_rects(page, range(caption.start, caption.stop))
                yield Draft(_shorten(caption.text), "caption", page.id, rects, ((page.id, 2),), caption.label)


def find_captions(page: LaidPage, body_size: float) -> tuple[Caption, ...]:
    """The captions of a page: lines that begin with a label, and the lines that they go on to."""
    found: list[Caption] = []
    lines = page.lines
    right = _right_edge(lines)
    for index, line in page.standing():
        label = _LABEL.match(line.text)
        if label is None or (found and index <= found[-1].last) or not _begins_caption(lines, index, label):
            continue
        last = _last_line(page, index, right)
        start, stop = line.start, lines[last].stop
        text = _join(lines[index : last + 1])
        text = text[label.end() :] if label.end() <= len(line.text) else ""
        name = f"{label['name']} {label['number']}"
        found.append(Caption(name, tidy(text), index, last, start, stop))
    return tuple(found)


def _begins_caption(lines: Sequence[Line], index: int, label: re.Match[str]) -> bool:
    """A label that begins a line is a caption's unless the line merely goes on with a sentence of the text."""
    line = lines[index]
    rest = line.text[label.end() :].strip()
    marked = bool(label["mark"].strip())
    name = label["name"].casefold()
    if not label["name"][0].isupper() or (name in _RARE and label["mark"].strip() != ":"):
        return False
    if label["number"].isalpha() and (not label["number"].isupper() or not marked):
        return False
    if not rest:
        return index + 1 < len(lines) and follows(lines[index + 1], line)
    if not marked and not (rest[0].isupper() or rest[0] in "“\"'(["):
        return False
    above = lines[index - 1] if index else None
    if above is not None and follows(line, above) and abs(line.left - above.left) < 30:
        in_text = above.bottom - line.bottom < 1.45 * line.size and not re.search(r"[.!?:;”\"]$", above.text)
        if in_text and len(above.text) > 40:
            return False
        if label["mark"].strip() != ":" and in_text:
            return False
    return True


def _last_line(page: LaidPage, first: int, right: float) -> int:
    """The line that a caption ends with: lines are taken in while they follow closely and the one above is full."""
    lines = page.lines
    last = first
    widest = lines[first].right
    while last + 1 < len(lines) and last - first + 1 < _MOST_LINES and last + 1 not in page.running:
        line, above = lines[last + 1], lines[last]
        close = follows(line, above) and above.bottom - line.bottom <= 1.4 * max(line.size, above.size)
        if not close or _LABEL.match(line.text):
            break
        full = above.right >= min(right, widest) - 0.12 * (min(right, widest) - lines[first].left) - 2
        ended = re.search(r"[.!?]$", above.text) is not None
        goes_on = line.text[0].islower() or re.search(r"[,;-]$", above.text) is not None
        wraps = above.right >= right - 0.15 * max(right - lines[first].left, 1) and full
        if not (goes_on and not ended) and not wraps and not (full and not ended and _centred(line, lines[first])):
            break
        last += 1
        widest = max(widest, line.right)
    return last


def _centred(line: Line, first: Line) -> bool:
    centre = abs((line.left + line.right) - (first.left + first.right)) / 2
    return centre < 3 and line.left > first.left + 5


def _right_edge(lines: Sequence[Line]) -> float:
    """Where the page's long lines end."""
    ends = sorted(line.right for line in lines if len(line.text) >= 40)
    return ends[len(ends) // 2] if ends else max((line.right for line in lines), default=0.0)


def _join(lines: Sequence[Line]) -> str:
    text = lines[0].text
    for line in lines[1:]:
        if re.search(r"[^\W\d_]-$", text) and line.text[:1].islower():
            text = text[:-1] + line.text
        else:
            text = f"{text} {line.text}"
    return text


def _shorten(text: str) -> str:
    """The first sentence of a caption; the next ones too while it has few words."""
    sentences = re.split(r"(?<=[a-zà-ÿ\d)\]”\"][.!?])\s+(?=[A-ZÀ-Þ“\"(])", text)
    kept = sentences[0]
    for sentence in sentences[1:]:
        if len(kept.split()) >= _ENOUGH:
            break
        kept = f"{kept} {sentence}"
    return tidy(kept)
