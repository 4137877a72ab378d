"""A feeder gives every mini-batch in order, holds few at once, goes on when a worker ends, and names what ends it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import torch
from PIL import Image

from pagetune.errors import DataError
from pagetune.training.feeding import RESTARTS, Feeder, Job, Preparer, Reference, Route
from pagetune.training.transfers import Ahead

CPU = torch.device("cpu")
PICTURES = Route(pictures=True)


def jobs(count, rows=1):
    return [
        Job(tuple(Reference(number, f"{number}/{row}", 1, f"row {number}, {row}") for row in range(rows)), PICTURES)
        for number in range(count)
    ]


def number_and_process(job):
    return {"number": torch.tensor([job.references[0].place, os.getpid()]), "task": "document"}


def once(act: Callable[[], object]):
    """Prepares, but acts the first time that it is asked for the third mini-batch, whichever process is asked."""
    asked = multiprocessing.Value("i", 0)

    def prepare(job):
        if job.references[0].place == 2 and not asked.value:
            asked.value = 1
            act()
        return number_and_process(job)

    return prepare


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def ended(pid, within=8.0):
    until = time.monotonic() + within
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_in_order_whatever_the_number_of_workers(workers):
    with Feeder(number_and_process, workers=workers) as feeder:
        for count in (7, 0, 2):
            found = list(feeder.stream(jobs(count), CPU))
            assert [each["number"][0].item() for each in found] == list(range(count))
            assert all(each["task"] == "document" for each in found)
        pids = {each["number"][1].item() for each in feeder.stream(jobs(6), CPU)}
    assert len(pids) == max(1, workers)
    assert (pids == {os.getpid()}) is (workers == 0)
    assert feeder.waited > 0


@pytest.mark.parametrize(("workers", "ahead"), [(1, 0), (1, 2), (2, 1)])
def test_of_two_hundred_few_are_there_at_once(workers, ahead):
    begun = multiprocessing.Value("i", 0)

    def prepare(job):
        with begun.get_lock():
            begun.value += 1
        return number_and_process(job)

    with Feeder(prepare, workers=workers, ahead=ahead) as feeder:
        stream = feeder.stream(jobs(200), CPU)
        for taken in range(200):
            assert begun.value <= taken + workers + ahead
            next(stream)
            if taken % 50 == 0:
                time.sleep(0.05)
        with pytest.raises(StopIteration):
            next(stream)


def test_large_ones_are_fewer_at_once():
    begun = multiprocessing.Value("i", 0)

    def prepare(job):
        with begun.get_lock():
            begun.value += 1
        return {"pixels": torch.zeros(1000 * len(job.references), dtype=torch.uint8)}

    with Feeder(prepare, ahead=8, held=5000) as feeder:
        next(feeder.stream(jobs(1), CPU))
        for rows, at_once in ((1, 5), (2, 2), (9, 1)):  # One that is too large by itself is prepared, alone.
            begun.value = 0
            stream = feeder.stream(jobs(12, rows), CPU)
            for taken in range(12):
                time.sleep(0.02)
                assert begun.value <= taken + at_once
                assert len(next(stream)["pixels"]) == 1000 * rows


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_killed_before_and_during_a_stream_is_replaced(workers):
    with Feeder(once(kill), workers=workers) as feeder:
        (first,) = feeder.stream(jobs(1), CPU)
        os.kill(first["number"][1].item(), signal.SIGKILL)
        found = list(feeder.stream(jobs(8), CPU))
        assert [each["number"][0].item() for each in found] == list(range(8))
        assert not psutil.pid_exists(first["number"][1].item()) or ended(first["number"][1].item())


def test_workers_may_be_started_from_any_thread():
    """As they are on a GPU, where a backward pass has a thread of its own."""
    with Feeder(number_and_process, workers=2) as feeder, ThreadPoolExecutor(1) as thread:
        found = thread.submit(lambda: list(feeder.stream(jobs(6), CPU))).result()
        assert [each["number"][0].item() for each in [*found, *feeder.stream(jobs(2), CPU)]] == [*range(6), 0, 1]


def test_two_streams_at_once_both_go_on_and_nobody_waits_for_ever():
    # Often: a worker that is forked while another ends may inherit what it would wait for.
    for _ in range(20):
        with Feeder(once(kill), workers=2, timeout=20) as feeder:
            first, second = (feeder.stream(jobs(6), CPU) for _ in range(2))
            for number, (one, other) in enumerate(zip(first, second, strict=True)):
                assert one["number"][0].item() == other["number"][0].item() == number
            assert feeder.waited < 20


@pytest.mark.parametrize("workers", [1, 2])
def test_the_input_that_kills_its_worker_each_time_is_named_and_no_other(workers):
    killed = multiprocessing.Value("i", 0)

    def prepare(job):
        if job.references[0].place == 1:
            time.sleep(0.1)  # On its way beside the one that kills, which is sooner at it.
        if any(reference.key == "2/3" for reference in job.references):
            killed.value += 1
            kill()
        return number_and_process(job)

    with Feeder(prepare, workers=workers) as feeder:
        stream = feeder.stream(jobs(6, rows=5), CPU)
        assert [next(stream)["number"][0].item() for _ in range(2)] == [0, 1]
        with pytest.raises(DataError, match=r"^row 2, 3: .*is killed, 4 times now"):
            next(stream)
        assert killed.value <= RESTARTS + 2  # And once alone, to know it.
        assert [each["number"][0].item() for each in feeder.stream(jobs(2), CPU)] == [0, 1]


def test_a_worker_that_hangs_is_replaced():
    with Feeder(once(lambda: time.sleep(60)), timeout=0.5) as feeder:
        found = list(feeder.stream(jobs(4), CPU))
    assert [each["number"][0].item() for each in found] == list(range(4))


def test_the_input_at_which_a_worker_hangs_each_time_is_named():
    def prepare(job):
        if any(reference.key == "1/0" for reference in job.references):
            time.sleep(60)
        return number_and_process(job)

    with Feeder(prepare, timeout=0.2) as feeder:
        stream = feeder.stream(jobs(3, rows=2), CPU)
        next(stream)
        with pytest.raises(DataError, match=r"^row 1, 0: .*takes longer than 0.2 s, 4 times now"):
            next(stream)


def test_an_error_of_the_preparation_is_no_hanging_worker():
    def prepare(job):
        raise TimeoutError("the server does not answer")

    with Feeder(prepare) as feeder, pytest.raises(TimeoutError, match="does not answer"):
        next(feeder.stream(jobs(1), CPU))


def preparer(folder):
    def preprocess(images, prompt=None, task=None):
        if any(image.width > 50 * image.height for image in images):
            raise ValueError("absolute aspect ratio\nmust be smaller than 50")
        return {"pixel_values": torch.stack([torch.tensor(image.size) for image in images])}

    return Preparer(preprocess, lambda place: Image.open(folder / place).convert("RGB"))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_row_that_cannot_be_read_or_preprocessed_is_named(tmp_path, workers):
    Image.new("RGB", (4, 4)).save(tmp_path / "good.png")
    Image.new("RGB", (400, 4)).save(tmp_path / "wide.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    good = Reference("good.png", "good", 1, "row 0, image")

    def stream(feeder, other):
        return feeder.stream([Job((good,), PICTURES), Job((good, other), PICTURES)], CPU)

    with Feeder(preparer(tmp_path), workers=workers) as feeder:
        for place, said in (("broken.png", "OSError: Truncated File"), ("none.png", "FileNotFoundError")):
            wrong = stream(feeder, Reference(place, place, 1, "row 7, negative_0"))
            next(wrong)
            with pytest.raises(DataError, match=rf"^row 7, negative_0: {said}.*mend or remove it$"):
                next(wrong)
        wrong = stream(feeder, Reference("wide.png", "wide", 1))
        next(wrong)
        with pytest.raises(DataError, match=r"^wide: ValueError: absolute aspect ratio must be smaller than 50; mend"):
            next(wrong)
        assert len(list(stream(feeder, good))) == 2


def test_after_close_no_process_is_left_and_the_next_need_starts_new_ones():
    def slow(job):
        time.sleep(0.05)
        return number_and_process(job)

    feeder = Feeder(slow, workers=2)
    stream = feeder.stream(jobs(20), CPU)
    pids = {next(stream)["number"][1].item() for _ in range(2)}
    feeder.close()
    assert all(map(ended, pids))
    assert [each["number"][0].item() for each in feeder.stream(jobs(3), CPU)] == [0, 1, 2]
    feeder.close()


def left(before):
    """The processes that were started since, and have not ended."""
    return [each for each in psutil.Process().children() if each.pid not in before and not ended(each.pid, within=1.0)]


@pytest.mark.parametrize("brought_ahead", [False, True], ids=["asked for", "brought by a thread"])
def test_a_stream_that_is_open_when_its_feeder_closes_starts_no_workers(brought_ahead):
    def slow(job):
        time.sleep(0.05)
        return number_and_process(job)

    before = {each.pid for each in psutil.Process().children()}
    with Feeder(slow, workers=2) as feeder:
        stream = feeder.stream(jobs(40), CPU)
        stream = Ahead(stream, CPU) if brought_ahead else stream  # As it is on a GPU.
        next(stream)
        assert left(before)
    # What was prepared already may be given; then it ends, and the thread with it.
    assert len(list(stream)) < 20
    assert left(before) == []
    assert [each["number"][0].item() for each in feeder.stream(jobs(3), CPU)] == [0, 1, 2]
    feeder.close()
    assert left(before) == []


def test_what_a_closed_stream_still_waits_for_is_not_prepared_before_the_next():
    begun = multiprocessing.Value("i", 0)

    def prepare(job):
        with begun.get_lock():
            begun.value += 1
        time.sleep(0.1)
        return number_and_process(job)

    with Feeder(prepare, ahead=20) as feeder:
        stream = feeder.stream(jobs(21), CPU)
        pid = next(stream)["number"][1].item()
        stream.close()
        assert list(stream) == []
        (after,) = feeder.stream(jobs(1), CPU)
        # One was done, one is under way, and one is with the worker already.
        assert begun.value <= 5
        assert after["number"][1].item() == pid, "the worker goes on"


def test_a_process_is_not_forked_where_that_is_unsafe(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with Feeder(number_and_process, workers=3) as feeder:
        assert feeder.workers == 0
        assert next(feeder.stream(jobs(1), CPU))["number"][1].item() == os.getpid()


def test_a_closed_stream_prepares_no_more():
    begun = multiprocessing.Value("i", 0)

    def prepare(job):
        with begun.get_lock():
            begun.value += 1
        return number_and_process(job)

    with Feeder(prepare, ahead=1) as feeder:
        stream = feeder.stream(jobs(50), CPU)
        next(stream)
        stream.close()
        assert list(stream) == []
        assert len(list(feeder.stream(jobs(2), CPU))) == 2
        assert begun.value <= 3 + 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of /proc")
def test_workers_end_when_the_program_is_killed(tmp_path):
    program = (
        "import os, time, torch\n"
        "from pagetune.training.feeding import Feeder, Job, Reference, Route\n"
        "def prepare(job):\n"
        "    if job.references[0].place: time.sleep(60)\n"
        "    return {'pid': torch.tensor(os.getpid())}\n"
        "feeder = Feeder(prepare, workers=2, ahead=4)\n"
        "jobs = [Job((Reference(place, str(place), 1),), Route()) for place in (0, 0, 1, 1)]\n"
        "stream = feeder.stream(jobs, torch.device('cpu'))\n"
        "print(next(stream)['pid'].item(), next(stream)['pid'].item(), flush=True)\n"
        "next(stream)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(psutil.pid_exists, pids))
    process.kill()
    process.wait()
    assert all(ended(pid) for pid in pids)


def test_a_feeder_that_travels_stays_the_one_it_was():
    feeder = Feeder(number_and_process, workers=0)
    assert pickle.loads(pickle.dumps(feeder)) is feeder


def test_workers_tokenize_without_a_warning_of_forks(reader, capfd):
    texts = [f"page {number}" for number in range(64)]
    reader.model.tokenizer(texts)  # In this process its threads have run.
    with Feeder(lambda job: {"count": torch.tensor(len(reader.model.tokenizer(texts)["input_ids"]))}) as feeder:
        assert next(feeder.stream(jobs(1), CPU))["count"].item() == 64
    assert "fork" not in capfd.readouterr().err
    assert "TOKENIZERS_PARALLELISM" not in os.environ
