"""The tuned model's vectors of a workspace, as the grid judges them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from _tiny_reranker import tiny_text_reranker
from pagetune import load_recipe
from pagetune.context import Context
from pagetune.deployment import encode_tuned, judge_deployment
from pagetune.errors import WorkspaceError
from pagetune.evaluation.false_negatives import Suspect, confirm, write_suspects
from pagetune.examples.datasets import RetrievalData, save_data
from pagetune.records import Judgement, Page, Query
from pagetune.workspace import Workspace


@pytest.fixture
def context(
    tmp_path: Path,
    tiny_model: Any,
    topic_pages: Sequence[Page],
    page_maker: Callable[..., Page],
    monkeypatch: pytest.MonkeyPatch,
) -> Context:
    workspace = Workspace(tmp_path / "ws").create()
    workspace.model.mkdir()
    (workspace.model / "modules.json").write_text("[]")
    chosen = topic_pages[::4]
    queries = [Query(f"q-{page.id}", " ".join(page.words[:4]), "sentence", page.document, page.id) for page in chosen]
    splits: dict[str, Any] = {query.id: "test" if place % 2 else "train" for place, query in enumerate(queries)}
    save_data(RetrievalData(queries, [Judgement(q.id, q.page, 2) for q in queries], splits), workspace.data)
    blank = page_maker("blank-0001", "", kind="blank")
    monkeypatch.setattr(
        "pagetune.pages.store.PageStore", lambda folder: SimpleNamespace(pages=lambda: [*topic_pages, blank])
    )
    monkeypatch.setattr("pagetune.models.loading.load_model", lambda recipe, path: tiny_model)
    return Context(workspace, load_recipe(None, ["fit.matryoshka=[32, 16]", "evaluate.resamples=100"]))


def test_the_held_out_queries_are_judged_over_the_pages_that_may_answer(context: Context, tiny_model: Any) -> None:
    tiny_model.truncate_dim = 8
    encoded = encode_tuned(context)
    assert len(encoded.queries) == len(encoded.vectors) == 5
    assert encoded.qrels.keys() == encoded.queries.keys()
    assert len(encoded.pages.ids) == 40
    assert encoded.pages.vectors.shape[1] == 32
    assert any((context.workspace.cache / "vectors").rglob("*.npz"))


def test_the_grid_has_the_dimensions_that_were_trained(context: Context) -> None:
    grid = judge_deployment(context)
    assert {cell.setting.dimension for cell in grid.cells} == {32, 16}
    assert (grid.queries, grid.pages) == (5, 40)
    assert grid.reference.vectors_per_page > 1


def test_what_was_reviewed_counts_in_the_grid_too(context: Context) -> None:
    query = next(iter(encode_tuned(context).qrels))
    other = next(page for page in encode_tuned(context).pages.ids if page not in encode_tuned(context).qrels[query])
    text = encode_tuned(context).queries[query]
    write_suspects([Suspect(query, text, other, "", {"base": 1}, {"base": 2})], context.workspace.reviews)
    confirm(context.workspace.reviews, query, other, by="Ada", grade=1)
    assert encode_tuned(context).qrels[query][other] == 1


def test_the_depth_of_the_reranker_is_an_axis(context: Context, tmp_path: Path) -> None:
    name = tiny_text_reranker(tmp_path / "reranker", hidden=32, layers=1, heads=2)
    keys = [f"rerank.name={name}", "rerank.weight=0.5", "fit.matryoshka=[32]", "evaluate.resamples=100"]
    reranked = Context(context.workspace, load_recipe(None, keys))
    grid = judge_deployment(reranked, depths=(3, 5))
    assert [sum(cell.setting.reranked == depth for cell in grid.cells) for depth in (0, 3, 5)] == [8, 8, 8]
    plain, slow = grid.cells[0], grid.cells[9]
    assert (plain.setting.name, slow.setting.name) == (
        "32 dimensions, float32",
        "32 dimensions, float32, the first 5 reranked",
    )
    assert slow.ms_per_query > plain.ms_per_query
    kept = {
        file: file.stat().st_mtime_ns for file in (reranked.workspace.cache / "scores").rglob("*") if file.is_file()
    }
    assert kept
    again = judge_deployment(reranked, depths=(3, 5))
    assert [cell.ndcg for cell in again.cells] == [cell.ndcg for cell in grid.cells]
    scores = reranked.workspace.cache / "scores"
    assert {file: file.stat().st_mtime_ns for file in scores.rglob("*") if file.is_file()}.keys() == kept.keys()


def test_without_a_reranker_there_is_no_such_axis(context: Context) -> None:
    with pytest.raises(WorkspaceError, match="has no reranker yet"):
        judge_deployment(context, depths=(5,))


def test_a_run_over_a_dataset_is_judged_on_its_evaluation_set(
    tmp_path: Path, tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from pagetune.models.encoding import PageVectors

    workspace = Workspace(tmp_path / "ws").create()
    workspace.model.mkdir()
    (workspace.model / "modules.json").write_text("[]")
    asked, judged = {"q1": "one", "q2": "two"}, {"q1": {"a": 1}, "q2": {"b": 1}}
    chosen = SimpleNamespace(queries=asked, qrels=judged, page_ids=("a", "b", "c"), excluded={"q2": ("c",)})
    eye = np.eye(3, dtype=np.float32)
    # The second query is nearest to the page that the set excludes from its answers.
    nearest = (0.6 * eye[1:2] + 0.8 * eye[2:3]).astype(np.float32)
    encoded = SimpleNamespace(queries=[eye[:1], nearest], pages=PageVectors(("a", "b", "c"), eye, np.arange(3)))
    monkeypatch.setattr("pagetune.models.loading.load_model", lambda recipe, path: tiny_model)
    monkeypatch.setattr("pagetune.examples.loading.load_eval_set", lambda recipe: chosen)
    monkeypatch.setattr("pagetune.evaluation.dataset.encode_set", lambda *given: encoded)
    recipe = load_recipe(None, ["dataset.train=t", "dataset.eval=e", "evaluate.resamples=100"])
    grid = judge_deployment(Context(workspace, recipe))
    assert grid.reference.ndcg == 1
    assert (grid.queries, grid.pages) == (2, 3)
