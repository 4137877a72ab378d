"""The vectors on disk: used ones stay, those that nobody asks for any more go."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from pagetune.models.vector_cache import UNUSED_DAYS, VectorCache, prune

KEY = b"k" * 32
BASE, TUNED, FORMER = (f"{letter * 32}-chunks-fp32" for letter in "abc")


def age(folder: Path, days: float) -> None:
    """As if nobody had used it for so long."""
    then = time.time() - days * 86400
    os.utime(folder, (then, then))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The caches of three models, none of them used lately."""
    for name in (BASE, TUNED, FORMER):
        VectorCache(tmp_path / name).add({KEY: np.ones((2, 4), np.float32)})
        age(tmp_path / name, 2 * UNUSED_DAYS)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_was_not_used_for_long_goes_unless_it_is_kept(folder: Path) -> None:
    VectorCache(folder / TUNED).find({KEY})
    assert prune(folder, keep={"a" * 32}) == [FORMER]
    assert names(folder) == {BASE, TUNED}
    assert VectorCache(folder / BASE).find({KEY})[KEY].shape == (2, 4)


def test_adding_is_using(folder: Path) -> None:
    VectorCache(folder / FORMER).add({b"l" * 32: np.ones((1, 4), np.float32)})
    assert prune(folder) == [BASE, TUNED]


def test_the_number_of_days_counts(folder: Path) -> None:
    assert prune(folder, older_than_days=3 * UNUSED_DAYS) == []
    assert len(prune(folder, older_than_days=UNUSED_DAYS)) == 3
    assert prune(folder / "nowhere") == []


def test_what_is_no_cache_is_left_alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "thesis").touch()
    (folder / "notes").mkdir()
    (folder / f"{'d' * 32}-chunks-fp32").symlink_to(elsewhere)
    (folder / f"{'e' * 32}-file").touch()
    for name in ("notes", f"{'e' * 32}-file"):
        age(folder / name, 99)
    age(elsewhere, 99)
    assert len(prune(folder)) == 3
    assert len(names(folder)) == 3
    assert (elsewhere / "thesis").exists()
