"""Memory that a worker and its parent share."""

import os
import sys
from collections import deque

import pytest

from _typeset import typeset
from pagetune.pages import arena as arena_module
from pagetune.pages.arena import ARENA_BYTES, Arena
from pagetune.pages.pool import Request, WorkerPool
from pagetune.pages.store import picture_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared pictures are for Linux")


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return typeset(tmp_path_factory.mktemp("arena") / "typeset.pdf", 3, 1)


def pictures(document, long_side: int):
    body = {"op": "render", "path": str(document), "format": "pdf", "pages": [0, 1, 2]}
    request = Request(body | {"long_side": long_side, "max_pixels": None})
    with WorkerPool(1, memory_mb=3072, timeout=60) as pool:
        events = [(event, picture_of(event)) for event in pool.events(deque([request])) if event.kind == "answer"]
    return [type(event.blobs[0]) for event, _ in events], [picture for _, picture in events]


def test_pictures_are_the_same_through_the_arena_and_through_the_socket(document, monkeypatch):
    shared, there = pictures(document, 400)
    monkeypatch.setattr(Arena, "create", lambda: None)
    sent, here = pictures(document, 400)
    assert set(shared) == {memoryview}
    assert set(sent) == {bytearray}
    assert [picture.tobytes() for picture in there] == [picture.tobytes() for picture in here]
    assert len({picture.tobytes() for picture in there}) == 3


def test_what_does_not_fit_goes_through_the_socket(document):
    shared, there = pictures(document, 3000)
    assert shared == [memoryview, memoryview, bytearray]
    assert [max(picture.size) for picture in there] == [3000] * 3


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


def test_a_worker_that_tells_of_a_part_outside_is_ended(document, monkeypatch):
    body = {"op": "render", "path": str(document), "format": "pdf", "pages": [0], "long_side": 400, "max_pixels": None}
    with WorkerPool(1, memory_mb=3072, timeout=60) as pool:
        assert [event.kind for event in pool.events(deque([Request(body)]))] == ["answer", "done"]
        monkeypatch.setattr(arena_module, "ARENA_BYTES", 4096)  # Here; the worker knows the true size.
        assert [event.kind for event in pool.events(deque([Request(body)]))] == ["crash"]
