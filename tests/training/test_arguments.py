"""From the recipe to a plan of steps."""

from __future__ import annotations

import pytest

from pagetune.errors import DataError
from pagetune.recipe import FitRecipe
from pagetune.training.arguments import plan


def test_few_pages_make_a_smaller_batch_and_a_lower_rate() -> None:
    recipe = FitRecipe(batch_size=160, learning_rate=2e-4, epochs=3, eval_fraction=0.25)
    whole = plan(4000, 900, recipe)
    assert (whole.batch_size, whole.learning_rate, whole.steps, whole.interval) == (160, 2e-4, 75, 6)
    small = plan(4000, 80, recipe)
    assert small.batch_size == 40
    assert small.learning_rate == pytest.approx(1e-4)


def test_one_page_is_an_error() -> None:
    with pytest.raises(DataError, match="9 training examples of 1 pages"):
        plan(9, 1, FitRecipe())
