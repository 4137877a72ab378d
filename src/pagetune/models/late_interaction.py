"""Late interaction: a vector a token, and a score that adds up, for each token of the query, its nearest of the page.

(ColBERT, Khattab and Zaharia, 2020; on page images ColPali, Faysse et al., 2024.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError
from pagetune.models.quiet import drawn_from, quiet
from pagetune.models.refused import why
from pagetune.models.specs import kind_of

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from pagetune.models.specs import Spec

PROJECTION = r"(^|\.)\d+\.linear\."
"""Matches the names of a new projection's parameters."""


def load_late(spec: Spec) -> MultiVectorEncoder:
    """A published late-interaction checkpoint, or a backbone with a new projection, which must be trained.

    The projection is `spec.projection` wide, 128 if it is not given; a checkpoint's own stays. Raises ModelError.
    """
    from sentence_transformers import MultiVectorEncoder

    try:
        with quiet(), drawn_from():
            model = MultiVectorEncoder(spec.name, **spec.arguments())
    except Exception as error:
        reason = why(spec.name, error, trusted=spec.trust_remote_code, revision=spec.revision)
        raise ModelError(f"late-interaction model {spec.name!r} cannot be loaded: {reason}") from error
    if spec.projection is not None and has_new_projection(spec):
        with drawn_from():
            _resize(model, spec.projection)
    return model


def has_new_projection(spec: Spec) -> bool:
    """Whether loading makes a projection that nobody has trained yet."""
    return kind_of(spec.name) != "late"


def _resize(model: Any, width: int) -> None:
    from sentence_transformers.base.modules import Dense

    for name, module in list(model.named_children()):
        if isinstance(module, Dense):
            fresh = Dense(
                module.in_features,
                width,
                bias=module.bias,
                activation_function=None,
                module_input_name=module.module_input_name,
                module_output_name=module.module_output_name,
            )
            setattr(model, name, fresh.to(device=model.device, dtype=module.linear.weight.dtype))
            return
    raise ModelError("the model's own head makes its vectors; model.projection cannot be chosen, leave it out")
