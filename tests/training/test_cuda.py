"""What only a GPU shows: random state of the device, memory that really runs out, copies beside the computing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import _tiny
from _engine import Case, apart, measured, with_dropout
from pagetune.examples.loading import make_train_set
from pagetune.models import hardware
from pagetune.models.loading import load_model
from pagetune.recipe import FitRecipe, ModelRecipe
from pagetune.training.budget import measure, room
from pagetune.training.feeding import Feeder, Job, Preparer, Reference, Route
from pagetune.training.gradient_cache import Budget, StreamingCachedLoss
from pagetune.training.page_encoding import PageImages, encode_pictures
from pagetune.training.preparing import Features
from pagetune.training.representations import Vectors
from pagetune.training.streaming import Streaming
from pagetune.training.transfers import Fetched, move

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")

ALL = 10**12


@pytest.fixture
def gpu() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


@pytest.fixture
def case(make_case: Callable[..., Case], gpu: torch.device) -> Case:
    case = make_case("reader")
    case.model.to(gpu)
    return case


def there(case: Case) -> list[Any]:
    """Upstream's batch, on the device."""
    return [move(column, case.model.device) for column in case.preprocessed()]


def test_dropout_is_that_of_the_first_time(case: Case) -> None:
    with_dropout(case.model)
    expected = measured(case, case.upstream(2), there(case))
    assert apart(expected[1], measured(case, case.upstream(2), there(case), seed=6)[1]) > 0.1
    with Feeder(case.preparer(), workers=2) as feeder:
        for keep in (0, ALL):
            for features in (there(case), case.referenced(feeder)):
                loss, found = measured(
                    case, StreamingCachedLoss(case.upstream(2), Budget(items=2, keep_bytes=keep)), features
                )
                assert loss == pytest.approx(expected[0], rel=1e-4)
                assert apart(expected[1], found) < 1e-4


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_memory_that_runs_out(case: Case, gpu: torch.device, where: str) -> None:
    case.model.double().eval()
    _, expected = measured(case, StreamingCachedLoss(case.upstream(4), Budget(items=2)), there(case))
    too_much, rows = 2 * torch.cuda.mem_get_info(gpu)[1], 0

    def look(_: Any, inputs: Any) -> None:
        nonlocal rows
        rows = len(inputs[0]["input_ids"])
        if where == "forward" and rows > 2:
            torch.empty(too_much, dtype=torch.uint8, device=gpu)

    def pulled(_: Any) -> None:
        if where == "backward" and rows > 2:
            torch.empty(too_much, dtype=torch.uint8, device=gpu)

    hooks = [case.model.register_forward_pre_hook(look), next(case.model.parameters()).register_hook(pulled)]
    try:
        with Feeder(case.preparer(), workers=2) as feeder:
            engine = StreamingCachedLoss(case.upstream(4), Budget(items=6, tokens=10_000))
            _, found = measured(case, engine, case.referenced(feeder))
    finally:
        for hook in hooks:
            hook.remove()
    assert engine.account.attempts_lost >= 1
    assert apart(expected, found) < 1e-9


def numbers(job: Job) -> Features:
    place = job.references[0].place
    return {"numbers": torch.full((1 << 20,), float(place)), "task": "document"}


@pytest.mark.parametrize("workers", [0, 2])
def test_copies_beside_the_computing_arrive_whole(gpu: torch.device, workers: int) -> None:
    jobs = [Job((Reference(number, str(number), 1),), Route()) for number in range(24)]
    factor, sums = torch.randn(2048, 2048, device=gpu), []
    with Feeder(numbers, workers=workers) as feeder:
        for features in feeder.stream(jobs, gpu):
            assert features["numbers"].device == gpu
            for _ in range(8):
                factor = torch.tanh(factor @ factor)  # The copy of the next ends long before this does.
            sums.append((features["numbers"] + 0 * factor[0, 0]).double().mean())
    assert [value.item() for value in sums] == list(range(24))


def test_what_is_fetched_is_there_when_it_is_asked_for(gpu: torch.device) -> None:
    fetched, expected = [], []
    for number in range(8):
        made = torch.full((1024, 1024), float(number), device=gpu)
        for _ in range(8):
            made = made @ torch.eye(1024, device=gpu)
        fetched.append(Fetched([made, None]))
        expected.append(float(number))
    for one, value in zip(fetched, expected, strict=True):
        vectors, nothing = one.here()
        assert vectors is not None
        assert vectors.device.type == "cpu"
        assert bool((vectors == value).all())
        assert nothing is None


def test_trying_pages_leaves_the_random_state(case: Case) -> None:
    prepare = Preparer(case.model.preprocess, lambda place: place)
    with_dropout(case.model)
    torch.cuda.manual_seed(3)
    states = torch.get_rng_state(), torch.cuda.get_rng_state()
    budget, trials = measure(case.model, Vectors, prepare, [Reference("a page of text", "a", 6)], Route())
    assert torch.equal(states[0], torch.get_rng_state())
    assert torch.equal(states[1], torch.cuda.get_rng_state())
    assert budget.keep_bytes > 0
    assert trials[0].peak_bytes > 0


def test_graphs_take_what_a_given_mini_batch_leaves(tmp_path: Path, gpu: torch.device) -> None:
    folder = _tiny.tiny_qwen3_vl(tmp_path / "qwen", hidden=32, layers=1, heads=2, vision_hidden=32, vision_layers=1)
    model = load_model(ModelRecipe(name=str(folder), max_pixels=40_000)).to(gpu)
    rows = [{"query": f"page {n}", "image": Image.new("RGB", (90, 90), (20 * n, 0, 0))} for n in range(4)]
    given: list[dict[str, Any]] = [{"mini_batch_tokens": 500}, {"mini_batch_tokens": None, "mini_batch_size": 2}, {}]
    for keys in given:
        budget = Streaming(model, make_train_set(rows), {}, FitRecipe(workers=0, **keys)).budget({})
        assert 0.7 * room(model) < budget.keep_bytes < 0.95 * room(model)


@pytest.mark.parametrize("kind", ["dense", "late"])
def test_pages_are_encoded_as_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: torch.device, kind: str):
    monkeypatch.setattr(hardware, "has_bfloat16", lambda device: False)
    folder = _tiny.tiny_qwen3_vl(tmp_path / "qwen", hidden=32, layers=1, heads=2, vision_hidden=32, vision_layers=1)
    model = load_model(ModelRecipe(name=str(folder), kind=kind, max_pixels=40_000)).to(gpu)
    draw = np.random.default_rng(3)
    pictures = {
        f"p{number}": Image.fromarray(draw.integers(0, 255, (60 + 9 * number, 80, 3), dtype=np.uint8))
        for number in range(40)
    }
    pages = PageImages({name: name for name in pictures}, lambda name: pictures[name], lambda name: pictures[name].size)
    found = encode_pictures(model, pages, ModelRecipe(encode_batch=4), workers=2)
    expected = encode_pictures(model.to("cpu"), pages, ModelRecipe(encode_batch=4))
    assert np.array_equal(found.owner, expected.owner)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-4)
