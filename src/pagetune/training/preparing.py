"""From references to the features of a mini-batch: what a feeder's workers do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pagetune.errors import DataError

Features = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an input is, not what it holds.

    `place` is a text, a path, encoded bytes, or whatever else the feeder's `load` opens; `key` is equal for equal
    content; `name` says to a person which it is, such as "row 12, image".
    """

    place: Any
    key: str
    length: int
    """Tokens that the model will see."""
    name: str = ""

    @property
    def told(self) -> str:
        """What an error calls it."""
        return self.name or self.key[:80]


@dataclass(frozen=True, slots=True)
class Route:
    """How inputs are preprocessed: those of one route may share a mini-batch."""

    task: str | None = None
    prompt: str | None = None
    pictures: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One mini-batch to prepare."""

    references: tuple[Reference, ...]
    route: Route


Prepare = Callable[[Job], Features]


@dataclass(frozen=True)
class Preparer:
    """From references to the features of a mini-batch: `load` opens a place, `preprocess` is the model's own."""

    preprocess: Callable[..., Features]
    load: Callable[[Any], Any]

    def __call__(self, job: Job) -> Features:
        """The features, on the host. Raises DataError that names the row which cannot be opened or preprocessed."""
        inputs = [self._open(reference, job.route) for reference in job.references]
        try:
            return self._features(inputs, job.route)
        except MemoryError:
            raise
        except Exception:
            for reference, content in zip(job.references, inputs, strict=True):
                try:
                    self._features([content], job.route)
                except Exception as error:
                    raise _unusable(reference, error) from error
            raise

    def _features(self, inputs: list[Any], route: Route) -> Features:
        features = dict(self.preprocess(inputs, prompt=route.prompt, task=route.task))
        if route.task is not None:
            features["task"] = route.task
        return features

    def _open(self, reference: Reference, route: Route) -> Any:
        try:
            return self.load(reference.place) if route.pictures else reference.place
        except (DataError, MemoryError):
            raise
        except Exception as error:
            raise _unusable(reference, error) from error


def _unusable(reference: Reference, error: Exception) -> DataError:
    line = " ".join(str(error).split())[:200]
    return DataError(f"{reference.told}: {type(error).__name__}: {line}; mend or remove it")
