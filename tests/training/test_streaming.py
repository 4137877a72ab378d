"""A fit's references, lengths and budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import _tiny
from pagetune.examples.loading import make_train_set
from pagetune.examples.visual import ImageTrainSet
from pagetune.models.loading import load_model
from pagetune.recipe import FitRecipe, ModelRecipe
from pagetune.training import budget
from pagetune.training.budget import Trial, left_for_graphs, measure, room
from pagetune.training.feeding import Job, Preparer, Reference, Route
from pagetune.training.lengths import Lengths
from pagetune.training.representations import Vectors
from pagetune.training.streaming import Streaming


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("qwen") / "model"
    shape: dict[str, Any] = {"hidden": 32, "layers": 1, "heads": 2, "vision_hidden": 32, "vision_layers": 1}
    return load_model(ModelRecipe(name=str(_tiny.tiny_qwen3_vl(folder, **shape)), max_pixels=60_000))


@pytest.fixture(scope="module")
def train() -> ImageTrainSet:
    pages = [Image.new("RGB", (64 + 40 * number, 90), (number * 20, 0, 0)) for number in range(6)]
    rows = [
        {"query": f"page {number % 5}", "image": pages[number], "negative_0": pages[(number + 1) % 6]}
        for number in range(6)
    ]
    return make_train_set(rows)


@pytest.mark.parametrize("size", [(64, 90), (200, 300), (1000, 1400), (90, 800)])
def test_lengths_are_those_of_the_models_own_preprocessing(model: Any, size: tuple[int, int]) -> None:
    route = Route("document", "look: ", pictures=True)
    seen = model.preprocess([Image.new("RGB", size)], prompt="look: ", task="document")["attention_mask"].sum()
    assert Lengths(model).picture(*size, route) == pytest.approx(int(seen), rel=0.15)
    text = "how are names resolved"
    asked = model.preprocess([text], prompt="ask: ", task="query")["attention_mask"].sum()
    assert Lengths(model).text(text, Route("query", "ask: ")) == int(asked)


def test_a_batch_holds_references_and_every_answer_of_a_query(model: Any, train: ImageTrainSet, tmp_path: Path) -> None:
    streaming = Streaming(model, train, {"query": "ask: "}, FitRecipe(workers=0), tmp_path)
    dataset = streaming.dataset()
    assert dataset.column_names == ["query", "image", "negative_0"]
    batch = streaming.collator([dataset[row] for row in (0, 1)])
    queries, images, negatives = (batch[f"{name}_input_ids"] for name in dataset.column_names)
    assert [entry.place for entry in queries.entries] == ["page 0", "page 1"]
    # The second page is the first row's negative: one content.
    assert images.entries[1].key == negatives.entries[0].key
    assert images.entries[0].length < images.entries[1].length
    # Rows 0 and 5 ask the same and are answered by two pages.
    answers = queries.relevant["page 0"]
    assert answers == {train.keys["image"][0], train.keys["image"][5]}
    features = streaming.feeder.prepare(Job(images.entries, images.route))
    expected = model.preprocess([train.image(row) for row in (0, 1)], task="document")
    assert torch.equal(features["pixel_values"], expected["pixel_values"])


def test_a_measured_budget_is_noted_and_leaves_the_model_as_it_was(model: Any, train: ImageTrainSet) -> None:
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    state = torch.random.get_rng_state()
    streaming = Streaming(model, train, {}, FitRecipe(workers=0))
    noted: dict[str, Any] = {}
    budget = streaming.budget(noted)
    assert budget.tokens is not None
    assert budget.tokens >= max(streaming.collator([streaming.dataset()[5]])["image_input_ids"].entries[0].length, 1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(weight.grad is None and torch.equal(before[name], weight) for name, weight in model.named_parameters())
    assert Streaming(model, train, {}, FitRecipe(workers=0)).budget(noted) == budget
    fixed = FitRecipe(workers=0, mini_batch_tokens=500, graph_memory=0)
    given = Streaming(model, train, {}, fixed).budget({})
    assert (given.tokens, given.items, given.keep_bytes) == (500, None, 0)


@pytest.mark.parametrize("column", ["image", "negative_0"])
def test_the_longest_page_of_every_row_and_column_is_what_is_measured(model: Any, column: str) -> None:
    small, other = (Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))
    rows = [{"query": f"page {number}", "image": small, "negative_0": other} for number in range(600)]
    rows[401] |= {column: Image.new("RGB", (300, 200))}
    streaming = Streaming(model, make_train_set(rows), {}, FitRecipe(workers=0))
    page, route = streaming.longest
    assert page.name == f"row 401, {column}"
    assert route.task == "document"
    assert (streaming.budget({}).tokens or 0) % page.length == 0


def test_graphs_take_what_a_mini_batch_leaves() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    tried = Trial(items=2, tokens=40, seconds=1.0, graph_bytes=100, peak_bytes=150)
    assert left_for_graphs(1000, gpu, tried) == 900 - 2 * 150
    assert left_for_graphs(1000, gpu) == 450
    assert left_for_graphs(1000, cpu, tried) == 400 - 100
    assert left_for_graphs(1000, cpu) == 400
    assert left_for_graphs(10, gpu, tried) == left_for_graphs(10, cpu, tried) == 0


def test_so_many_pages_at_once_are_tried_where_it_is_known_how_many(model: Any, train: ImageTrainSet) -> None:
    streaming = Streaming(model, train, {}, FitRecipe(workers=0))
    page, route = streaming.longest
    budget, trials = measure(model, Vectors, streaming.feeder.prepare, [page], route, items=3)
    assert [trial.items for trial in trials] == [3]
    assert budget.tokens == 3 * page.length


def test_a_page_too_large_for_the_memory_says_so_and_a_larger_trial_only_ends_the_search(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [Reference(Image.new("RGB", (64, 64)), "a", 20)]
    prepare = Preparer(model.preprocess, lambda place: place)
    own = Vectors.forward

    def scarce(most: int) -> Any:
        def forward(model: Any, features: dict[str, Any]) -> Any:
            if len(features["input_ids"]) > most:
                raise torch.OutOfMemoryError("made up")
            return own(model, features)

        return staticmethod(forward)

    route = Route(pictures=True)
    monkeypatch.setattr(Vectors, "forward", scarce(1))
    budget, trials = measure(model, Vectors, prepare, pages, route)
    assert [trial.items for trial in trials] == [1]
    assert budget.tokens == 20
    monkeypatch.setattr(Vectors, "forward", scarce(0))
    with pytest.raises(torch.OutOfMemoryError):
        measure(model, Vectors, prepare, pages, route)


def test_a_disturbed_run_does_not_end_the_search(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of each run by pages: another program came between in the runs of 10 s."""
    seconds = {1: [0.1, 0.1, 0.1], 2: [10.0], 4: [0.3, 10.0], 8: [0.4, 0.5, 0.4], 16: [0.79, 10.0], 32: [10.0]}
    runs = {items: iter(each) for items, each in seconds.items()}
    own = budget._try

    def timed(*given: Any) -> Trial:
        trial = own(*given)
        return replace(trial, seconds=next(runs[trial.items], 0.1 if trial.items == 1 else 10.0))

    monkeypatch.setattr(budget, "_try", timed)
    page = Reference(Image.new("RGB", (64, 64)), "a", 20)
    found, trials = measure(
        model, Vectors, Preparer(model.preprocess, lambda place: place), [page], Route(pictures=True)
    )
    assert [trial.items for trial in trials] == [1, 2, 4, 8]
    assert found.tokens == 8 * page.length


