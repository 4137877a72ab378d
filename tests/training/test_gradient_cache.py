"""The streaming loss gives upstream's loss and gradients, whatever the mini-batches, however many graphs are kept."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _engine import apart, measured, taken, with_dropout
from pagetune.models.adapters import add_adapters
from pagetune.recipe import LoraRecipe
from pagetune.training import gradient_cache
from pagetune.training.feeding import Feeder
from pagetune.training.gradient_cache import Budget, StreamingCachedLoss
from pagetune.training.memory import GraphMeter

EXACT = 1e-6
"""Of double precision, with parts that stay single: upstream's MaxSim, a processor's pixels."""
ALL = 10**12

OPTIONS = [
    {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"},
    {"directions": ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")},
    {"hardness_mode": "in_batch_negatives", "hardness_strength": 9.0},
    {"hardness_mode": "hard_negatives", "hardness_strength": 5.0},
    {"hardness_mode": "all_negatives", "hardness_strength": 5.0, "scale": 50.0},
]


@pytest.fixture
def make_case(make_case):
    """In double precision: how much single precision rounds depends on the mini-batches and on the processor."""

    def made(name, **sizes):
        case = make_case(name, **sizes)
        case.model.double()
        return case

    return made


@pytest.fixture
def late_reader(make_case):
    case = make_case("late_reader")
    case.model.eval()
    return case


@pytest.fixture
def qwen(make_case):
    case = make_case("qwen", rows=4)
    case.model.eval()
    return case


def streaming(case, rows=2, budget=None, **options):
    return StreamingCachedLoss(case.upstream(rows, **options), budget)


def some(case):
    """About half of what all graphs take."""
    state = torch.get_rng_state()
    meter = GraphMeter(case.model)
    total = 0
    for features in case.preprocessed():
        with meter.measuring():
            case.model(features, **({"task": features["task"]} if case.late else {}))
        total += meter.bytes
    torch.set_rng_state(state)
    return total // 2


def agree(case, ours, theirs, tolerance=EXACT):
    """Loss and gradients of both sides."""
    (one, first), (other, second) = theirs, ours
    assert other == pytest.approx(one, rel=tolerance)
    assert apart(first, second) < tolerance


@pytest.mark.parametrize("name", ["qwen", "router", "reader", "late", "late_reader"])
def test_with_dropout_it_is_upstream(make_case, name):
    case = make_case(name, rows=4)
    with_dropout(case.model)
    expected = measured(case, case.upstream(2), case.preprocessed())
    assert apart(expected[1], measured(case, case.upstream(2), case.preprocessed(), seed=6)[1]) > 0.1
    with Feeder(case.preparer(), workers=0) as feeder:
        for keep, least, most in ((0, 0, 0), (some(case), 0.1, 0.9), (ALL, 1, 1)):
            for features in (case.preprocessed(), case.referenced(feeder)):
                engine = streaming(case, budget=Budget(items=2, keep_bytes=keep))
                agree(case, measured(case, engine, features), expected)
                assert least <= engine.account.summary()["graphs_kept"] <= most


@pytest.mark.parametrize("name", ["qwen", "router", "late"])
def test_cut_by_tokens_over_all_columns_it_is_upstream(make_case, name):
    case = make_case(name, rows=4)
    case.model.eval()
    expected = measured(case, case.upstream(2), case.preprocessed())
    with Feeder(case.preparer(), workers=1) as feeder:
        for budget in (Budget(tokens=130), Budget(tokens=200, keep_bytes=some(case))):
            engine = streaming(case, budget=budget)
            agree(case, measured(case, engine, case.referenced(feeder)), expected)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_every_option_of_the_loss(reader, options):
    expected = measured(reader, reader.upstream(4, **options), reader.preprocessed())
    engine = streaming(reader, 4, Budget(tokens=50, keep_bytes=some(reader)), **options)
    agree(reader, measured(reader, engine, reader.preprocessed()), expected)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.tuples(*[st.integers(1, 30)] * 3), min_size=2, max_size=6),
    tokens=st.none() | st.integers(1, 300),
    items=st.none() | st.integers(1, 20),
    keep=st.integers(0, 6_000_000),
)
def test_any_lengths_and_budgets(reader, lengths, tokens, items, keep):
    columns = [[f"a{row} " * length for row, length in enumerate(column)] for column in zip(*lengths, strict=True)]
    case = replace(reader, columns=columns)
    expected = measured(case, case.upstream(64), case.preprocessed())
    budget = Budget(tokens, items or (None if tokens else 3), keep_bytes=keep)
    with Feeder(case.preparer(), workers=0) as feeder:
        agree(case, measured(case, streaming(case, 64, budget), case.referenced(feeder)), expected, 1e-9)
    agree(case, measured(case, streaming(case, 64, budget), case.preprocessed()), expected, 1e-9)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.tuples(*[st.integers(1, 30)] * 3), min_size=2, max_size=6),
    tokens=st.integers(1, 300),
    keep=st.integers(0, 6_000_000),
)
def test_any_lengths_and_budgets_of_late_interaction(late_reader, lengths, tokens, keep):
    columns = [[f"a{row} " * length for row, length in enumerate(column)] for column in zip(*lengths, strict=True)]
    case = replace(late_reader, columns=columns)
    expected = measured(case, case.upstream(64), case.preprocessed())
    budget = Budget(tokens, keep_bytes=keep)
    with Feeder(case.preparer(), workers=0) as feeder:
        agree(case, measured(case, streaming(case, 64, budget), case.referenced(feeder)), expected)
    agree(case, measured(case, streaming(case, 64, budget), case.preprocessed()), expected)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.tuples(*[st.tuples(st.integers(40, 160), st.integers(40, 160))] * 2), min_size=2, max_size=4),
    tokens=st.integers(1, 300),
    keep=st.integers(0, 60_000_000),
)
def test_any_pictures_and_budgets(qwen, sizes, tokens, keep):
    columns = zip(qwen.columns[1:], zip(*sizes, strict=True), strict=True)
    pages = [[page.resize(size) for page, size in zip(column, own, strict=False)] for column, own in columns]
    case = replace(qwen, columns=[qwen.columns[0][: len(sizes)], *pages])
    expected = measured(case, case.upstream(64), case.preprocessed())
    budget = Budget(tokens, keep_bytes=keep)
    with Feeder(case.preparer(), workers=0) as feeder:
        agree(case, measured(case, streaming(case, 64, budget), case.referenced(feeder)), expected, 1e-9)
    agree(case, measured(case, streaming(case, 64, budget), case.preprocessed()), expected, 1e-9)


@pytest.mark.parametrize("name", ["reader", "late_reader"])
def test_a_page_that_stands_twice_is_embedded_once(make_case, name):
    case = make_case(name)
    case.model.eval()
    case.columns[2][0] = case.columns[1][3]
    case.columns[2][4] = case.columns[1][3]
    keys = [list(column) for column in case.columns]
    expected = measured(case, case.upstream(3), case.preprocessed())
    with Feeder(case.preparer(), workers=0) as feeder:
        engine = streaming(case, 3, Budget(tokens=60, keep_bytes=some(case)))
        agree(case, measured(case, engine, case.referenced(feeder, keys)), expected)
    assert engine.account.repeated == 2
    assert engine.account.rows == 16


def test_a_part_of_the_loss_is_a_part_of_the_gradients(reader):
    engine = streaming(reader, budget=Budget(tokens=50, keep_bytes=some(reader)))
    _, whole = measured(reader, engine, reader.preprocessed())
    first, second = (engine(reader.preprocessed()) for _ in range(2))  # The second before the first went backward.
    (first / 4).backward()
    (second * 0.75).backward()
    assert apart(whole, taken(reader.model)) < EXACT


def test_what_has_gone_backward_does_not_again(reader):
    loss = streaming(reader)(reader.preprocessed())
    loss.backward()
    with pytest.raises(RuntimeError, match="gone backward"):
        loss.backward()


def test_without_gradients_the_loss_is_the_same(reader):
    engine = streaming(reader, budget=Budget(tokens=50, keep_bytes=ALL))
    expected, _ = measured(reader, engine, reader.preprocessed())
    with torch.no_grad():
        value = engine(reader.preprocessed())
    assert value.item() == pytest.approx(expected, rel=1e-6)
    assert not value.requires_grad


@pytest.mark.parametrize("inside", [True, False], ids=["backward inside autocast", "backward outside"])
def test_under_autocast_it_is_upstream_as_far_as_it_goes(make_case, inside):
    case = make_case("reader")
    with_dropout(case.model).float()
    exact = measured(case, case.upstream(2), case.preprocessed())[1]
    found = []
    for loss in (case.upstream(2), streaming(case, budget=Budget(items=2, keep_bytes=some(case)))):
        torch.manual_seed(5)
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(case.preprocessed(), None)
            if inside:
                value.backward()
        if not inside:
            value.backward()
        found.append((value.item(), taken(case.model)))
    (one, theirs), (other, ours) = found
    assert other == pytest.approx(one, rel=0.01)
    for gradients in (theirs, ours):
        assert all(each.dtype == torch.float32 for each in gradients.values())
    if inside:
        assert apart(theirs, ours) < 1e-4  # In single precision.
    # Upstream's second pass knows nothing of an autocast that was left; the engine's is the one of the first pass.
    assert overall(exact, ours) < 0.3
    assert overall(exact, ours) < 1.5 * overall(exact, theirs) or not inside


def overall(first, second):
    total = sum((each.norm() ** 2).item() for each in first.values())
    return (sum(((first[name] - second[name]).norm() ** 2).item() for name in first) / total) ** 0.5


def test_what_is_frozen_gets_no_gradient(make_case):
    case = make_case("qwen", rows=4)
    with_dropout(case.model)
    for name, parameter in case.model.named_parameters():
        parameter.requires_grad_(".visual." not in name)
    expected = measured(case, case.upstream(2), case.preprocessed())
    for keep in (0, some(case), ALL):
        engine = streaming(case, budget=Budget(items=2, keep_bytes=keep))
        agree(case, measured(case, engine, case.preprocessed()), expected)
    assert expected[1]
    assert not any(".visual." in name for name in expected[1])


def test_mini_batches_without_gradients_are_passed_over(make_case):
    case = make_case("router", rows=4)
    case.model.eval()
    for name, parameter in case.model.named_parameters():
        parameter.requires_grad_(".image." in name)
    expected = measured(case, case.upstream(2), case.preprocessed())
    for keep in (0, some(case), ALL):
        engine = streaming(case, budget=Budget(items=2, keep_bytes=keep))
        agree(case, measured(case, engine, case.preprocessed()), expected)


def test_adapters(make_case):
    case = make_case("qwen", rows=4)
    add_adapters(case.model, LoraRecipe(rank=4, dropout=0.1))
    for name, parameter in case.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    with_dropout(case.model)
    expected = measured(case, case.upstream(2), case.preprocessed())
    engine = streaming(case, budget=Budget(items=2, keep_bytes=some(case)))
    agree(case, measured(case, engine, case.preprocessed()), expected)
    assert all("lora_" in name for name in expected[1])


def test_published_colqwen2_by_references(make_case):
    """Upstream cannot cut its pictures into mini-batches (their patches are padded): the whole batch is the measure."""
    case = make_case("colqwen", rows=3)
    case.model.eval()
    expected = measured(case, case.upstream(3), case.preprocessed())
    with Feeder(case.preparer(), workers=0) as feeder:
        engine = streaming(case, 3, Budget(tokens=130, keep_bytes=some(case)))
        agree(case, measured(case, engine, case.referenced(feeder)), expected)


def test_a_late_model_knows_queries_from_pages_without_being_told(make_case):
    case = make_case("late_reader")
    case.model.eval()
    told = case.preprocessed()
    untold = [{name: value for name, value in column.items() if name != "task"} for column in told]
    engine = streaming(case, budget=Budget(items=3))
    agree(case, measured(case, engine, untold), measured(case, case.upstream(3), told))


def test_inside_data_parallel_it_is_the_model_that_is_copied(reader):
    """As Sentence Transformers' trainer has it where a machine has several GPUs and nobody started it with torchrun."""
    engine = streaming(reader, budget=Budget(tokens=50))
    expected = measured(reader, engine, reader.preprocessed())
    engine.model = torch.nn.DataParallel(reader.model)
    agree(reader, measured(reader, engine, reader.preprocessed()), expected)


