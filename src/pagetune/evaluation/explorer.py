"""What the report's script shows: every query with its first answers, and the pictures of the pages, each once."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from pagetune.evaluation.heatmaps import Heatmaps
from pagetune.evaluation.metrics import MAIN_METRIC
from pagetune.evaluation.per_query import Change, Judged, gains, losses
from pagetune.evaluation.thumbnails import TYPE, Thumbnails

ROWS_BYTES = 5_000_000
"""Of the table of queries: some 15,000 of them."""
_JUDGED = 3
"""Pages of a query's judgements that get a picture even where no system puts them first."""
PICTURED = 6
"""Suspects that are shown beside the judged page."""
_NAMED = 20
"""Pages of a query's judgements that are listed."""


class Explorer:
    """The queries as data for the browser. `found` is every query, the greatest gain first."""

    def __init__(self, report: Judged, found: Sequence[Change], heatmaps: Heatmaps) -> None:
        self.report = report
        self._found = found
        self.heatmaps = heatmaps
        self.suspects = report.suspects[:PICTURED]
        by_size = sorted(found, key=lambda one: (-abs(one.change), one.query.id))
        self._kinds = _places(one.query.kind for one in found)
        self._documents = _places(sorted(one.query.document for one in found))
        self._pages: dict[str, int] = {}
        self._rows: list[list[Any]] = []
        size = 0
        for one in by_size:
            row = self._row(one)
            size += len(_json(row))
            if size > ROWS_BYTES:
                break
            self._rows.append(row)
        self.changes = by_size[: len(self._rows)]
        self.left_out = len(found) - len(self._rows)

    @property
    def kinds(self) -> list[str]:
        """The kinds of query, as they first appear from the greatest gain on."""
        return list(self._kinds)

    @property
    def documents(self) -> list[str]:
        """The documents that are asked for, by name."""
        return list(self._documents)

    @cached_property
    def wanted(self) -> list[str]:
        """The pages to picture, those of the largest changes first."""
        found: dict[str, None] = {}
        for one in self.changes:
            found.update(dict.fromkeys(page for page, _ in one.judged[:_JUDGED]))
            for pages in one.first.values():
                found.update(dict.fromkeys(pages))
        found.update(dict.fromkeys(page for one in self.suspects for page in (one.judged, one.page)))
        return list(found)

    @cached_property
    def read(self) -> list[str]:
        """Of these, the ones to picture large: what the examples are about, and what comes first there."""
        found = [*gains(self._found), *losses(self._found)]
        examples = [page for one in found for page in (one.page, *(pages[0] for pages in one.first.values() if pages))]
        return [*examples, *(page for one in self.suspects for page in (one.judged, one.page))]

    def data(self) -> str:
        """JSON for inside a page: names, rows, heatmaps."""
        maps: dict[str, list[dict[str, Any]]] = {}
        seen: dict[int, str] = {}
        for one in self.heatmaps.maps:
            place = self._place(one.page)
            seen[place] = _text(one.picture)
            maps.setdefault(one.query, []).append(
                {
                    "page": place,
                    "tokens": one.tokens,
                    "shape": one.values.shape[1:],
                    "values": _text(one.values.tobytes()),
                    "range": [one.low, one.high],
                }
            )
        return _json(
            {
                "systems": list(self.report.systems),
                "compared": list(self.report.compared),
                "metric": MAIN_METRIC,
                "depth": self.report.settings.depth,
                "kinds": self.kinds,
                "documents": self.documents,
                "rows": self._rows,
                "maps": maps,
                "suspects": [[self._place(page) for page in (one.judged, one.page)] for one in self.suspects],
                "pages": [self._name(page) for page in self._pages],
                "seen": seen,
            }
        )

    def pictures(self, thumbnails: Thumbnails) -> str:
        """JSON for inside a page: the pictures, and how many there are of how many."""
        found = {self._place(page): _text(content) for page, content in thumbnails.pictures.items()}
        kind = f"data:{TYPE};base64," if found or self.heatmaps.maps else ""
        return _json({"type": kind, "wanted": thumbnails.wanted, "broken": thumbnails.unreadable, "pages": found})

    def name(self, page: str) -> str:
        """A page for people: `memoir-0012` as "memoir, page 12"; an id of a dataset as it is."""
        document, label = self._name(page)
        return f"{document}, {label}" if document else label

    def _name(self, page: str) -> tuple[str, str]:
        # A dataset's ids are its own: what looks like a number need not be that of a page.
        return ("", page) if self.report.conditions.collection else page_name(page)

    def _row(self, one: Change) -> list[Any]:
        """In the order that templates/report.js takes it apart."""
        shown = {page for pages in one.first.values() for page in pages}
        judged = [
            [self._place(page), grade]
            for place, (page, grade) in enumerate(one.judged)
            if place < _NAMED or page in shown
        ]
        return [
            one.query.id,
            one.query.text,
            one.query.context,
            self._kinds[one.query.kind],
            self._documents[one.query.document],
            round(one.change, 4),
            [round(score, 4) for score in one.scores.values()],
            [rank or 0 for rank in one.ranks.values()],
            judged,
            *([self._place(page) for page in one.first[name]] for name in self.report.compared),
        ]

    def _place(self, page: str) -> int:
        return self._pages.setdefault(page, len(self._pages))


def page_name(page: str) -> tuple[str, str]:
    """Document and page of a workspace's page id: `memoir-0012` is page 12 of memoir."""
    document, dash, number = page.rpartition("-")
    return (document, f"page {int(number)}") if dash and number.isdecimal() else ("", page)


def _places(names: Iterable[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _json(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Compact, and such that nothing in it can end the script element that it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
