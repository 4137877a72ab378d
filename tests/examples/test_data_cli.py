"""`pagetune data check` and `pagetune data export`, and what they are made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner
from visual_rows import beir, cells, encoded, jsonl, page, pictures, png, rows

from pagetune.cli.app import app
from pagetune.errors import DataError
from pagetune.evaluation.false_negatives import Suspect, confirm, write_suspects
from pagetune.evaluation.metrics import score_run
from pagetune.examples.check import check_sets, image_tokens, leakage
from pagetune.examples.contact_sheet import sheet_rows, write_sheet
from pagetune.examples.export import export_sets
from pagetune.examples.loading import load_eval_set, load_train_set, make_eval_set, make_train_set
from pagetune.recipe import DatasetRecipe, load_recipe
from pagetune.workspace import Workspace


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["data", *arguments])


@pytest.fixture
def sets(tmp_path: Path) -> list[str]:
    """Overrides that name a training set of three triplets and an evaluation set of tables, on pages 0 to 3."""
    pictures(tmp_path)
    (tmp_path / "t.jsonl").write_text(jsonl(rows()))
    beir(tmp_path / "set", queries={"query": ["What is  ON page 1", "nothing like it"]})
    return [f"dataset.train={tmp_path / 't.jsonl'}", f"dataset.eval={tmp_path / 'set'}"]


def test_tokens_are_those_of_qwens_own_processor() -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    for low, high in ((28 * 28, 600 * 600), (65_536, 16_777_216)):
        for width, height in ((60, 80), (1, 1), (1700, 2200), (31, 900), (900, 31), (5000, 7000), (600, 600)):
            tall, wide = smart_resize(height, width, 32, low, high)
            assert image_tokens(width, height, 32, low, high) == (tall // 32) * (wide // 32)
    assert image_tokens(600, 600, 28, 28 * 28, 600 * 600) == 21 * 21


def test_a_check_in_words(sets: list[str], tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    done = run("check", *sets, "--sheet", str(sheet), "model.max_pixels=4096", "model.min_pixels=784")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for line in (
        "train form: triplets with 1 negative(s)",
        "train rows: 3",
        "train pages: 4",
        "train width: least 60, median 60, most 60",
        "train tokens of a page: least 4, median 4, most 4",
        "train repeated: rows 0, queries 0, answers 0",
        "eval form: BEIR",
        "eval queries: 2",
        "eval pages without query: 1",
        f"examples: {sheet}",
    ):
        assert line in lines
    assert any(line.startswith("in both: 1 queries, 2 answers, 1 other pages; such as What is  ON") for line in lines)
    assert Image.open(sheet).format == "PNG"


def test_a_check_in_json(sets: list[str], tmp_path: Path) -> None:
    done = run("check", *sets, "--json", "-n", "0", "--patch", "28")
    report = json.loads(done.stdout)
    assert report["pixels"]["patch"] == 28
    assert report["train"]["rows"] == 3
    assert report["train"]["fingerprint"] == load_train_set(DatasetRecipe(train=str(tmp_path / "t.jsonl"))).fingerprint
    assert report["leakage"]["queries"] == 1
    assert "sheet" not in report


def test_leaks_fail_a_strict_check(sets: list[str], tmp_path: Path) -> None:
    assert run("check", *sets, "-n", "0", "--strict").exit_code == 1
    assert run("check", sets[0], "-n", "0", "--strict").exit_code == 0
    apart = beir(tmp_path / "apart", corpus={"image": cells(png(7), png(8), png(9))})
    assert run("check", sets[0], f"dataset.eval={apart}", "-n", "0", "--strict").exit_code == 0


def test_what_is_there_twice_is_counted() -> None:
    row = {"query": "A page", "image": png(0), "negative_0": png(1)}
    train = make_train_set([row, row, {**row, "query": "a  PAGE", "image": png(2)}])
    report = check_sets(train, None)["train"]
    assert report["repeated"] == {"rows": 1, "queries": 2, "answers": 1}
    assert (report["rows"], report["queries"], report["pages"]) == (3, 2, 3)
    other = make_eval_set([{"query": "elsewhere", "image": png(5), "negative_0": png(1)}])
    assert leakage(train, other) == {"queries": 0, "answers": 0, "other_pages": 1, "examples": []}


def test_long_pages_are_pointed_out() -> None:
    train = make_train_set([{"query": "a", "image": encoded(page(0, (2, 900)))}])
    assert check_sets(train, None)["train"]["pages_too_long_for_qwen_vl"] == 1


def test_the_contact_sheet_shows_pages_and_their_role(tmp_path: Path) -> None:
    row = {"query": "a question that is long " * 20, "image": page(0), "negative_0": page(1), "label": 1}
    train = make_train_set([row] * 9)
    found = sheet_rows(train, None, 3)
    assert [entry.text[:15] for entry in found] == [f"train {n} · label" for n in (0, 4, 8)]
    assert [(caption, answers) for caption, answers, _ in found[0].pictures] == [("image", True), ("negative_0", False)]
    write_sheet(found, tmp_path / "sheet.png")
    colours = {colour for _, colour in Image.open(tmp_path / "sheet.png").getcolors(1 << 20)}  # type: ignore[union-attr]
    assert {(46, 125, 50), (198, 40, 40), page(0).getpixel((0, 0)), page(1).getpixel((0, 0))} <= colours
    with pytest.raises(DataError, match=r"there is no example to draw"):
        write_sheet([], tmp_path / "none.png")


def test_what_is_exported_is_read_again(sets: list[str], tmp_path: Path) -> None:
    done = run("export", str(tmp_path / "out"), *sets, "dataset.columns={}")
    assert (done.exit_code, done.stderr) == (0, "")
    out = tmp_path / "out"
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    tables = [
        f"{name}/{split}-00000-of-00001.parquet"
        for name in ("corpus", "qrels", "queries")
        for split in ("test", "train")
    ]
    assert names == ["README.md", *tables, "triplets/train-00000-of-00001.parquet"]
    assert [f"wrote {out / name}" for name in names] == done.stdout.splitlines()
    train = load_train_set(DatasetRecipe(train=sets[0].partition("=")[2]))
    judged = load_eval_set(DatasetRecipe(eval=sets[1].partition("=")[2]))
    again = load_train_set(DatasetRecipe(train=str(out), train_config="triplets"))
    assert again.fingerprint == train.fingerprint
    assert load_eval_set(DatasetRecipe(eval=str(out))).fingerprint == judged.fingerprint
    training = load_eval_set(DatasetRecipe(eval=str(out), eval_split="train"))
    assert sorted(training.queries.values()) == sorted(train.dataset["query"])
    assert {training.page_key(name) for name in training.page_ids} == {
        name for column in train.columns for name in train.keys[column]
    }


def test_pages_to_leave_out_are_exported_and_heeded_again(sets: list[str], tmp_path: Path) -> None:
    train = load_train_set(DatasetRecipe(train=sets[0].partition("=")[2]))
    judged = load_eval_set(DatasetRecipe(eval=sets[1].partition("=")[2]))
    query, shown = list(judged.queries)[-1], judged.page_ids
    out = min(shown)  # The first of equal scores.
    assert out not in judged.qrels[query]
    excluding = replace(judged, excluded={query: (out,)})
    export_sets(train, excluding, tmp_path / "out")
    again = load_eval_set(DatasetRecipe(eval=str(tmp_path / "out")))
    assert again.excluded == excluding.excluded
    assert again.fingerprint == excluding.fingerprint
    assert load_eval_set(DatasetRecipe(eval=str(tmp_path / "out"), eval_split="train")).excluded == {}
    tables = [tmp_path / "out" / "queries" / f"{split}-00000-of-00001.parquet" for split in ("test", "train")]
    assert pq.read_schema(tables[0]) == pq.read_schema(tables[1])
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| `queries` | test, train | `query-id`, `query`, `excluded` |" in card
    # Every page as near as the others: only what is left out tells the two sets apart.
    runs = {name: {each: dict.fromkeys(shown, 1.0) for each in judged.queries} for name in ("before", "after")}
    before = score_run(runs["before"], excluding.qrels, excluding.excluded)
    after = score_run(runs["after"], again.qrels, again.excluded)
    assert before.means() == after.means() != score_run(runs["before"], judged.qrels).means()


def test_what_was_decided_in_a_review_is_exported_with_who_and_when(sets: list[str], tmp_path: Path) -> None:
    from datasets import load_dataset

    judged = load_eval_set(DatasetRecipe(eval=sets[1].partition("=")[2]))
    query = next(iter(judged.queries))
    right, other = next(iter(judged.qrels[query])), next(p for p in judged.page_ids if p not in judged.qrels[query])
    workspace = Workspace(tmp_path / "ws").create()
    (workspace.root / "recipe.yaml").write_text(load_recipe(None, sets).to_yaml())
    suspect = Suspect(query, judged.queries[query], other, right, {"base": 1, "tuned": 2}, {"base": 3, "tuned": 3})
    write_suspects([suspect], workspace.reviews)
    out, again = tmp_path / "out", tmp_path / "again"
    assert run("export", str(out), "-w", str(workspace.root)).exit_code == 0  # Nothing is decided yet.
    assert load_eval_set(DatasetRecipe(eval=str(out))).fingerprint == judged.fingerprint
    confirm(workspace.reviews, query, other, by="Ada")
    done = run("export", str(again), "-w", str(workspace.root))
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"1 judgements were decided in the reviews of {workspace.root}"
    found = load_dataset(str(again), "qrels")
    rows = {(row["query-id"], row["corpus-id"]): row for row in found["test"]}
    assert (rows[query, other]["score"], rows[query, other]["by"], rows[query, other]["models"]) == (
        2,
        "Ada",
        "base, tuned",
    )
    assert rows[query, right]["by"] is None
    assert set(found["train"].column_names) == set(found["test"].column_names)
    assert load_eval_set(DatasetRecipe(eval=str(again))).qrels[query][other] == 2
    assert "- Decided in a review: 1 judgements" in (again / "README.md").read_text()
    assert "not a workspace" in run("export", str(tmp_path / "x"), *sets, "-w", str(tmp_path / "none")).stderr


def test_the_card_is_what_datasets_reads(sets: list[str], tmp_path: Path) -> None:
    from datasets import Image as Encoded
    from datasets import get_dataset_config_names, load_dataset

    out = tmp_path / "out"
    run("export", str(out), *sets)
    text = (out / "README.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert [config["config_name"] for config in head["configs"]] == ["corpus", "qrels", "queries", "triplets"]
    assert "- Training: 3 rows, triplets with 1 negative(s), from `t.jsonl`." in text
    assert "- In both: 1 queries, 2 answers, 1 other pages." in text
    assert str(tmp_path) not in text
    assert get_dataset_config_names(str(out)) == ["corpus", "qrels", "queries", "triplets"]
    loaded = load_dataset(str(out), "triplets", split="train")
    assert loaded.features["image"] == Encoded()
    assert loaded[0]["negative_0"].tobytes() == page(1).tobytes()


def test_labels_and_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pagetune.examples.export.SHARD_BYTES", len(png(0)) * 3)
    train = make_train_set([{"query": f"q{n}", "image": page(n), "label": n % 2} for n in range(7)])
    written = export_sets(train, None, tmp_path / "out")
    assert [path.name for path in written if path.parent.name == "triplets"] == [
        f"train-{shard:05d}-of-00003.parquet" for shard in range(3)
    ]
    again = load_train_set(DatasetRecipe(train=str(tmp_path / "out"), train_config="triplets", negatives=0))
    assert (again.fingerprint, again.form) == (train.fingerprint, "labelled pairs")
    # A pair that is labelled 0 is no answer.
    assert len(load_eval_set(DatasetRecipe(eval=str(tmp_path / "out"))).queries) == 3


@pytest.mark.parametrize("form", ["triplets", "beir"])
def test_one_form_alone(sets: list[str], tmp_path: Path, form: str) -> None:
    done = run("export", str(tmp_path / "out"), *sets, "--form", form, "--json")
    written = json.loads(done.stdout)
    folders = {name.partition("/")[0] for name in written["files"]} - {"README.md"}
    assert folders == ({"triplets"} if form == "triplets" else {"corpus", "queries", "qrels"})


def test_mistakes_are_one_line(sets: list[str], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    for arguments, says in (
        (["check"], "there is no dataset: set dataset.train or dataset.eval to a Hub id, a file or a folder"),
        (["check", "stray"], "'stray' is not of the form section.key=value"),
        (["check", "dataset.train=absent.jsonl"], "absent.jsonl: there is no such file or folder, and it is no Hub id"),
        (["check", sets[0], "dataset.negatives=3"], "dataset.negatives=3, but 1 negative column(s) are there"),
        (["export", str(tmp_path / "full"), *sets], f"{tmp_path / 'full'} is there and not empty; name a new folder"),
        (
            ["export", str(tmp_path / "x"), sets[1], "--form", "triplets"],
            "nothing to write as triplets; set dataset.train",
        ),
    ):
        done = run(*arguments)
        assert done.exit_code in (1, 2)
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    assert not (tmp_path / "x").exists()


def test_a_damaged_picture_leaves_no_export(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "t.jsonl").write_text(jsonl(rows()))
    train = load_train_set(DatasetRecipe(train=str(tmp_path / "t.jsonl")))
    (tmp_path / "img" / "2.png").unlink()
    with pytest.raises(
        DataError, match=r"img/2\.png cannot be read: No such file or directory; read the dataset again"
    ):
        export_sets(train, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()
