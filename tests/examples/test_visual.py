"""Sets of page images out of every good form, from files, folders, Python, and the Hub's local copy."""

from __future__ import annotations

import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow
from visual_rows import beir, cells, encoded, jsonl, page, parquet, pictures, png, rows

from pagetune.errors import DataError
from pagetune.examples.check import check_sets, report_lines
from pagetune.examples.judged import tables_set
from pagetune.examples.loading import load_eval_set, load_train_set, make_eval_set, make_train_set
from pagetune.examples.sources import load_rows, open_rows
from pagetune.examples.visual import ImageTrainSet
from pagetune.recipe import DatasetRecipe

TRIPLETS = {
    "query": ["page zero", "page one"],
    "image": cells(png(0), png(1)),
    "negative_0": cells(png(1), png(2)),
    "negative_1": cells(png(2), png(3)),
}


def key(number: int) -> str:
    return hashlib.sha256(png(number)).hexdigest()


def numbers(found: ImageTrainSet, column: str) -> list[int]:
    """Which pages stand in a column."""
    known = {key(number): number for number in range(10)}
    return [known[name] for name in found.keys[column]]


def write(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures(tmp_path)
    return tmp_path


def test_triplets_of_parquet(tmp_path: Path) -> None:
    source = write(tmp_path / "t.parquet", parquet(TRIPLETS))
    found = load_train_set(DatasetRecipe(train=source, negatives=2))
    assert found.dataset.column_names == ["query", "image", "negative_0", "negative_1"]
    assert found.dataset.features["image"] == Image(mode="RGB")
    assert found.dataset.features["query"] == Value("string")
    assert (len(found), found.negatives, found.form) == (2, 2, "triplets with 2 negative(s)")
    assert found.dataset[1]["image"].tobytes() == page(1).tobytes()
    assert found.image(1, "negative_1").tobytes() == page(3).tobytes()
    assert found.keys["query"][0] == hashlib.sha256(b"page zero").hexdigest()
    assert [numbers(found, column) for column in found.columns] == [[0, 1], [1, 2], [2, 3]]
    assert found.sizes["image"][0] == (60, 80, len(png(0)))


@pytest.mark.parametrize(("negatives", "columns"), [(0, 2), (1, 3), (2, 4)])
def test_as_many_negatives_as_asked_for(tmp_path: Path, negatives: int, columns: int) -> None:
    source = write(tmp_path / "t.parquet", parquet({**TRIPLETS, "other": [1, 2]}))
    found = load_train_set(DatasetRecipe(train=source, negatives=negatives))
    assert [*found.keys] == found.dataset.column_names == [*TRIPLETS][:columns]


def test_encoded_pictures_are_not_copied(tmp_path: Path) -> None:
    large = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    contents = [encoded(large) + bytes([number]) for number in range(8)]
    columns = {"query": [str(number) for number in range(8)], "image": cells(*contents)}
    source = write(tmp_path / "t.parquet", parquet(columns))
    make_train_set(source)  # into the cache of `datasets`
    before = pa.total_allocated_bytes()
    found = make_train_set(source)
    assert pa.total_allocated_bytes() - before < len(contents[0])
    assert found.image(7).tobytes() == large.tobytes()


def test_fingerprints_are_of_the_content(tmp_path: Path) -> None:
    one = write(tmp_path / "one.parquet", parquet(TRIPLETS))
    other = write(tmp_path / "else" / "other.parquet", parquet({**TRIPLETS, "note": ["a", "b"]}))
    less = write(tmp_path / "less.parquet", parquet({**TRIPLETS, "query": ["page zero", "page 1"]}))
    first, second, third = (make_train_set(source) for source in (one, other, less))
    assert first.fingerprint == second.fingerprint != third.fingerprint
    assert first.fingerprint != make_train_set(one, negatives=1).fingerprint
    assert make_eval_set(one).fingerprint == make_eval_set(other).fingerprint != make_eval_set(less).fingerprint


def test_paths_stand_beside_their_file(folder: Path) -> None:
    write(folder / "t.jsonl", jsonl(rows()))
    csv = "query,image,negative_0\n" + "".join(f"{r['query']},{r['image']},{r['negative_0']}\n" for r in rows())
    write(folder / "t.csv", csv)
    write(folder / "t.tsv", csv.replace(",", "\t"))
    write(folder / "t.json", json.dumps(rows()))
    write(folder / "t.parquet", parquet({name: [row[name] for row in rows()] for name in rows()[0]}))
    prints = set()
    for suffix in ("jsonl", "csv", "tsv", "json", "parquet"):
        found = load_train_set(DatasetRecipe(train=str(folder / f"t.{suffix}")))
        assert numbers(found, "negative_0") == [1, 2, 3]
        assert found.dataset[2]["image"].tobytes() == page(2).tobytes()
        prints.add(found.fingerprint)
    assert len(prints) == 1


@pytest.mark.parametrize(
    "column",
    [
        pa.array([png(0), png(1)]),
        pa.array([png(0), png(1)], pa.large_binary()),
        pa.array([{"bytes": png(0)}, {"bytes": png(1)}]),
        pa.array([{"path": "x.png", "bytes": png(0)}, {"path": None, "bytes": png(1)}]),
        pa.array([np.asarray(page(number)).tolist() for number in range(2)]),
        pa.array([(np.asarray(page(number)) / 255).tolist() for number in range(2)]),
    ],
    ids=["binary", "large binary", "bytes", "path and bytes", "integers", "floats"],
)
def test_columns_of_pictures(tmp_path: Path, column: pa.Array) -> None:
    found = load_train_set(
        DatasetRecipe(train=write(tmp_path / "t.parquet", parquet({"query": ["a", "b"], "image": column})), negatives=0)
    )
    assert found.form == "pairs"
    assert [picture.tobytes() for picture in found.dataset["image"]] == [page(0).tobytes(), page(1).tobytes()]


def test_rows_given_in_python() -> None:
    import torch

    tensor = torch.from_numpy(np.asarray(page(1)).copy()).permute(2, 0, 1)
    found = make_train_set(
        [
            {"query": "a", "image": page(0), "negative_0": png(1)},
            {"query": "b", "image": tensor, "negative_0": np.asarray(page(0)) / 255},
        ]
    )
    assert [found.image(row).tobytes() for row in range(2)] == [page(0).tobytes(), page(1).tobytes()]
    features = Features({"query": Value("string"), "image": Image(), "negative_0": Image()})
    table = Dataset.from_list([{"query": "a", "image": page(n), "negative_0": page(n + 1)} for n in range(4)], features)
    assert len(make_train_set(table.select([3, 1]))) == 2


def test_labelled_pairs(tmp_path: Path) -> None:
    pairs = {"query": ["a", "b"], "image": cells(png(0), png(1))}
    for labels, kind in (([1, 0], "int64"), ([0.5, 1.0], "float64"), ([True, False], "int64")):
        source = write(tmp_path / f"{kind}{labels[0]}.parquet", parquet({**pairs, "similarity": labels}))
        found = load_train_set(DatasetRecipe(train=source, negatives=0, columns={"similarity": "label"}))
        assert found.dataset.column_names == ["query", "image", "label"]
        assert [*found.dataset["label"]] == labels
        assert found.dataset.features["label"] == Value(kind)
        assert found.form == "labelled pairs"
        assert found.has_label


def ids(count: int = 6) -> list[dict[str, Any]]:
    """Pages that name others; the last two have no query."""
    return [
        {
            "id": f"p{n}",
            "query": f"page {n}" if n < count - 2 else "",
            "image": f"img/{n}.png",
            "negatives": [f"p{(n + 2) % count}", f"p{(n + 3) % count}"] if n < count - 2 else None,
        }
        for n in range(count)
    ]


def test_negatives_as_a_list_of_ids(folder: Path) -> None:
    source = write(folder / "t.jsonl", jsonl(ids()))
    found = load_train_set(DatasetRecipe(train=source, negatives=2))
    assert found.dataset.column_names == ["query", "image", "negative_0", "negative_1"]
    assert [numbers(found, column) for column in found.columns] == [[0, 1, 2, 3], [2, 3, 4, 5], [3, 4, 5, 0]]
    assert found.dataset[3]["negative_1"].tobytes() == page(0).tobytes()
    assert found.dataset[1]["image"].tobytes() == page(1).tobytes()
    first = load_train_set(DatasetRecipe(train=source, negatives=1, max_train_rows=2))
    assert [numbers(first, column) for column in first.columns] == [[0, 1], [2, 3]]
    judged = load_eval_set(DatasetRecipe(eval=source))
    assert [judged.page_key(name) for name in judged.page_ids] == [key(number) for number in (0, 2, 3, 1, 4, 5)]
    assert len(judged.queries) == 4


def test_negatives_as_columns_of_ids(folder: Path) -> None:
    content = [
        {"id": n, "query": f"page {n}", "image": f"img/{n}.png", "negative_0": (n + 1) % 4, "label": n / 4}
        for n in range(4)
    ]
    found = load_train_set(DatasetRecipe(train=write(folder / "t.jsonl", jsonl(content))))
    assert numbers(found, "negative_0") == [1, 2, 3, 0]
    assert [*found.dataset["label"]] == [0.0, 0.25, 0.5, 0.75]
    assert found.dataset.column_names == ["query", "image", "negative_0", "label"]


def test_columns_by_other_names(folder: Path) -> None:
    content = [{"question": "q", "page": "img/0.png", "wrong": "img/1.png"}]
    columns = {"question": "query", "page": "image", "wrong": "negative_0"}
    source = write(folder / "t.jsonl", jsonl(content))
    found = load_train_set(DatasetRecipe(train=source, columns=columns))
    assert numbers(found, "negative_0") == [1]
    assert load_rows(source, columns=columns).column_names == ["query", "image", "negative_0"]
    # The other set may have our names already.
    same = write(folder / "same.jsonl", jsonl(rows()))
    assert len(load_eval_set(DatasetRecipe(eval=same, columns=columns)).queries) == 3


def test_the_first_rows(folder: Path) -> None:
    source = write(folder / "t.jsonl", jsonl(rows(5)))
    assert len(load_train_set(DatasetRecipe(train=source, max_train_rows=2))) == 2
    assert len(load_train_set(DatasetRecipe(train=source, max_train_rows=99))) == 5
    judged = load_eval_set(DatasetRecipe(eval=source, max_eval_queries=2))
    assert (len(judged.queries), len(judged.page_ids)) == (2, 3)
    assert len(load_rows(source, max_rows=3)) == 3


@pytest.mark.parametrize(
    ("files", "recipe"),
    [
        (["train.parquet", "test.parquet"], {}),
        (["train-00000-of-00001.parquet", "test-00000-of-00001.parquet"], {}),
        (["data/train-00000-of-00001.parquet", "data/test-0.parquet"], {}),
        (["train/0000.parquet", "test/0000.parquet"], {}),
        (["english/train-0.parquet", "german/train-0.parquet"], {"train_config": "english"}),
        (["english/train/0.parquet", "german/train/0.parquet"], {"train_config": "english"}),
        (["english.parquet", "german.parquet"], {"train_config": "english"}),
        (["dev.parquet", "test.parquet"], {"train_split": "dev"}),
        (["part-0001.parquet"], {}),
    ],
)
def test_layouts_of_folders(tmp_path: Path, files: list[str], recipe: dict[str, str]) -> None:
    for number, name in enumerate(files):
        content = {"query": ["q"], "image": cells(png(number))}
        write(tmp_path / "set" / name, parquet(content))
    (tmp_path / "set" / "README.md").write_text("# A card")
    found = load_train_set(DatasetRecipe(train=str(tmp_path / "set"), negatives=0, **recipe))
    assert numbers(found, "image") == [0]


def test_shards_are_read_in_order_and_named_in_messages(tmp_path: Path) -> None:
    for number in range(3):
        content = {"query": ["q", "r"], "image": cells(png(2 * number), png(2 * number + 1))}
        write(tmp_path / "set" / f"train-{number}.parquet", parquet(content))
    found = load_train_set(DatasetRecipe(train=str(tmp_path / "set"), negatives=0))
    assert numbers(found, "image") == [0, 1, 2, 3, 4, 5]
    write(tmp_path / "set" / "train-2.parquet", parquet({"query": ["q", ""], "image": cells(png(0), png(1))}))
    with pytest.raises(DataError, match=r"train-2\.parquet: row 1: query '' has no text"):
        load_train_set(DatasetRecipe(train=str(tmp_path / "set"), negatives=0))


@pytest.mark.parametrize("metadata", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
@pytest.mark.parametrize("inside", ["", "train"])
def test_a_folder_of_pictures(tmp_path: Path, metadata: str, inside: str) -> None:
    place = tmp_path / "set" / inside
    for number in range(3):
        write(place / "pages" / f"{number}.png", png(number))
    content = [{"file_name": f"pages/{number}.png", "query": f"page {number}"} for number in range(3)]
    if metadata.endswith("csv"):
        write(place / metadata, "file_name,query\n" + "".join(f"{r['file_name']},{r['query']}\n" for r in content))
    elif metadata.endswith("jsonl"):
        write(place / metadata, jsonl(content))
    else:
        write(place / metadata, parquet({name: [row[name] for row in content] for name in content[0]}))
    found = load_train_set(DatasetRecipe(train=str(tmp_path / "set"), negatives=0))
    assert numbers(found, "image") == [0, 1, 2]


def test_an_evaluation_set_of_rows(tmp_path: Path) -> None:
    content = {
        "query": ["a", "b"],
        "image": cells(png(0), png(1)),
        "negative_0": cells(png(1), png(2)),
        "negative_1": cells(png(3), png(0)),
    }
    found = load_eval_set(DatasetRecipe(eval=write(tmp_path / "t.parquet", parquet(content))))
    assert found.queries == {"query-0": "a", "query-1": "b"}
    assert [found.page_key(name) for name in found.page_ids] == [key(number) for number in (0, 1, 3, 2)]
    assert found.qrels == {"query-0": {key(0)[:16]: 1}, "query-1": {key(1)[:16]: 1}}
    assert found.image(found.page_ids[2]).tobytes() == page(3).tobytes()
    assert [picture.mode for picture in found.images(found.page_ids[:2])] == ["RGB", "RGB"]
    assert found.form == "rows"
    with pytest.raises(DataError, match=r"^there is no page 'x' among 4; use an id of page_ids$"):
        found.image("x")


@pytest.mark.parametrize("layout", ["folders", "files", "beir"])
def test_an_evaluation_set_of_tables(tmp_path: Path, layout: str) -> None:
    place = beir(tmp_path / "set")
    if layout == "files":
        for name in ("corpus", "queries", "qrels"):
            (place / name / "test-00000-of-00001.parquet").rename(place / f"{name}.parquet")
            (place / name).rmdir()
    if layout == "beir":
        for name in ("corpus", "queries", "qrels"):
            (place / name / "test-00000-of-00001.parquet").unlink()
        for number in range(3):
            write(place / "corpus" / f"{number}.png", png(number))
        write(place / "corpus" / "corpus.jsonl", jsonl([{"_id": 10 + n, "image": f"{n}.png"} for n in range(3)]))
        write(
            place / "queries" / "queries.jsonl",
            jsonl([{"_id": "1", "text": "the first page"}, {"_id": "2", "text": "the second page"}]),
        )
        write(place / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\n1\t10\t1\n2\t11\t2\n2\t12\t0\n")
    found = load_eval_set(DatasetRecipe(eval=str(place)))
    assert found.queries == {"1": "the first page", "2": "the second page"}
    assert found.page_ids == ("10", "11", "12")
    assert found.qrels == {"1": {"10": 1}, "2": {"11": 2}}
    assert found.page_key("12") == key(2)
    assert found.image("11").tobytes() == page(1).tobytes()
    assert found.form == "BEIR"
    assert [*load_eval_set(DatasetRecipe(eval=str(place), max_eval_queries=1)).queries] == ["1"]


def test_tables_with_other_names_and_a_query_without_judgement(tmp_path: Path) -> None:
    place = beir(
        tmp_path / "set",
        queries={"query-id": [1, 2, 3], "query": None, "question": ["a", "b", "c"]},
    )
    found = load_eval_set(DatasetRecipe(eval=str(place), columns={"question": "query"}))
    assert found.queries == {"1": "a", "2": "b"}


@pytest.mark.parametrize("column", ["excluded", "exclude"])
def test_a_query_names_pages_to_leave_out_of_its_answers(tmp_path: Path, column: str) -> None:
    asked = {"query-id": [1, 2], "query": ["the first page", "the second page"]}
    plain = load_eval_set(DatasetRecipe(eval=str(beir(tmp_path / "plain", queries=asked))))
    assert plain.excluded == {}
    found = load_eval_set(DatasetRecipe(eval=str(beir(tmp_path / "set", queries=asked | {column: [[], [10, 12]]}))))
    assert found.excluded == {"2": ("10", "12")}
    assert found.fingerprint != plain.fingerprint
    for name, given, says in (
        ("unknown", [[], [99]], f"(query-id '2'): {column} '99' is not in corpus; correct it or remove it"),
        ("right", [[], [11]], f"(query-id '2'): {column} '11' answers the query in qrels; drop one of both"),
        ("words", ["", "10"], f"(query-id '2'): {column} '10' is no list; write one of ids of corpus"),
    ):
        place = str(beir(tmp_path / name, queries=asked | {column: given}))
        with pytest.raises(DataError, match=re.escape(says)):
            load_eval_set(DatasetRecipe(eval=place))
        lenient = load_eval_set(DatasetRecipe(eval=place, skip_broken=True))
        assert [*lenient.queries] == ["1"]
        assert len(lenient.broken) == 1


def test_tables_given_in_python() -> None:
    found = tables_set(
        open_rows([{"corpus-id": "x", "image": page(0)}, {"corpus-id": "y", "image": png(1)}]),
        open_rows([{"query-id": "q", "query": "what"}]),
        open_rows([{"query-id": "q", "corpus-id": "y", "score": 1}]),
    )
    assert found.qrels == {"q": {"y": 1}}
    assert found.image("y").tobytes() == page(1).tobytes()


def test_pictures_are_decoded_when_they_are_used(folder: Path) -> None:
    found = load_eval_set(DatasetRecipe(eval=write(folder / "t.jsonl", jsonl(rows()))))
    (folder / "img" / "0.png").unlink()
    assert found.image(found.page_ids[1]).size == (60, 80)
    with pytest.raises(DataError, match=r"t\.jsonl: page '.{16}': image '.*0\.png': there is no such file"):
        found.image(found.page_ids[0])


def test_see_through_pages_are_white_for_whoever_decodes_them(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Pillow.new("RGBA", (8, 8), (0, 0, 0, 0)).save(stream, "PNG")
    source = write(tmp_path / "t.parquet", parquet({"query": ["a", "b"], "image": cells(stream.getvalue(), png(1))}))
    found = make_train_set(source)
    assert found.dataset[0]["image"].getpixel((0, 0)) == found.image(0).getpixel((0, 0)) == (255, 255, 255)
    assert found.keys["image"][0] == hashlib.sha256(stream.getvalue()).hexdigest()


def test_a_dataset_of_the_hub_that_was_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "a" * 40
    home = tmp_path / "hub" / "datasets--org--pages"
    write(home / "refs" / "main", commit)
    for config, number in (("train", 0), ("eval", 5)):
        write(
            home / "snapshots" / commit / config / "train-00000-of-00001.parquet",
            parquet({"query": ["q"], "image": cells(png(number)), "negative_0": cells(png(number + 1))}),
        )
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/*\n" for name in ("train", "eval")
    )
    write(home / "snapshots" / commit / "README.md", f"---\nconfigs:\n{configs}---\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    recipe = DatasetRecipe(train="org/pages", train_config="train", eval="org/pages", eval_config="eval")
    found = load_train_set(recipe)
    assert (found.name, numbers(found, "negative_0")) == ("org/pages (train, train)", [1])
    judged = load_eval_set(recipe)
    assert [judged.page_key(name) for name in judged.page_ids] == [key(5), key(6)]
    for change, message in (
        ({"train_config": None}, "org/pages has the configurations eval, train; choose one"),
        ({"train_config": "x"}, "org/pages has no configuration 'x' (there are eval, train); choose one of them"),
        ({"train_split": "x"}, "org/pages (train) has no split 'x' (there are train); choose one of them"),
    ):
        with pytest.raises(DataError) as caught:
            load_train_set(recipe.model_copy(update=change))
        assert str(caught.value) == message


def test_pages_that_nobody_asks_for_stay_and_a_query_may_have_several(tmp_path: Path) -> None:
    content = {
        "query": ["how", "fees", None, "how", " ", "rules", "fees"],
        "image": cells(*(png(number) for number in (0, 1, 3, 2, 1, 0, 1))),
    }
    source = write(tmp_path / "t.parquet", parquet(content))
    found = load_eval_set(DatasetRecipe(eval=source))
    assert found.queries == {"query-0": "how", "query-1": "fees", "query-5": "rules"}
    assert [found.page_key(name) for name in found.page_ids] == [key(number) for number in (0, 1, 3, 2)]
    pages = [key(number)[:16] for number in range(4)]
    assert found.qrels == {"query-0": {pages[0]: 1, pages[2]: 1}, "query-1": {pages[1]: 1}, "query-5": {pages[0]: 1}}
    report = check_sets(None, found)["eval"]
    assert (report["queries"], report["pages"], report["pages_without_query"]) == (3, 4, 1)
    # The first query with all its pages, and what nobody asks for.
    first = load_eval_set(DatasetRecipe(eval=source, max_eval_queries=1))
    assert first.qrels == {"query-0": {pages[0]: 1, pages[2]: 1}}
    assert {*first.page_ids} == {pages[0], pages[1], pages[2], pages[3]}
    with pytest.raises(DataError, match=r"no row is left: none has a query"):
        make_eval_set([{"query": None, "image": page(0)}])
    with pytest.raises(DataError, match=r"row 2: query None has no text"):
        load_train_set(DatasetRecipe(train=source, negatives=0))


def test_a_row_of_several_queries(tmp_path: Path) -> None:
    content = {"query": [["a", "b"], [], ["b", None, ""], None], "image": cells(png(0), png(1), png(2), png(3))}
    source = write(tmp_path / "t.parquet", parquet(content))
    found = load_eval_set(DatasetRecipe(eval=source))
    assert found.queries == {"query-0": "a", "query-0-1": "b"}
    pages = [key(number)[:16] for number in range(4)]
    assert found.page_ids == tuple(pages)
    assert found.qrels == {"query-0": {pages[0]: 1}, "query-0-1": {pages[0]: 1, pages[2]: 1}}
    assert load_eval_set(DatasetRecipe(eval=source, max_eval_queries=1)).qrels == {"query-0": {pages[0]: 1}}
    with pytest.raises(DataError, match=r"row 0: query \['a', 'b'\] is not text; write a string there"):
        load_train_set(DatasetRecipe(train=source, negatives=0))


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json"])
def test_empty_queries_of_text_files_and_of_python(folder: Path, name: str) -> None:
    if name == "t.csv":
        text = "query,image\na,img/0.png\n,img/1.png\n,\n"
    else:
        lines = [
            '{"query": "a", "image": "img/0.png"}',
            '{"query": NaN, "image": "img/1.png"}',
            '{"image": "img/2.png"}',
        ]
        text = "\n".join(lines) if name == "t.jsonl" else f"[{','.join(lines)}]"
    found = load_eval_set(DatasetRecipe(eval=write(folder / name, text)))
    assert found.queries == {"query-0": "a"}
    assert [found.page_key(each) for each in found.page_ids] == [key(n) for n in range(2 if name == "t.csv" else 3)]
    again = make_eval_set([{"query": "a", "image": page(0)}, {"query": float("nan"), "image": page(1)}])
    assert (len(again), len(again.page_ids)) == (1, 2)


def test_pages_that_only_ids_lead_to_stay_without_a_query(folder: Path) -> None:
    content = [*ids(), {"id": "p6", "query": None, "image": "img/0.png", "negatives": None}]
    content[5]["image"] = "img/5.png"
    content += [{"id": "p7", "query": "", "image": "img/half.png", "negatives": None}]
    with pytest.raises(DataError, match=r"row 7: image '.*half.png' is damaged"):
        load_eval_set(DatasetRecipe(eval=write(folder / "t.jsonl", jsonl(content))))
    content[0]["negatives"], content[7]["image"] = ["p1", "p2"], "img/4.png"
    source = write(folder / "t.jsonl", jsonl(content))
    one = load_eval_set(DatasetRecipe(eval=source, max_eval_queries=1))
    assert [one.page_key(name) for name in one.page_ids] == [key(number) for number in (0, 1, 2, 4, 5)]


def test_a_copy_of_an_answer_does_not_count_as_wrong(tmp_path: Path) -> None:
    from pagetune.evaluation.metrics import score_run

    place = beir(
        tmp_path / "set",
        corpus={"corpus-id": [10, 11, 12, 13, 14], "image": cells(png(0), png(1), png(2), png(0), png(2))},
        queries={"query-id": [1, 2], "query": ["the first page", "two pages"]},
        qrels={"query-id": [1, 2, 2], "corpus-id": [10, 12, 14], "score": [1, 2, 1]},
    )
    found = load_eval_set(DatasetRecipe(eval=str(place)))
    assert found.page_ids == ("10", "11", "12", "13", "14")
    assert found.excluded == {"1": ("13",)}
    run = {"1": {"13": 2.0, "10": 1.0, "11": 0.5}, "2": {"12": 2.0, "14": 1.0}}
    assert score_run(run, found.qrels, found.excluded).means()["NDCG@10"] == 1
    report = check_sets(None, found)
    assert report["eval"]["copies_of_answers_left_out"] == {"pages": 1, "such_as": ["page '13' for query '1'"]}
    assert "eval copies of answers left out: pages 1, such as page '13' for query '1'" in report_lines(report)


def test_negatives_that_answer_in_another_row_are_pointed_out() -> None:
    rows = [
        {"query": "a", "image": page(0), "negative_0": page(1)},
        {"query": "a", "image": page(1), "negative_0": page(2)},
        {"query": "b", "image": page(2), "negative_0": page(0)},
    ]
    report = check_sets(make_train_set(rows), None)["train"]
    assert report["negatives_that_answer"] == {"rows": 1, "such_as": ["'a'"]}
    assert check_sets(make_train_set(rows[1:]), None)["train"]["negatives_that_answer"] == {}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("name", "mark"), [("t.csv", ","), ("t.csv", ";"), ("t.csv", "\t"), ("t.tsv", "\t")])
def test_tables_as_spreadsheets_save_them(folder: Path, encoding: str, name: str, mark: str) -> None:
    lines = ["query,image, negative_0", '"größer\r\nals",img/0.png,img/1.png', "a,img/1.png,img/2.png", ",,", ""]
    (folder / name).write_bytes("\r\n".join(line.replace(",", mark) for line in lines).encode(encoding))
    found = load_train_set(DatasetRecipe(train=str(folder / name)))
    assert found.dataset["query"][:] == ["größer\nals", "a"]
    assert numbers(found, "negative_0") == [1, 2]
    content = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows())
    (folder / "t.jsonl").write_bytes(content.encode(encoding))
    assert load_train_set(DatasetRecipe(train=str(folder / "t.jsonl"))).dataset["query"][2] == rows()[2]["query"]
