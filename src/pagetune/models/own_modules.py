"""Folders that name modules of Pagetune's beside those of Sentence Transformers.

Sentence Transformers imports a foreign class only with trust_remote_code, which would also run code that the folder
brings along; so the classes are resolved here: its own and Pagetune's, nothing else.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pagetune.errors import ModelError

PAGE_READER = "pagetune.models.page_reader.PageReader"
TOKEN_MATCH = "pagetune.models.token_match.TokenMatch"
OWN = (PAGE_READER, TOKEN_MATCH)


def names_own(modules: Any) -> bool:
    """Whether what modules.json holds names one of Pagetune's."""
    return isinstance(modules, list) and any(entry.get("type") in OWN for entry in modules)


def load_modules(path: Path, modules: Sequence[Mapping[str, str]], **transformer: Any) -> list[Any]:
    """The modules of a folder, in their order; `transformer`: keyword arguments of the one that holds the weights.

    Raises ModelError for a class of anybody else's.
    """
    from sentence_transformers.base.modules import Transformer

    loaded = []
    for entry in modules:
        room, _, name = entry["type"].rpartition(".")
        if entry["type"] not in OWN and not room.startswith("sentence_transformers."):
            raise ModelError(f"module {entry['type']!r} is neither Sentence Transformers' nor Pagetune's")
        kind = getattr(importlib.import_module(room), name)
        more = transformer if issubclass(kind, Transformer) else {}
        loaded.append(kind.load(str(path), subfolder=entry["path"], local_files_only=True, **more))
    return loaded


def read_json(file: Path) -> Any:
    """What is in it; None where there is no such file, or no JSON in it."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
