"""Pages to leave out of the answers of single queries, as a file: such as the page that a query was written from."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pagetune.errors import DataError
from pagetune.workspace import read_text


def read_excluded(file: Path, queries: Collection[str]) -> dict[str, set[str]]:
    """Query id -> page ids, of a file of lines query, tab, page. Raises DataError, naming the line.

    `queries` are those that there are. Of a page it cannot be told: a run and judgements name a part of the collection.
    """
    try:
        lines = read_text(file).split("\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{file}: not readable ({reason}); give a file of lines query, tab, page, in UTF-8") from None
    found: dict[str, set[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 2 or not all(cells):
            raise DataError(
                f"{file}: line {number}: {line.strip()[:80]!r} is not query, tab, page; write one pair a line"
            )
        query, page = cells
        if query not in queries:
            raise DataError(f"{file}: line {number}: query {query!r} is not in the judgements; correct it or remove it")
        found.setdefault(query, set()).add(page)
    return found
