"""The process that judges one model, or BM25: `python -m pagetune.evaluation.comparison.worker JOB.json PIPE`.

It reads its job, reports on the pipe, and writes its result beside the others when it has all of it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError, PagetuneError
from pagetune.evaluation.comparison.grid import Kind, Result
from pagetune.evaluation.comparison.page_texts import page_texts
from pagetune.evaluation.comparison.reporting import Meter, PipeProgress, joined_rate
from pagetune.evaluation.machine import describe_machine
from pagetune.examples.visual import ImageEvalSet, load_eval_set
from pagetune.recipe import ModelRecipe, Recipe
from pagetune.workspace import write_atomically

if TYPE_CHECKING:
    from pagetune.evaluation.visual import ModelScores


def main(job_file: str, pipe: str) -> int:
    """Do the job; 0 where the result was written."""
    faulthandler.enable()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    with os.fdopen(int(pipe), "w", encoding="utf-8") as wire:
        progress = PipeProgress(wire)
        try:
            job = json.loads(Path(job_file).read_text(encoding="utf-8"))
            result = judge(job, progress)
            write_atomically(Path(job["result"]), json.dumps(result.as_json()))
        except BaseException as error:
            traceback.print_exc()
            progress.send(failed=reason_of(error))
            return 1
    return 0


def judge(job: dict[str, Any], progress: PipeProgress) -> Result:
    """`job` has the resolved recipe, the model's part of it (None: BM25), the set's fingerprint, a folder `cache` of
    its own, and a folder `texts` for what is read on the pages."""
    recipe = Recipe.model_validate(job["recipe"])
    chosen = load_eval_set(recipe.dataset)
    if chosen.fingerprint != job["set"]:
        raise DataError(f"{chosen.name} has changed since the comparison began; run it again")
    texts = Path(job["texts"])
    if job["model"] is None:
        return judge_bm25(job["label"], chosen, recipe, texts, progress)
    from pagetune.models.loading import load_model
    from pagetune.models.page_reader import PageReader

    settings = ModelRecipe.model_validate(job["model"])
    model = load_model(settings)
    if isinstance(model[0], PageReader):
        return judge_reader(job["label"], model, settings, chosen, recipe, Path(job["cache"]), texts, progress)
    return judge_looker(job["label"], model, settings, chosen, recipe, Path(job["cache"]), progress)


def judge_looker(
    label: str,
    model: Any,
    settings: ModelRecipe,
    chosen: ImageEvalSet,
    recipe: Recipe,
    cache: Path,
    progress: PipeProgress,
) -> Result:
    """One model that looks at the pages. What it has encoded lies in `cache` until it is done; the clock runs after
    one page and one query."""
    from pagetune.evaluation.visual import judge_model
    from pagetune.models.describe import describe
    from pagetune.models.late_interaction import is_late
    from pagetune.models.pictures import encode_pictures, encode_texts
    from pagetune.models.router import is_router

    first = chosen.page_ids[0]
    encode_pictures(model, {first: chosen.page_key(first)}, chosen.images)
    encode_texts(model, [next(iter(chosen.queries.values()))])
    meter = Meter(progress, cache / "pages.json")
    scores = judge_model(
        model,
        chosen,
        recipe.compare.dimensions,
        batch_size=settings.encode_batch,
        token_pooling=settings.token_pooling,
        depth=recipe.evaluate.depth,
        cache=cache / "vectors",
        progress=meter,
    )
    kind: Kind = "late" if is_late(model) else "router" if is_router(model) else "dense"
    return _result(label, kind, describe(model), model, scores, meter.rate, len(chosen.queries))


def judge_reader(
    label: str,
    model: Any,
    settings: ModelRecipe,
    chosen: ImageEvalSet,
    recipe: Recipe,
    cache: Path,
    texts: Path,
    progress: PipeProgress,
) -> Result:
    """One model that reads the pages' text, as the product keeps it: a vector a passage, the best passage counts.

    With model.page_vectors=pooled it has a vector a page. Reading counts as time, as for BM25, whoever did it.
    """
    from pagetune.evaluation.comparison.readers import judge_texts
    from pagetune.models.describe import describe
    from pagetune.models.encoding import encode_readings
    from pagetune.models.pictures import encode_texts

    reading, meter = Meter(progress, texts / "pages.json"), Meter(progress, cache / "pages.json")
    found, origin = page_texts(chosen, recipe.dataset, recipe.compare.text_column, texts / "texts", reading)
    encode_readings(model, dict(list(found.items())[:1]), settings)
    encode_texts(model, [next(iter(chosen.queries.values()))])
    scores = judge_texts(
        model,
        found,
        chosen,
        settings,
        recipe.compare.dimensions,
        depth=recipe.evaluate.depth,
        cache=cache / "vectors",
        progress=meter,
    )
    about = f"{describe(model)}; {settings.page_vectors}; {origin}"
    return _result(label, "reads", about, model, scores, joined_rate(reading.rate, meter.rate), len(chosen.queries))


def _result(
    label: str, kind: Kind, about: str, model: Any, scores: ModelScores, rate: float | None, queries: int
) -> Result:
    from pagetune.evaluation.metrics import MAIN_METRIC

    dimension = max(scores.by_dimension)
    return Result(
        label=label,
        kind=kind,
        about=about,
        scores=scores.full,
        by_dimension={size: found.means()[MAIN_METRIC] for size, found in scores.by_dimension.items()},
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        dimension=dimension,
        vectors_per_page=scores.vectors_per_page,
        bytes_per_page=scores.bytes_per_page,
        pages_per_second=rate,
        ms_per_query=1000 * scores.seconds_queries / queries,
        device=_device(model.device.type),
    )


def judge_bm25(label: str, chosen: ImageEvalSet, recipe: Recipe, cache: Path, progress: PipeProgress) -> Result:
    """BM25 over the pages' text; reading it counts as time, where it was read in this comparison."""
    from pagetune.evaluation.lexical import BM25
    from pagetune.evaluation.metrics import score_run

    meter = Meter(progress, cache / "pages.json")
    texts, origin = page_texts(chosen, recipe.dataset, recipe.compare.text_column, cache / "texts", meter)
    began = time.monotonic()
    index = BM25(texts)
    middle = time.monotonic()
    run = index.search(chosen.queries, recipe.evaluate.depth)
    ended = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return Result(
        label=label,
        kind="lexical",
        about=f"English stems, k1 1.5, b 0.75; {origin}",
        scores=score_run(run, chosen.qrels),
        by_dimension={},
        parameters=None,
        dimension=None,
        vectors_per_page=None,
        bytes_per_page=size / len(texts),
        pages_per_second=joined_rate(meter.rate, len(texts) / (middle - began)),
        ms_per_query=1000 * (ended - middle) / len(chosen.queries),
        device=_device("cpu"),
    )


def _device(kind: str) -> str:
    if kind == "cuda":
        import torch

        return torch.cuda.get_device_name()
    return describe_machine()["processor"] if kind == "cpu" else kind


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
