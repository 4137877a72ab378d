"""The regression guard: a general set beside the domain's, judged with base and tuned, so that forgetting shows.

A model that gains on its own documents may lose on all others (catastrophic forgetting: McCloskey and Cohen, 1989).
What it loses is measured on a set that it was not trained for, by the same paired tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.evaluation.benchmarks import evaluation_set, name_of
from pagetune.evaluation.metrics import GAIN, MAIN_METRIC, QueryScores, rounded, score_run
from pagetune.evaluation.retrieval import Encoded, rank_pages
from pagetune.evaluation.significance import (
    FEWEST_QUERIES,
    Comparison,
    Outcome,
    compare_scores,
    sampling,
    told_change,
    told_evidence,
)
from pagetune.progress import SILENT, Progress
from pagetune.workspace import stamp_files

if TYPE_CHECKING:
    from pagetune.examples.visual import ImageEvalSet
    from pagetune.recipe import DatasetRecipe, EvaluateRecipe, Recipe


@dataclass(frozen=True, slots=True)
class GuardReport:
    """Base and tuned on the general set. `metrics` are their means."""

    name: str
    """As others may read it: of a path the last part."""
    pages: int
    comparison: Comparison
    metrics: dict[str, dict[str, float]]

    @property
    def outcome(self) -> Outcome:
        """A loss is forgetting."""
        return self.comparison.outcome

    @property
    def sentence(self) -> str:
        """Whether the tuned model has forgotten anything, on what evidence."""
        c = self.comparison
        change = told_change(replace(c, metric=f"{c.metric} ({GAIN} gain)"))
        told = f"on {self.name} ({self.pages:,} pages) {change}"
        match self.outcome:
            case "loss":
                return (
                    f"Forgetting: {told} ({told_evidence(c)}); fewer steps, a lower learning rate or LoRA forget less."
                )
            case "gain":
                return f"Nothing forgotten: {told}, better than before ({told_evidence(c)})."
            case "too few queries":
                return f"Too few queries to see forgetting: {told}, {c.queries} of at least {FEWEST_QUERIES}."
            case _:
                seen = f"; a change of {c.visible:.3f} would have shown" if c.visible is not None else ""
                return f"No measurable forgetting: {told} ({told_evidence(c)}{seen})."

    def to_json(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "sentence": self.sentence,
            "set": self.name,
            "pages": self.pages,
            "outcome": self.outcome,
            "gain": GAIN,
            "comparison": asdict(self.comparison),
            "metrics": self.metrics,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """The general set, opened: judge each model with `scores` while it is loaded, then `report`."""

    chosen: ImageEvalSet
    dataset: DatasetRecipe
    recipe: Recipe

    @property
    def name(self) -> str:
        """For others to read."""
        return name_of(str(self.recipe.evaluate.guard))

    def scores(self, model: Any, cache: Path, progress: Progress = SILENT) -> QueryScores:
        """A model on the set. `cache` is a folder for vectors, and for the texts of pages that have to be read.

        Raises MissingExtra where the pages have to be read and OCR is not installed.
        """
        from pagetune.models.encoding import encode_readings
        from pagetune.models.page_reader import PageReader
        from pagetune.models.pictures import encode_texts

        if isinstance(model[0], PageReader):
            from pagetune.evaluation.comparison.page_texts import page_texts

            texts, _ = page_texts(self.chosen, self.dataset, None, cache / "texts", progress)
            pages = encode_readings(model, texts, self.recipe.model, cache / "vectors", progress)
            encoded = Encoded(encode_texts(model, list(self.chosen.queries.values())), pages)
        else:
            from pagetune.evaluation.dataset import encode_set
            from pagetune.training.page_cache import kept_pages

            kept = kept_pages(cache / "pixels", model, self.recipe.fit.page_cache)
            encoded = encode_set(model, self.chosen, self.recipe.model, cache / "vectors", progress, kept)
        depth, excluded = self.recipe.evaluate.depth, self.chosen.excluded
        run = rank_pages(list(self.chosen.queries), encoded.queries, encoded.pages, depth=depth, exclude=excluded)
        return score_run(run, self.chosen.qrels, excluded)

    def report(self, base: QueryScores, tuned: QueryScores) -> GuardReport:
        """What `scores` gave for the two models, compared."""
        settings = self.recipe.evaluate
        compared = compare_scores(("tuned", tuned), ("base", base), [MAIN_METRIC], **sampling(settings))
        means = {name: rounded(scores.means()) for name, scores in (("base", base), ("tuned", tuned))}
        return GuardReport(self.name, len(self.chosen.page_ids), compared[MAIN_METRIC], means)


def open_guard(recipe: Recipe) -> Guard | None:
    """The set of `evaluate.guard`, None where there is none. Raises DataError where it cannot be loaded."""
    from pagetune.examples.loading import load_eval_set

    settings: EvaluateRecipe = recipe.evaluate
    if settings.guard is None:
        return None
    dataset = evaluation_set(settings.guard, max_queries=settings.guard_queries, columns=settings.guard_columns)
    return Guard(load_eval_set(dataset), dataset, recipe)


def guard_from_json(found: Mapping[str, Any]) -> GuardReport:
    """What `GuardReport.to_json` gave. Raises KeyError, TypeError."""
    return GuardReport(found["set"], found["pages"], Comparison.from_json(found["comparison"]), found["metrics"])


def guard_stamp(source: str | None) -> list[list[Any]]:
    """What tells the files of a set that lies here from others without reading them; empty where there is none."""
    return stamp_files([Path(source)]) if source is not None and Path(source).exists() else []
