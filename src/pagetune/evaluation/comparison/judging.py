"""One row of the comparison: a model that looks at the pages, a model that reads them, or BM25.

A model that reads is judged as the product uses it: a vector a passage, a page as near as its nearest passage.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError
from pagetune.evaluation.comparison.grid import Kind, Result
from pagetune.evaluation.comparison.page_texts import BY_OCR, page_texts
from pagetune.evaluation.comparison.reporting import Meter
from pagetune.evaluation.metrics import MAIN_METRIC, score_run
from pagetune.examples.loading import load_eval_set
from pagetune.examples.visual import ImageEvalSet
from pagetune.machine import describe_machine
from pagetune.progress import Progress
from pagetune.recipe import ModelRecipe, Recipe

if TYPE_CHECKING:
    from pagetune.evaluation.visual import ModelScores


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What is to be judged, on what, and where it may keep things."""

    label: str
    settings: ModelRecipe | None
    """None: BM25."""
    recipe: Recipe
    chosen: ImageEvalSet
    cache: Path
    """This entry's own; it is removed when the entry is finished."""
    texts: Path
    """What is read on the pages, for every entry."""
    progress: Progress

    def read(self) -> tuple[dict[str, str], str, float | None]:
        """The pages' texts, where they come from, and how many pages a second were read, None for a column."""
        meter = Meter(self.progress, self.texts / "pages.json")
        dataset, column = self.recipe.dataset, self.recipe.compare.text_column
        texts, origin = page_texts(self.chosen, dataset, column, self.texts / "texts", meter)
        return texts, origin, meter.rate if origin == BY_OCR else None


def open_job(given: dict[str, Any], progress: Progress) -> Job:
    """The job as it came in JSON, its evaluation set loaded. Raises DataError where that has changed since."""
    recipe = Recipe.model_validate(given["recipe"])
    chosen = load_eval_set(recipe.dataset)
    if chosen.fingerprint != given["set"]:
        raise DataError(f"{chosen.name} has changed since the comparison began; run it again")
    settings = ModelRecipe.model_validate(given["model"]) if given["model"] else None
    return Job(given["label"], settings, recipe, chosen, Path(given["cache"]), Path(given["texts"]), progress)


def judge(job: Job) -> Result:
    """Do it. What a model has encoded is kept until it is done; its clock runs after one page and one query."""
    if job.settings is None:
        return _judge_bm25(job)
    from pagetune.models.loading import load_model
    from pagetune.models.page_reader import PageReader

    model = load_model(job.settings)
    judged = _judge_reader if isinstance(model[0], PageReader) else _judge_looker
    return judged(job, job.settings, model)


def _judge_looker(job: Job, settings: ModelRecipe, model: Any) -> Result:
    from pagetune.evaluation.visual import judge_model
    from pagetune.models.inspect import is_late, is_router
    from pagetune.models.pictures import encode_texts
    from pagetune.training.page_encoding import PageImages, encode_pictures

    chosen, first = job.chosen, job.chosen.page_ids[0]
    encode_pictures(model, PageImages({first: chosen.page_key(first)}, chosen.image, chosen.size))
    encode_texts(model, [next(iter(chosen.queries.values()))])
    meter = Meter(job.progress, job.cache / "pages.json")
    scores = judge_model(
        model,
        chosen,
        job.recipe.compare.dimensions,
        recipe=settings,
        depth=job.recipe.evaluate.depth,
        cache=job.cache / "vectors",
        progress=meter,
    )
    kind: Kind = "late" if is_late(model) else "router" if is_router(model) else "dense"
    return _result(job, model, kind, scores, meter.rate)


