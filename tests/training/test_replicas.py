"""Two processes with a copy of the model each: upstream's gradients, exchanged once a step."""

from __future__ import annotations

import pytest

import _two_processes


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    return _two_processes.compare(["reader", "late_reader", "router"], tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("name", ["reader", "late_reader", "router"])
@pytest.mark.parametrize(
    "check",
    [
        "each by itself, no graphs kept",
        "each by itself, all graphs kept",
        "gathered, no graphs kept",
        "gathered, all graphs kept",
        "accumulated",
        "masked, gathered",
        "out of memory in one of two",
    ],
)
def test_two_processes(compared, name, check):
    assert compared[f"{name}, {check}"] < 1e-5
