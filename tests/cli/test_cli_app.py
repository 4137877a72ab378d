"""The command line: help without the heavy libraries, arguments, errors as one line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pagetune.cli.app import app
from pagetune.cli.common import sort_arguments
from pagetune.cli.tables import COLUMNS, systems_table

SYSTEMS = ["base", "tuned", "BM25", "BM25+tuned"]
VERBS = [
    "run",
    "demo",
    "read",
    "queries",
    "mine",
    "fit",
    "evaluate",
    "report",
    "review",
    "index",
    "search",
    "compare",
    "data",
]
HEAVY = ["torch", "sentence_transformers", "transformers", "datasets", "lancedb", "matplotlib", "numpy"]


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_of_every_verb_loads_nothing_heavy(verb: str) -> None:
    code = (
        "import sys\n"
        "from pagetune.cli.app import app\n"
        f"sys.argv = ['pagetune', *{[verb] if verb else []!r}, '--help']\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert done.stdout.rstrip().endswith("HEAVY []")


def test_arguments_are_parted_into_paths_overrides_and_recipe(tmp_path: Path) -> None:
    odd = tmp_path / "a=b.pdf"
    odd.touch()
    paths, overrides, recipe = sort_arguments(["docs", str(odd), "fit.epochs=2", "recipe=light"])
    assert paths == [Path("docs"), odd]
    assert overrides == ["fit.epochs=2"]
    assert recipe == "light"


def test_every_fault_of_the_recipe_is_a_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["run", str(tmp_path), "fit.epoch=2", "fit.batch_size=0", "-w", str(tmp_path / "ws")]
    )
    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()
    assert any("fit.epoch:" in line and "'epochs'" in line for line in lines)
    assert any("fit.batch_size:" in line and "got 0" in line for line in lines)
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nowhere"], "nowhere does not exist"),
        (["run"], "has not been given documents"),
        (["search", "anything"], "is not a workspace"),
        (["fit", "stray"], "is not of the form section.key=value"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code in (1, 2)
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_model_that_fit_is_given_is_of_what_the_recipe_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pagetune.pipeline import Pipeline
    from pagetune.recipe import Recipe

    found: list[Recipe] = []
    monkeypatch.setattr(Pipeline, "plan", lambda self, until=None: found.append(self.recipe) or [])
    workspace = tmp_path / "ws"
    fit = ["fit", "-m", "some/model", "--dry-run", "-w", str(workspace)]
    (tmp_path / "mine.yaml").write_text("kind: reranker\n")
    for more in ([], ["kind=reranker"], ["-r", str(tmp_path / "mine.yaml")], ["kind= reranker"]):
        assert CliRunner().invoke(app, [*fit, *more]).exit_code == 0
    workspace.mkdir()
    (workspace / "recipe.yaml").write_text("kind: reranker\n")
    for more in ([], ["kind=retriever"]):
        assert CliRunner().invoke(app, [*fit, *more]).exit_code == 0
    names = [(recipe.model.name, recipe.rerank.name) for recipe in found]
    as_model, as_reranker = ("some/model", "light"), ("light", "some/model")
    assert names == [as_model, as_reranker, as_reranker, as_reranker, as_reranker, as_model]


def test_a_folder_that_is_not_a_workspace_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "thesis.txt").write_text("mine")
    (tmp_path / "docs").mkdir()
    result = CliRunner().invoke(app, ["run", str(tmp_path / "docs"), "-w", str(tmp_path / "ws")])
    assert result.exit_code == 1
    assert "not a workspace" in result.stderr
    assert (tmp_path / "ws" / "thesis.txt").read_text() == "mine"


def test_what_the_system_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/read-only/ws")

    monkeypatch.setattr("pagetune.workspace.Workspace.create", refuse)
    (tmp_path / "docs").mkdir()
    result = CliRunner().invoke(app, ["run", str(tmp_path / "docs"), "-w", str(tmp_path / "ws"), "-q"])
    assert (result.exit_code, result.stderr) == (1, "error: Permission denied: /read-only/ws\n")


def test_a_dry_run_in_json(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["run", str(tmp_path), "-w", str(tmp_path / "ws"), "--dry-run", "--json"])
    assert [step["action"] for step in json.loads(result.stdout)] == ["run"] * 6


def test_the_table_of_systems_fits_eighty_columns() -> None:
    metrics = dict.fromkeys(COLUMNS, 0.5)
    row = {"metrics": metrics, "interval": [0.444, 0.556]}
    console = Console(width=80, file=io.StringIO())
    console.print(systems_table({"queries": 12345, "pages": 1234567, "systems": dict.fromkeys(SYSTEMS, row)}))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2 + len(SYSTEMS)
    assert "95% interval" in lines[1]
    assert all("0.444–0.556" in line for line in lines[2:])


def test_a_stage_prints_no_long_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = {"fit": {"steps": 40, "history": [{"step": 1.0, "loss": 2.0}] * 30}}
    monkeypatch.setattr("pagetune.pipeline.Pipeline.run", lambda self, until: made)
    arguments = ["fit", "-w", str(tmp_path / "ws")]
    assert CliRunner().invoke(app, arguments).stdout == "steps: 40\n"
    assert json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout) == made["fit"]


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.output.startswith("pagetune ")


def test_the_demos_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["demo", "--workspace", str(tmp_path / "ws"), "--dry-run", "--json"])
    assert done.exit_code == 0
    assert {step["action"] for step in json.loads(done.stdout)} == {"run"}
    assert not list(tmp_path.iterdir())
