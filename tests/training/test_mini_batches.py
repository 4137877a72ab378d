"""Mini-batches hold every row once, of one kind, within the budget; half a budget makes smaller ones, to an end."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetune.training.mini_batches import Budget, cut, padded, waste

rows = st.lists(st.tuples(st.integers(1, 100), st.sampled_from("abc")), min_size=1, max_size=60)
budgets = st.builds(
    lambda tokens, items: Budget(tokens, items if tokens or items else 1),
    st.none() | st.integers(1, 400),
    st.none() | st.integers(1, 9),
)


@given(rows, budgets, st.booleans())
def test_every_row_once_within_the_budget(rows, budget, in_order):
    lengths, kinds = [length for length, _ in rows], [kind for _, kind in rows]
    groups = cut(lengths, kinds, budget, in_order=in_order)
    assert sorted(place for group in groups for place in group) == list(range(len(rows)))
    for group in groups:
        assert len({kinds[place] for place in group}) == 1
        assert budget.items is None or len(group) <= budget.items
        assert budget.tokens is None or len(group) == 1 or padded(lengths, group) <= budget.tokens
        if in_order or budget.tokens is None:
            assert group == sorted(group)
    assert 0 <= waste(lengths, groups) < 1


@given(rows, st.integers(1, 400))
def test_the_longest_come_first_and_groups_are_as_full_as_may_be(rows, tokens):
    lengths = [length for length, _ in rows]
    groups = cut(lengths, [0] * len(rows), Budget(tokens))
    flat = [lengths[place] for group in groups for place in group]
    assert flat == sorted(flat, reverse=True)
    for group, after in itertools.pairwise(groups):
        assert padded(lengths, [*group, after[0]]) > tokens


@given(rows, budgets, st.integers(0, 10**9))
def test_halving_comes_to_an_end(rows, budget, kept):
    lengths, kinds = [length for length, _ in rows], [kind for _, kind in rows]
    halvings = 0
    while budget is not None:
        groups = cut(lengths, kinds, budget)
        smaller = budget.halved(lengths, groups, kept)
        if smaller is not None and max(map(len, groups)) > 1:
            largest = max(padded(lengths, group) for group in groups if len(group) > 1)
            again = [group for group in cut(lengths, kinds, smaller) if len(group) > 1]
            if budget.tokens is not None:
                assert all(2 * padded(lengths, group) <= largest for group in again)
            assert 2 * smaller.keep_bytes <= (kept or budget.keep_bytes)
        budget, kept, halvings = smaller, kept if smaller and smaller.keep_bytes else 0, halvings + 1
    assert halvings <= 16
    assert max(map(len, groups)) == 1


def test_a_budget_that_no_batch_fills_is_halved_from_what_there_was():
    assert Budget(tokens=10**6, keep_bytes=10**12).halved([10] * 8, [list(range(8))], 600) == Budget(40, keep_bytes=300)
    assert Budget(items=100).halved([10] * 8, [list(range(8))], 0) == Budget(items=4)
    assert Budget(items=1, keep_bytes=10).halved([10] * 8, [[place] for place in range(8)], 5) == Budget(items=1)


@pytest.mark.parametrize(
    ("wrong", "said"), [({"tokens": 0}, "tokens=0"), ({"items": -1}, "items=-1"), ({}, "tokens or items")]
)
def test_a_budget_of_nothing_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Budget(**wrong)


def test_a_thousand_texts_are_cut_at_once():
    lengths = [1 + place % 7 for place in range(20_000)]
    assert len(cut(lengths, [0] * len(lengths), Budget(tokens=10**6))) == 1
