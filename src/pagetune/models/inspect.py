"""What a loaded model is: of late interaction, a router, a reranker that sees; and all of it in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pagetune.errors import ModelError
from pagetune.models.pixels import pixel_bounds

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

    from pagetune.recipe import RerankDirection

Architecture = Literal["logit", "pooled", "text"]


def is_late(model: Any) -> bool:
    """Whether the model gives a vector a token."""
    from sentence_transformers import MultiVectorEncoder

    return isinstance(model, MultiVectorEncoder)


def is_router(model: Any) -> bool:
    """Whether a model begins with routes."""
    from sentence_transformers.base.modules import Router

    return isinstance(model[0], Router)


def architecture_of(model: CrossEncoder) -> Architecture:
    """What turns the transformer's output into a score."""
    from sentence_transformers.cross_encoder.modules import LogitScore
    from sentence_transformers.sentence_transformer.modules import Pooling

    if any(isinstance(module, LogitScore) for module in model):
        return "logit"
    return "pooled" if any(isinstance(module, Pooling) for module in model) else "text"


def sees(model: CrossEncoder) -> bool:
    """Whether the model takes page images; one that does not takes the words of a passage."""
    return bool(model.supports("image"))


def task_prompt(model: CrossEncoder, direction: RerankDirection) -> str | None:
    """What the model is told to do in this direction; None: nothing. Give it as `prompt`, "" where it is None.

    A model that knows no direction by its name, as published ones, has one prompt for both.
    """
    if direction in model.prompts:
        return model.prompts[direction]
    return model.prompts.get(model.default_prompt_name) if model.default_prompt_name else None


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
