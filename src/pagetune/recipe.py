"""The recipe: one strict schema, one model a stage, read from YAML and `key=value` overrides.

Every fault is reported at once, each with its key, the value received and the nearest valid name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from pagetune.errors import RecipeError
from pagetune.recipe_faults import nearest, say, unknown_keys
from pagetune.recipe_sections import (
    GATE_KEYS,
    CompareRecipe,
    DatasetRecipe,
    EvaluateRecipe,
    IndexRecipe,
    LoraRecipe,
    MineRecipe,
    ModelRecipe,
    QueriesRecipe,
    ReadRecipe,
    Section,
    SplitsRecipe,
)
from pagetune.recipe_training import RANKING_KEYS, FitRecipe, RerankDirection, RerankRecipe
from pagetune.workspace import read_text

__all__ = [
    "GATE_KEYS",
    "CompareRecipe",
    "DatasetRecipe",
    "EvaluateRecipe",
    "FitRecipe",
    "IndexRecipe",
    "LoraRecipe",
    "MineRecipe",
    "ModelRecipe",
    "QueriesRecipe",
    "ReadRecipe",
    "Recipe",
    "RerankDirection",
    "RerankRecipe",
    "Section",
    "SplitsRecipe",
    "left_open",
    "load_recipe",
    "shipped_recipes",
    "with_values",
    "without_auto",
]


class Recipe(Section):
    """Everything a run does, nothing implicit."""

    kind: Literal["retriever", "reranker"] = Field("retriever", description="what `fit` trains")
    read: ReadRecipe = ReadRecipe()
    queries: QueriesRecipe = QueriesRecipe()
    splits: SplitsRecipe = SplitsRecipe()
    model: ModelRecipe = ModelRecipe()
    lora: LoraRecipe = LoraRecipe()
    mine: MineRecipe = MineRecipe()
    fit: FitRecipe = FitRecipe()
    evaluate: EvaluateRecipe = EvaluateRecipe()
    index: IndexRecipe = IndexRecipe()
    dataset: DatasetRecipe = DatasetRecipe()
    rerank: RerankRecipe = RerankRecipe()
    compare: CompareRecipe = CompareRecipe()

    @model_validator(mode="after")
    def _reranker_can_be_trained(self) -> Recipe:
        if self.kind == "reranker" and self.lora.rank == "auto":
            raise ValueError("lora.rank=auto is planned for a retriever; with kind=reranker give a number, such as 16")
        if self.rerank.loss == "margin" and self.rerank.teacher is None and self.dataset.train is None:
            raise ValueError("rerank.loss=margin needs rerank.teacher, the reranker whose margins are learned")
        return self

    @model_validator(mode="after")
    def _grades_are_no_teachers(self) -> Recipe:
        if self.rerank.loss == "lambda" and self.rerank.teacher is not None:
            raise ValueError(
                f"rerank.teacher={self.rerank.teacher}: rerank.loss=lambda needs grades, a teacher gives scores; set "
                "rerank.loss to margin, listnet or bce, or leave out rerank.teacher"
            )
        return self

    @model_validator(mode="after")
    def _a_teacher_leaves_nothing_to_rank(self) -> Recipe:
        if self.fit.teacher is None:
            return self
        given = self.fit.model_dump(mode="json", include=set(RANKING_KEYS))
        usual = FitRecipe().model_dump(mode="json")
        if wrong := [f"fit.{key}={given[key]}" for key in RANKING_KEYS if given[key] != usual[key]]:
            raise ValueError(
                f"{', '.join(wrong)} with fit.teacher={self.fit.teacher}: an option of the ranking loss, and margins "
                "are learned instead; leave it out, or leave out fit.teacher"
            )
        return self

    @model_validator(mode="after")
    def _hard_negatives_are_there(self) -> Recipe:
        key, negatives = "fit.negatives", self.fit.negatives
        if self.dataset.train is not None:
            key, negatives = "dataset.negatives", self.dataset.negatives
        if self.fit.hardness == "hard_negatives" and not negatives and self.kind == "retriever":
            raise ValueError(f"fit.hardness=hard_negatives needs {key} above 0, got 0; or use in_batch_negatives")
        return self

    def to_yaml(self) -> str:
        """The whole recipe as YAML, every key present."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_recipe(source: str | Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe: the defaults, then a YAML file or the name of a recipe inside Pagetune, then `key=value`s.

    Raises RecipeError with every fault found, each a line.
    """
    problems: list[str] = []
    data = _read_yaml(source, problems)
    for text in overrides:
        _apply(text, data, problems)
    problems.extend(unknown_keys(data, Recipe))
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        problems.extend(say(fault) for fault in error.errors() if fault["type"] != "extra_forbidden")
        raise RecipeError(problems) from None
    if problems:
        raise RecipeError(problems)
    return recipe


def shipped_recipes() -> dict[str, Path]:
    """The recipes inside Pagetune, by name."""
    folder = Path(__file__).parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _read_yaml(source: str | Path | None, problems: list[str]) -> dict[str, Any]:
    if source is None:
        return {}
    path = Path(source)
    if not path.exists():
        shipped = shipped_recipes()
        if str(source) not in shipped:
            known = [*shipped]
            raise RecipeError(
                [f"recipe {str(source)!r} is neither a file nor one of {known}{nearest(str(source), known)}"]
            )
        path = shipped[str(source)]
    try:
        data = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise RecipeError([f"{path}: not readable as YAML: {' '.join(str(error).split())}"]) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise RecipeError([f"{path}: a recipe is a mapping of sections, got {type(data).__name__}"])
    return data


def _apply(text: str, data: dict[str, Any], problems: list[str]) -> None:
    key, equals, raw = text.partition("=")
    if not equals or not key:
        problems.append(f"override {text!r} is not of the form section.key=value")
        return
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError:
        problems.append(f"{key}: {raw!r} is not a YAML value")
        return
    if isinstance(value, str):
        value = _number(value)
    *path, last = key.strip().split(".")
    place = data
    for part in path:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            problems.append(f"{key}: {part!r} is a value, not a section")
            return
        place = inner
    place[last] = value


def _number(value: str) -> str | float:
    # YAML 1.1 reads 5e-5 as text, which nobody who types it means.
    try:
        return float(value)
    except ValueError:
        return value


OPEN: Mapping[str, Any] = {"model.max_pixels": None, "lora.rank": 0}
"""Keys that may be `auto`, and what stands for it while the plan is made: the model's own bound, all weights."""


def left_open(recipe: Recipe) -> tuple[str, ...]:
    """The keys that are `auto`."""
    return tuple(key for key in OPEN if _value(recipe, key) == "auto")


def with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with these keys (`section.key`) set. Raises ValueError where they do not go together."""
    data = recipe.model_dump(mode="json")
    for key, value in values.items():
        section, name = key.split(".")
        data[section][name] = value
    return Recipe.model_validate(data)


def without_auto(recipe: Recipe) -> Recipe:
    """With what stands for `auto`."""
    return with_values(recipe, {key: OPEN[key] for key in left_open(recipe)})


def _value(recipe: Recipe, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(recipe, section), name)
