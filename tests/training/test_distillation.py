"""A reranker's judgement into a retriever, and a teacher's scores at rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from _tiny import tiny_text_encoder
from _tiny_reranker import tiny_text_reranker
from pagetune.errors import DataError
from pagetune.examples.rerank import RankedList, RerankSet, with_labels
from pagetune.models.reranker import load_reranker
from pagetune.progress import SILENT
from pagetune.recipe import FitRecipe, Recipe, RerankRecipe
from pagetune.training import teacher
from pagetune.training.distillation import distil, even_lists
from pagetune.training.gradient_cache import StreamingCachedLoss
from pagetune.training.margins import margin_loss
from pagetune.training.taught_feed import TaughtFeed
from pagetune.training.teacher import as_probabilities, teach

WORDS = ["apple", "bridge", "candle", "desert", "engine", "forest"]


def lists(count: int) -> RerankSet:
    found = []
    for place in range(count):
        word, other, third = (WORDS[(place + step) % 6] for step in (0, 1 + place % 4, 5))
        pages = (f"a {word} here", f"a {other} here", f"a {third} there")
        found.append(RankedList(f"which {word}", pages, (1.0, 0.0, 0.0)))
    return RerankSet({"text_to_image": found})


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_text_encoder(tmp_path_factory.mktemp("encoder"), hidden=32, layers=1, heads=2, words=WORDS)


def margins(model: SentenceTransformer, taught: RerankSet) -> np.ndarray:
    """Scaled cosines of the first page less those of the others, a row a list."""
    rows = []
    for each in taught.lists["text_to_image"]:
        query, *pages = model.encode([each.asked, *each.candidates], normalize_embeddings=True)
        scores = 20 * np.array([query @ page for page in pages])
        rows.append(scores[0] - scores[1:])
    return np.array(rows)


def test_the_retriever_takes_on_the_rerankers_margins(encoder, tmp_path):
    plain = lists(48)
    # A judge of its own mind: the third page is better than the first, the second far worse.
    taught = with_labels(plain, {"text_to_image": [[1.0, -3.0, 2.5]] * 48})
    model = SentenceTransformer(str(encoder), device="cpu")
    wanted = np.array([4.0, -1.5])
    before = float(((margins(model, taught) - wanted) ** 2).mean())
    recipe = Recipe(fit=FitRecipe(batch_size=16, epochs=12, learning_rate=3e-3, bf16="off", matryoshka=(16,)))
    report = distil(model, taught, recipe, tmp_path / "runs")
    after = float(((margins(model, taught) - wanted) ** 2).mean())
    assert report.steps_done == 36
    assert after < before / 4
    again = SentenceTransformer(str(encoder), device="cpu")
    distil(again, taught, recipe, tmp_path / "runs")
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, msg=f"{name}: found ended, and loaded")
    with pytest.raises(DataError, match=r"0 list\(s\)"):
        distil(model, RerankSet({}), recipe, tmp_path / "none")


def test_lists_are_of_the_usual_width_and_shorter_ones_left_out(encoder, tmp_path):
    plain = lists(12)
    short = RankedList("which apple", ("an apple here", "a bridge here"), (1.0, 0.0))
    long = RankedList("which apple", ("an apple", "a bridge", "a candle", "a desert"), (1.0, 0.0, 0.0, 0.5))
    mixed = RerankSet({"text_to_image": [short, *plain.lists["text_to_image"], long, short]})
    kept, left_out = even_lists(mixed)
    assert (len(kept), left_out) == (13, 2)
    assert {len(each.candidates) for each in kept} == {len(each.labels) for each in kept} == {3}
    said = []

    class Listening(type(SILENT)):
        def say(self, line):
            said.append(line)

    recipe = Recipe(fit=FitRecipe(batch_size=4, epochs=1, bf16="off"))
    report = distil(SentenceTransformer(str(encoder), device="cpu"), mixed, recipe, tmp_path / "runs", Listening())
    assert report.examples == 13
    assert "fit: 2 of 15 lists left out, of fewer than 3 pages" in said


def test_the_loss_is_upstreams_at_every_dimension(encoder, tmp_path):
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss, MatryoshkaLoss
    from sentence_transformers.util import pairwise_cos_sim

    model = SentenceTransformer(str(encoder), device="cpu").eval()
    taught = with_labels(lists(6), {"text_to_image": [[1.0, -3.0, 2.5]] * 6})
    recipe = FitRecipe(matryoshka=(16,), mini_batch_size=2, passage_tokens=16, workers=0)
    found = taught.lists["text_to_image"]
    feed = TaughtFeed(model, taught, found, recipe)
    batch = feed([{"label": place} for place in range(6)])
    columns = [{"input_ids": batch[f"{name}_input_ids"]} for name in feed.routes]
    loss = StreamingCachedLoss(margin_loss(model, recipe), feed.budget({}))(columns, batch["label"])
    loss.backward()
    alone = StreamingCachedLoss(margin_loss(model, recipe))
    assert alone.budget.items == 2, "the loss's own"
    torch.testing.assert_close(alone(columns, batch["label"]).detach(), loss.detach(), rtol=1e-4, atol=1e-4)
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    inner = MarginMSELoss(model, similarity_fct=lambda first, second: 20 * pairwise_cos_sim(first, second))
    upstream = MatryoshkaLoss(model, inner, matryoshka_dims=[32, 16])
    texts = [[each.asked for each in found], *([each.candidates[place] for each in found] for place in range(3))]
    wanted = upstream([model.preprocess(column) for column in texts], batch["label"])
    wanted.backward()
    torch.testing.assert_close(loss, wanted.detach(), rtol=1e-4, atol=1e-4, check_stride=False)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-3, atol=1e-3, msg=name)


def test_a_teacher_scores_each_list_once(tmp_path, monkeypatch):
    name = tiny_text_reranker(tmp_path / "reranker", hidden=32, layers=1, heads=2, words=WORDS)
    model = load_reranker(RerankRecipe(name=str(name)))
    plain = lists(70)
    taught = teach(model, plain, tmp_path / "cache")
    pairs = [(each.asked, page) for each in plain.lists["text_to_image"] for page in each.candidates]
    wanted = model.predict(pairs, activation_fn=torch.nn.Identity())
    found = [label for each in taught.lists["text_to_image"] for label in each.labels]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    probable = [label for each in as_probabilities(taught).lists["text_to_image"] for label in each.labels]
    np.testing.assert_allclose(probable, model.predict(pairs), rtol=1e-4)
    scored = []
    real = teacher.score_lists
    monkeypatch.setattr(teacher, "score_lists", lambda *given, **more: scored.append(given) or real(*given, **more))
    assert teach(model, plain, tmp_path / "cache").lists == taught.lists
    assert scored == []
    files = sorted((tmp_path / "cache").rglob("*.f32"))
    assert len(files) == 2
    files[1].write_bytes(b"half")
    assert teach(model, plain, tmp_path / "cache").lists == taught.lists
    assert len(scored) == 1, "what a kill left half is scored again, and nothing else"
