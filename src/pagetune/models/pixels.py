"""How many pixels of a page a model looks at."""

from __future__ import annotations

from typing import Any

from pagetune.errors import ModelError

DEFAULT_SIDE = 512

AREA_KEYS = {"shortest_edge", "longest_edge"}
"""What Qwen-VL's image processors call their bounds, which are areas all the same: width times height."""


def bound_pixels(
    model: Any, lowest: int | None, highest: int | None, *, required: bool = True, section: str = "model"
) -> None:
    """Scale pages to between `lowest` and `highest` pixels (width times height), and save the model so.

    Set where the processor keeps it: as arguments of loading, `min_pixels` and `max_pixels` would end up in the
    tokenizer's settings too, and win over later ones. A processor that scales every picture alike has no such bounds:
    with `required`, that raises ModelError.
    """
    if lowest is None and highest is None:
        return
    processor = image_processor(model)
    if not has_bounds(processor):
        if required:
            size = getattr(processor, "size", None) or "no picture at all"
            raise ModelError(
                f"{section}.min_pixels and max_pixels: this model scales every page alike, to {size}; leave them"
            )
        return
    size = {key: getattr(processor.size, key) for key in AREA_KEYS}
    size["shortest_edge"] = lowest or size["shortest_edge"]
    size["longest_edge"] = highest or size["longest_edge"]
    if size["shortest_edge"] > size["longest_edge"]:
        raise ModelError(f"{section}.min_pixels={size['shortest_edge']} is above max_pixels={size['longest_edge']}")
    processor.size = type(processor.size)(**size)


def pixel_bounds(model: Any) -> tuple[int, int] | None:
    """The bounds in force, None where the processor has none."""
    processor = image_processor(model)
    return (processor.size.shortest_edge, processor.size.longest_edge) if has_bounds(processor) else None


def image_processor(model: Any) -> Any:
    """What turns a picture into the model's input, None where there is no such thing."""
    return getattr(getattr(model[0], "processor", None), "image_processor", None)


def has_bounds(processor: Any) -> bool:
    """Whether an image processor scales by area between two bounds."""
    size = getattr(processor, "size", None)
    return hasattr(processor, "merge_size") and all(getattr(size, key, None) is not None for key in AREA_KEYS)


def rendering(model: Any) -> dict[str, int]:
    """How large to render a page for the model: as many pixels as it takes, or twice the side of its fixed picture."""
    if bounds := pixel_bounds(model):
        return {"max_pixels": bounds[1]}
    size = getattr(image_processor(model), "size", None)
    sides = [getattr(size, key, None) for key in ("height", "width", "shortest_edge", "longest_edge")]
    return {"long_side": 2 * max([side for side in sides if side] or [DEFAULT_SIDE])}
