"""The same short fit of a random Qwen3-VL of 220 million weights by LoRA, in float32, and by QLoRA.

Claim: on a CPU, QLoRA (lora.quantise=4bit) trains in at most 0.6 of the memory, and the plain model that it ends with
passes the parity gate. Beside it: memory while the model is loaded, and the processor's time of a step, which it does
not save. A process a side; memory is the process's own (anonymous) at its highest, above what it held before the model
was loaded.

    python benchmarks/qlora_memory.py
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
SHARE = 0.6
SIDES = {"LoRA": (), "QLoRA": ("lora.quantise=4bit",)}
SIZES: dict[str, Any] = {"hidden": 1024, "layers": 14, "intermediate": 4096, "vision_hidden": 128}


class Highest:
    """Watches the process's anonymous memory, in MiB."""

    def __init__(self) -> None:
        self.before = self._now()
        self.found = 0.0
        self._on = True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> float:
        self._on = False
        self._thread.join()
        return self.found

    def _watch(self) -> None:
        while self._on:
            self.found = max(self.found, self._now())
            time.sleep(0.002)

    @staticmethod
    def _now() -> float:
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"RssAnon:\s+(\d+)", status)[0]) / 1024


class Watching:
    """A fit's progress that watches memory and time from the first step to the last."""

    def __init__(self) -> None:
        self.memory, self.times = 0.0, [0.0]

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Watching]:
        watch, self.times = Highest(), [time.process_time()]
        yield self
        self.memory = watch.end()

    def advance(self, steps: int = 1) -> None:
        self.times.append(time.process_time())

    def expect(self, total: int) -> None:
        pass

    def say(self, line: str) -> None:
        pass


def make_model(folder: Path) -> None:
    """In bfloat16, as such models are published; on a CPU they are loaded as float32."""
    import torch
    from sentence_transformers import SentenceTransformer

    from _tiny import tiny_qwen3_vl

    tiny_qwen3_vl(folder / "float32", words=("red", "green", "blue", "black"), **SIZES)
    SentenceTransformer(str(folder / "float32"), model_kwargs={"dtype": torch.bfloat16}).save(str(folder / "model"))


def one_side(folder: Path, keys: list[str]) -> dict[str, Any]:
    """Load, train six steps, merge and save through the gate."""
    import bitsandbytes  # noqa: F401  # Before anything is counted.
    import peft  # noqa: F401
    from PIL import Image

    from pagetune.examples.loading import make_train_set
    from pagetune.models.loading import load_model
    from pagetune.models.saving import save_finished
    from pagetune.recipe import load_recipe
    from pagetune.training.images import fit_images

    settings = ["lora.rank=8", "fit.batch_size=4", "fit.mini_batch_size=4", "fit.epochs=1", "fit.bf16=off"]
    recipe = load_recipe(None, [f"model.name={folder / 'model'}", *settings, "fit.matryoshka=[256]", *keys])
    pages = [Image.new("RGB", (96, 96), (10 * number, 80, 255 - 10 * number)) for number in range(24)]
    train = make_train_set([{"query": f"page {number}", "image": page} for number, page in enumerate(pages)])
    loading = Highest()
    model = load_model(recipe.model)
    loaded = loading.end() - loading.before
    with tempfile.TemporaryDirectory() as place:
        watching = Watching()
        fit_images(model, train, None, recipe, Path(place) / "run", watching)  # type: ignore[arg-type]
        report = save_finished(model, Path(place) / "saved", recipe, train.pairs(8))
    steps = [after - before for before, after in zip(watching.times[1:], watching.times[2:], strict=False)]
    assert report is not None
    return {
        "loading": loaded,
        "training": watching.memory - loading.before,
        "step": sorted(steps)[len(steps) // 2],
        "parity": max(step.difference.scores for step in report.steps),
    }


def main() -> int:
    if len(sys.argv) > 1:
        print("FOUND", json.dumps(one_side(Path(sys.argv[1]), sys.argv[2:])))
        return 0
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        make_model(Path(place))
        for name, keys in SIDES.items():
            # What a side needs, not what the C library keeps between its tensors: that varies twofold.
            more = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
            command = [sys.executable, __file__, place, *keys]
            done = subprocess.run(command, capture_output=True, text=True, env=os.environ | more)
            if done.returncode:
                sys.exit(f"{name}: {done.stderr.strip()[-400:]}")
            found[name] = json.loads(done.stdout.partition("FOUND")[2])
            print(
                f"{name:6} training {found[name]['training']:6.0f} MiB, loading {found[name]['loading']:6.0f} MiB, "
                f"{found[name]['step']:.2f} s a step; parity: scores {found[name]['parity']:.1e} of their spread apart"
            )
    share = found["QLoRA"]["training"] / found["LoRA"]["training"]
    slower = found["QLoRA"]["step"] / found["LoRA"]["step"]
    holds = share <= SHARE
    print(f"QLoRA trains in {share:.2f} of LoRA's memory (claim: {SHARE}) and takes {slower:.2f} times as long a step")
    print("holds" if holds else "DOES NOT HOLD")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