def test_what_it_cannot_wrap_is_named(reader):
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    with pytest.raises(TypeError, match="CoSENTLoss is none of CachedMultipleNegativesRankingLoss"):
        StreamingCachedLoss(CoSENTLoss(reader.model))
    with pytest.raises(ValueError, match="1 column"):
        streaming(reader)(reader.preprocessed()[:1])


def test_without_a_budget_the_loss_says_how_much_goes_through_at_once_and_memory_how_many_graphs(reader):
    sizes = []
    hook = reader.model.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0]["input_ids"].shape))
    for options, most in (({}, 4), ({"mini_batch_num_tokens": 40}, 2), ({"mini_batch_num_tokens": 4000}, 6)):
        expected = measured(reader, reader.upstream(4, **options), reader.preprocessed())
        sizes.clear()
        engine = streaming(reader, 4, **options)
        agree(reader, measured(reader, engine, reader.preprocessed()), expected)
        assert engine.account.summary()["graphs_kept"] == 1
        assert max(rows for rows, _ in sizes) == most
    hook.remove()


def test_the_room_for_graphs_is_looked_for_once_where_the_model_is_trained(reader, monkeypatch):
    monkeypatch.setattr(gradient_cache, "room", lambda model: 1_000_000)
    engine = streaming(reader)
    assert engine.budget.keep_bytes == 0
    with torch.no_grad():
        engine(reader.preprocessed())
    assert engine.budget.keep_bytes == 0
    measured(reader, engine, reader.preprocessed())
    assert engine.budget.keep_bytes == 400_000
    engine.budget = Budget(items=1)  # As where memory ran out.
    measured(reader, engine, reader.preprocessed())
    assert engine.budget.keep_bytes == 0


def test_the_drop_in_of_the_docs_trains(reader, tmp_path):
    """docs/performance.md, as it stands there."""
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainingArguments

    names = ("anchor", "positive", "negative")
    rows = Dataset.from_dict(dict(zip(names, reader.columns, strict=True)))
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path), per_device_train_batch_size=6, max_steps=2, use_cpu=True, report_to="none", save_strategy="no"
    )
    before = {name: weight.detach().clone() for name, weight in reader.model.named_parameters()}
    given = {"model": reader.model, "rows": rows, "arguments": arguments}
    exec(snippet, given)
    account = given["trainer"].loss.account
    assert (account.steps, account.summary()["graphs_kept"]) == (2, 1)
    assert any(not torch.equal(weight, before[name]) for name, weight in reader.model.named_parameters())


def test_what_it_cost_is_told(reader):
    engine = streaming(reader, budget=Budget(items=2))
    measured(reader, engine, reader.preprocessed())
    said = engine.account.summary()
    assert (said["steps"], said["rows_a_step"], said["graphs_kept"]) == (1, 18, 0)
    assert 0 < said["padding"] < 1
    assert engine.get_config_dict()["streaming"] == "MatryoshkaLoss"
    assert "gao2021scaling" in engine.citation
