"""Judging a model of page images: as `pagetune compare` does, and at which dimension."""

from dataclasses import replace

import numpy as np
from test_images import recipe, rows

import _tiny
from pagetune.evaluation.metrics import MAIN_METRIC
from pagetune.evaluation.visual import judge_model
from pagetune.examples.loading import make_eval_set
from pagetune.models.loading import load_model
from pagetune.training.image_judging import ImageEvaluator, choose_dimension


def test_checkpoints_are_judged_without_the_pages_that_the_set_excludes(tmp_path):
    """As `pagetune compare` judges, too."""
    judged = make_eval_set(rows(8, shift=1))
    chosen = recipe(
        _tiny.tiny_qwen3_vl(tmp_path / "qwen", hidden=64, layers=1, heads=4, vision_hidden=64, vision_layers=1)
    )
    model = load_model(chosen.model)
    out = {
        query: tuple(page for page in judged.page_ids if page not in grades) for query, grades in judged.qrels.items()
    }
    some = dict(list(out.items())[:4])
    heeding = replace(judged, excluded=some)
    values = ImageEvaluator(heeding, chosen).values(model)
    assert values[:4].tolist() == [1.0] * 4
    plain = ImageEvaluator(judged, chosen)
    np.testing.assert_allclose(values[4:], plain.values(model)[4:])
    assert plain.identity() != ImageEvaluator(heeding, chosen).identity()
    np.testing.assert_allclose(judge_model(model, heeding).full.values[MAIN_METRIC], values, atol=1e-6)


def test_the_smallest_dimension_within_the_loss_is_chosen():
    judged = {2048: 0.948, 1024: 0.946, 512: 0.945, 256: 0.937, 64: 0.876}
    assert choose_dimension(judged, 0.005) == 512
    assert choose_dimension(judged, 0.0) == 2048
    assert choose_dimension(judged, 0.05) == 256
