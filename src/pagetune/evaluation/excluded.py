"""Pages to leave out of the answers of single queries, as a file: such as the page that a query was written from."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pagetune.errors import DataError


def read_excluded(file: Path, queries: Collection[str]) -> dict[str, set[str]]:
    """Query id -> page ids, of a file of lines query, tab, page. Raises DataError, naming the line.

    `queries` are those that there are. Of a page it cannot be told: a run and judgements name a part of the collection.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise DataError(f"{file}: not readable ({reason}); give a file of lines query, tab, page") from None
    found: dict[str, set[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        query, _, page = (part.strip() for part in line.partition("\t"))
        if not query or not page or "\t" in page:
            raise DataError(
                f"{file}: line {number}: {line.strip()[:80]!r} is not query, tab, page; write one pair a line"
            )
        if query not in queries:
            raise DataError(f"{file}: line {number}: query {query!r} is not in the judgements; correct it or remove it")
        found.setdefault(query, set()).add(page)
    return found
