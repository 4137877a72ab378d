"""The captions of figures, tables, listings and algorithms: where they stand on a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pagetune.examples.layout import LaidPage, follows
from pagetune.layout.language import tidy
from pagetune.layout.words import HAN, KANA, UNSPACED, has_case, join
from pagetune.pages.lines import Line

_NAMES = {
    "table": (
        "table tab. tab tabelle tableau tabla cuadro tabella tabela quadro tabel tabell taulukko tabulka "
        "táblázat tabelul tablica lentelė bảng tablo çizelge таблица табл. таблиця πίνακας جدول الجدول טבלה "
        "तालिका सारणी সারণি அட்டவணை పట్టిక ตารางที่ ตาราง ຕາຕະລາງທີ តារាងទី តារាង ဇယား ცხრილი աղյուսակ "
        "ሠንጠረዥ 附表 表格 表 표"
    ),
    "chart": (
        "chart graph diagramm graphique gráfico gráfica grafico wykres graf grafik диаграмма график "
        "діаграма γράφημα διάγραμμα نمودار แผนภูมิที่ แผนภูมิ 图表 圖表 グラフ 도표"
    ),
    "figure": (
        "figure fig. fig abbildung abb. abb bild figura ilustración figuur scheme schema schéma esquema "
        "plate map exhibit diagram figur kuva rysunek rys. obrázek obr. ábra slika gambar hình şekil "
        "рисунок рис. схема малюнок мал. фигура εικόνα σχήμα شكل الشكل صورة شکل تصویر איור תרשים चित्र "
        "आकृति চিত্র படம் చిత్రం รูปที่ รูป ภาพที่ ภาพ ຮູບທີ រូបភាពទី រូបទី ပုံ სურათი ნახ. նկար ስዕል 插图 "
        "插圖 附图 附圖 图示 图 圖 図 写真 그림 사진"
    ),
    "": (
        "listing algorithm example box algorithmus übersicht quelltext algorithme encadré code listado "
        "algoritmo elenco листинг алгоритм 算法 演算法 代码 リスト アルゴリズム 알고리즘"
    ),
}
"""The labels of captions by what they stand at; "" is what is set as text."""
TYPE_OF_LABEL = {name.rstrip(".").casefold(): kind for kind, names in _NAMES.items() for name in names.split() if kind}
_BY_LENGTH = sorted(" ".join(_NAMES.values()).split(), key=len, reverse=True)
_LABEL = re.compile(
    rf"(?P<name>{'|'.join(map(re.escape, _BY_LENGTH))})"
    # The last: digits for which the type has no letters.
    r"\s*(?P<number>(?:[A-Z]{1,2}[.-]?)?\d{1,3}(?:[.\-–．]\d{1,3}){0,3}[a-z]?|[IVX]{1,5}|[A-Z]"
    r"|[一二三四五六七八九十]{1,3}|\ufffd{1,7})"
    rf"(?P<mark>\s*[:.|–—：．、៖-]|\s*\((?=[a-z]\))|(?=\s|$|[{HAN}{KANA}]))\s*",
    re.I,
)
_COLONS = (":", "：", "៖")
_ENDED = re.compile(r"[.!?。！？।۔؟።။៕։]$")
_RARE = frozenset({"example", "box", "map", "code", "graph", "chart", "plate", "scheme", "bild", "schema"})
_MOST_LINES = 8


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption where it stands: its label, its text, its lines `first` to `last`, its words from `start` to `stop`."""

    label: str
    text: str
    first: int
    last: int
    start: int
    stop: int


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
    if (has_case(name[0]) and not label["name"][0].isupper()) or (
        name in _RARE and label["mark"].strip() not in _COLONS
    ):
        return False
    if label["number"].isalpha() and has_case(label["number"]) and (not label["number"].isupper() or not marked):
        return False
    if not rest:
        return index + 1 < len(lines) and follows(lines[index + 1], line)
    if not marked and not (rest[0].isupper() or rest[0] in "“\"'([「『（《" or not has_case(rest[0])):
        return False
    glued = not marked and label.end() == label.end("number")
    if glued and _ENDED.search(line.text):
        return False  # "图1显示了……。" is a sentence
    above = lines[index - 1] if index else None
    if above is not None and follows(line, above) and abs(line.left - above.left) < 30:
        in_text = above.bottom - line.bottom < 1.45 * line.size and not re.search(
            r"[.!?:;”\"。！？：；।۔؟。።၊။។։]$", above.text
        )
        if in_text and len(above.text) > 40:
            return False
        if label["mark"].strip() not in _COLONS and in_text:
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
        ended = _ENDED.search(above.text) is not None
        goes_on = line.text[0].islower() or re.search(r"[,;，、；،-]$", above.text) is not None
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
    ends = sorted(line.right for line in lines if len(line.text) >= (20 if UNSPACED.search(line.text) else 40))
    return ends[len(ends) // 2] if ends else max((line.right for line in lines), default=0.0)


def _join(lines: Sequence[Line]) -> str:
    text = lines[0].text
    for line in lines[1:]:
        if re.search(r"[^\W\d_]-$", text) and line.text[:1].islower():
            text = text[:-1] + line.text
        else:
            text = join([text, line.text])
    return text
