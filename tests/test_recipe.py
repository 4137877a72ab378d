"""The recipe: what is read, and how every fault is said at once."""

import pytest
import yaml

from pagetune.errors import RecipeError
from pagetune.recipe import Recipe, load_recipe


def problems_of(*overrides: str, source=None) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(source, overrides)
    return caught.value.problems


def test_nothing_given_is_the_defaults():
    assert load_recipe() == Recipe()


def test_overrides_win_over_the_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("fit: {epochs: 2, batch_size: 16}\nindex: {dimension: 128}\n")
    recipe = load_recipe(file, ["fit.epochs=0.5"])
    assert (recipe.fit.epochs, recipe.fit.batch_size, recipe.index.dimension) == (0.5, 16, 128)


def test_a_number_may_be_typed_as_people_type_it():
    recipe = load_recipe(None, ["fit.learning_rate=5e-5", "queries.max_queries=null", "fit.matryoshka=[128, 64]"])
    assert recipe.fit.learning_rate == 5e-5
    assert recipe.queries.max_queries is None
    assert recipe.fit.matryoshka == (128, 64)


def test_every_fault_is_reported_at_once_with_key_value_and_nearest_name():
    problems = problems_of("fit.epoch=2", "read.ocr=sometimes", "splits.test=3", "indx.dimension=64", "nonsense")
    assert len(problems) == 5
    text = "\n".join(problems)
    assert "fit.epoch: unknown key (value 2); did you mean 'epochs'?" in text
    assert "read.ocr" in text
    assert "'sometimes'" in text
    assert "splits.test" in text
    assert "did you mean 'index'?" in text
    assert "'nonsense'" in text


def test_a_key_without_its_section_names_the_section():
    assert "did you mean 'fit.batch_size'?" in problems_of("batch_size=8")[0]


def test_values_that_do_not_fit_together_are_refused():
    assert "chunk_overlap=64 must be below" in problems_of("model.chunk_tokens=64", "model.chunk_overlap=64")[0]
    assert "leave at least 0.1" in problems_of("splits.test=0.6", "splits.validation=0.4")[0]
    assert "must fall" in problems_of("fit.matryoshka=[64, 128]")[0]


def test_a_threshold_is_a_share_or_a_place():
    assert load_recipe(None, ["evaluate.fail_under=0.6"]).evaluate.fail_under == 0.6
    assert load_recipe(None, ["evaluate.fail_under=1"]).evaluate.fail_under == 1.0
    assert load_recipe(None, ["evaluate.fail_under=runs/good"]).evaluate.fail_under == "runs/good"
    assert problems_of("evaluate.fail_under=60") == [
        "evaluate.fail_under: NDCG@10 is between 0 and 1; give such a number, or a metrics.json, got 60"
    ]


def test_a_section_given_a_plain_value_is_refused():
    assert problems_of("fit=3")
    assert problems_of("fit=3", "fit.epochs=1")


@pytest.mark.parametrize("text", ["- a list", "fit: [", "just text"])
def test_a_file_that_is_no_mapping_is_refused_with_its_name(tmp_path, text):
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    assert "broken.yaml" in problems_of(source=file)[0]


def test_a_recipe_that_is_nowhere_is_named():
    assert "no-such-recipe" in problems_of(source="no-such-recipe")[0]


def test_the_resolved_recipe_reads_back_as_itself(tmp_path):
    recipe = load_recipe(None, ["fit.epochs=3", "model.page_vectors=pooled"])
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe.to_yaml())
    assert load_recipe(file) == recipe
    assert set(yaml.safe_load(recipe.to_yaml())) == set(Recipe.model_fields)


@pytest.mark.parametrize("kind", ["retriever", "reranker"])
def test_options_of_the_ranking_loss_are_refused_with_a_teacher(kind):
    """Also where one run trains the reranker first; hard negatives are not asked for first."""
    taught = (f"kind={kind}", "fit.teacher=reranker")
    load_recipe(None, [*taught, "fit.scale=10", "fit.matryoshka=[128, 64]", "fit.directions=[query_to_doc]"])
    for given in ("hardness=hard_negatives", "partition=per_direction", "gather_across_devices=True"):
        more = ["fit.hardness_strength=5"] if "hardness" in given else []
        (problem,) = problems_of(*taught, f"fit.{given}", *more)
        assert f"fit.{given}" in problem
        assert "with fit.teacher=reranker" in problem
        assert "leave it out" in problem
    (problem,) = problems_of(*taught, "fit.directions=[query_to_doc, doc_to_query]")
    assert "fit.directions=['query_to_doc', 'doc_to_query'] with fit.teacher" in problem


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path, encoding):
    file = tmp_path / "mine.yaml"
    file.write_bytes("fit:\r\n  epochs: 3\r\n".encode(encoding))
    assert load_recipe(file).fit.epochs == 3
    file.write_bytes("fit: {grün: 1}".encode("cp1252"))
    assert "byte 8 is not UTF-8" in problems_of(source=file)[0]
