"""The parts of a stage's fingerprint: what of the recipe is in them, and what changed since it ran, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pagetune.workspace import fingerprint

Parts = Mapping[str, Any]


def only(recipe: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The part of a recipe, as plain values, that these keys name; what it does not have is left out."""
    found: dict[str, Any] = {}
    for name in keys:
        section, dot, key = name.partition(".")
        if not dot and section in recipe:
            found[section] = recipe[section]
        elif key in recipe.get(section, {}):
            found.setdefault(section, {})[key] = recipe[section][key]
    return found


def difference(old: Parts, new: Parts) -> str:
    """The first thing that changed since the stage ran, in words."""
    if old.get("code") != new["code"]:
        return f"its code changed (version {old.get('code')} to {new['code']})"
    changes = list(_changes(old.get("recipe", {}), json.loads(json.dumps(new["recipe"])), ""))
    if changes:
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        return f"recipe: {changes[0]}{more}"
    return _input_difference(old.get("inputs", {}), new["inputs"])


def _input_difference(old: Parts, new: Parts) -> str:
    if old.get("models", []) != new.get("models", []):
        return "the model's files changed"
    if old.get("rerankers", []) != new.get("rerankers", []):
        return "the reranker's files changed"
    if old.get("reviews") != new.get("reviews"):
        return "judgements were reviewed"
    if old.get("guard") != new.get("guard"):
        return "the general set's files changed"
    for used, stage in (("retriever", "fit"), ("reranker", "rerank")):
        if old.get(used) != new.get(used):
            return f"{stage} made something new"
    if "dataset" in new and old.get("dataset") != new["dataset"]:
        return "the dataset's files changed"
    if "documents" not in new:
        changed = [name for name in new if old.get(name) != new[name]]
        return f"{changed[0]} made something new" if changed else "its inputs changed"
    had, has = dict(old.get("tools", {})), dict(new["tools"])
    for tool in has:
        if old.get("documents") == new["documents"] and had.get(tool) != has[tool]:
            return f"{tool} is {'there now' if has[tool] else 'no longer there'}"
    before, after = dict(old.get("documents", {})), dict(new["documents"])
    added, gone = len(after.keys() - before.keys()), len(before.keys() - after.keys())
    changed_files = sum(before[name] != after[name] for name in before.keys() & after.keys())
    return f"documents: {added} new, {changed_files} changed, {gone} gone"


def _changes(old: Any, new: Any, prefix: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[str] = []
        for key in [*old, *(key for key in new if key not in old)]:
            found.extend(_changes(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else str(key)))
        return found
    return [] if old == new else [f"{prefix} {old} → {new}"]


def judged_stamp(parts: Parts) -> str:
    """What tells the queries, judgements, pages and model that an evaluation is of from any others."""
    beside = ("guard", "rerank", "reranker", "rerankers")
    inputs = {name: value for name, value in parts["inputs"].items() if name not in beside}
    return fingerprint(inputs, parts["recipe"].get("dataset"))
