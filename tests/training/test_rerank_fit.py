"""Training rerankers: real small models, both directions, killed and continued."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from _tiny_reranker import tiny_reranker_backbone, tiny_text_reranker
from pagetune.errors import DataError, ModelError
from pagetune.examples.rerank import RankedList, RerankSet
from pagetune.models.adapters import has_adapters, merge_adapters
from pagetune.models.inspect import task_prompt
from pagetune.models.reranker import load_reranker
from pagetune.recipe import FitRecipe, LoraRecipe, Recipe, RerankRecipe
from pagetune.training.mini_batches import Budget
from pagetune.training.rerank import fit_reranker, plan_lists
from pagetune.training.rerank_judging import RerankEvaluator, judge_lists
from pagetune.training.rerank_losses import ScoresLoss
from pagetune.training.rerank_pairs import PairFeed, cut_lists, prompts_of, score_lists
from pagetune.training.validation import METRIC

WORDS = ["apple", "bridge", "candle", "desert", "engine", "forest", "garden", "harbour"]
COLOURS = {"apple": (200, 0, 0), "bridge": (0, 200, 0), "candle": (0, 0, 200), "desert": (200, 200, 0)}
BOTH = ("text_to_image", "image_to_text")


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory):
    return tiny_text_reranker(tmp_path_factory.mktemp("text"), hidden=64, layers=2, heads=2, words=WORDS)


@pytest.fixture(scope="module")
def seeing_folder(tmp_path_factory):
    return tiny_reranker_backbone(tmp_path_factory.mktemp("seeing"), vision_hidden=32, hidden=32, heads=2, words=WORDS)


class Squares:
    """Pictures of one colour, two sizes."""

    def image(self, number: int) -> Image.Image:
        return Image.new("RGB", self.size(number), list(COLOURS.values())[number % 4])

    def key(self, number: int) -> str:
        return str(number)

    def size(self, number: int) -> tuple[int, int]:
        return (64, 64) if number < 4 else (96, 64)


def text_lists(count: int, seed: int, directions=BOTH) -> RerankSet:
    """A query's word stands in its passage."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        word, *others = draw.sample(WORDS, 4)
        texts = [f"page of the {each} in it" for each in (word, *others)]
        found.append(RankedList(f"which {word}", tuple(texts), (1.0, 0.0, 0.0, 0.0)))
    return RerankSet({direction: list(found) for direction in directions})


def seen_lists() -> RerankSet:
    words = list(COLOURS)
    pages = [RankedList(words[n % 4], (n, (n + 1) % 8, (n + 2) % 8), (1.0, 0.0, 0.0)) for n in range(8)]
    texts = [RankedList(n, tuple(words[(n + step) % 4] for step in range(3)), (1.0, 0.0, 0.0)) for n in range(8)]
    return RerankSet({"text_to_image": pages, "image_to_text": texts}, Squares())


def recipe(folder, *, lora=0, **keys) -> Recipe:
    given = {"batch_size": 32, "learning_rate": 1e-3, "pair_tokens": 256, "eval_fraction": 0.5, "max_tokens": 64} | keys
    return Recipe(
        rerank=RerankRecipe(name=str(folder), **given),
        fit=FitRecipe(workers=0, page_cache=0, bf16="off"),
        lora=LoraRecipe(rank=lora),
    )


@pytest.mark.parametrize(("loss", "epochs"), [("bce", 6), ("listnet", 2), ("lambda", 3)])
def test_a_reranker_of_text_learns(text_folder, tmp_path, loss, epochs):
    settings = recipe(text_folder, loss=loss, epochs=epochs, eval_fraction=1.0)
    model = load_reranker(settings.rerank)
    judged = text_lists(20, 7)
    judged = replace(
        judged,
        lists={
            name: [RankedList(each.asked, each.candidates[::-1], each.labels[::-1]) for each in found]
            for name, found in judged.lists.items()
        },
    )
    report = fit_reranker(model, text_lists(240, 1), RerankEvaluator(judged), settings, tmp_path)
    assert report.shortlist["text_to_image_mrr@10"] == 0.25, "the answer comes last"
    assert report.after[METRIC] > report.before[METRIC] + 0.15
    assert report.after[METRIC] > 0.85
    assert report.after.keys() >= {f"{name}_{metric}" for name in BOTH for metric in (METRIC, "mrr@10")}
    evaluated = [moment["step"] for moment in report.fit.history if "ndcg" in moment]
    assert evaluated == [60 * epoch for epoch in range(epochs + 1)], "before, and after every epoch"


