"""Mini-batches brought to the device one ahead, and what was made of them back: on a CPU, where nothing is copied."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from pagetune.training.feeding import Feeder, Job, Reference, Route
from pagetune.training.preparing import Features
from pagetune.training.transfers import Ahead, Fetched, move

CPU = torch.device("cpu")


class Source:
    """Counts what is taken of it; breaks at `broken`, waits at `held_up` until it is closed."""

    def __init__(self, count: int, broken: int | None = None, held_up: int | None = None) -> None:
        self.count, self.broken, self.held_up = count, broken, held_up
        self.taken = 0
        self.threads: set[int] = set()
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Features]:
        return self

    def __next__(self) -> Features:
        self.threads.add(threading.get_ident())
        if self.taken == self.count or self.closed.is_set():
            raise StopIteration
        if self.taken == self.held_up:
            self.closed.wait(20)
        self.taken += 1
        if self.taken - 1 == self.broken:
            raise torch.OutOfMemoryError("out of memory")
        return {"number": torch.tensor(self.taken - 1), "task": "document"}

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_all_in_order_and_one_ahead(count: int) -> None:
    source = Source(count)
    ahead = Ahead(source, CPU)
    for number in range(count):
        features = next(ahead)
        assert (features["number"].item(), features["task"]) == (number, "document")
        time.sleep(0.01)
        assert source.taken <= number + 2
    assert list(ahead) == list(ahead) == []
    assert threading.get_ident() not in source.threads
    ahead.close()


def test_what_goes_wrong_is_raised_where_it_is_asked_for() -> None:
    ahead = Ahead(Source(5, broken=2), CPU)
    assert [next(ahead)["number"].item() for _ in range(2)] == [0, 1]
    with pytest.raises(torch.OutOfMemoryError):
        next(ahead)
    ahead.close()
    assert list(ahead) == []


def test_closing_waits_for_nothing() -> None:
    source = Source(5, held_up=1)
    ahead = Ahead(source, CPU)
    next(ahead)
    ahead.close()
    assert source.closed.is_set()
    assert list(ahead) == []


def slow(job: Job) -> Features:
    time.sleep(0.05)
    return {"number": torch.tensor(job.references[0].place)}


def test_around_a_feeder_s_workers_and_closed_in_the_middle() -> None:
    jobs = [Job((Reference(number, str(number), 1),), Route()) for number in range(12)]
    with Feeder(slow, workers=2) as feeder:
        for taken in (12, 3, 12):
            ahead = Ahead(feeder.stream(jobs, CPU), CPU)
            assert [next(ahead)["number"].item() for _ in range(taken)] == list(range(taken))
            ahead.close()


def test_what_is_fetched_is_what_was_made() -> None:
    made = torch.randn(3, 4, dtype=torch.bfloat16)
    found, nothing = Fetched([made, None]).here()
    assert found is not None
    assert torch.equal(found, made)
    assert nothing is None


def test_what_is_no_tensor_stays_as_it_is() -> None:
    assert move({"task": "query", "ids": torch.ones(1)}, CPU) == {"task": "query", "ids": torch.ones(1)}
