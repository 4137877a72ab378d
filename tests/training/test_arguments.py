"""From the recipe to a plan of steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformerTrainingArguments

from pagetune.errors import DataError
from pagetune.recipe import FitRecipe
from pagetune.training.arguments import Plan, plan, training_arguments


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


class OfFourGpus(SentenceTransformerTrainingArguments):
    """As they are made on a machine with four."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._n_gpu = 4


def test_a_process_trains_on_one_gpu(tmp_path: Path) -> None:
    def made(kind: Any) -> Any:
        planned = Plan(8, 1e-3, 4, 4, 2)
        return training_arguments(FitRecipe(), planned, tmp_path, torch.device("cpu"), judged=False, kind=kind)

    found = made(OfFourGpus)
    assert found.n_gpu == 1
    assert found.train_batch_size == 8
    assert made(None).n_gpu <= 1
