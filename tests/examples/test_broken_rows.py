"""Kinds of broken rows, columns and files, and the one line that each gets.

`{at}` in a message is the folder of the test. Rows count from 0, lines of a file from 1.
"""

# A message is one line, here too.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from visual_rows import beir, bomb, cells, jsonl, parquet, pictures, png, rows

from pagetune.errors import DataError
from pagetune.examples.loading import load_eval_set, load_train_set
from pagetune.recipe import DatasetRecipe

Content = str | bytes
IDS = [
    {"id": f"p{n}", "query": f"page {n}", "image": f"img/{n}.png", "negatives": [f"p{(n + 1) % 3}"]} for n in range(3)
]


def changed(row: int, **change: Any) -> str:
    """The rows with ids, one changed."""
    return jsonl([{**content, **(change if number == row else {})} for number, content in enumerate(IDS)])


def without(column: str) -> str:
    return jsonl([{name: value for name, value in row.items() if name != column} for row in rows()])


def pages(*contents: bytes | None) -> bytes:
    return parquet({"query": [f"q{n}" for n in range(len(contents))], "image": cells(*contents)})


FILES: list[tuple[str, Mapping[str, Content], str]] = [
    ("no such file", {}, "{at}/t.jsonl: there is no such file or folder, and it is no Hub id; correct it"),
    ("no rows", {"t.jsonl": ""}, "{at}/t.jsonl: has no rows; give at least one"),
    (
        "a line that is no JSON",
        {"t.jsonl": jsonl(rows(2)) + '{"query": "x"'},
        "{at}/t.jsonl: line 3: not JSON: Expecting ',' delimiter: '{{\"query\": \"x\"'; correct it",
    ),
    (
        "a line that is no object",
        {"t.jsonl": '["what is it", "img/0.png"]\n'},
        '{at}/t.jsonl: line 1: ["what is it", "img/0.png"] is not an object; write {{column: value}}',
    ),
    ("not UTF-8", {"t.jsonl": b'{"query": "\xff"}'}, "{at}/t.jsonl: byte 11 is not UTF-8; save the file as UTF-8"),
    (
        "a CSV line with too many cells",
        {"t.csv": "query,image\nwhat, then,img/0.png\n"},
        "{at}/t.csv: line 2: 3 cells, but 2 columns; quote cells that hold a separator",
    ),
    (
        "a CSV column twice",
        {"t.csv": "query,image,query\na,img/0.png,b\n"},
        "{at}/t.csv: line 1: column 'query' is there twice; rename one",
    ),
    (
        "a CSV quote left open",
        {"t.csv": 'query,image\n"what,img/0.png\n'},
        "{at}/t.csv: line 2: not CSV: unexpected end of data; correct the line",
    ),
    (
        "no parquet",
        {"t.parquet": b"PAR1 and no more"},
        "{at}/t.parquet: not readable as parquet (Parquet magic bytes not found in footer); write it again",
    ),
    ("another kind of file", {"t.txt": "query"}, "{at}/t.txt: '.txt' is not read; give one of .parquet, .jsonl, .ndjson, .json, .csv, .tsv"),
    (
        "shards of other columns",
        {"t/train-0.parquet": pages(png(0)), "t/train-1.parquet": parquet({"query": ["q"], "page": cells(png(1))})},
        "{at}/t/train-1.parquet: has the columns ['query', 'page'], but train-0.parquet has ['query', 'image']; write them alike",
    ),
    (
        "two kinds of file for a split",
        {"t/train.parquet": pages(png(0)), "t/train.csv": "query,image\n"},
        "{at}/t has .csv and .parquet files for one split; keep one kind",
    ),
    (
        "no such split",
        {"t/test.jsonl": jsonl(rows()), "t/dev.jsonl": jsonl(rows())},
        "{at}/t has no split 'train' (there are dev, test); choose one of them",
    ),
    (
        "configurations and none chosen",
        {"t/english/train.jsonl": jsonl(rows()), "t/german/train.jsonl": jsonl(rows())},
        "{at}/t has the configurations english, german; choose one",
    ),
    (
        "pictures without metadata",
        {"t/0.png": png(0), "t/1.png": png(1)},
        "{at}/t has pictures but no metadata.csv or metadata.jsonl; add one with the columns file_name and query",
    ),
    ("nothing in it", {"t/readme.md": "#"}, "{at}/t has no files to read; give a folder with .parquet, .jsonl, .ndjson, .json, .csv, .tsv"),
    (
        "no query column",
        {"t.jsonl": without("query")},
        "{at}/t.jsonl: column 'query' is missing (there are ['image', 'negative_0']); add it, or name it with dataset.columns={{THERE: query}}",
    ),
    (
        "no image column",
        {"t.jsonl": without("image")},
        "{at}/t.jsonl: column 'image' is missing (there are ['query', 'negative_0']); add it, or name it with dataset.columns={{THERE: image}}",
    ),
    (
        "fewer negatives than asked for",
        {"t.jsonl": without("negative_0")},
        "{at}/t.jsonl: dataset.negatives=1, but 0 negative column(s) are there (['query', 'image']); set dataset.negatives=0 or less",
    ),
    (
        "a gap in the negatives",
        {"t.jsonl": jsonl(rows(negative_2="img/3.png"))},
        "{at}/t.jsonl: column 'negative_1' is missing (there are ['query', 'image', 'negative_0', 'negative_2']); number them from 0",
    ),
    ("a query of spaces", {"t.jsonl": jsonl(rows(query=" "))}, "{at}/t.jsonl: row 1: query ' ' has no text; write one or remove the row"),
    ("a query left out", {"t.jsonl": jsonl(rows(query=None))}, "{at}/t.jsonl: row 1: query None has no text; write one or remove the row"),
    (
        "a number among the queries",
        {"t.jsonl": jsonl(rows(query=17))},
        "{at}/t.jsonl: row 1: query 17 is a number, where rows before have text; correct it",
    ),
    (
        "numbers for queries",
        {"t.jsonl": jsonl([{**row, "query": 17} for row in rows()])},
        "{at}/t.jsonl: row 0: query 17 is not text; write a string there",
    ),
    ("an image left out", {"t.jsonl": jsonl(rows(image=None))}, "{at}/t.jsonl: row 1: image is empty; give a picture or remove the row"),
    (
        "an image that is not there",
        {"t.jsonl": jsonl(rows(image="img/77.png"))},
        "{at}/t.jsonl: row 1: image 'img/77.png': there is no such file; correct the path or add the file",
    ),
    ("a folder for an image", {"t.jsonl": jsonl(rows(image="img"))}, "{at}/t.jsonl: row 1: image 'img' is a folder; name a picture in it"),
    (
        "a text for an image",
        {"t.jsonl": jsonl(rows(image="img/note.png"))},
        "{at}/t.jsonl: row 1: image '{at}/img/note.png' is no picture that can be read (it begins b'not a pictur'); give PNG, JPEG, WebP or TIFF",
    ),
    (
        "half a PNG",
        {"t.jsonl": jsonl(rows(negative_0="img/half.png"))},
        "{at}/t.jsonl: row 1: negative_0 '{at}/img/half.png' is damaged: image file is truncated; write it again",
    ),
    (
        "half a JPEG",
        {"t.jsonl": jsonl(rows(image="img/half.jpg"))},
        "{at}/t.jsonl: row 1: image '{at}/img/half.jpg' is damaged: image file is truncated; write it again",
    ),
    (
        "a decompression bomb",
        {"t.jsonl": jsonl(rows(image="img/bomb.png"))},
        "{at}/t.jsonl: row 1: image '{at}/img/bomb.png' is far above 80000000 pixels; shrink it",
    ),
    (
        "a picture somewhat too large",
        {"t.parquet": pages(png(0), bomb(9000, 9000))},
        "{at}/t.parquet: row 1: image of 55 bytes is of 9000 x 9000 pixels, above 80000000 in all; shrink it",
    ),
    ("a picture of no bytes", {"t.parquet": pages(png(0), b"")}, "{at}/t.parquet: row 1: image has 0 bytes; write the picture again or remove the row"),
    ("a picture cell of nothing", {"t.parquet": pages(png(0), None)}, "{at}/t.parquet: row 1: image is empty; give a picture or remove the row"),
    (
        "a number for an image",
        {"t.jsonl": jsonl([{**row, "image": 5} for row in rows()])},
        "{at}/t.jsonl: row 0: image 5 is no picture but of type int; give a PIL image, a path, a URL, bytes or an array",
    ),
    (
        "an array of no shape",
        {"t.parquet": parquet({"query": ["q"], "image": [[1, 2, 3]]})},
        "{at}/t.parquet: row 0: image (int64, shape (3,)) is not a picture; give height x width, with 1, 3 or 4 channels first or last",
    ),
    (
        "an array out of range",
        {"t.parquet": parquet({"query": ["q"], "image": [[[0.0, 255.0]]]})},
        "{at}/t.parquet: row 0: image (float64, shape (1, 2)) has values from 0 to 255; give integers 0 to 255 or floats 0 to 1",
    ),
    (
        "a private address",
        {"t.jsonl": jsonl(rows(image="http://127.0.0.1:9/x.png"))},
        "{at}/t.jsonl: row 1: image 'http://127.0.0.1:9/x.png' leads to 127.0.0.1, which is not a public address; keep a copy and give its path",
    ),
    (
        "an address of another kind",
        {"t.jsonl": jsonl(rows(image="ftp://example.org/x.png"))},
        "{at}/t.jsonl: row 1: image 'ftp://example.org/x.png': 'ftp' is not fetched, only http and https; give one of them or a path",
    ),
    (
        "a negative that is the page",
        {"t.jsonl": jsonl(rows(negative_0="img/1.png"))},
        "{at}/t.jsonl: row 1: negative_0 is the page of image itself; give another or remove the row",
    ),
    ("a negative left out", {"t.jsonl": jsonl(rows(negative_0=None))}, "{at}/t.jsonl: row 1: negative_0 is empty; give a picture or remove the row"),
    (
        "an id of no row",
        {"t.jsonl": changed(2, negatives=["p9"])},
        "{at}/t.jsonl: row 2: negatives 'p9' is the id of no row; correct it or add its page",
    ),
    ("an id twice", {"t.jsonl": changed(2, id="p0")}, "{at}/t.jsonl: row 2: id 'p0' is also that of row 0; give each page its own"),
    ("an id left out", {"t.jsonl": changed(2, id=None)}, "{at}/t.jsonl: row 2: id is empty; give each page its own"),
    (
        "too few ids",
        {"t.jsonl": changed(1, negatives=[])},
        "{at}/t.jsonl: row 1: negatives has 0 id(s), but dataset.negatives=1; add some or lower it",
    ),
    (
        "a list of no ids",
        {"t.jsonl": jsonl([{**row, "negatives": [0.5]} for row in IDS])},
        "{at}/t.jsonl: column 'negatives' is no list of ids; list the ids of other rows, or give pictures in columns negative_0, negative_1 …",
    ),
    (
        "ids and no id column",
        {"t.jsonl": jsonl([{name: value for name, value in row.items() if name != "id"} for row in IDS])},
        "{at}/t.jsonl: column 'id' is missing (there are ['query', 'image', 'negatives']); add it, or name it with dataset.columns={{THERE: id}}",
    ),
    (
        "a text for a label",
        {"t.jsonl": jsonl([{**row, "label": "yes"} for row in rows()])},
        "{at}/t.jsonl: row 0: label 'yes' is not a number; write a class or a score there",
    ),
    ("a label left out", {"t.csv": "query,image,negative_0,label\nq,img/0.png,img/1.png,1\nq,img/0.png,img/1.png,\n"}, "{at}/t.csv: row 1: label is empty; write a number or remove the row"),
    (
        "a label that is not a number",
        {"t.csv": "query,image,negative_0,label\nq,img/0.png,img/1.png,nan\n"},
        "{at}/t.csv: row 0: label nan is not a number; write a class or a score there",
    ),
]  # fmt: skip

