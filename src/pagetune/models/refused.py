"""Why a checkpoint could not be loaded, in one line that says what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST = 200
"""Letters of a library's own message."""


def why(
    name: str,
    error: BaseException,
    *,
    trusted: bool = False,
    revision: str | None = None,
    section: str = "model",
) -> str:
    """What stood in the way of loading `name`, and what to do: `trusted` where its own code was allowed to run.

    `section`: of the recipe, which names the model.
    """
    if not trusted and (_asks_for_trust(error) or _brings_code(name, revision)):
        return f"{one_line(error)}; it brings its own code: look at that, and set {section}.trust_remote_code=true"
    if Path(name).exists():
        return f"{one_line(error)}; give a folder that a whole model was saved in"
    return f"{_not_there(name, error, revision) or one_line(error)}; give 'light', a folder or a Hub id in reach"


def one_line(error: BaseException) -> str:
    """A library's message without its line breaks, cut off where it is long."""
    line = " ".join(str(error).split()).removesuffix(".") or type(error).__name__
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def _asks_for_trust(error: BaseException) -> bool:
    return any("trust_remote_code" in str(cause) or "custom code" in str(cause) for cause in _causes(error))


def _brings_code(name: str, revision: str | None) -> bool:
    """Whether the configuration names classes that lie beside it."""
    file = Path(name) / "config.json"
    if not file.is_file():
        cached = _cached(name, revision)
        if cached is None:
            return False
        file = cached
    try:
        config: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "auto_map" in config


def _not_there(name: str, error: BaseException, revision: str | None) -> str | None:
    """That there is nothing under this name, as far as one can see from here; None where that is not the fault."""
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    causes = list(_causes(error))
    if any(isinstance(cause, HFValidationError) for cause in causes) or Path(name).is_absolute():
        return "it is neither a folder nor a name that the Hub could have"
    if not any(isinstance(cause, LocalEntryNotFoundError | OfflineModeIsEnabled) for cause in causes):
        return None
    if _cached(name, revision):
        return "only a part of it is in the Hub cache, and the Hub is not in reach"
    return "it is not a folder, not in the Hub cache, and the Hub is not in reach"


def _cached(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
