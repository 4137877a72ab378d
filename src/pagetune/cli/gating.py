"""The gate at the end of a run: what it looks at before anything is computed, and what it says after."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pagetune.pipeline import Pipeline

CLOSED = 1
"""The exit code where the gate closes."""


@dataclass(frozen=True)
class Threshold:
    """What NDCG@10 must not fall measurably below: of the option where it is given, else of the recipe; or nothing."""

    pipeline: Pipeline
    fail_under: str | float | None

    @classmethod
    def of(cls, pipeline: Pipeline, given: str | None = None) -> Threshold:
        """Raises DataError where there is nothing to compare with, RecipeError where nothing will be judged."""
        from pagetune.errors import RecipeError
        from pagetune.evaluation.evaluate import RERANKED
        from pagetune.evaluation.gate import check_reference
        from pagetune.pipeline import stages_of

        fail_under = given if given is not None else pipeline.recipe.evaluate.fail_under
        if fail_under is not None:
            system = pipeline.recipe.evaluate.gated
            if "evaluate" not in [stage.name for stage in stages_of(pipeline.recipe)]:
                raise RecipeError([f"evaluate.fail_under={fail_under}: nothing is evaluated; set dataset.eval"])
            if system == RERANKED and not pipeline.recipe.evaluate.rerank:
                raise RecipeError(
                    [f"evaluate.gated={system}: nothing is reranked; set evaluate.rerank=true, or gate another system"]
                )
            check_reference(fail_under, pipeline.workspace.runs / "evaluate", system)
        return cls(pipeline, fail_under)

    def verdict(self) -> Verdict | None:
        """What became of it; None where nothing was asked. Raises DataError where the gated system was not judged."""
        from pagetune.evaluation.gate import check

        if self.fail_under is None:
            return None
        system = self.pipeline.recipe.evaluate.gated
        gate = check(self.pipeline.workspace.runs / "evaluate", self.fail_under, system)
        return Verdict(gate.passed, gate.sentence, system, str(self.fail_under))


@dataclass(frozen=True)
class Verdict:
    """Whether the model may pass, and why: `gate` of the JSON."""

    passed: bool
    sentence: str
    system: str
    fail_under: str

    def to_json(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)

    def show(self, console: Console) -> None:
        """One line."""
        console.print(f"\n{self.sentence}", markup=False, style="bold" if self.passed else "bold red")


def leave(verdict: Verdict | None) -> None:
    """End with the exit code that a build fails by, where the gate is closed."""
    if verdict is not None and not verdict.passed:
        raise typer.Exit(CLOSED)