def _judge_reader(job: Job, settings: ModelRecipe, model: Any) -> Result:
    from pagetune.models.encoding import encode_readings
    from pagetune.models.pictures import encode_texts

    texts, origin, reading = job.read()
    encode_readings(model, dict([next(iter(texts.items()))]), settings)
    encode_texts(model, [next(iter(job.chosen.queries.values()))])
    meter = Meter(job.progress, job.cache / "pages.json")
    scores = _score_texts(job, settings, model, texts, meter)
    told = f"; a vector a {'page' if settings.page_vectors == 'pooled' else 'passage'}; {origin}"
    return _result(job, model, "reads", scores, _one_after_the_other(reading, meter.rate), told)


def _score_texts(job: Job, settings: ModelRecipe, model: Any, texts: dict[str, str], progress: Progress) -> ModelScores:
    """Encode, rank and score what has been read, at the model's own dimension and at each shorter one."""
    import numpy as np

    from pagetune.evaluation.retrieval import rank_pages
    from pagetune.evaluation.visual import ModelScores
    from pagetune.models.encoding import encode_readings
    from pagetune.models.pictures import encode_texts

    asked, out, depth = job.chosen.queries, job.chosen.excluded, job.recipe.evaluate.depth
    began = time.monotonic()
    pages = encode_readings(model, texts, settings, job.cache / "vectors", progress)
    middle = time.monotonic()
    queries = np.concatenate(encode_texts(model, list(asked.values())))
    ended = time.monotonic()
    full = queries.shape[1]
    sizes = [full, *sorted({size for size in job.recipe.compare.dimensions if size < full}, reverse=True)]
    runs = {size: rank_pages(list(asked), queries, pages, dimension=size, depth=depth, exclude=out) for size in sizes}
    vectors = len(pages.vectors) / len(pages.ids)
    return ModelScores(
        by_dimension={size: score_run(run, job.chosen.qrels, out) for size, run in runs.items()},
        run=runs[full],
        vectors_per_page=vectors,
        bytes_per_page=4 * full * vectors,
        seconds_pages=middle - began,
        seconds_queries=ended - middle,
    )


def _result(job: Job, model: Any, kind: Kind, scores: ModelScores, rate: float | None, told: str = "") -> Result:
    from pagetune.models.inspect import describe

    return Result(
        label=job.label,
        run=scores.run,
        kind=kind,
        about=describe(model) + told,
        scores=scores.full,
        by_dimension={size: found.means()[MAIN_METRIC] for size, found in scores.by_dimension.items()},
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        dimension=max(scores.by_dimension),
        vectors_per_page=scores.vectors_per_page,
        bytes_per_page=scores.bytes_per_page,
        pages_per_second=rate,
        ms_per_query=1000 * scores.seconds_queries / len(job.chosen.queries),
        device=_device(model.device.type),
    )


def _judge_bm25(job: Job) -> Result:
    from pagetune.evaluation.lexical import BM25

    texts, origin, reading = job.read()
    began = time.monotonic()
    index = BM25(texts)
    middle = time.monotonic()
    run = index.search(job.chosen.queries, job.recipe.evaluate.depth, job.chosen.excluded)
    ended = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return Result(
        label=job.label,
        run=run,
        kind="lexical",
        about=f"English stems, k1 1.5, b 0.75; {origin}",
        scores=score_run(run, job.chosen.qrels, job.chosen.excluded),
        by_dimension={},
        parameters=None,
        dimension=None,
        vectors_per_page=None,
        bytes_per_page=size / len(texts),
        pages_per_second=_one_after_the_other(reading, len(texts) / (middle - began)),
        ms_per_query=1000 * (ended - middle) / len(job.chosen.queries),
        device=_device("cpu"),
    )


def _one_after_the_other(reading: float | None, then: float | None) -> float | None:
    """Pages a second of reading (None: nothing was read) and of what follows; None where that is not known."""
    return 1 / (1 / reading + 1 / then) if reading and then else then


def _device(kind: str) -> str:
    if kind == "cuda":
        import torch

        return torch.cuda.get_device_name()
    return describe_machine()["processor"] if kind == "cpu" else kind
