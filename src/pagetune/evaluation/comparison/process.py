"""One job in a process of its own: what it reports, when it is too late, why it ended."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pagetune
from pagetune.progress import Progress, Task
from pagetune.workspace import write_atomically

WORKER = "pagetune.evaluation.comparison.worker"
PATIENCE = 30.0
"""Seconds that a process may take to end once it has nothing more to report."""


def run_job(
    job: dict[str, Any], place: Path, *, timeout: float, progress: Progress, worker: str = WORKER
) -> str | None:
    """Run a job to its end; None where its result lies at job["result"], else the reason, one line.

    `place` with `.json` is where the job is written, with `.log` what the process prints. Nothing that happens in the
    process is fatal here, and the process does not outlive this one.
    """
    job_file, log = (place.with_name(place.name + suffix) for suffix in (".json", ".log"))
    write_atomically(job_file, json.dumps(job))
    Path(job["result"]).unlink(missing_ok=True)
    source, sink = os.pipe()
    package = str(Path(pagetune.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", worker, str(job_file), str(sink)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[sink],
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            os.close(source)
            return f"its process could not be started: {error.strerror}"
        finally:
            os.close(sink)
    try:
        reason = _Watch(process, source, timeout, progress).until_the_end()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin:
            process.stdin.close()
    if Path(job["result"]).is_file():
        return None
    return reason or _why(process.returncode, log)


class _Watch:
    """Follows one process: its reports become progress, its time is counted."""

    def __init__(self, process: subprocess.Popen[bytes], source: int, timeout: float, progress: Progress) -> None:
        self.process, self.timeout, self.progress = process, timeout, progress
        self.deadline = time.monotonic() + timeout
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.task: Task | None = None
        threading.Thread(target=self._listen, args=(source,), daemon=True).start()

    def _listen(self, source: int) -> None:
        with os.fdopen(source, encoding="utf-8") as lines:
            for line in lines:
                with suppress(ValueError):  # A process that is killed may leave half a line.
                    self.events.put(json.loads(line))
        self.events.put(None)

    def until_the_end(self) -> str | None:
        """The reason that the process gave, or ours for ending it; None where it gave none."""
        with ExitStack() as open_tasks:
            while (left := self.deadline - time.monotonic()) > 0:
                try:
                    event = self.events.get(timeout=min(left, 0.5))
                except queue.Empty:
                    # A process that it has started itself may hold the pipe open.
                    if self.process.poll() is None:
                        continue
                    return None
                if event is None:
                    with suppress(subprocess.TimeoutExpired):
                        self.process.wait(min(left, PATIENCE))
                    return None
                if "failed" in event:
                    return str(event["failed"])
                self._report(event, open_tasks)
        return f"took more than {self.timeout:g} s; raise compare.timeout, or leave it out"

    def _report(self, event: dict[str, Any], open_tasks: ExitStack) -> None:
        if "task" in event:
            open_tasks.close()
            self.task = open_tasks.enter_context(self.progress.task(event["task"], event["total"], event["unit"]))
        elif "expect" in event and self.task:
            self.task.expect(event["expect"])
        elif "advance" in event and self.task:
            self.task.advance(event["advance"])
        elif "end" in event:
            open_tasks.close()
            self.task = None
        elif "say" in event:
            self.progress.say(event["say"])


def _why(code: int, log: Path) -> str:
    """Why a process ended that did not say so itself."""
    if code == -signal.SIGKILL:
        return "was killed from outside (SIGKILL), most often for want of memory; lower encode_batch or max_pixels"
    if code < 0:
        return f"crashed ({signal.Signals(-code).name}); what it printed is in {log}"
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "it printed nothing")
    return f"ended with code {code}: {last[:200]}"