COLUMNS: list[tuple[str, dict[str, str], str]] = [
    (
        "a column that is not there",
        {"question": "query", "page": "image", "text": "label"},
        "{at}/t.jsonl: column 'text' of dataset.columns is missing (there are ['question', 'page', 'image_name']); correct it",
    ),
    (
        "a name that is not ours",
        {"question": "anchor"},
        "dataset.columns: question: 'anchor' is no column; use query, image, label, negatives, id, query-id, corpus-id, score or negative_0 …",
    ),
    ("two columns for one", {"question": "query", "page": "query"}, "dataset.columns: 'question' and 'page' both become 'query'; keep one"),
]  # fmt: skip

TABLES: list[tuple[str, dict[str, dict[str, Any]], str]] = [
    ("a page's id twice", {"corpus": {"corpus-id": [10, 11, 10]}}, "{at}/corpus/test-00000-of-00001.parquet: row 2: corpus-id 10 is also that of row 0; give each its own"),
    ("a query's id twice", {"queries": {"query-id": [1, 1]}}, "{at}/queries/test-00000-of-00001.parquet: row 1: query-id 1 is also that of row 0; give each its own"),
    ("an empty id", {"queries": {"query-id": ["1", ""]}}, "{at}/queries/test-00000-of-00001.parquet: row 1: query-id '' is no id; write a text or a whole number"),
    ("a query without text", {"queries": {"query": ["a", ""]}}, "{at}/queries/test-00000-of-00001.parquet: row 1 (query-id '2'): query '' has no text; write one or remove the row"),
    ("a judgement of no query", {"qrels": {"query-id": [1, 2, 7]}}, "{at}/qrels/test-00000-of-00001.parquet: row 2: query-id '7' is not in queries; correct it or remove the row"),
    ("a judgement of no page", {"qrels": {"corpus-id": [10, 99, 12]}}, "{at}/qrels/test-00000-of-00001.parquet: row 1: corpus-id '99' is not in corpus; correct it or remove the row"),
    ("half a grade", {"qrels": {"score": [1.0, 0.5, 1.0]}}, "{at}/qrels/test-00000-of-00001.parquet: row 1: score 0.5 is not a whole number; write 1, or more for a better page"),
    ("a judgement twice", {"qrels": {"corpus-id": [10, 11, 11], "score": [1, 1, 1]}}, "{at}/qrels/test-00000-of-00001.parquet: row 2: query-id '2' with corpus-id '11' is there twice; keep one"),
    ("no judgement above 0", {"qrels": {"score": [0, 0, 0]}}, "{at} (qrels): no row with a score above 0 names a query of {at} (queries); correct the ids"),
    ("no scores", {"qrels": {"score": None}}, "{at} (qrels): column 'score' is missing (there are ['query-id', 'corpus-id']); add it, or name it with dataset.columns={{THERE: score}}"),
    ("a damaged page", {"corpus": {"image": cells(png(0), png(1)[:60], png(2))}}, "{at}/corpus/test-00000-of-00001.parquet: row 1: image of 60 bytes is damaged: image file is truncated; write it again"),
]  # fmt: skip


