"""Which examples are trained on: lifted ones fill up, and do not drown what authors wrote."""

from __future__ import annotations

from collections import Counter

import pytest

from pagetune.errors import DataError
from pagetune.recipe import FitRecipe
from pagetune.records import Example, Query
from pagetune.training.choice import ENOUGH, choose_examples


def _examples(written: int, lifted: int) -> tuple[list[Example], dict[str, Query]]:
    kinds = ["outline", "index"] * (written // 2) + ["phrase", "sentence"] * (lifted // 2)
    queries = {f"q{place}": Query(f"q{place}", "text", kind, "a", "a-0001") for place, kind in enumerate(kinds)}  # type: ignore[arg-type]
    return [Example(query, "a-0001") for query in queries], queries


@pytest.mark.parametrize(
    ("written", "lifted", "kept"),
    [(0, 600, 600), (500, 3000, ENOUGH - 500), (3000, 3000, 1200), (3000, 100, 100)],
)
def test_lifted_examples_fill_up_and_do_not_drown(written: int, lifted: int, kept: int) -> None:
    examples, queries = _examples(written, lifted)
    chosen = choose_examples(examples, queries, FitRecipe(lifted_share=0.4))
    counted = Counter(queries[example.query].kind in ("phrase", "sentence") for example in chosen)
    assert (counted[False], counted[True]) == (written, kept)
    assert chosen == sorted(chosen, key=examples.index)
    assert chosen == choose_examples(examples, queries, FitRecipe(lifted_share=0.4))


def test_the_upper_bound_holds_for_all_kinds() -> None:
    examples, queries = _examples(40, 40)
    assert len(choose_examples(examples, queries, FitRecipe(max_examples=30))) == 30


def test_an_unknown_query_is_an_error() -> None:
    with pytest.raises(DataError, match="'gone'"):
        choose_examples([Example("gone", "a-0001")], {}, FitRecipe())
