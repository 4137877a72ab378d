"""What a model is: whether it looks at pages, and in one line what it takes, how wide its vectors are, how it was
loaded."""

from __future__ import annotations

from typing import Any

from pagetune.errors import ModelError
from pagetune.models.late_interaction import is_late
from pagetune.models.pixels import pixel_bounds


def describe(model: Any) -> str:
    """Modalities, kind, dimension, parameters, precision, attention and pixel bounds, as far as the model has them."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    words = [
        f"takes {' and '.join(kind for kind in model.modalities if kind in ('text', 'image', 'video', 'audio'))}",
        "a vector a token" if is_late(model) else "a vector an input",
        f"of {model.get_embedding_dimension()} dimensions",
        f"{parameters / 1e6:.1f}M parameters in {str(model.dtype).removeprefix('torch.')}",
    ]
    if attention := attention_of(model):
        words.append(f"attention {attention}")
    if bounds := pixel_bounds(model):
        words.append(f"pages between {bounds[0]} and {bounds[1]} pixels")
    return ", ".join(words)


def attention_of(model: Any) -> str | None:
    """The attention kernel in use, such as sdpa."""
    config = getattr(getattr(model[0], "model", None), "config", None)
    return getattr(config, "_attn_implementation", None)


def by_image(model: Any) -> bool:
    """Whether the model looks at pages, rather than reading them. Raises ModelError for late interaction over text."""
    from pagetune.models.page_reader import PageReader

    images = bool(model.supports("image")) and not isinstance(model[0], PageReader)
    if is_late(model) and not images:
        raise ModelError(
            f"a late-interaction model of {', '.join(model.modalities)} reads no pages; choose one that takes images, "
            "or 'light' to read them"
        )
    return images


def whole(model: Any) -> Any:
    """The model at its own width: one that was saved with a shorter one is judged at both."""
    if getattr(model, "truncate_dim", None):
        model.truncate_dim = None
    return model