def names(kinds: list[Any]) -> list[str]:
    return [kind[0] for kind in kinds]


@pytest.mark.parametrize(("kind", "files", "message"), FILES, ids=names(FILES))
def test_broken_files_and_rows(kind: str, files: Mapping[str, Content], message: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    source = tmp_path / (next(iter(files), "t.jsonl").partition("/")[0])
    pairs = source.suffix == ".parquet" or "cell" in kind
    recipe = DatasetRecipe(train=str(source), negatives=0 if pairs else 1)
    with pytest.raises(DataError) as caught:
        load_train_set(recipe)
    assert str(caught.value) == message.format(at=tmp_path)


@pytest.mark.parametrize(("kind", "columns", "message"), COLUMNS, ids=names(COLUMNS))
def test_broken_column_names(kind: str, columns: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(jsonl([{"question": "q", "page": "img/0.png", "image_name": "x"}]))
    with pytest.raises(DataError) as caught:
        load_train_set(DatasetRecipe(train=str(tmp_path / "t.jsonl"), columns=columns))
    assert str(caught.value) == message.format(at=tmp_path)


@pytest.mark.parametrize(("kind", "changes", "message"), TABLES, ids=names(TABLES))
def test_broken_tables(kind: str, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    beir(tmp_path / "set", **changes)
    with pytest.raises(DataError) as caught:
        load_eval_set(DatasetRecipe(eval=str(tmp_path / "set")))
    assert str(caught.value) == message.format(at=tmp_path / "set")


def test_every_message_is_one_line_and_says_what_to_do() -> None:
    messages = [message for _, _, message in (*FILES, *COLUMNS, *TABLES)]
    assert len(messages) >= 25
    assert all("\n" not in message and ";" in message for message in messages)


def test_a_column_cannot_take_the_name_of_another(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "t.jsonl").write_text(jsonl(rows()))
    recipe = DatasetRecipe(train=str(tmp_path / "t.jsonl"), columns={"negative_0": "image"})
    with pytest.raises(DataError) as caught:
        load_train_set(recipe)
    assert str(caught.value) == (
        f"{tmp_path}/t.jsonl: 'negative_0' cannot become 'image', which is there too; map that one elsewhere"
    )


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "english").mkdir()
    with pytest.raises(DataError) as caught:
        load_train_set(DatasetRecipe(train=str(tmp_path), train_config="german"))
    assert str(caught.value) == f"{tmp_path} has no configuration 'german' (there are english); choose one"


def test_what_is_not_set_or_out_of_reach() -> None:
    with pytest.raises(DataError, match=r"^dataset\.train is not set; give a Hub id, a file or a folder$"):
        load_train_set(DatasetRecipe())
    with pytest.raises(DataError, match=r"^dataset\.eval is not set; give a Hub id, a file or a folder$"):
        load_eval_set(DatasetRecipe())
    with pytest.raises(DataError, match=r"^org/absent: there is no such file or folder, nor can the Hub give it: .+"):
        load_eval_set(DatasetRecipe(eval="org/absent", eval_config="eval"))


def test_broken_rows_are_left_out_where_asked(tmp_path: Path) -> None:
    pictures(tmp_path)
    content = rows(5, image="img/half.png")
    content[3]["query"] = ""
    (tmp_path / "t.jsonl").write_text(jsonl(content))
    kept = load_train_set(DatasetRecipe(train=str(tmp_path / "t.jsonl"), skip_broken=True))
    assert kept.dataset["query"][:] == [content[row]["query"] for row in (0, 2, 4)]
    assert [len(keys) for keys in kept.keys.values()] == [3, 3, 3]
    assert [message.partition(": ")[2].partition(": ")[0] for message in kept.broken] == ["row 3", "row 1"]
    (tmp_path / "t.jsonl").write_text(jsonl([{**row, "query": ""} for row in content]))
    with pytest.raises(DataError, match=r"no row is left: .*row 0: query '' has no text"):
        load_train_set(DatasetRecipe(train=str(tmp_path / "t.jsonl"), skip_broken=True))
