from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _tiny_reranker import tiny_text_reranker
from pagetune.errors import ModelError, WorkspaceError
from pagetune.evaluation.evaluate import RERANKED, EvaluationReport
from pagetune.evaluation.output import load_run, write_run
from pagetune.evaluation.page_pairs import EveryPassage
from pagetune.evaluation.ranking import ranking
from pagetune.evaluation.rerank_use import (
    FILE,
    UNFITTED,
    Mixture,
    RerankUse,
    content_of,
    has_use,
    load_use,
    made_from,
    not_evaluated,
    open_reranker,
    use_of,
    uses_trained,
)
from pagetune.evaluation.reranking import (
    add_reranked,
    blend,
    calibrate,
    choose_weight,
    identity,
    rerank_run,
    score_shortlists,
)
from pagetune.models.calibration import Calibration
from pagetune.models.inspect import architecture_of
from pagetune.recipe import load_recipe
from pagetune.workspace import Workspace

SHORTLIST = {"a": 0.9, "b": 0.5, "c": 0.4, "d": 0.1}


def test_the_weight_says_whose_order_it_is() -> None:
    odds = {"a": -4.0, "b": 0.0, "c": 3.0, "d": -1.0}
    assert list(blend(SHORTLIST, odds, 0)) == ["a", "b", "c", "d"]
    assert list(blend(SHORTLIST, odds, 1)) == ["c", "b", "d", "a"]
    mixed = blend(SHORTLIST, odds, 0.5)
    assert mixed["c"] == pytest.approx(0.5 * 1 + 0.5 * (0.4 - 0.1) / 0.8)
    assert mixed["a"] == pytest.approx(0.5 * 0 + 0.5 * 1)
    with pytest.raises(ValueError, match=r"weight=1\.5"):
        blend(SHORTLIST, odds, 1.5)


def test_what_was_not_scored_stays_below_in_its_order() -> None:
    found = blend(SHORTLIST, {"a": -5.0, "b": 2.0}, 1.0)
    assert list(found) == ranking(found) == ["b", "a", "c", "d"]
    assert [found[page] for page in ("c", "d")] == [-3, -4]
    assert list(blend(SHORTLIST, {}, 1.0)) == list(SHORTLIST)
    assert list(blend({}, {}, 0.5)) == []


def test_the_weight_is_the_best_on_validation_and_rests_on_its_neighbours() -> None:
    run = {f"q{number}": dict(SHORTLIST) for number in range(20)}
    right = {query: {"c": 5.0, "a": 0.0, "b": 0.0, "d": 0.0} for query in run}
    qrels = {query: {"c": 2} for query in run}
    chosen = choose_weight(run, right, qrels)
    assert 0.4 <= chosen.weight <= 0.5
    assert chosen.queries == 20
    assert chosen.gain == pytest.approx(0.5)
    wrong = {query: {"d": 5.0, "a": 0.0, "b": 0.0, "c": 0.0} for query in run}
    assert choose_weight(run, wrong, qrels).weight == 0
    assert choose_weight(run, right, {}) == Mixture(0.5)
    assert "20 validation queries" in chosen.about
    one = {query: odds if query == "q7" else {} for query, odds in right.items()}
    assert choose_weight(run, one, qrels).weight == 0, "one query alone is no reason to trust it"


def test_validation_says_how_probable_a_score_makes_an_answer() -> None:
    odds = {f"q{number}": {"a": 2.0 + number % 2, "b": 2.0, "c": -3.0} for number in range(40)}
    found = calibrate(odds, {query: {"a": 1} for query in odds})
    low, high = found.apply(np.array([-3.0, 3.0], np.float32))
    assert low < 0.2 < 0.5 < high
    assert found.pairs == 120


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(tiny_text_reranker(tmp_path_factory.mktemp("text") / "m", hidden=32)))


TEXTS = {"a": "the table of numbers", "b": "a chart", "c": "text of a section", "d": "a page"}
QUERIES = {"q": "which chart", "r": "what numbers"}


