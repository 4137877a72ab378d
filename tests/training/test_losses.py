"""The ranking loss: what the recipe says of it reaches Sentence Transformers', and makes another model."""

import pytest
import torch
from test_fit import Recorder
from test_images import recipe, rows, weights

import _tiny
from pagetune.errors import DataError, ModelError, RecipeError
from pagetune.examples.loading import make_train_set
from pagetune.models.loading import load_model
from pagetune.recipe import FitRecipe, load_recipe
from pagetune.training.gradient_cache import StreamingCachedLoss
from pagetune.training.images import fit_images
from pagetune.training.losses import check_loss, ranking_loss
from pagetune.training.mini_batches import Budget

SYMMETRIC = {"directions": ("query_to_doc", "doc_to_query"), "partition": "per_direction"}
OTHERS = [
    SYMMETRIC,
    {"directions": ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")},
    {"hardness": "in_batch_negatives", "hardness_strength": 9},
    {"hardness": "hard_negatives", "hardness_strength": 5},
    {"hardness": "all_negatives", "hardness_strength": 5},
]


def value(case, fit: FitRecipe, *, cached: bool) -> float:
    loss = ranking_loss(case.model, fit, cached=cached, rows=2)
    wrapped = StreamingCachedLoss(loss, Budget(items=2)) if cached else loss
    return wrapped(case.preprocessed(), None).item()


@pytest.mark.parametrize("keys", OTHERS, ids=lambda keys: "-".join(map(str, keys.values())))
def test_every_key_changes_the_loss_the_same_with_the_cache_and_without(reader, keys):
    reader.model.double()
    plain, other = FitRecipe(matryoshka=(32, 8)), FitRecipe(matryoshka=(32, 8), **keys)
    assert value(reader, other, cached=True) != pytest.approx(value(reader, plain, cached=True), rel=1e-3)
    assert value(reader, other, cached=True) == pytest.approx(value(reader, other, cached=False), rel=1e-5)


@pytest.mark.parametrize("name", ["reader", "late_reader"])
@pytest.mark.parametrize("cached", [True, False])
def test_gathering_reaches_the_loss(make_case, name, cached):
    model = make_case(name).model
    for asked in (True, False):
        loss = ranking_loss(model, FitRecipe(gather_across_devices=asked), cached=cached)
        assert getattr(loss, "loss", loss).gather_across_devices is asked


@pytest.mark.parametrize("keys", [SYMMETRIC, *OTHERS[2:3]], ids=["directions", "hardness"])
def test_late_interaction_refuses_what_its_loss_has_not(make_case, keys):
    with pytest.raises(
        ModelError, match=r"fit\.(directions|hardness)=.*late interaction does not have it; leave it out"
    ):
        check_loss(make_case("late_reader").model, FitRecipe(**keys))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen") / "model"
    return _tiny.tiny_qwen3_vl(folder, hidden=64, layers=1, heads=4, vision_hidden=64, vision_layers=1)


def test_a_fit_with_another_loss_is_another_fit(qwen, tmp_path):
    """In the same folder: what was trained by one loss is not gone on with by another, and ends elsewhere."""
    train, ends = make_train_set(rows(8, negatives=1)), []
    for keys in ((), ("fit.directions=[query_to_doc, doc_to_query]", "fit.hardness=all_negatives")):
        strength = ["fit.hardness_strength=5"] if keys else []
        chosen, recorder = recipe(qwen, *keys, *strength, "fit.best=last", "fit.epochs=1"), Recorder()
        model = load_model(chosen.model)
        report = fit_images(model, train, None, chosen, tmp_path / "run", recorder)
        assert report.steps_done == recorder.steps == 2
        ends.append(weights(model))
    assert any(not torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_hard_negatives_that_are_not_there_are_said(qwen, tmp_path):
    chosen = recipe(qwen, "fit.hardness=hard_negatives", "fit.hardness_strength=5", "fit.negatives=1")
    with pytest.raises(DataError, match="the rows have no negative_0; give them one, or use in_batch_negatives"):
        fit_images(load_model(chosen.model), make_train_set(rows(8)), None, chosen, tmp_path)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (["fit.directions=[doc_to_query]"], "directions=['doc_to_query'] must have query_to_doc"),
        (["fit.directions=[query_to_doc, query_to_doc]"], "and none twice"),
        (["fit.directions=[query_to_page]"], "fit.directions.0: Input should be 'query_to_doc'"),
        (["fit.directions=[query_to_doc, doc_to_doc]", "fit.partition=per_direction"], "doc_to_doc never hold"),
        (["fit.hardness=all_negatives"], "hardness=all_negatives needs hardness_strength above 0"),
        (["fit.hardness_strength=5"], "hardness_strength=5 does nothing without hardness"),
        (["fit.hardness=hard_negatives", "fit.hardness_strength=5"], "needs fit.negatives above 0, got 0"),
        (
            ["fit.hardness=hard_negatives", "fit.hardness_strength=5", "dataset.train=rows", "dataset.negatives=0"],
            "needs dataset.negatives above 0, got 0",
        ),
    ],
)
def test_what_does_not_go_together_is_a_line(keys, line):
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, keys)
    (problem,) = caught.value.problems
    assert line in problem
