"""`pagetune evaluate` over run files of any system, and what of it does not go together."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pagetune.cli.app import app
from pagetune.cli.tables import COLUMNS, EXPONENTIAL, systems_table

QUERIES = range(40)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Judgements, and two runs: the new one puts the right page first, the old one second."""
    (tmp_path / "qrels").write_text("".join(f"q{n} 0 p{n} {1 + n % 2}\n" for n in QUERIES))
    for name, place in (("new", 0), ("old", 1)):
        lines = []
        for n in QUERIES:
            pages = ["x", "y"]
            pages.insert(place, f"p{n}")
            lines += [f"q{n} Q0 {page} {rank} {9 - rank} tag" for rank, page in enumerate(pages, start=1)]
        (tmp_path / f"{name}.trec").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_run_is_judged_and_compared_as_a_table_json_and_markdown(files: Path) -> None:
    given = ["--run", str(files / "new.trec"), "--qrels", str(files / "qrels"), "--against", str(files / "old.trec")]
    command = ["evaluate", *given, "evaluate.resamples=200"]
    done = CliRunner().invoke(app, [*command, "--markdown", str(files / "out" / "table.md")])
    assert done.exit_code == 0, done.output
    assert "new against old: NDCG@10 0.631 → 1.000" in done.stdout.replace("\n", " ")
    assert "measurably better" in done.stdout
    assert "NDCG@10 (linear gain)" in done.stdout
    text = (files / "out" / "table.md").read_text(encoding="utf-8")
    assert "| NDCG@10 (linear gain) | 1.0000 | 1.000–1.000 | 0.6309 | +0.3691 |" in text
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert found["metrics"]["NDCG@10"] == 1.0
    assert found["comparisons"]["NDCG@10"]["outcome"] == "gain"
    alone = CliRunner().invoke(app, ["evaluate", *given[:4]])
    assert "new: NDCG@10 1.000" in alone.stdout


def test_pages_are_left_out_of_the_answers_of_a_query(files: Path) -> None:
    command = ["evaluate", "--run", str(files / "old.trec"), "--qrels", str(files / "qrels"), "evaluate.resamples=200"]
    # In the old run x stands above every right page.
    (files / "out").write_text("".join(f"q{n}\tx\n" for n in QUERIES))
    found = json.loads(CliRunner().invoke(app, [*command, "--exclude", str(files / "out"), "--json"]).stdout)
    assert found["metrics"]["NDCG@10"] == 1.0
    assert any("40 pages of 40 queries" in note for note in found["notes"])
    for line, says in (
        ("q0 x", "line 1: 'q0 x' is not query, tab, page"),
        ("q99\tx", "line 1: query 'q99' is not in the judgements"),
        ("q0\tp0", "query 'q0': page 'p0' has grade 1 and is excluded; drop one of both"),
    ):
        (files / "out").write_text(line)
        done = CliRunner().invoke(app, [*command, "--exclude", str(files / "out")])
        assert done.exit_code == 1
        assert says in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--exclude", "qrels"], "--exclude goes with --run FILE"),
        (["--qrels", "qrels"], "--qrels goes with --run FILE"),
        (["--run", "new.trec"], "give --qrels FILE"),
        (["--run", "new.trec", "--qrels", "qrels", "--fail-under", "0.5"], "--fail-under goes with a workspace"),
        (["--run", "new.trec", "--qrels", "qrels", "--rerank"], "--rerank goes with a workspace"),
        (["--run", "no.trec", "--qrels", "qrels"], "no.trec: not readable"),
        (["--fail-under", "1.5"], "fail-under 1.5: NDCG@10 is between 0 and 1"),
        (["--fail-under", "nowhere.json"], "neither a number nor a file"),
        (["--fail-under", "qrels"], "is not the metrics.json of an evaluation"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    arguments: list[str], says: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    done = CliRunner().invoke(app, ["evaluate", *arguments])
    assert done.exit_code in (1, 2)
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (files / "ws").exists()


@pytest.mark.parametrize(("width", "spared"), [(80, True), (120, False)])
def test_both_gains_are_in_the_table_where_they_differ(width: int, spared: bool) -> None:
    row = {"metrics": {**dict.fromkeys(COLUMNS, 0.5), EXPONENTIAL: 0.525}, "interval": [0.444, 0.556]}
    console = Console(width=width, file=io.StringIO())
    systems = dict.fromkeys(["base", "tuned", "BM25", "BM25+tuned"], row)
    console.print(systems_table({"queries": 12345, "pages": 1234567, "systems": systems}, width))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2 + len(systems)
    assert "exp. gain" in lines[1]
    assert ("MAP" not in lines[1]) == spared
    assert all("0.525" in line for line in lines[2:])
