"""docs/recipe.md, generated from the schema: `python -m pagetune.recipe_docs > docs/recipe.md`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic.fields import FieldInfo

from pagetune.recipe import Recipe, shipped_recipes

HEAD = """# The recipe

Generated from the schema by `python -m pagetune.recipe_docs > docs/recipe.md`; a test fails on drift.

A recipe is a YAML file of sections, one a stage. Everything has a default, so a recipe holds only what differs:

```yaml
fit:
  epochs: 2
  learning_rate: 5.0e-5
```

Use it with `pagetune run DOCUMENTS --recipe my.yaml`, override single keys with `section.key=value` after it, and find
the resolved whole in the workspace's `recipe.yaml`. An unknown key or an impossible value is refused before any work,
all of them at once.
"""


def recipe_page() -> str:
    """The whole page, as Markdown."""
    parts = [HEAD]
    recipes = shipped_recipes()
    if recipes:
        parts.append("Recipes inside Pagetune (`--recipe NAME`): " + ", ".join(f"`{name}`" for name in recipes) + ".\n")
    fields = Recipe.model_fields
    single = {name: field for name, field in fields.items() if not hasattr(field.annotation, "model_fields")}
    parts += ["Beside the sections:\n", *_table(single)]
    for name, field in fields.items():
        if name not in single:
            section: Any = field.annotation
            parts += [f"## `{name}`\n\n{section.__doc__.strip()}\n", *_table(section.model_fields)]
    return "\n".join(parts)


def _table(fields: Mapping[str, FieldInfo]) -> list[str]:
    """Its lines, a key each, and an empty one."""
    rows = [
        f"| `{key}` | {_value(field.default)} | {_values(field)} | {field.description or ''} |"
        for key, field in fields.items()
    ]
    return ["| key | default | values | meaning |\n| --- | --- | --- | --- |", *rows, ""]


def _value(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return f"`{value}`"


def _values(field: FieldInfo) -> str:
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in signs.items()
        if hasattr(rule, name)
    ]
    return " and ".join(bounds)


if __name__ == "__main__":
    print(recipe_page(), end="")
