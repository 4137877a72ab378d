"""Training a model that `model.device_map` has spread over devices: it stays where it lies, the batches come to it.

Accelerate's hooks pass on what one device computed to the next. What is kept from the trainer is everything that would
bring the whole model together on one device: the trainer's own move, Accelerate's, and that of the loss, which holds
the model.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pagetune.errors import ModelError
from pagetune.models.placement import away, is_placed
from pagetune.progress import Progress
from pagetune.recipe import ModelRecipe
from pagetune.training.checkpoints import load_weights


def check_placement(model: Any, recipe: ModelRecipe) -> None:
    """Refuse, with a ModelError, a placement in which nothing can be trained."""
    asked = f"model.device_map={recipe.device_map!r}"
    if (module := away(model)) is not None:
        raise ModelError(
            f"{asked}: the weights of {module} are on disk, or on the CPU beside a GPU, fetched when they are used; "
            "weights on disk or meta cannot be trained: leave the key out, name devices that hold the whole model, or "
            "choose a smaller one"
        )
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and is_placed(model):
        raise ModelError(
            f"{asked} with {processes} processes: one process trains a model that is spread over devices; start one, "
            "or leave the key out for a whole model in each"
        )


def tell_of_other_gpus(model: Any, progress: Progress) -> None:
    """Say once that a fit trains on one GPU, where a machine has more and the model is whole on one."""
    import torch

    count = torch.cuda.device_count()
    if model.device.type == "cuda" and count > 1 and not is_placed(model):
        progress.say(
            f"fit: on one of {count} GPUs; a model too large for it is spread over all by model.device_map=auto, and "
            "CUDA_VISIBLE_DEVICES chooses which one"
        )


def left_in_place(trainer: Any, model: Any) -> Any:
    """The class `trainer`, or for a placed model one that leaves it where it lies."""
    import torch

    if not is_placed(model):
        return trainer

    class InPlace(trainer):  # type: ignore[misc]
        """Trains a model where it lies: `model.device` is where its inputs are wanted and its vectors come out."""

        def create_accelerator_and_postprocess(self) -> None:
            super().create_accelerator_and_postprocess()
            self.accelerator.device_placement = False

        def prepare_loss(self, loss: Any, model: Any) -> Any:
            return loss  # Of the losses here none has weights of its own.

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            load_weights(self.model, Path(resume_from_checkpoint))  # By way of the CPU: one GPU may not hold it.

        def _move_model_to_device(self, model: Any, device: Any) -> None:
            pass

        def _prepare_input(self, data: Any) -> Any:
            if isinstance(data, torch.Tensor):
                return data.to(self.model.device)
            return super()._prepare_input(data)

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            return super().training_step(*args, **kwargs).to(self.args.device)  # Where the losses are added up.

    return InPlace
