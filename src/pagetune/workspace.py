"""The workspace: where things lie, what is finished, and who may write.

Finished work is found by its fingerprint: the inputs' content, the stage's part of the recipe and the stage's code
version. A stage's output is written beside its place and renamed into it, so that it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pagetune.errors import WorkspaceError

LAYOUT_VERSION = 1
MARKER = "workspace.json"


def fingerprint(*parts: Any) -> str:
    """A short digest of anything JSON can say; equal parts give equal fingerprints."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    # A file's name may hold bytes that are not UTF-8; Python then has lone surrogates in it.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_text(path: Path) -> str:
    """A text file from elsewhere, its lines ended by \\n whatever ended them: UTF-8, or UTF-16 where its mark says so.

    A byte-order mark is no part of the text. Raises OSError, or ValueError that names the byte or the line.
    """
    content = path.read_bytes()
    name, encoding = ("UTF-16", "utf-16") if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("UTF-8", "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not {name}") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise ValueError(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1} has a NUL character, as UTF-16 has")
    return text


@dataclass(frozen=True)
class Workspace:
    """The folder that a run reads and writes."""

    root: Path

    @property
    def recipe_file(self) -> Path:
        return self.root / "recipe.yaml"

    @property
    def plan_file(self) -> Path:
        """What `auto` in the recipe was taken to be, and why."""
        return self.root / "plan.json"

    @property
    def pages(self) -> Path:
        return self.root / "pages"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def reranker(self) -> Path:
        return self.root / "reranker"

    @property
    def reviews(self) -> Path:
        return self.root / "reviews"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def stages(self) -> Path:
        return self.root / "stages"

    def create(self) -> Workspace:
        """Make the folder if it is not there; refuse one of another layout or one that is not a workspace."""
        marker = self.root / MARKER
        if self.root.exists() and not self.root.is_dir():
            raise WorkspaceError(f"{self.root} is a file; give a folder for the workspace")
        if marker.exists():
            version = json.loads(marker.read_text()).get("layout")
            if version != LAYOUT_VERSION:
                raise WorkspaceError(
                    f"{self.root} has layout {version}, this Pagetune reads {LAYOUT_VERSION}; use a new folder"
                )
            return self
        # A kill in the first moment leaves the lock, or the marker under the name that it is written by.
        ours = (".lock", f".{marker.name}.")
        if self.root.exists() and any(not entry.name.startswith(ours) for entry in self.root.iterdir()):
            raise WorkspaceError(f"{self.root} holds files that are not a workspace; give an empty or a new folder")
        self.root.mkdir(parents=True, exist_ok=True)
        write_atomically(marker, json.dumps({"layout": LAYOUT_VERSION}))
        return self

    def is_workspace(self) -> bool:
        """Whether the folder is there and is a workspace, of whatever layout."""
        return (self.root / MARKER).is_file()

    def open(self) -> Workspace:
        """Refuse a folder that is not a workspace."""
        if not self.is_workspace():
            raise WorkspaceError(
                f"{self.root} is not a workspace; make one: pagetune run DOCUMENTS --workspace {self.root}"
            )
        return self.create()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the workspace for writing; a second holder is refused at once, a dead one's lock is free."""
        from filelock import FileLock, Timeout

        if self.root.exists() and not self.root.is_dir():
            raise WorkspaceError(f"{self.root} is a file; give a folder for the workspace")
        if self.root.exists() and not self.is_workspace():
            self.create()  # Refuses a folder of other files before anything is written into it.
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise WorkspaceError(
                f"{self.root} is being written by another pagetune; wait for it, or use another workspace"
            ) from None
        try:
            self._mend()
            yield
        finally:
            lock.release()

    def _mend(self) -> None:
        # A run killed inside replace_folder leaves its unfinished folder, or the old one under its second name.
        if not self.is_workspace():
            return
        for place in (self.root, self.runs):
            for old in place.glob(".*.old"):
                target = place / old.name[1 : -len(".old")]
                if target.exists():
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    old.rename(target)
            for unfinished in place.glob(".*.new.*"):
                shutil.rmtree(unfinished, ignore_errors=True)

    def finished(self, stage: str) -> dict[str, Any] | None:
        """What a stage recorded when it last finished: its fingerprint and its summary."""
        record = self.stages / f"{stage}.json"
        try:
            loaded = json.loads(record.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return loaded if isinstance(loaded, dict) else None

    def forget(self, stage: str) -> None:
        """The stage counts as not finished from now on, and not as failed."""
        for kind in ("json", "failed"):
            (self.stages / f"{stage}.{kind}").unlink(missing_ok=True)

    def fail(self, stage: str, reason: str) -> None:
        """Note why a stage ended without having finished, until it is begun again."""
        # The reason may name a file whose name is not UTF-8.
        write_atomically(self.stages / f"{stage}.failed", f"{reason}\n".encode("utf-8", "replace"))

    def failed(self, stage: str) -> str | None:
        """Why a stage ended without having finished, where that was the last that it did."""
        try:
            return (self.stages / f"{stage}.failed").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def check(self, stage: str) -> None:
        """Raise WorkspaceError where a stage was begun anew and failed: what lies there is what it made before."""
        if (reason := self.failed(stage)) is not None:
            raise WorkspaceError(
                f"{self.root}: {stage} has not finished, what is there is of an earlier one; it failed: {reason} "
                f"(then run: pagetune {command(stage)} -w {self.root})"
            )

    def finish(self, stage: str, parts: dict[str, Any], summary: dict[str, Any]) -> None:
        """Record that a stage has finished, with the parts of its fingerprint and what it has to say."""
        self.stages.mkdir(parents=True, exist_ok=True)
        record = {"stage": stage, "fingerprint": fingerprint(parts), "parts": parts, "summary": summary}
        write_atomically(self.stages / f"{stage}.json", json.dumps(record, indent=1, default=str))


def command(stage: str) -> str:
    """What is typed after `pagetune` to run a stage: its name, but `fit` trains what the recipe's `kind` says, so that
    is said too, whatever the workspace's own recipe trains."""
    return {"fit": "fit kind=retriever", "rerank": "fit kind=reranker"}.get(stage, stage)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file beside its place and rename it into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """A fresh folder beside `path` to fill, which takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.new."))
    fresh.chmod(0o755)
    old = path.parent / f".{path.name}.old"
    try:
        yield fresh
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.replace(old)
        fresh.replace(path)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def folder_digest(folder: Path, without: Collection[str] = ()) -> str:
    """A digest over the names and bytes of everything below a folder, but for the entries `without` of its own."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).parts[0] not in without:
            digest.update(f"{path.relative_to(folder)}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def stamp_files(places: Iterable[Path]) -> list[list[Any]]:
    """What tells files from others without reading them, folders with all below them: path, size, time of change."""
    files = [
        file
        for place in places
        for file in (sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place])
    ]
    return [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
