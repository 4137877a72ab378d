"""Where a model lies that `model.device_map` has spread over devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def is_placed(model: Any) -> bool:
    """Whether a device map said where the parts of the model lie: on one device by its choice, or held by hooks."""
    return bool(model._placement_is_delegated)


def away(model: Any) -> str | None:
    """The first module whose weights were put on disk, or on the CPU beside a GPU, to be fetched when they are used."""
    for name, parameter in model.named_parameters():
        if parameter.device.type == "meta":
            return str(name.rpartition(".")[0])
    return None


def stored_tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """Everything of the model's state by name, in the names' order; what lies on disk is fetched one at a time."""
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.device.type != "meta":
            yield name, tensor
            continue
        from accelerate.utils import align_module_device

        place, _, own = name.rpartition(".")
        module = model.get_submodule(place)
        with align_module_device(module):
            yield name, getattr(module, own)
