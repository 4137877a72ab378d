"""The process that judges one model, or BM25: `python -m pagetune.evaluation.comparison.worker JOB.json PIPE`.

It reads its job, reports on the pipe, and writes its result beside the others when it has all of it, the run and the
figures of every query before it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import traceback
from pathlib import Path

from pagetune.errors import PagetuneError
from pagetune.evaluation.comparison.judging import judge, open_job
from pagetune.evaluation.comparison.keeping import write_answers
from pagetune.evaluation.comparison.reporting import PipeProgress
from pagetune.workspace import write_atomically


def main(job_file: str, pipe: str) -> int:
    """Do the job; 0 where the result was written."""
    faulthandler.enable()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    with os.fdopen(int(pipe), "w", encoding="utf-8") as wire:
        progress = PipeProgress(wire)
        try:
            given = json.loads(Path(job_file).read_text(encoding="utf-8"))
            job = open_job(given, progress)
            result = judge(job)
            write_answers(result, job.chosen, Path(given["result"]))
            write_atomically(Path(given["result"]), json.dumps(result.as_json()))
        except BaseException as error:
            traceback.print_exc()
            progress.send(failed=reason_of(error))
            return 1
    return 0


def reason_of(error: BaseException) -> str:
    """Why it failed, in one line."""
    cause: BaseException | None = error
    while cause is not None:
        # A library that is missing, or memory, lies under the error of whoever needed it.
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            package = cause.name.partition(".")[0]
            return f"needs the package {package}, which is not installed: pip install {package.replace('_', '-')}"
        if isinstance(cause, MemoryError) or "out of memory" in str(cause) or "can't allocate memory" in str(cause):
            return f"out of memory: {_line(cause)}; lower encode_batch or max_pixels"
        cause = cause.__cause__ or cause.__context__
    return _line(error) if isinstance(error, PagetuneError) else f"{type(error).__name__}: {_line(error)}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _end_with_the_parent() -> None:
    """Nothing is ever written to standard input: its end is the end of whoever waits for the result."""
    os.read(0, 1)  # Not sys.stdin: its lock, held by a thread that waits, breaks the interpreter's end.
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
