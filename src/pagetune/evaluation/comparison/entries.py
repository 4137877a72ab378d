"""What is compared: each entry of the recipe with a short label, and the fingerprint that its result is kept under."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pagetune.errors import RecipeError
from pagetune.recipe import ModelRecipe, Recipe
from pagetune.workspace import fingerprint

VERSION = 3
"""Raise it when the same model on the same set gets other figures, or another file: results are kept under it."""

READING_VERSION = 1
"""The same, of the models that read pages alone."""

LEXICAL = "BM25"

SHARED = ("dtype", "attention", "device_map", "encode_batch", "encode_tokens", "trust_remote_code")
"""Keys of the recipe's `model` that hold for every entry that does not set them itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row to be: a model, or BM25 (`model` is None)."""

    label: str
    model: ModelRecipe | None
    fingerprint: str

    @property
    def file_name(self) -> str:
        """A name for this entry's files, the same as long as the fingerprint is."""
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', self.label).strip('-.')[:60]}-{self.fingerprint[:12]}"


def find_entries(recipe: Recipe, set_fingerprint: str) -> list[Entry]:
    """The models in the recipe's order, then BM25 where it is wanted. Raises RecipeError for none, or one twice."""
    wanted = [_keys(entry, recipe) for entry in recipe.compare.models]
    if not wanted:
        raise RecipeError(["compare.models is empty; name some, such as compare.models=[light,colmodernvbert]"])
    for place, keys in enumerate(wanted):
        if keys in wanted[:place]:
            raise RecipeError([f"compare.models.{place}: {keys['name']!r} is there twice; keep one"])
    common: dict[str, Any] = {
        "version": VERSION,
        "pagetune": metadata.version("pagetune"),
        "set": set_fingerprint,
        "depth": recipe.evaluate.depth,
    }
    entries = []
    for keys, label in zip(wanted, _labels(wanted), strict=True):
        model = ModelRecipe.model_validate(keys)
        parts: dict[str, Any] = {
            "model": model.model_dump(mode="json"),
            "dimensions": recipe.compare.dimensions,
            "files": _stamp(model),
        }
        if _may_read(model):
            parts["texts"] = {"version": READING_VERSION, "column": recipe.compare.text_column}
        entries.append(Entry(label, model, fingerprint(common, parts)))
    if recipe.compare.bm25:
        entries.append(Entry(LEXICAL, None, fingerprint(common, {"text_column": recipe.compare.text_column})))
    return entries


def _keys(entry: str | dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    shared = {key: getattr(recipe.model, key) for key in SHARED if key in recipe.model.model_fields_set}
    return shared | ({"name": entry} if isinstance(entry, str) else dict(entry))


def _labels(wanted: list[dict[str, Any]]) -> list[str]:
    """Names as they are, folders by their last parts; with the settings by which entries of one name differ."""
    labels = [_short(str(keys["name"]), [str(other["name"]) for other in wanted]) for keys in wanted]
    found = []
    for keys, label in zip(wanted, labels, strict=True):
        twins = [other for other, its in zip(wanted, labels, strict=True) if its == label]
        differing = [key for key in keys if any(other.get(key) != keys[key] for other in twins)]
        told = ", ".join(f"{key}={keys[key]}" for key in differing)
        found.append(f"{label} ({told})" if told else label)
    return found


def _short(name: str, names: list[str]) -> str:
    """The fewest last parts of a folder's path that no other folder has; any other name whole."""
    if not Path(name).is_dir():
        return name
    parts = Path(name).resolve().parts
    others = [Path(other).resolve().parts for other in set(names) - {name} if Path(other).is_dir()]
    count = next((n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in others)), len(parts))
    return "/".join(parts[-count:])


def _may_read(model: ModelRecipe) -> bool:
    """Whether the model may turn out to be one that reads pages, told without loading it."""
    from pagetune.models.own_modules import PAGE_READER

    modules = Path(model.name) / "modules.json"
    named = modules.is_file() and PAGE_READER in modules.read_text(encoding="utf-8", errors="replace")
    return named or model.name in ("light", "auto")


def _stamp(model: ModelRecipe) -> list[tuple[str, int, int]]:
    """Sizes and times of the files of a local model: a folder may be trained anew under its old name."""
    folders = [Path(name) for name in (model.name, model.image_model) if name and Path(name).is_dir()]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
