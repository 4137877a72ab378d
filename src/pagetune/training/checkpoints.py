"""Checkpoints of a fit: which one to go on from after a kill, and which ones belong to another fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from pagetune.workspace import write_atomically

STATE = "trainer_state.json"
MARKER = "fit.json"


def prepare_folder(folder: Path, identity: str) -> dict[str, Any]:
    """Make the folder ready for the fit called `identity`; checkpoints of any other are removed.

    Returns what an earlier, unfinished fit of the same identity noted, or an empty record.
    """
    noted = _read(folder / MARKER)
    if noted.get("identity") == identity:
        return noted
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    note(folder, {"identity": identity})
    return {"identity": identity}


def note(folder: Path, record: dict[str, Any]) -> None:
    """Write down what is known of the fit."""
    write_atomically(folder / MARKER, json.dumps(record, indent=1))


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; those that a kill left half-written are removed.

    The trainer's state is the last file that it writes: where it can be read, the rest is there.
    """
    whole: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        step = path.name.rpartition("-")[2]
        if step.isdigit() and _read(path / STATE).get("global_step") == int(step):
            whole[int(step)] = path
        else:
            shutil.rmtree(path, ignore_errors=True)
    return whole[max(whole)] if whole else None


def _read(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
