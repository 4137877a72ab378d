"""Memory that a worker and its parent share."""

import gc
import os
import socket
import subprocess
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from _typeset import typeset
from pagetune.pages import wire
from pagetune.pages.arena import ARENA_BYTES, Arena
from pagetune.pages.assembly import PageParts
from pagetune.pages.pool import Request, WorkerPool
from pagetune.pages.store import picture_of
from pagetune.pages.words import Words, pack

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the system has no sealed shared memory")


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return typeset(tmp_path_factory.mktemp("arena") / "typeset.pdf", 3, 1)


def request(document, pages=(0, 1, 2), long_side: int = 400, format: str = "pdf") -> Request:
    body = {"op": "render", "path": str(document), "format": format, "pages": list(pages)}
    return Request(body | {"long_side": long_side, "max_pixels": None}, decode=picture_of)


def pictures(*requests: Request) -> tuple[list[bool], list[Image.Image]]:
    with WorkerPool(1, memory_mb=3072, timeout=60) as pool:
        events = [event for event in pool.events(deque(requests)) if event.kind == "answer"]
    return ["shared" in event.message for event in events], [event.value for event in events]


def test_pictures_are_the_same_through_the_arena_and_through_the_socket(document, monkeypatch):
    # Two requests: the second one writes over the memory of the first.
    shared, there = pictures(request(document), request(document, (2, 1)))
    monkeypatch.setattr(Arena, "create", lambda: None)
    sent, here = pictures(request(document), request(document, (2, 1)))
    assert set(shared) == {True}
    assert set(sent) == {False}
    assert [picture.tobytes() for picture in there] == [picture.tobytes() for picture in here]
    assert len({picture.tobytes() for picture in there}) == 3


def test_a_picture_file_comes_through_the_arena_too(tmp_path):
    drawn = Image.effect_noise((300, 200), 90).convert("RGB")
    drawn.save(tmp_path / "scan.png")
    shared, found = pictures(request(tmp_path / "scan.png", [0], 300, "png"))
    assert shared == [True]
    assert found[0].tobytes() == drawn.tobytes()


def test_what_does_not_fit_goes_through_the_socket(document):
    shared, there = pictures(request(document, long_side=3000))
    assert shared == [True, True, False]
    assert [max(picture.size) for picture in there] == [3000] * 3


@pytest.mark.parametrize("fault", [AttributeError, PermissionError])
def test_a_system_that_has_no_such_memory_or_refuses_it_uses_the_socket(monkeypatch, document, fault):
    def refuse(*_):
        raise fault

    monkeypatch.setattr(os, "memfd_create", refuse)
    assert Arena.create() is None
    assert pictures(request(document, [0]))[0] == [False]


def test_parts_do_not_overlap_and_end_with_the_block():
    arena = Arena.create()
    first, second = arena.take(10), arena.take(10)
    assert first[0] + 10 <= second[0]
    assert arena.take(ARENA_BYTES) is None
    arena.clear()
    assert arena.take(ARENA_BYTES)[0] == 0
    arena.close()


@pytest.mark.parametrize("part", [(-1, 5), (0, ARENA_BYTES + 1), (ARENA_BYTES, 1), (5, -1)])
def test_a_part_outside_the_block_is_refused(part):
    arena = Arena.create()
    with pytest.raises(ValueError, match="bytes"):
        arena.look(*part)
    arena.close()


def test_the_size_is_sealed():
    arena = Arena.create()
    with pytest.raises(PermissionError):
        os.ftruncate(arena.handle, 0)
    arena.close()


ANSWERS = {
    "a part outside": {"size": [10, 10], "shared": [ARENA_BYTES, 400]},
    "a part before": {"size": [10, 10], "shared": [-400, 400]},
    "words for numbers": {"size": [10, 10], "shared": ["0", "400"]},
    "no part": {"size": [10, 10], "shared": []},
    "too large a size": {"size": [60000, 60000], "shared": [0, 400]},
    "a size of words": {"size": "10", "shared": [0, 400]},
    "no size": {"shared": [0, 400]},
    "no pixels": {"size": [10, 10]},
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_worker_that_has_been_taken_over_can_only_be_ended(document, answer):
    with WorkerPool(1, memory_mb=3072, timeout=60) as pool:
        list(pool.events(deque([request(document, [0])])))
        worker = pool._workers[0]
        worker.wire, theirs = socket.socketpair()
        wire.send(theirs, answer)
        (event,) = pool.events(deque([request(document, [0])]))
    assert event.kind == "crash"


def test_words_that_do_not_fit_together_end_the_worker_too(document):
    arrays = np.zeros((1, 4), np.float32), np.zeros(2, np.float32), np.zeros(2, np.int32), np.zeros(2, np.uint8)
    page = pack(Words(["a", "b"], *arrays))
    with WorkerPool(1, memory_mb=3072, timeout=60) as pool:
        list(pool.events(deque([request(document, [0])])))
        pool._workers[0].wire, theirs = socket.socketpair()
        head = {"page": 0, "frame": [0, 0, 9, 9, 0], "width": 9, "height": 9}
        wire.send(theirs, head | {"fault": None, "blank": False, "pixels": ""}, page)
        body = {"op": "pages", "path": str(document), "format": "pdf", "start": 0, "stop": 1}
        (event,) = pool.events(deque([Request(body, decode=PageParts.of)]))
    assert event.kind == "crash"


def test_no_handle_is_left_when_a_worker_cannot_be_started(monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError

    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with WorkerPool(1, memory_mb=3072, timeout=60) as pool, pytest.raises(BlockingIOError):
        list(pool.events(deque([Request({"op": "probe"})])))
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
