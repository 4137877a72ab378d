"""The generated pages are as the code has them; links and verbs in the docs exist.

`python tests/test_docs_drift.py` writes the generated pages.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
GENERATED = {
    "cli.md": ("typer", "pagetune.cli.app", "utils", "docs", "--name", "pagetune"),
    "recipe.md": ("pagetune.recipe_docs",),
}
"""A page of docs/ and the module, with its arguments, that prints it."""


def generate(name: str) -> str:
    """What the page should hold; the terminal is the same wherever this runs."""
    terminal = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb", "PYTHONUTF8": "1"}
    environment = {key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "PY_COLORS")}
    command = [sys.executable, "-m", *GENERATED[name]]
    done = subprocess.run(
        command, env=environment | terminal, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip() + "\n"


def labels(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


@pytest.mark.parametrize("name", GENERATED)
def test_generated_page_is_as_the_code_has_it(name: str) -> None:
    message = f"docs/{name} has drifted; run: python tests/test_docs_drift.py"
    assert (DOCS / name).read_text(encoding="utf-8") == generate(name), message


@pytest.mark.parametrize("path", PAGES, ids=labels(PAGES))
def test_relative_links_point_at_files(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    wanted = [link for link in links if link and not re.match(r"[a-z]+:", link)]
    assert [link for link in wanted if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=labels(PAGES))
def test_verbs_are_real(path: Path) -> None:
    from pagetune.cli.app import app

    verbs = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    verbs |= {group.name or getattr(group.typer_instance.info, "name", "") for group in app.registered_groups}
    named = re.findall(r"(?<!from )(?<!import )\bpagetune ([a-z][\w-]*)", path.read_text(encoding="utf-8"))
    assert verbs >= {"run", "search"}
    assert sorted(set(named) - verbs) == []


def test_every_key_of_the_recipe_is_described() -> None:
    from pagetune.recipe import Recipe

    bare = [
        f"{section}.{key}"
        for section, field in Recipe.model_fields.items()
        for key, inner in getattr(field.annotation, "model_fields", {}).items()
        if not inner.description
    ]
    assert bare == []


if __name__ == "__main__":
    for page in GENERATED:
        (DOCS / page).write_text(generate(page), encoding="utf-8")
        print(f"wrote docs/{page}")
