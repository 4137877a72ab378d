"""A step that runs out of memory is made again with less, and ends with the gradients that it would have had."""

from __future__ import annotations

import weakref
from contextlib import contextmanager

import pytest
import torch

from _engine import apart, measured, taken, with_dropout
from pagetune.errors import DataError
from pagetune.training.feeding import Feeder
from pagetune.training.gradient_cache import Budget, StreamingCachedLoss

ALL = 10**12


@pytest.fixture
def case(reader):
    reader.model.double()
    return reader


@contextmanager
def failing(case, where, at, error=torch.OutOfMemoryError):
    """The `at`th forward or backward pass of a mini-batch, or similarity, breaks."""
    calls = 0

    def count(*_):
        nonlocal calls
        calls += 1
        if calls == at:
            raise error("out of memory")

    module, first = case.model[0], next(case.model.parameters())
    # The embeddings' gradient is the last of a mini-batch: by then every other parameter has added its own.
    hook = {"forward": module.register_forward_pre_hook, "backward": first.register_hook}[where](count)
    try:
        yield
    finally:
        hook.remove()


def streaming(case, budget, **options):
    return StreamingCachedLoss(case.upstream(4, **options), budget)


@pytest.mark.parametrize("keep", [0, 300_000, ALL], ids=["no graphs", "some", "all"])
@pytest.mark.parametrize(("where", "at"), [("forward", 1), ("forward", 4), ("backward", 1), ("backward", 3)])
def test_made_again_it_is_the_same(case, where, at, keep):
    budget = Budget(tokens=90, keep_bytes=keep)
    _, expected = measured(case, streaming(case, budget), case.preprocessed())
    with Feeder(case.preparer()) as feeder, failing(case, where, at):
        engine = streaming(case, budget)
        _, found = measured(case, engine, case.referenced(feeder))
        assert apart(expected, found) < 1e-9
        assert engine.account.attempts_lost == 1
        assert engine.budget.tokens is not None
        assert engine.budget.tokens <= 45
        assert (engine.account.steps, engine.account.rows) == (1, 18)
        assert apart(expected, measured(case, engine, case.referenced(feeder))[1]) < 1e-9


def test_out_of_memory_in_the_loss(case):
    _, expected = measured(case, streaming(case, Budget(tokens=90)), case.preprocessed())
    calls = []

    def similarity(first, second):
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("out of memory")
        return torch.nn.functional.normalize(first, dim=-1) @ torch.nn.functional.normalize(second, dim=-1).T

    engine = streaming(case, Budget(tokens=90, keep_bytes=ALL), similarity_fct=similarity)
    _, found = measured(case, engine, case.preprocessed())
    assert apart(expected, found) < 1e-9
    assert engine.account.attempts_lost == 1


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_gradients_of_earlier_steps_stay(case, where):
    budget = Budget(tokens=90, keep_bytes=300_000)
    engine = streaming(case, budget)
    engine(case.part(0, 3).preprocessed()).backward()
    _, expected = measured(case, engine, case.preprocessed())
    engine(case.part(0, 3).preprocessed()).backward()
    with failing(case, where, 2):
        again = streaming(case, budget)
        _, found = measured(case, again, case.preprocessed())
    assert again.account.attempts_lost == 1
    assert apart(expected, found) < 1e-9


def test_with_dropout_it_is_the_step_with_the_smaller_budget(case):
    with_dropout(case.model)
    with failing(case, "backward", 3):
        engine = streaming(case, Budget(tokens=90))
        _, found = measured(case, engine, case.preprocessed())
    state = torch.get_rng_state()
    _, expected = measured(case, streaming(case, engine.budget), case.preprocessed())
    assert apart(expected, found) < 1e-9
    measured(case, streaming(case, Budget(tokens=90)), case.preprocessed())
    assert torch.equal(state, torch.get_rng_state())  # The next step draws what it would have drawn.


def test_the_budget_falls_to_what_the_device_holds(case):
    largest = []

    def full(module, args):
        size = args[0]["input_ids"].numel()
        if size > 40:
            raise torch.OutOfMemoryError(f"out of memory: {size}")
        largest.append(size)

    hook = case.model[0].register_forward_pre_hook(full)
    engine = streaming(case, Budget(tokens=10**6, keep_bytes=ALL))
    _, found = measured(case, engine, case.preprocessed())
    lost = engine.account.attempts_lost
    measured(case, engine, case.preprocessed())
    hook.remove()
    assert 20 < max(largest) <= 40
    assert 1 <= lost == engine.account.attempts_lost <= 6
    assert apart(measured(case, streaming(case, Budget(tokens=90)), case.preprocessed())[1], found) < 1e-9


def test_one_row_that_does_not_fit_is_the_end(case):
    for parameter in case.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    engine = streaming(case, Budget(tokens=90, keep_bytes=ALL))

    def full(*_):
        raise torch.OutOfMemoryError("out of memory")

    hook = next(case.model.parameters()).register_hook(full)
    with pytest.raises(torch.OutOfMemoryError):
        engine(case.preprocessed()).backward()
    hook.remove()
    assert engine.budget.keep_bytes == 0
    assert all(bool((parameter.grad == 1).all()) for parameter in case.model.parameters())


def test_any_other_error_leaves_the_gradients_as_they_were(case):
    engine = streaming(case, Budget(tokens=90, keep_bytes=ALL))
    engine(case.part(0, 3).preprocessed()).backward()
    before = {name: each.grad.clone() for name, each in case.model.named_parameters() if each.grad is not None}
    with failing(case, "backward", 2, DataError), pytest.raises(DataError):
        engine(case.preprocessed()).backward()
    assert apart(before, taken(case.model)) == 0
    assert engine.account.attempts_lost == 0


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("keep", [0, ALL])
def test_what_a_broken_pass_held_is_gone_when_the_next_begins(case, where, keep):
    alive = weakref.WeakSet()
    seen = []

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            alive.add(ctx)
            return value.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    def watch(module, args, output):
        seen.append(len(alive))
        return Watched.apply(output)

    hook = case.model[0].model.embeddings.register_forward_hook(watch)
    with failing(case, where, 4 if where == "forward" else 2):
        engine = streaming(case, Budget(tokens=90, keep_bytes=keep))
        loss = engine(case.preprocessed())
        loss.backward()
    hook.remove()
    assert engine.account.attempts_lost == 1
    assert len(alive) == 0
    if where == "forward":
        assert seen[3] == 0  # The fourth pass broke before this hook; the next one is of the step made again.
    assert max(seen) <= (len(seen) if keep else 1)