def test_no_pair_is_scored_twice_and_only_the_shortlist(
    reranker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []
    forward = type(reranker).preprocess

    def watch(self: Any, inputs: Sequence[Any], **options: Any) -> Any:
        seen.extend(pair for pair in inputs if pair[0])
        return forward(self, inputs, **options)

    monkeypatch.setattr(type(reranker), "preprocess", watch)
    run = {"q": dict(SHORTLIST), "r": {"d": 3.0, "c": 2.0, "b": 1.0}}
    reading = EveryPassage(reranker, TEXTS)
    first = score_shortlists(reranker, QUERIES, run, reading, depth=2, cache=tmp_path)
    assert {query: set(pages) for query, pages in first.items()} == {"q": {"a", "b"}, "r": {"c", "d"}}
    assert sorted(seen) == sorted((QUERIES[query], TEXTS[page]) for query in first for page in first[query])
    seen.clear()
    assert score_shortlists(reranker, QUERIES, run, lambda ids: reading, TEXTS, depth=2, bfloat16=None) == first
    assert len(seen) == 4
    seen.clear()
    assert score_shortlists(reranker, QUERIES, run, reading, depth=2, cache=tmp_path) == first
    assert seen == []
    other = EveryPassage(reranker, TEXTS | {"a": "another"})
    more = score_shortlists(reranker, QUERIES, run, other, depth=3, cache=tmp_path)
    assert sorted(seen) == sorted([(QUERIES["q"], "another"), (QUERIES["q"], TEXTS["c"]), (QUERIES["r"], TEXTS["b"])])
    assert more["q"]["b"] == first["q"]["b"]


def test_another_model_is_another_cache(reranker: Any, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    other = CrossEncoder(str(tiny_text_reranker(tmp_path / "m", hidden=32, seed=1)))
    assert identity(other) != identity(reranker)
    before = identity(other)
    other.prompts["text_to_image"] = "find"
    assert identity(other) != before


def test_the_report_has_one_system_more_compared_with_its_shortlist(report: EvaluationReport, tmp_path: Path) -> None:
    fused = report.systems["BM25+tuned"].run
    odds = {query: {page: float(report.qrels[query].get(page, 0)) for page in pages} for query, pages in fused.items()}
    found = add_reranked(report, rerank_run(fused, odds, 1.0), "the first pages again")
    assert [*found.systems] == [*report.systems, RERANKED]
    comparison = found.comparisons["reranked − BM25+tuned"]
    assert comparison.difference > 0
    assert comparison.family == len(found.comparisons) - 1
    assert found.gain == report.gain
    write_run(found, tmp_path / "evaluate")
    again, _ = load_run(tmp_path / "evaluate")
    assert again.systems[RERANKED].metrics == pytest.approx(found.systems[RERANKED].metrics)
    assert again.conditions.reranked == "the first pages again"
    assert ranking(again.systems[RERANKED].run["q000"]) == ranking(found.systems[RERANKED].run["q000"])
    for name in ("report.html", "report.md"):
        text = (tmp_path / "evaluate" / name).read_text(encoding="utf-8")
        assert "reranked − BM25+tuned" in text
        assert "the first pages again" in text


def trained(workspace: Workspace, content: str, name: str = "light") -> None:
    """As if the stage had trained a reranker."""
    workspace.reranker.mkdir(exist_ok=True)
    (workspace.reranker / "modules.json").write_text(content)
    parts = {"recipe": load_recipe(None, [f"rerank.name={name}"]).model_dump(mode="json")}
    workspace.finish("rerank", parts, {"content": content_of(workspace.reranker)})


def test_the_use_of_a_reranker_outlives_it_and_is_of_no_other(tmp_path: Path) -> None:
    workspace, recipe = Workspace(tmp_path / "ws").create(), load_recipe()
    trained(workspace, "one")
    use = RerankUse(Mixture(0.35, 80, 0.04), Calibration(0.5, -1.0, 4000))
    use.save(workspace, recipe)
    assert load_use(workspace, recipe) == use
    assert not_evaluated(workspace, recipe) is None
    trained(workspace, "another")
    assert load_use(workspace, recipe) is None
    assert use_of(workspace, recipe) == RerankUse(Mixture(UNFITTED))
    line = not_evaluated(workspace, recipe) or ""
    assert "weight 0.5" in line
    assert "pagetune evaluate --rerank" in line
    assert "weight" not in (not_evaluated(workspace, load_recipe(None, ["rerank.weight=0.8"])) or "")
    other = RerankUse(Mixture(0.2, 80, 0.04))
    other.save(workspace, recipe)
    trained(workspace, "one")
    assert load_use(workspace, recipe) == use, "the same content again"
    workspace.forget("rerank")
    assert load_use(workspace, recipe) == use, "found by its content without a record of its training"
    (file,) = workspace.runs.rglob(FILE)
    for damage, fault in (("{", "damaged"), ("[]", "a list, not an object")):
        file.write_text(damage)
        with pytest.raises(ModelError, match=fault):
            load_use(workspace, recipe)
        assert not has_use(workspace, recipe)
    other.save(workspace, recipe)
    assert load_use(workspace, recipe) == other, "an evaluation mends it"


def test_another_published_reranker_that_the_recipe_names_is_meant(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws").create()
    one, other = (str(tiny_text_reranker(tmp_path / name, hidden=32)) for name in ("one", "other"))
    means_other = load_recipe(None, [f"rerank.name={other}"])
    assert not uses_trained(workspace, means_other), "none was trained"
    trained(workspace, "made from one", one)
    assert uses_trained(workspace, load_recipe(None, [f"rerank.name={one}"]))
    assert uses_trained(workspace, load_recipe()), "light alone is no reranker"
    assert uses_trained(workspace, load_recipe(None, [f"rerank.name={other}", "kind=reranker"])), "it trains one"
    assert not uses_trained(workspace, means_other)
    RerankUse(Mixture(0.7, 80, 0.04)).save(workspace, means_other)
    assert load_use(workspace, load_recipe(None, [f"rerank.name={one}"])) is None
    assert architecture_of(open_reranker(workspace, means_other)) == "text"
    assert made_from(workspace) == one
    workspace.forget("rerank")
    assert uses_trained(workspace, means_other), "nobody knows what it was made from"


def test_a_weight_of_the_recipe_wins_and_a_workspace_without_a_reranker_says_so(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws").create()
    RerankUse(Mixture(0.35, 80, 0.04)).save(workspace, load_recipe())
    assert use_of(workspace, load_recipe()).mixture.weight == 0.35
    assert use_of(workspace, load_recipe(None, ["rerank.weight=0.8"])).mixture == Mixture(0.8, given=True)
    with pytest.raises(WorkspaceError, match="pagetune fit kind=reranker"):
        open_reranker(workspace, load_recipe())
