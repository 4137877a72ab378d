"""What is wrong with a recipe, a line a fault: its key, the value received and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel


def unknown_keys(data: Any, model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """A line for every key of `data` that the schema `model`, which stands at `prefix`, does not have."""
    if not isinstance(data, dict):
        return
    known = model.model_fields
    for key, value in data.items():
        if key not in known:
            elsewhere = _sections_with(str(key), model) if not prefix else []
            hint = f"; did you mean {elsewhere[0]!r}?" if elsewhere else nearest(str(key), [*known])
            yield f"{prefix}{key}: unknown key (value {value!r}){hint}"
            continue
        inner = known[key].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from unknown_keys(value, inner, f"{prefix}{key}.")


def _sections_with(key: str, root: type[BaseModel]) -> list[str]:
    return [
        f"{name}.{key}"
        for name, field in root.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, BaseModel)
        and key in field.annotation.model_fields
    ]


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a line about an unknown name: the nearest known one, else all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def say(fault: Any) -> str:
    """One of pydantic's faults as a line: the key, what is wrong, the value received."""
    key = ".".join(str(part) for part in fault["loc"]) or "recipe"
    message = str(fault["msg"]).removeprefix("Value error, ")
    received = fault.get("input")
    if isinstance(received, dict):
        return f"{key}: {message}"
    return f"{key}: {message}, got {received!r}"