def test_the_budget_is_measured_as_training_has_the_model(model: Any, train: ImageTrainSet) -> None:
    seen: set[tuple[bool, bool, bool]] = set()

    def look(*_: Any) -> None:
        inner = model[0].model
        checkpointed = any(getattr(part, "gradient_checkpointing", False) for part in inner.modules())
        seen.add((torch.is_autocast_enabled("cpu"), inner.training, checkpointed))

    hook = model[0].register_forward_pre_hook(look)
    try:
        for keys, expected in (({"bf16": "off"}, False), ({"bf16": "on", "gradient_checkpointing": True}, True)):
            seen.clear()
            Streaming(model, train, {}, FitRecipe(workers=0, **keys)).budget({})
            assert seen == {(expected, True, expected)}
    finally:
        hook.remove()
        for part in model.modules():
            if hasattr(part, "gradient_checkpointing"):
                part.gradient_checkpointing = False
    assert "forward" not in vars(model)


def test_room_is_what_gradients_and_the_optimizer_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "free_bytes", lambda device: 10_000)
    layers = torch.nn.Sequential(torch.nn.Linear(10, 10, bias=False), torch.nn.Linear(10, 5, bias=False))
    layers.device = torch.device("cpu")  # type: ignore[assignment]
    assert room(layers) == 10_000 - 3 * 4 * 150
    layers[0].weight.requires_grad_(False)
    assert room(layers) == 10_000 - 3 * 4 * 50
    layers[1].weight.grad = torch.zeros(5, 10)
    assert room(layers) == 10_000 - 2 * 4 * 50
    layers.half()
    layers[1].weight.grad = None
    assert room(layers) == 10_000 - 3 * 2 * 50


@dataclass
class Weight:
    """As much of a parameter as is looked at: no machine of the tests has two GPUs."""

    device: torch.device
    numbers: int
    requires_grad: bool = True
    grad: None = None

    def numel(self) -> int:
        return self.numbers

    def element_size(self) -> int:
        return 4


@dataclass
class Placed:
    weights: Sequence[Weight]

    def parameters(self) -> Sequence[Weight]:
        return self.weights


def test_of_several_devices_the_fullest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"cuda:0": 9_000, "cuda:1": 8_000, "cpu": 10, "meta": 10}
    monkeypatch.setattr(budget, "free_bytes", lambda device: free[str(device)])
    first, second, host, disk = map(torch.device, free)
    weights = [Weight(first, 500), Weight(second, 300), Weight(host, 7), Weight(disk, 9)]
    assert room(Placed(weights)) == 9_000 - 12 * 500
    weights[0].numbers = 100
    assert room(Placed(weights)) == 8_000 - 12 * 300
    weights[0].numbers = 1000
    assert room(Placed(weights)) == 0
