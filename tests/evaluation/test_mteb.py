"""Our model and our task under mteb's own evaluation. `benchmarks/mteb_roundtrip.py` does it on page images."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import _tiny
from pagetune.errors import MissingExtra, ModelError
from pagetune.evaluation.metrics import score_run
from pagetune.evaluation.mteb import MtebModel, image_task
from pagetune.recipe import ModelRecipe


def text_task(corpus: dict[str, str], queries: dict[str, str], qrels: dict[str, dict[str, int]]) -> Any:
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.abstasks.task_metadata import TaskMetadata

    class Task(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="Texts",
            description="texts",
            dataset={"path": "local", "revision": "1"},
            type="Retrieval",
            category="t2t",
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, num_proc: int | None = None, **given: Any) -> None:
            tables = [Dataset.from_dict({"id": list(own), "text": list(own.values())}) for own in (corpus, queries)]
            split = RetrievalSplitData(corpus=tables[0], queries=tables[1], relevant_docs=qrels, top_ranked=None)
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    return Task()


def test_mteb_comes_to_our_figures_ties_included(tiny_model: Any) -> None:
    import mteb

    words = ("ledger", "garden", "engine", "music", "piston", "violin", "flower", "payment")
    corpus = {f"d{n:02d}": f"{word} {word} and more" for n, word in enumerate(words)}
    corpus |= {f"e{n:02d}": corpus[f"d{n:02d}"] for n in range(len(words))}
    queries = {f"q{n}": f"{word} and more" for n, word in enumerate(words)}
    qrels = {f"q{n}": {f"d{n:02d}": 2, f"e{n:02d}": 1} for n in range(len(words))}
    wrapped = MtebModel(tiny_model, "local/tiny", recipe=ModelRecipe(chunk_tokens=16))
    found = mteb.evaluate(wrapped, text_task(corpus, queries, qrels), cache=None, show_progress_bar=False)
    theirs = found.task_results[0].scores["test"][0]["ndcg_at_10"]
    run = wrapped.search(_table(queries), top_k=16)
    ours = score_run(run, qrels).means()["NDCG@10"]
    assert theirs == pytest.approx(ours, abs=6e-6)
    assert all(len(set(own.values())) == 16 for own in run.values())


def _table(queries: dict[str, str]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"id": list(queries), "text": list(queries.values())})


def test_a_search_keeps_to_what_is_to_be_reranked_and_to_the_order_of_calls(tiny_model: Any) -> None:
    wrapped = MtebModel(tiny_model, "local/tiny")
    with pytest.raises(ModelError, match="mteb calls index before search"):
        wrapped.search(_table({"q": "music"}), top_k=3)
    wrapped.index(_table({"a": "music violin", "b": "garden", "c": "engine"}))
    run = wrapped.search(_table({"q": "music"}), top_k=2, top_ranked={"q": ["b", "c"]})
    assert set(run["q"]) == {"b", "c"}
    assert len(wrapped.search(_table({"q": "music"}), top_k=2)["q"]) == 2


def test_a_task_of_images_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from pagetune.examples.loading import make_eval_set

    rows: Sequence[dict[str, Any]] = [
        {"query": f"page {n}", "image": Image.fromarray(np.full((20, 20, 3), 30 * n, np.uint8))} for n in range(4)
    ]
    task = image_task(make_eval_set(rows), "Mine")
    task.load_data()
    split = task.dataset["default"]["test"]
    assert split["corpus"].column_names == ["id", "image"]
    assert len(split["queries"]) == len(split["relevant_docs"]) == 4
    assert split["corpus"][0]["image"].size == (20, 20)
    assert task.metadata.main_score == "ndcg_at_10"


def test_pages_that_a_set_excludes_are_in_no_answer_and_mteb_comes_to_our_figures(tmp_path: Path) -> None:
    import mteb

    from pagetune.evaluation.visual import judge_model
    from pagetune.examples.loading import make_eval_set
    from pagetune.models.loading import load_model

    rng = np.random.default_rng(1)
    pages = [Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)) for _ in range(12)]
    plain = make_eval_set([{"query": f"a page of number {n}", "image": page} for n, page in enumerate(pages)])
    model = load_model(ModelRecipe(name=str(_tiny.tiny_clip(tmp_path / "clip", image_size=64)), kind="dense"))
    first = {query: next(iter(own)) for query, own in judge_model(model, plain).run.items()}
    wrong = {query: (page,) for query, page in first.items() if page not in plain.qrels[query]}
    chosen = replace(plain, excluded=dict(list(wrong.items())[:8]))
    assert len(chosen.excluded) >= 4

    task = image_task(chosen, "Excluding")
    wrapped = MtebModel(model, "local/clip")
    found = mteb.evaluate(wrapped, task, cache=None, show_progress_bar=False, prediction_folder=tmp_path / "answers")
    theirs = found.task_results[0].scores["test"][0]
    ours = judge_model(model, chosen).full.means()
    assert theirs["ndcg_at_10"] == pytest.approx(ours["NDCG@10"], abs=6e-6)
    assert theirs["recall_at_5"] == pytest.approx(ours["Recall@5"], abs=6e-6)
    assert ours["NDCG@10"] != judge_model(model, plain).full.means()["NDCG@10"]
    (file,) = (tmp_path / "answers").rglob("*.json")
    answers = json.loads(file.read_text(encoding="utf-8"))["default"]["test"]
    for query in chosen.queries:
        assert set(answers[query]) == set(chosen.page_ids) - set(chosen.excluded.get(query, ()))


def test_a_set_that_excludes_nothing_is_a_plain_task() -> None:
    from pagetune.examples.loading import make_eval_set

    task = image_task(make_eval_set([{"query": "a", "image": Image.new("RGB", (20, 20))}]), "Plain")
    task.load_data()
    assert task.dataset["default"]["test"]["top_ranked"] is None


def test_a_name_without_owner_and_a_task_of_the_wrong_kind_are_refused(tiny_model: Any) -> None:
    with pytest.raises(ModelError, match="'tiny' is not of the form OWNER/MODEL"):
        MtebModel(tiny_model, "tiny")
    images = _table({"a": "b"}).rename_column("text", "audio")
    with pytest.raises(ModelError, match="documents are id, audio"):
        MtebModel(tiny_model, "local/tiny").index(images)


def test_without_mteb_the_extra_is_named(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(MissingExtra, match=r"pip install 'pagetune\[mteb\]'"):
        MtebModel(tiny_model, "local/tiny")
