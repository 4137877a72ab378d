"""Small models and batches for the tests of the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import _engine


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small checkpoints are written, each once."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture
def make_case(checkpoints: Path) -> Callable[..., _engine.Case]:
    """A model, freshly loaded, and its batch: `make_case("reader", rows=6)`, by the names of `_engine`."""
    return lambda name, **sizes: getattr(_engine, name)(checkpoints / name, **sizes)


@pytest.fixture
def reader(make_case: Callable[..., _engine.Case]) -> _engine.Case:
    """The fastest of them, a text encoder, without dropout."""
    case = make_case("reader")
    case.model.eval()
    return case
