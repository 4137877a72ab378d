"""Workers that hang, die, or leave."""

import subprocess
import sys
from collections import deque

import pytest

from _damage import hanging
from pagetune.pages.pool import Request, WorkerPool


def probe(path) -> Request:
    return Request({"op": "probe", "path": str(path), "format": "pdf"})


@pytest.fixture
def good(tmp_path):
    from _typeset import typeset

    return typeset(tmp_path / "good.pdf", 2, 1)


def test_a_hanging_page_is_ended_and_the_next_request_answered(tmp_path, good):
    (tmp_path / "hang.pdf").write_bytes(hanging())
    body = {"op": "render", "path": str(tmp_path / "hang.pdf"), "format": "pdf", "pages": [0]}
    body |= {"long_side": 300, "max_pixels": None}
    with WorkerPool(1, memory_mb=4096, timeout=2) as pool:
        events = list(pool.events(deque([Request(body), probe(good)])))
    assert [event.kind for event in events] == ["time", "answer", "done"]
    assert events[0].reason == "took more than 2 s"


def test_a_worker_that_dies_is_replaced(good):
    with WorkerPool(1, memory_mb=2048, timeout=30) as pool:
        assert [event.kind for event in pool.events(deque([probe(good)]))] == ["answer", "done"]
        pool._workers[0].process.kill()
        pool._workers[0].process.wait()
        kinds = [(event.kind, event.used) for event in pool.events(deque([probe(good), probe(good)]))]
    assert kinds == [("crash", True), ("answer", False), ("done", False)]


def test_leaving_early_ends_the_busy_worker_and_the_pool_goes_on(good):
    with WorkerPool(1, memory_mb=2048, timeout=30) as pool:
        for _ in pool.events(deque([probe(good)])):
            break
        assert [event.kind for event in pool.events(deque([probe(good)]))] == ["answer", "done"]


def test_a_worker_does_not_load_torch():
    code = "import sys, pagetune.pages.worker; sys.exit(any(m in sys.modules for m in ('torch', 'pyarrow', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_store_is_light_to_import():
    heavy = "('torch', 'pyarrow', 'pypdfium2', 'PIL', 'pydantic')"
    code = f"import sys, pagetune.pages.store; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
