"""The files to read: found in folders, told by their content, and kept by their digest."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pagetune.errors import ReadingError
from pagetune.pages.formats import HEAD_BYTES, sniff
from pagetune.recipe import ReadRecipe
from pagetune.workspace import MARKER, file_digest

_FICLONE = 0x40049409


@dataclass(frozen=True, slots=True)
class Offered:
    """A file that was offered: its digest and its (outer) format, or the reason why it is not even opened."""

    path: Path
    digest: str = ""
    format: str = ""
    reason: str = ""


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The files of `paths`, folders walked recursively and in the order of their names, each file once.

    Hidden files and folders inside a folder are left out, and so are workspaces; links to folders are not followed.
    Raises ReadingError when a path is not there.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists() and not path.is_symlink():
            raise ReadingError(f"{str(path)!r} is neither a file nor a folder")
        if not path.is_dir():
            found.setdefault(path)
            continue
        for folder, folders, names in os.walk(path):
            if MARKER in names and (".lock" in names or "stages" in folders):
                folders.clear()  # A workspace among the documents holds copies of them.
                continue
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith("."):
                    found.setdefault(Path(folder) / name)
    once: dict[Path, Path] = {}
    for path in found:
        once.setdefault(path.resolve(), path)
    return list(once.values())


def inspect(path: Path, recipe: ReadRecipe) -> Offered:
    """Digest a file and tell its format by its first bytes. Nothing is parsed here."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return Offered(path, reason="not a regular file")
        if not status.st_size:
            return Offered(path, reason="empty file")
        if status.st_size > recipe.max_file_mb << 20:
            return Offered(path, reason=f"{status.st_size >> 20} MiB, above max_file_mb={recipe.max_file_mb}")
        with path.open("rb") as file:
            format = sniff(file.read(HEAD_BYTES))
        if format is None:
            return Offered(path, format="unknown", reason=unknown(path))
        return Offered(path, file_digest(path), format)
    except OSError as error:
        return Offered(path, reason=f"cannot be opened: {error.strerror or error}")


def shown(path: Path) -> str:
    """The path as text that can be stored and printed, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def unknown(path: Path) -> str:
    """The reason of a file whose content is of no type that is read."""
    return f"not of a type that is read ({path.suffix.lower() or 'no extension'}, judged by its content)"


def keep(offered: Offered, folder: Path, earlier: Path) -> Path:
    """A copy of the file in `folder` under its digest; taken from the `earlier` folder if it is there.

    Never a link to the user's file: what they do to it later must not change what was read. Raises OSError.
    """
    name = f"{offered.digest}.{offered.format}"
    kept = folder / name
    if kept.exists():
        return kept
    if (earlier / name).exists():
        return earlier / name
    folder.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=folder, prefix=".")
    os.close(handle)
    try:
        copy_or_clone(offered.path, Path(beside))
        if file_digest(Path(beside)) != offered.digest:
            raise OSError(0, "it changed while it was read")
        Path(beside).chmod(0o644)
        Path(beside).replace(kept)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return kept


def copy_or_clone(source: Path, target: Path) -> None:
    """Copy a file's content, sharing blocks where the file system can (Btrfs, XFS)."""
    with suppress(ImportError, OSError):
        import fcntl

        with source.open("rb") as read, target.open("wb") as write:
            fcntl.ioctl(write.fileno(), _FICLONE, read.fileno())
            return
    shutil.copyfile(source, target)


def name_documents(paths: Sequence[Path]) -> list[str]:
    """A short unique id for each path: its stem in plain letters, numbered where two would be the same."""
    taken: set[str] = set()
    names = []
    for path in paths:
        plain = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode().lower()
        base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].rstrip("-") or "document"
        name, number = base, 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name)
        names.append(name)
    return names