def test_light_is_trained_found_ended_and_saved(tmp_path):
    from pagetune.models.light import WHEEL
    from pagetune.models.saving import save_reranker

    pytest.importorskip(WHEEL)
    settings = recipe("light", learning_rate=5e-5, batch_size=16)
    one_way = ("text_to_image",)
    train, judged = text_lists(16, 1, one_way), text_lists(4, 7, one_way)
    pairs = [(each.asked, text) for each in judged.lists["text_to_image"] for text in each.candidates]
    scores = []
    for _ in range(2):
        model = load_reranker(settings.rerank)
        untrained = model.predict(pairs)
        report = fit_reranker(model, train, RerankEvaluator(judged), settings, tmp_path / "checkpoints")
        scores.append(model.predict(pairs))
    assert np.abs(scores[0] - untrained).max() > 1e-3
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-6)
    assert report.fit.steps == 4
    save_reranker(model, tmp_path / "saved", settings, pairs)
    again = load_reranker(settings.rerank, tmp_path / "saved")
    np.testing.assert_allclose(again.predict(pairs), scores[0], atol=1e-5)
    assert "trust_remote_code=True" in (tmp_path / "saved" / "README.md").read_text(), "as its last module is ours"


def test_killed_and_continued_it_ends_as_if_it_had_not_been(text_folder, tmp_path):
    settings = recipe(text_folder, epochs=1.0, eval_fraction=0.2)

    def trained(folder, stop_at: int | None = None):
        model = load_reranker(settings.rerank)

        class Killed(Exception):
            pass

        class Judge(RerankEvaluator):
            def __call__(self, model, output_path=None, epoch=-1, steps=-1):
                if stop_at is not None and steps == stop_at:
                    raise Killed
                return super().__call__(model, output_path, epoch, steps)

        try:
            fit_reranker(model, text_lists(80, 1), Judge(text_lists(6, 2)), settings, folder)
        except Killed:
            return None
        return model.state_dict()

    through = trained(tmp_path / "through")
    assert trained(tmp_path / "killed", stop_at=8) is None
    assert [path.name for path in (tmp_path / "killed").glob("checkpoint-*")] == ["checkpoint-4"]
    again = trained(tmp_path / "killed")
    for name, tensor in through.items():
        torch.testing.assert_close(tensor, again[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("architecture", ["logit", "pooled"])
def test_a_reranker_of_pages_is_trained_in_both_directions_with_each_ones_prompt(seeing_folder, tmp_path, architecture):
    prompts = {"text_to_image": "find the page", "image_to_text": "find the query"}
    settings = recipe(seeing_folder, architecture=architecture, epochs=2.0, prompts=prompts, batch_size=12)
    model = load_reranker(settings.rerank)
    seen: list[str] = []
    plain = model.forward

    def noted(features, **kwargs):
        seen.extend(model.tokenizer.batch_decode(features["input_ids"], skip_special_tokens=True))
        return plain(features, **kwargs)

    model.forward = noted
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train = seen_lists()
    report = fit_reranker(model, train, None, settings, tmp_path)
    del model.forward
    assert report.fit.steps_done == plan_lists(train, settings).steps == 8
    assert len(seen) == 2 * 48, "each pair once an epoch, and not twice in a step"
    assert sum("find the page" in text for text in seen) == sum("find the query" in text for text in seen) == 48
    assert any(not torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_mini_batches_do_not_change_the_gradient(seeing_folder):
    settings = recipe(seeing_folder)
    model = load_reranker(settings.rerank)
    train = seen_lists()
    prompts = prompts_of(model, BOTH, {})
    assert prompts == {direction: task_prompt(model, direction) for direction in BOTH}

    def gradients(loss: str, tokens: int) -> tuple[int, list[torch.Tensor]]:
        model.zero_grad()
        with closing(PairFeed(model, train, prompts)) as feed:
            parts = cut_lists("text_to_image", train.lists["text_to_image"], feed, Budget(tokens=tokens), loss).parts
            for part in parts:
                features = feed.feeder.prepare(part.job)
                scores = model(features)["scores"].reshape(-1)
                (ScoresLoss(loss)(scores, part.labels) * part.share).backward()
        return len(parts), [each.grad.clone() for each in model.parameters() if each.grad is not None]

    for loss in ("bce", "listnet"):
        one, whole = gradients(loss, 1 << 20)
        several, parted = gradients(loss, 150)
        assert one == 1
        assert several > 3
        scale = max(float(each.abs().max()) for each in whole)
        for first, second in zip(whole, parted, strict=True):
            torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4 * scale)


def test_lengths_are_what_the_model_sees_and_scores_those_of_predict(seeing_folder):
    settings = recipe(seeing_folder)
    model = load_reranker(settings.rerank)
    train = seen_lists()
    with closing(PairFeed(model, train, prompts_of(model, BOTH, {}))) as feed:
        for direction in BOTH:
            lists = train.lists[direction]
            for each in lists[3:6]:
                for content in each.candidates:
                    pair = [(train.open(each.asked), train.open(content))]
                    features = model.preprocess(pair, prompt=task_prompt(model, direction))
                    expected = int(features["attention_mask"].sum())
                    assert abs(feed.reference(direction, each.asked, content).length - expected) <= 2
            found = score_lists(direction, lists, feed, Budget(tokens=300), exact=True)
            pairs = [(train.open(each.asked), train.open(content)) for each in lists for content in each.candidates]
            wanted = model.predict(pairs, prompt=task_prompt(model, direction), activation_fn=torch.nn.Identity())
            np.testing.assert_allclose(np.concatenate(found), wanted, rtol=1e-3, atol=1e-3)


def test_pages_are_kept_as_the_model_scales_them(seeing_folder, tmp_path):
    model = load_reranker(recipe(seeing_folder).rerank)
    train = seen_lists()
    prompts = prompts_of(model, BOTH, {})
    scores = []
    for cache in (None, tmp_path, tmp_path):
        with closing(PairFeed(model, train, prompts, cache=cache, cache_bytes=1 << 20)) as feed:
            lists = train.lists["image_to_text"]
            scores.append(np.concatenate(score_lists("image_to_text", lists, feed, Budget(tokens=300))))
    assert len(list(tmp_path.rglob("*.npy"))) == 8
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])


