"""Claim: a run killed with SIGKILL at any moment goes on when started again and ends with the same metrics.

Typesets a few of the demo's documents, runs the whole job once undisturbed, then 20 times with the process group killed
at a random moment (one in each twentieth of the undisturbed run's time, so that every stage is hit), and continues.
Each continued run must end with exactly the metrics of the undisturbed one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

KILLS = int(os.environ.get("PAGETUNE_KILLS", "20"))
SMALL = [
    "queries.sentences_per_page=1",
    "fit.max_examples=160",
    "fit.batch_size=16",
    "fit.epochs=1",
    "fit.eval_fraction=0.25",
    "evaluate.resamples=1000",
]


def command(documents: Path, workspace: Path) -> list[str]:
    return [sys.executable, "-m", "pagetune", "run", str(documents), *SMALL, "-w", str(workspace), "--quiet"]


def run_to_end(documents: Path, workspace: Path) -> dict[str, Any]:
    done = subprocess.run(command(documents, workspace), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the run failed: {done.stderr[-2000:]}")
    return systems(workspace)


def systems(workspace: Path) -> dict[str, Any]:
    return json.loads((workspace / "runs" / "evaluate" / "metrics.json").read_text())["systems"]


def kill_after(documents: Path, workspace: Path, seconds: float) -> str:
    """Start a run, kill its whole process group after so long; the stages that it had finished."""
    process = subprocess.Popen(
        command(documents, workspace),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
        return "finished before the kill"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finished = sorted(path.stem for path in (workspace / "stages").glob("*.json"))
    return "finished: " + (", ".join(finished) or "nothing")


def main() -> int:
    from pagetune.demo import typeset_demo

    chance = random.Random(17)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        paths = sorted(typeset_demo(place / "all"), key=lambda path: path.stat().st_size)[:6]
        documents = place / "documents"
        documents.mkdir()
        for path in paths:
            path.rename(documents / path.name)
        begun = time.monotonic()
        expected = run_to_end(documents, place / "undisturbed")
        whole = time.monotonic() - begun
        print(f"undisturbed: {whole:.0f} s, tuned NDCG@10 {expected['tuned']['metrics']['NDCG@10']:.4f}", flush=True)
        for number in range(KILLS):
            workspace = place / f"killed-{number}"
            moment = whole * (number + chance.random()) / KILLS
            what = kill_after(documents, workspace, moment)
            same = run_to_end(documents, workspace) == expected
            failures += not same
            print(f"kill {number + 1:2d} after {moment:5.1f} s ({what}): {'same' if same else 'DIFFERENT'}", flush=True)
    verdict = "holds" if not failures else "FAILS"
    print(f"{KILLS - failures} of {KILLS} killed runs ended with the same metrics; claim {verdict}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
