"""What a way to train would take, counted from what was tried, and which one is advised."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_images import rows

import _tiny
from pagetune.examples.loading import make_train_set
from pagetune.models.adapters import add_adapters
from pagetune.models.loading import load_model
from pagetune.recipe import load_recipe
from pagetune.training.arguments import Plan
from pagetune.training.budget import Trial
from pagetune.training.planning import (
    GIB,
    Option,
    Work,
    choose,
    explain,
    forecast,
    overrides,
    told_bytes,
    told_hours,
)
from pagetune.training.trials import Costs, Machine, Weights, as_trained, spread, try_steps, weigh

MACHINE = Machine("a card", True, 40 * GIB)
WEIGHTS = Weights(10**9, 2 * GIB, 2 * GIB, 4 * GIB, 0.1)
TRIALS = (Trial(1, 400, 0.04, GIB // 2, GIB), Trial(4, 1600, 0.08, 2 * GIB, 4 * GIB))
COSTS = Costs((400, 200), (20,), TRIALS, 6e-5, 8e-5, 0.02, workers=4, rows=6)
WORK = Work.of(Plan(64, 1e-5, 100, 100, 10), columns=2, judged=500)


def of(pixels: int | None = 360_000, rank: int = 0, machine: Machine = MACHINE, graphs: float | None = None) -> Option:
    return forecast(pixels, rank, COSTS, WEIGHTS, WORK, machine, graphs)


def test_what_a_fit_would_take_is_counted_from_the_trials():
    found = of()
    assert found.fits
    assert found.mini_batch_tokens == 1600
    # What is left of nine tenths of the card, less twice what a mini-batch takes while it is computed.
    assert found.graph_bytes == int(0.9 * 40 * GIB) - 8 * GIB - 2 * 4 * GIB
    wanted = 2 * GIB / 1600
    assert found.bytes == pytest.approx(8 * GIB + 4 * GIB + found.parts["kept graphs"])
    assert found.parts["kept graphs"] <= found.graph_bytes
    tokens = found.parts["kept graphs"] / found.graphs_kept / wanted
    assert 128 * 300 * 0.8 < tokens < 128 * 400
    computing = tokens * (found.graphs_kept * 6e-5 + (1 - found.graphs_kept) * 8e-5) + 0.1
    assert found.step_seconds == pytest.approx(computing, rel=1e-3)
    assert found.pages_a_second == pytest.approx(128 / computing, rel=1e-3)
    assert found.training_hours == pytest.approx(100 * computing / 3600, rel=1e-3)
    # Before training, and ten times; a page is 300 tokens, forward alone.
    assert WORK.evaluations == 11
    assert found.evaluation_hours == pytest.approx(11 * 500 * 300 * 2e-5 / 3600)
    assert "2 pages" in found.measured_on


def test_graphs_that_are_not_kept_cost_time_and_no_memory():
    none, all_of_them = of(graphs=0), of(machine=replace(MACHINE, bytes=200 * GIB))
    assert none.graphs_kept == 0
    assert none.parts["kept graphs"] == 0
    assert all_of_them.graphs_kept == 1
    assert none.step_seconds > all_of_them.step_seconds


def test_pages_that_are_slow_to_open_hold_a_step_up():
    slow = forecast(360_000, 0, replace(COSTS, open_seconds=1.0), WEIGHTS, WORK, MACHINE, None)
    assert slow.held_up_by_pages
    assert slow.step_seconds == pytest.approx(128 * (2 - slow.graphs_kept) / 4)
    assert not of().held_up_by_pages


def test_a_smaller_mini_batch_is_planned_with_where_the_best_does_not_fit():
    found = of(machine=replace(MACHINE, bytes=11 * GIB))
    assert (found.mini_batch_pages, found.mini_batch_tokens) == (1, 400)
    assert found.step_seconds > of().step_seconds
    least = of(machine=replace(MACHINE, bytes=9 * GIB))
    assert not least.fits
    assert least.why_not == "one page at a time needs 9.0 GiB"


def option(pixels: int, rank: int, hours: float = 1.0, fits: bool = True) -> Option:
    return Option(
        pixels,
        rank,
        fits=fits,
        why_not="" if fits else "out of memory",
        training_hours=hours,
        bytes=8 * GIB,
        mini_batch_tokens=1600,
        graph_bytes=int(2.5 * GIB),
    )


def test_the_recipes_own_way_is_advised_where_it_fits():
    recipe = load_recipe(None, ["model.max_pixels=360000"])
    options = [option(65536, 0), option(360_000, 0), option(360_000, 32), option(589_824, 0)]
    chosen = choose(options, recipe, 360_000)
    assert chosen is options[1]
    told = explain(chosen, options, recipe, 360_000, MACHINE)
    assert told == (
        "Train all weights on 360,000 pixels, mini-batches of 1,600 tokens: 8.0 GiB of 36.0 GiB and 1.0 h; "
        "it is what the recipe asks for, and it fits."
    )
    assert overrides(chosen, recipe) == {"fit.mini_batch_tokens": 1600, "fit.graph_memory": 2.5}


def test_adapters_come_before_fewer_pixels_and_fewer_pixels_before_nothing():
    recipe = load_recipe(None, ["model.max_pixels=360000"])
    options = [option(65536, 0), option(65536, 32), option(360_000, 0, fits=False), option(360_000, 32)]
    chosen = choose(options, recipe, 360_000)
    assert chosen is options[3]
    told = explain(chosen, options, recipe, 360_000, MACHINE)
    assert "all weights on 360,000 pixels, as the recipe asks, does not fit: out of memory" in told
    assert overrides(chosen, recipe)["lora.rank"] == 32
    fewer = [*options[:3], option(360_000, 32, fits=False)]
    assert choose(fewer, recipe, 360_000) is fewer[0]
    nothing = [option(65536, 0, fits=False)]
    assert choose(nothing, recipe, 360_000) is None
    assert explain(None, nothing, recipe, 360_000, MACHINE) == (
        "Nothing fits into 36.0 GiB of a card: the least needs 8.0 GiB; choose a smaller model, model.dtype=bfloat16, "
        "or lora.quantise=4bit."
    )


def test_hours_decide_too():
    recipe = load_recipe(None, ["model.max_pixels=360000", "lora.rank=16"])
    options = [option(65536, 0, 2), option(65536, 16, 1), option(360_000, 16, 9)]
    chosen = choose(options, recipe, 360_000, hours=3)
    assert chosen is options[1]
    told = explain(chosen, options, recipe, 360_000, MACHINE, 3)
    assert "the most pixels that fit in 3.0 h" in told
    assert "would take 9.0 h" in told
    assert "the quickest, adapters of rank 16 on 65,536 pixels, takes 1.0 h" in explain(
        choose(options, recipe, 360_000, hours=0.5), options, recipe, 360_000, MACHINE, 0.5
    )


def test_amounts_as_a_person_reads_them():
    assert [told_bytes(count) for count in (3 * 2**20, 1.5 * GIB)] == ["3 MiB", "1.5 GiB"]
    assert [told_hours(hours) for hours in (0.005, 0.5, 1.25)] == ["18 s", "30 min", "1.2 h"]
    assert spread(10, 4) == [0, 2, 5, 7]
    assert spread(2, 4) == [0, 1]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen") / "model"
    return _tiny.tiny_qwen3_vl(folder, hidden=64, layers=1, heads=4, vision_hidden=64, vision_layers=1)


def loaded(qwen, *keys: str):
    recipe = load_recipe(None, [f"model.name={qwen}", "fit.matryoshka=[64,16]", "fit.batch_size=4", *keys])
    return load_model(recipe.model), recipe


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("rank", [0, 2])
def test_the_optimizer_is_counted_as_it_is(qwen, dtype, rank):
    model, recipe = loaded(qwen, f"model.dtype={dtype}", f"lora.rank={rank}")
    if rank:
        add_adapters(model, recipe.lora)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    found = weigh(model)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    each = 2 if dtype == "bfloat16" and not rank else 4  # Adapters are float32 over whatever weights.
    assert found.trainable == sum(weight.numel() for weight in trained)
    assert found.gradients == each * found.trainable
    assert found.optimizer == 2 * each * found.trainable
    assert found.held > 0
    assert found.update_seconds > 0
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert all(weight.grad is None for weight in model.parameters())


def test_real_steps_say_what_pages_cost_and_leave_no_trace(qwen):
    model, recipe = loaded(qwen, "fit.bf16=off")
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    train = make_train_set(rows(8, negatives=1))
    found = try_steps(model, train, recipe.fit, reserved=0)
    assert len(found.pages) == len(found.queries) == 8
    assert found.trials[0].items == 1
    assert found.rows >= 2
    assert 0 < found.kept_pace <= found.twice_pace
    assert found.open_seconds > 0
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert all(weight.grad is None for weight in model.parameters())


def test_the_forward_pass_is_in_bfloat16_where_training_is(qwen):
    model, recipe = loaded(qwen, "fit.bf16=on", "fit.dropout=0.5")
    features = model.preprocess(["a bar"])
    plain = model(dict(features))["sentence_embedding"]
    with as_trained(model, recipe.fit):
        assert model.training
        inside = model(dict(features))["sentence_embedding"]
    assert inside.dtype == torch.float32  # As Accelerate hands it on.
    assert not torch.equal(inside, plain)
    torch.testing.assert_close(model(dict(features))["sentence_embedding"], plain)
