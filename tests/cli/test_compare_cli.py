"""`pagetune compare` by its command line: two tiny models, one of them unfit, and BM25, each in its own process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner

from pagetune.cli.app import app
from pagetune.evaluation.trec import read_run

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

WORDS = ("ledger", "camshaft", "meadow", "violin")


def write_set(folder: Path) -> Path:
    """A page a word, with the text that stands on it."""
    folder.mkdir()
    rows = []
    for word in WORDS:
        page = Image.new("RGB", (160, 120), "white")
        ImageDraw.Draw(page).text((8, 30), word, fill="black", font=ImageFont.load_default(24))
        page.save(folder / f"{word}.png")
        rows.append({"query": f"the page of the {word}", "image": f"{word}.png", "words": f"{word} and more"})
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    import _tiny

    root = tmp_path_factory.mktemp("compare")
    models = [
        str(_tiny.tiny_clip(root / "clip", hidden=32, layers=1, image_size=64, words=WORDS)),
        str(_tiny.tiny_text_encoder(root / "blind", hidden=32, layers=1, words=WORDS)),
    ]
    keys = [f"dataset.eval={write_set(root / 'set')}", "compare.text_column=words", f"compare.models={models}"]
    return ["compare", *keys, "evaluate.resamples=200", "compare.dimensions=[16]", "-o", str(root / "out")]


def test_models_are_compared_once(arguments: list[str]) -> None:
    first = CliRunner().invoke(app, [*arguments, "--json", "-q"])
    assert first.exit_code == 0, first.stderr
    found = json.loads(first.stdout)
    assert found["ran"] == ["clip", "blind", "BM25"]
    rows = {row["model"]: row for row in found["rows"]}
    assert rows.keys() == {"clip", "BM25"}
    assert rows["BM25"]["metrics"]["NDCG@10"] == 1
    assert rows["BM25"]["about"].endswith("column 'words'")
    clip = rows["clip"]
    assert (clip["kind"], clip["dimension"], clip["bytes_per_page"]) == ("dense", 32, 128)
    assert clip["by_dimension"].keys() == {"32", "16"}
    assert clip["pages_per_second"] > 0
    assert clip["ms_per_query"] > 0
    assert clip["parameters"] > 10_000
    folder = Path(arguments[-1])
    for row in rows.values():
        run = read_run(folder / row["run"])
        figures = pq.read_table(folder / row["per_query"]).to_pylist()
        assert {line["query-id"] for line in figures} == run.keys()
        assert np.mean([line["NDCG@10"] for line in figures]) == pytest.approx(row["metrics"]["NDCG@10"], abs=1e-6)
        for line in figures:
            assert max(run[line["query-id"]], key=run[line["query-id"]].__getitem__) == line["first"]
            assert line["rank"] in (None, 1, 2, 3, 4)
    (failure,) = found["failures"]
    assert failure["model"] == "blind"
    assert "not images" in failure["reason"]
    again = CliRunner().invoke(app, [*arguments, "--json", "-q"])
    assert {**json.loads(again.stdout), "ran": found["ran"]} == found
    assert json.loads(again.stdout)["ran"] == []
    shown = CliRunner().invoke(app, arguments)
    assert "left out blind: the model takes" in shown.stdout
    assert "kept from before" in shown.stderr
    assert "BM25" in shown.stdout


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["compare.models=[light]"], "dataset.eval is not set"),
        (["compare.models=[light]", "dataset.eval=nowhere/at/all"], "no such file or folder"),
        (["stray"], "is not of the form section.key=value"),
        (["compare.model=[light]"], "did you mean 'models'?"),
    ],
)
def test_mistakes_are_one_line(given: list[str], says: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["compare", *given, "-o", str(tmp_path / "out")])
    assert done.exit_code in (1, 2)
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_names_are_printed_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pagetune.evaluation.comparison import compare
    from pagetune.evaluation.comparison.compare import Compared
    from pagetune.evaluation.comparison.grid import Failure, make_grid
    from pagetune.recipe import EvaluateRecipe

    none = make_grid([], [Failure("a[best].b [/v1]", "no [/such] file")], EvaluateRecipe(), {})
    best = "m[best] [/v1] has it"
    monkeypatch.setattr(type(none), "verdict", best)
    monkeypatch.setattr(compare, "compare_models", lambda *_, **__: Compared(none, ()))
    done = CliRunner().invoke(app, ["compare", "compare.models=[light]", "-o", str(tmp_path), "-q"])
    assert done.exit_code == 0, done.stderr
    assert best in done.stdout
    assert "left out a[best].b [/v1]: no [/such] file" in done.stdout
