"""Checkpoints of a model with adapters: only what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pagetune.models.adapters import has_adapters, load_trained, save_trained
from pagetune.training.checkpoints import TRAINED


def adapter_checkpoints(kind: Any) -> Any:
    """A trainer's class that saves and loads adapters by themselves; a model without any as the class does."""

    class AdapterTrainer(kind):  # type: ignore[misc]
        """Saves and loads what is trained."""

        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            if not has_adapters(self.model):
                super()._save(output_dir, state_dict)
                return
            Path(output_dir or self.args.output_dir).mkdir(parents=True, exist_ok=True)
            save_trained(self.model, Path(output_dir or self.args.output_dir) / TRAINED)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            if has_adapters(self.model):
                load_trained(self.model, Path(resume_from_checkpoint) / TRAINED)
            else:
                super()._load_from_checkpoint(resume_from_checkpoint)

    return AdapterTrainer
