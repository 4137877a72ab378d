"""The house has an order: no module imports from a room above its own, and no files import each other in a circle.

Imports inside functions and for types alone count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pagetune

SOURCE = Path(pagetune.__file__).parent
BELOW = {
    *("errors", "records", "progress", "machine", "workspace", "context"),
    *("recipe", "recipe_sections", "recipe_training", "recipe_faults"),
    "layout",  # the records join their words as it says
}
ROOMS = ("pages", "examples", "models", "training", "evaluation", "search", "serving")
ABOVE = ("cli", "__init__", "__main__")
"""Between the rooms and these stands all else: the stages, and what drives them."""


def level(part: str) -> int:
    """How high in the house a room or a module beside the rooms stands."""
    if part in BELOW:
        return 0
    if part in ROOMS:
        return 1 + ROOMS.index(part)
    return len(ROOMS) + (2 if part in ABOVE else 1)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and room of every import from the package, also those in functions and those for types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "pagetune" and rest:  # `import pagetune` asks where it lies.
                yield node.lineno, rest.partition(".")[0]


def test_no_import_goes_up() -> None:
    up = []
    for file in sorted(SOURCE.rglob("*.py")):
        place = file.relative_to(SOURCE)
        own = place.parts[0].removesuffix(".py")
        for line, other in imported(ast.parse(file.read_text(encoding="utf-8"))):
            if level(other) > level(own):
                up.append(f"{place}:{line} ({own}) imports from {other}")
    assert not up, "\n".join(up)


def imports_of_files() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports."""
    files = {file.relative_to(SOURCE).with_suffix(""): file for file in SOURCE.rglob("*.py")}
    names = {".".join(place.parts).removesuffix(".__init__"): file for place, file in files.items()}
    found: dict[str, set[str]] = {}
    for name, file in names.items():
        found[name] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                whole = [alias.name for alias in node.names]
            else:
                continue
            for module in (entry.partition("pagetune.")[2] for entry in whole if entry.startswith("pagetune.")):
                parts = module.split(".")
                told = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
                found[name] |= {next((part for part in told if part in names), name)} - {name}
    return found


def test_no_files_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(imports_of_files()).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise AssertionError(f"these import each other in a circle: {circle}") from None
