"""Checkpoints of a fit: which one to go on from after a kill, and which ones belong to another fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.workspace import write_atomically

if TYPE_CHECKING:
    from transformers import TrainerState

STATE = "trainer_state.json"
MARKER = "fit.json"
TRAINED = "trained.safetensors"
"""A checkpoint of a model with adapters: only what is trained."""
ENDED = "ended"
"""The note of the step that a fit ended with."""
OPTIMIZER = "optimizer.pt"
"""Twice the size of the weights, and of use only to who trains on."""


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

    The trainer's state is the last file that it writes: where it can be read, the rest is there. Of a fit that had
    ended and lost its end nothing can be gone on from: what is left is removed, and it begins again.
    """
    whole: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        step = path.name.rpartition("-")[2]
        if step.isdigit() and _read(path / STATE).get("global_step") == int(step):
            whole[int(step)] = path
        else:
            shutil.rmtree(path, ignore_errors=True)
    noted = _read(folder / MARKER)
    if noted.pop(ENDED, None) not in (None, max(whole, default=None)):
        for path in whole.values():
            shutil.rmtree(path)
        note(folder, noted)
        return None
    return whole[max(whole)] if whole else None


def has_ended(checkpoint: Path, steps: int) -> bool:
    """Whether the fit had ended with this checkpoint: at its last step, or because patience had run out."""
    state = _read(checkpoint / STATE)
    kept = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", {})
    patience = kept.get("args", {}).get("early_stopping_patience", 1)
    waited = kept.get("attributes", {}).get("early_stopping_patience_counter", 0)
    return bool(state.get("global_step", 0) >= steps or waited >= patience)


def drop_optimizers(last: Path) -> None:
    """The fit has ended with the checkpoint `last`: what is there for training on goes. Weights and states stay.

    The note comes first, so that a checkpoint without its optimizer is never trained on from.
    """
    noted = _read(last.parent / MARKER)
    note(last.parent, noted | {ENDED: int(last.name.rpartition("-")[2])})
    for file in last.parent.glob(f"checkpoint-*/{OPTIMIZER}"):
        file.unlink(missing_ok=True)


def read_state(checkpoint: Path) -> TrainerState:
    """What the trainer knew when it wrote the checkpoint."""
    from transformers import TrainerState

    return TrainerState.load_from_json(str(checkpoint / STATE))


def load_weights(model: Any, checkpoint: Path) -> None:
    """Put a checkpoint's weights into the model; of a model with adapters, those and nothing else."""
    from pagetune.models.adapters import has_adapters, load_trained

    if has_adapters(model):
        load_trained(model, checkpoint / TRAINED)
        return
    model.load_state_dict(_load(model, checkpoint).state_dict())


def _load(model: Any, checkpoint: Path) -> Any:
    """A checkpoint as a model, beside the one that is trained: on the CPU, trusting whom that one trusts."""
    from pagetune.models.loading import load_folder
    from pagetune.models.own_modules import names_own, read_json
    from pagetune.models.page_reader import PageReader
    from pagetune.models.quiet import quiet
    from pagetune.models.reranker_build import load_own

    if isinstance(model[0], PageReader):
        return load_folder(checkpoint)
    with quiet():
        if names_own(read_json(checkpoint / "modules.json")):
            return load_own(checkpoint, device="cpu")
        trust = bool(getattr(model, "trust_remote_code", False))
        return type(model)(str(checkpoint), device="cpu", trust_remote_code=trust, local_files_only=True)


def _read(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
