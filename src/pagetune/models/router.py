"""A model of two towers: a text encoder and an image encoder, each with a projection into one space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError
from pagetune.models.light import light_weights
from pagetune.models.quiet import drawn_from, quiet
from pagetune.models.refused import why

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pagetune.models.specs import Spec

PROJECTIONS = r"(^|\.)(text|image)\.\d+\.linear\."
"""Matches the names of the projections' parameters, and no tower's."""


def build_router(spec: Spec) -> SentenceTransformer:
    """Text encoder `spec.name` and image encoder `spec.image_model`, routed by modality.

    Each tower is the model's own modules up to a vector an input, then a Dense to the common width (`projection`, or
    the image tower's), then Normalize. Untrained, the two know nothing of each other. Raises ModelError.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize, Router

    if spec.image_model is None:
        raise ModelError(
            "a router needs an image tower: set model.image_model, such as google/siglip2-base-patch16-224"
        )
    towers: dict[str, Any] = {}
    with quiet(), drawn_from():
        for modality, name in (("text", spec.name), ("image", spec.image_model)):
            towers[modality] = _tower(name, modality, spec)
        width = spec.projection or towers["image"][1]
        parts = {
            modality: [*modules, Dense(size, width, bias=False, activation_function=None)]
            for modality, (modules, size) in towers.items()
        }
        routes: Any = {(None, "text"): "text", (None, "image"): "image"}
        # Put together, the model no longer knows that a device map chose where its towers lie.
        device = None if spec.device_map is None else str(next(towers["image"][0][0].parameters()).device)
        return SentenceTransformer(modules=[Router(parts, route_mappings=routes), Normalize()], device=device)


def _tower(name: str, modality: str, spec: Spec) -> tuple[list[Any], int]:
    """The modules of one tower that make a vector of an input, and the vector's width."""
    from pathlib import Path

    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize

    if name == "light":
        name = str(light_weights())
    try:
        model = SentenceTransformer(
            name,
            model_kwargs=spec.model_arguments(),
            trust_remote_code=spec.trust_remote_code,
            local_files_only=Path(name).is_dir(),
        )
    except Exception as error:
        reason = why(name, error, trusted=spec.trust_remote_code)
        raise ModelError(f"the {modality} tower {name!r} cannot be loaded: {reason}") from error
    if not model.supports(modality):  # type: ignore[arg-type]
        raise ModelError(f"the {modality} tower {name!r} takes {model.modalities}; choose one that takes {modality}")
    width = model.get_embedding_dimension()
    if not width:
        raise ModelError(f"the {modality} tower {name!r} does not say how wide its vectors are; choose another")
    return [module for module in model if not isinstance(module, Normalize)], width
