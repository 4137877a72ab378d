from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pagetune.errors import DataError, RecipeError
from pagetune.evaluation.benchmarks import PUBLISHED, evaluation_set
from pagetune.evaluation.guard import Guard, guard_from_json, open_guard
from pagetune.evaluation.metrics import MAIN_METRIC, QueryScores
from pagetune.recipe import Recipe, load_recipe


def scores(values: np.ndarray) -> QueryScores:
    return QueryScores(tuple(f"q{n:03d}" for n in range(len(values))), {MAIN_METRIC: values})


def guard(name: str = "general") -> Guard:
    chosen: Any = SimpleNamespace(page_ids=tuple("abc"))
    recipe = load_recipe(None, [f"evaluate.guard={name}", "evaluate.resamples=400"])
    return Guard(chosen, recipe.dataset, recipe)


BASE = np.random.default_rng(2).uniform(0.4, 0.9, 80)
NOISE = np.random.default_rng(4).normal(0, 0.1, 80)


@pytest.mark.parametrize(
    ("change", "outcome", "begins"),
    [
        (-0.1 + NOISE / 9, "loss", "Forgetting: on general (3 pages) NDCG@10 (linear gain) "),
        (0.1 + NOISE / 9, "gain", "Nothing forgotten: "),
        (NOISE, "no measurable gain", "No measurable forgetting: "),
    ],
)
def test_forgetting_is_a_sentence(change: np.ndarray, outcome: str, begins: str) -> None:
    found = guard().report(scores(BASE), scores(BASE + change))
    assert found.outcome == outcome
    assert found.sentence.startswith(begins)
    assert found.to_json()["sentence"] == found.sentence
    assert found.to_json()["gain"] == "linear"
    assert guard_from_json(json.loads(json.dumps(found.to_json()))).sentence == found.sentence
    assert found.to_json()["metrics"]["base"] == {MAIN_METRIC: pytest.approx(BASE.mean(), abs=1e-6)}


def test_no_measurable_forgetting_says_what_would_have_shown_and_few_queries_nothing() -> None:
    assert "would have shown" in guard().report(scores(BASE), scores(BASE + NOISE)).sentence
    few = guard().report(scores(BASE[:5]), scores(BASE[:5] - 0.3))
    assert few.sentence.startswith("Too few queries to see forgetting")


def test_the_general_set_has_columns_of_its_own(tmp_path: Path) -> None:
    Image.new("RGB", (20, 30), (90, 90, 130)).save(tmp_path / "0.png")
    line = {"file_name": "0.png", "query": "ledger", "question": "not ours to rename"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(line))
    keys = [f"evaluate.guard={tmp_path}", "dataset.columns={question: query, picture: image}"]
    opened = open_guard(load_recipe(None, keys))
    assert opened is not None
    assert list(opened.chosen.queries.values()) == ["ledger"]
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "0.png", "asked": "ledger"}))
    opened = open_guard(load_recipe(None, [*keys, "evaluate.guard_columns={asked: query}"]))
    assert opened is not None
    assert list(opened.chosen.queries.values()) == ["ledger"]


def test_no_key_no_guard() -> None:
    assert open_guard(Recipe()) is None
    with pytest.raises(RecipeError, match="guard_queries"):
        load_recipe(None, ["evaluate.guard_queries=0"])


def test_a_model_that_reads_is_judged_on_the_texts_of_a_local_set(tmp_path: Path, tiny_model: Any) -> None:
    from datasets import Dataset, Features, Value
    from datasets import Image as Picture

    words = ("ledger", "garden", "engine", "music", "piston", "violin")
    pictures = []
    for number, _ in enumerate(words):
        out = io.BytesIO()
        Image.new("RGB", (20, 30), (40 * number, 90, 130)).save(out, "PNG")
        pictures.append({"bytes": out.getvalue(), "path": None})
    ids = [f"p{number}" for number in range(len(words))]
    features = Features({"corpus-id": Value("string"), "image": Picture(), "text": Value("string")})
    corpus = {"corpus-id": ids, "image": pictures, "text": [f"{word} {word} notes" for word in words]}
    tables = {
        "corpus": Dataset.from_dict(corpus, features=features),
        "queries": Dataset.from_dict({"query-id": [f"q{n}" for n in range(5)], "query": list(words[:5])}),
        "qrels": Dataset.from_list([{"query-id": f"q{n}", "corpus-id": f"p{n}", "score": 1} for n in range(5)]),
    }
    for name, table in tables.items():
        (tmp_path / "set" / name).mkdir(parents=True)
        table.to_parquet(str(tmp_path / "set" / name / "test.parquet"))
    recipe = load_recipe(None, [f"evaluate.guard={tmp_path / 'set'}", "evaluate.guard_queries=4"])
    opened = open_guard(recipe)
    assert opened is not None
    assert opened.name == "set", "the report tells no paths"
    found = opened.scores(tiny_model, tmp_path / "cache")
    assert len(found.queries) == 4
    assert found.means()["Recall@10"] == 1
    assert any((tmp_path / "cache" / "vectors").rglob("*.npz"))


def test_published_sets_have_short_names() -> None:
    assert {name.partition("/")[0] for name in PUBLISHED} == {"vidore-v1", "vidore-v2", "vidore-v3"}
    assert [
        sum(name.startswith(version) for name in PUBLISHED) for version in ("vidore-v1", "vidore-v2", "vidore-v3")
    ] == [
        10,
        4,
        8,
    ]
    assert len({one.source for one in PUBLISHED.values()}) == len(PUBLISHED)
    recipe = evaluation_set("vidore-v3/hr", max_queries=5)
    assert (recipe.eval, recipe.eval_split, recipe.max_eval_queries) == ("vidore/vidore_v3_hr", "test", 5)
    assert recipe.columns == {"query_id": "query-id", "corpus_id": "corpus-id"}
    assert evaluation_set("me/my-set").eval == "me/my-set"
    with pytest.raises(DataError, match=r"did you mean 'vidore-v3/hr'\?"):
        evaluation_set("vidore-v3/hrr")
