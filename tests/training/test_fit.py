"""A fit from end to end with a tiny model: it learns, it can be killed, it ends with the same weights."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pagetune.errors import DataError
from pagetune.models.encoding import fingerprint_model
from pagetune.models.loading import load_folder, load_model
from pagetune.recipe import Recipe, load_recipe
from pagetune.records import Example, Page, Query, Rect
from pagetune.training.checkpoints import last_checkpoint
from pagetune.training.trainer import FitReport, fit_model

SETTINGS = (
    "model.chunk_tokens=16",
    "model.chunk_overlap=4",
    "fit.batch_size=8",
    "fit.mini_batch_size=4",
    "fit.matryoshka=[64, 16]",
    "fit.learning_rate=0.002",
    "fit.eval_fraction=0.34",
    "fit.epochs=2",
    "fit.patience=9",
)


@dataclass
class Data:
    """What `fit_model` asks of the data: queries, grades and masks by split."""

    queries: list[Query] = field(default_factory=list)
    grades: dict[str, dict[str, int]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    masks: dict[str, tuple[Rect, ...]] = field(default_factory=dict)

    def of(self, split: str) -> list[Query]:
        return [query for query in self.queries if self.splits[query.id] == split]

    def qrels(self, split: str) -> dict[str, dict[str, int]]:
        return {query.id: self.grades[query.id] for query in self.of(split)}


class Recorder:
    """Keeps what a fit says; `stop_at` ends it in the middle of a step, as far as the trainer can tell."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.lines: list[str] = []
        self.steps = 0
        self.stop_at = stop_at

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Any]:
        yield self

    def advance(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps == self.stop_at:
            raise KeyboardInterrupt

    def expect(self, total: int) -> None:
        pass

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def task(topic_pages: Sequence[Page]) -> tuple[Data, list[Example]]:
    """Three words of a page ask for it; a page of the next topic is the hard negative."""
    draw = random.Random(0)
    data, examples = Data(), []
    for place, page in enumerate(topic_pages):
        for number in range(2):
            start = draw.randrange(len(page.words) - 3)
            rects = tuple(tuple(map(float, page.boxes[word])) for word in range(start, start + 3))
            text = " ".join(page.words[start : start + 3])
            query = Query(f"{page.id}-{number}", text, "phrase", page.document, page.id, rects)  # type: ignore[arg-type]
            data.queries.append(query)
            data.grades[query.id] = {page.id: 2}
            data.splits[query.id] = "validation" if place % 5 == 0 else "train"
            if place % 5:
                examples.append(Example(query.id, page.id, (topic_pages[(place + 10) % 40].id,)))
    return data, examples


def recipe(*changes: str) -> Recipe:
    return load_recipe(overrides=[*SETTINGS, *changes])


def fresh(tiny_folder: Path) -> Any:
    from sentence_transformers.base.modules import Transformer

    from pagetune.models.light import assemble

    return assemble(Transformer(str(tiny_folder), max_seq_length=64), recipe().model)


@pytest.fixture(scope="module")
def whole(
    task: tuple[Data, list[Example]],
    topic_pages: Sequence[Page],
    tiny_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Any, FitReport, Recorder]:
    """One fit without interruption."""
    model, recorder = fresh(tiny_folder), Recorder()
    report = fit_model(model, *task, topic_pages, recipe(), tmp_path_factory.mktemp("fit"), recorder)
    return model, report, recorder


def test_report_tells_what_happened(whole: tuple[Any, FitReport, Recorder]) -> None:
    _, report, recorder = whole
    assert (report.examples, report.batch_size, report.steps, report.steps_done) == (64, 8, 16, 16)
    assert report.validation_queries == 16
    assert report.kept_ndcg in [record.get("ndcg") for record in report.history if record["step"] == report.kept_step]
    assert report.history[0] == {"step": 0, "ndcg": report.base_ndcg}
    assert report.history[-1]["step"] == 16
    losses = [record["loss"] for record in report.history if "loss" in record]
    assert sum(losses[-4:]) < sum(losses[:4])
    assert recorder.steps == 16
    assert any("validation NDCG@10" in line for line in recorder.lines)
    assert report.summary()["steps"] == 16


def test_killed_and_continued_ends_with_the_same_weights(
    whole: tuple[Any, FitReport, Recorder],
    task: tuple[Data, list[Example]],
    topic_pages: Sequence[Page],
    tiny_folder: Path,
    tmp_path: Path,
) -> None:
    model, report, _ = whole
    with pytest.raises(KeyboardInterrupt):
        fit_model(fresh(tiny_folder), *task, topic_pages, recipe(), tmp_path, Recorder(stop_at=11))
    last = last_checkpoint(tmp_path)
    assert last is not None
    half = tmp_path / "checkpoint-11"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    again, recorder = fresh(tiny_folder), Recorder()
    continued = fit_model(again, *task, topic_pages, recipe(), tmp_path, recorder)
    assert not half.exists()
    assert any(line.startswith("fit: continued from step") for line in recorder.lines)
    assert fingerprint_model(again) == fingerprint_model(model)
    assert continued.history == report.history
    assert (continued.kept_step, continued.kept_ndcg) == (report.kept_step, report.kept_ndcg)


@pytest.fixture(scope="module")
def short(
    task: tuple[Data, list[Example]],
    topic_pages: Sequence[Page],
    tiny_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, FitReport, Path]:
    """A short fit that has ended: what its model is, its report, its folder."""
    folder = tmp_path_factory.mktemp("short")
    model = fresh(tiny_folder)
    report = fit_model(model, *task, topic_pages, recipe(*SHORT), folder)
    return fingerprint_model(model), report, folder


SHORT = ("fit.epochs=0.5", "fit.eval_fraction=0.2")


@pytest.mark.parametrize("beside", [(), ("fit.parity=false", "fit.push_to_hub=me/mine", "model.encode_batch=3")])
def test_finished_fit_is_only_loaded(
    short: tuple[str, FitReport, Path],
    task: tuple[Data, list[Example]],
    topic_pages: Sequence[Page],
    tiny_folder: Path,
    beside: tuple[str, ...],
) -> None:
    made, report, folder = short
    model, recorder = fresh(tiny_folder), Recorder()
    again = fit_model(model, *task, topic_pages, recipe(*SHORT, *beside), folder, recorder)
    assert recorder.steps == 0
    assert fingerprint_model(model) == made
    assert again.history == report.history
    assert again.kept_step == report.kept_step


def test_an_ended_fit_keeps_its_weights_and_not_its_optimizer(short: tuple[str, FitReport, Path]) -> None:
    _, report, folder = short
    names = {path.name for path in folder.glob("checkpoint-*")}
    assert {f"checkpoint-{report.steps}", f"checkpoint-{report.kept_step}"} <= names
    assert len(list(folder.glob("checkpoint-*/model.safetensors"))) == len(names)
    assert not list(folder.rglob("optimizer.pt"))


def test_a_stopped_fit_keeps_its_optimizer(
    task: tuple[Data, list[Example]], topic_pages: Sequence[Page], tiny_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_model(fresh(tiny_folder), *task, topic_pages, recipe(*SHORT), tmp_path, Recorder(stop_at=3))
    last = last_checkpoint(tmp_path)
    assert last is not None
    assert (last / "optimizer.pt").is_file()


def test_an_ended_fit_that_lost_its_end_begins_again_with_the_same_weights(
    short: tuple[str, FitReport, Path],
    task: tuple[Data, list[Example]],
    topic_pages: Sequence[Page],
    tiny_folder: Path,
    tmp_path: Path,
) -> None:
    made, report, folder = short
    copy = Path(shutil.copytree(folder, tmp_path / "fit"))
    shutil.rmtree(copy / f"checkpoint-{report.steps}")
    assert list(copy.glob("checkpoint-*"))
    model, recorder = fresh(tiny_folder), Recorder()
    again = fit_model(model, *task, topic_pages, recipe(*SHORT), copy, recorder)
    assert not any("continued" in line for line in recorder.lines)
    assert recorder.steps == report.steps
    assert fingerprint_model(model) == made
    assert again.history == report.history


def test_another_recipe_starts_afresh(
    task: tuple[Data, list[Example]], topic_pages: Sequence[Page], tiny_folder: Path, tmp_path: Path
) -> None:
    fit_model(fresh(tiny_folder), *task, topic_pages, recipe("fit.epochs=0.5"), tmp_path)
    recorder = Recorder()
    fit_model(fresh(tiny_folder), *task, topic_pages, recipe("fit.epochs=0.5", "fit.seed=5"), tmp_path, recorder)
    assert not any("continued" in line for line in recorder.lines)


def test_without_validation_the_last_weights_stay(
    task: tuple[Data, list[Example]], topic_pages: Sequence[Page], tiny_folder: Path, tmp_path: Path
) -> None:
    data, examples = task
    bare = Data([query for query in data.queries if data.splits[query.id] == "train"], data.grades, data.splits)
    model = fresh(tiny_folder)
    before = fingerprint_model(model)
    report = fit_model(model, bare, examples, topic_pages, recipe("fit.epochs=0.5"), tmp_path / "fit")  # type: ignore[arg-type]
    assert fingerprint_model(model) != before
    assert (report.base_ndcg, report.kept_ndcg, report.kept_step) == (None, None, report.steps)
    model.save(str(tmp_path / "model"))
    assert fingerprint_model(load_model(recipe().model, tmp_path / "model")) == fingerprint_model(model)


def test_few_examples_make_a_small_batch(
    task: tuple[Data, list[Example]], topic_pages: Sequence[Page], tiny_folder: Path, tmp_path: Path
) -> None:
    data, examples = task
    report = fit_model(fresh(tiny_folder), data, examples[:6], topic_pages, recipe("fit.epochs=1"), tmp_path)
    assert (report.examples, report.batch_size) == (6, 2)


def test_nothing_to_train_on_is_an_error(
    task: tuple[Data, list[Example]], topic_pages: Sequence[Page], tiny_folder: Path, tmp_path: Path
) -> None:
    data, examples = task
    with pytest.raises(DataError, match="0 training examples of 0 pages"):
        fit_model(fresh(tiny_folder), data, [], topic_pages, recipe(), tmp_path)
    with pytest.raises(DataError, match="2 training examples of 1 pages"):
        fit_model(fresh(tiny_folder), data, examples[:2], topic_pages, recipe(), tmp_path)


def test_patience_ends_a_fit_that_gains_nothing(
    task: tuple[Data, list[Example]], topic_pages: Sequence[Page], tiny_folder: Path, tmp_path: Path
) -> None:
    still = recipe("fit.learning_rate=1e-12", "fit.patience=1", "fit.eval_fraction=0.25")
    report = fit_model(fresh(tiny_folder), *task, topic_pages, still, tmp_path)
    assert report.stopped_early
    assert report.steps_done < report.steps


def test_earlier_weights_stay_where_they_are_clearly_better(
    task: tuple[Data, list[Example]], topic_pages: Sequence[Page], tiny_folder: Path, tmp_path: Path
) -> None:
    harmful = recipe("fit.learning_rate=3", "fit.warmup=0.99", "fit.eval_fraction=0.13", "fit.patience=99")
    model = fresh(tiny_folder)
    report = fit_model(model, *task, topic_pages, harmful, tmp_path)
    by_step = {record["step"]: record["ndcg"] for record in report.history if "ndcg" in record and record["step"]}
    assert report.kept_step < report.steps
    assert report.kept_ndcg == max(by_step.values()) > by_step[report.steps]
    kept = load_folder(tmp_path / f"checkpoint-{report.kept_step}")
    assert fingerprint_model(model) == fingerprint_model(kept)
