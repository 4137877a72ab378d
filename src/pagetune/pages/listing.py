"""What the documents' folders hold now: the content digest of every file, each file hashed once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pagetune.pages.sources import find_files
from pagetune.workspace import Workspace, file_digest, write_atomically


def list_documents(paths: Sequence[Path], workspace: Workspace, *, remember: bool = True) -> dict[str, str]:
    """Path -> sha256 of every file below `paths`; "" for what cannot be opened.

    A file whose size and time of change are as they were is not hashed again; `remember` keeps that for the next
    call. Raises ReadingError when a path is not there.
    """
    place = workspace.cache / "digests.json"
    try:
        known: dict[str, list[object]] = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    now = {str(path): _entry(path, known.get(str(path))) for path in find_files(paths)}
    if remember and now != known:
        write_atomically(place, json.dumps(now))
    return {path: str(entry[2]) for path, entry in now.items()}


def _entry(path: Path, before: list[object] | None) -> list[object]:
    try:
        status = path.stat()
        if before and before[:2] == [status.st_size, status.st_mtime_ns]:
            return before
        return [status.st_size, status.st_mtime_ns, file_digest(path)]
    except OSError:
        return [0, 0, ""]