def test_adapters_are_what_is_trained_and_continued(seeing_folder, tmp_path):
    settings = recipe(seeing_folder, lora=4, epochs=2.0, batch_size=12)
    model = load_reranker(settings.rerank)
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fit_reranker(model, seen_lists(), None, settings, tmp_path)
    assert has_adapters(model)
    inner = {name.replace(".base_layer", ""): tensor for name, tensor in model.state_dict().items()}
    assert all(torch.equal(inner[name], tensor) for name, tensor in base.items()), "the weights themselves stay"
    assert (tmp_path / "checkpoint-8" / "trained.safetensors").is_file()
    merge_adapters(model)
    assert any(not torch.equal(tensor, base[name]) for name, tensor in model.state_dict().items())
    again = load_reranker(settings.rerank)
    report = fit_reranker(again, seen_lists(), None, settings, tmp_path)
    assert report.fit.steps_done == 8
    merge_adapters(again)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, msg=name)


def test_what_cannot_be_trained_is_refused(text_folder, tmp_path):
    settings = recipe(text_folder, lora=4)
    with pytest.raises(ModelError, match=r"lora\.rank=4: a reranker of text is trained whole"):
        fit_reranker(load_reranker(settings.rerank), text_lists(8, 1), None, settings, tmp_path)
    with pytest.raises(DataError, match="nothing to train a reranker on"):
        fit_reranker(load_reranker(settings.rerank), RerankSet({}), None, recipe(text_folder), tmp_path)


def test_judging_is_of_the_order_and_ties_keep_the_shortlists():
    lists = [RankedList("q", ("a", "b", "c"), (0.0, 2.0, 1.0)), RankedList("r", ("a", "b"), (0.0, 1.0))]
    found = judge_lists(lists, [np.array([0.1, 0.9, 0.5]), np.zeros(2)])
    assert found[METRIC][0] == pytest.approx(1.0)
    assert found["mrr@10"].tolist() == [1.0, 0.5]
    assert found[METRIC][1] == pytest.approx(1 / np.log2(3))
