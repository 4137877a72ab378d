"""Datasets of the Hub through `datasets`; without a network those that were downloaded before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pagetune.errors import DataError
from pagetune.examples.layouts import choose_split

if TYPE_CHECKING:
    from datasets import Dataset


def hub_configs(source: str, revision: str | None = None) -> list[str]:
    """The configurations of a dataset. Raises DataError if there is none, or the Hub is out of reach."""
    from datasets import get_dataset_config_names

    with _errors(source), quiet():
        place, revision = _place(source, revision)
        return [*get_dataset_config_names(place, revision=revision)]


def load_from_hub(
    source: str, config: str | None, split: str | None, revision: str | None, lenient: bool
) -> tuple[Dataset, str]:
    """The rows of one configuration and split, and the split's name, chosen as `layouts.choose_split` has it.

    Raises DataError if it is not clear which, there is none, or the Hub is out of reach.
    """
    from datasets import get_dataset_config_names, get_dataset_split_names, load_dataset

    with _errors(source), quiet():
        place, revision = _place(source, revision)
        configs = ", ".join(sorted(found := get_dataset_config_names(place, revision=revision)))
        if config is None and len(found) > 1 and "default" not in found:
            raise DataError(f"{source} has the configurations {configs}; choose one")
        if config is not None and config not in found:
            raise DataError(f"{source} has no configuration {config!r} (there are {configs}); choose one of them")
        splits = get_dataset_split_names(place, config, revision=revision)
        chosen = choose_split(splits, split, source if config is None else f"{source} ({config})", lenient)
        return load_dataset(place, config, split=chosen, revision=revision), chosen


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of `datasets`."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    was_quiet = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not was_quiet:
            enable_progress_bars()


def _place(source: str, revision: str | None) -> tuple[str, str | None]:
    """The Hub id itself; offline, the folder that it was downloaded to, if it was, and no revision then.

    `datasets` alone does not look there.
    """
    from huggingface_hub import constants, snapshot_download

    if not constants.HF_HUB_OFFLINE:
        return source, revision
    try:
        return snapshot_download(source, repo_type="dataset", revision=revision, local_files_only=True), None
    except FileNotFoundError:
        return source, revision


@contextmanager
def _errors(source: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # the client of the Hub raises a dozen kinds, and those of its HTTP library
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"{source}: there is no such file or folder, nor can the Hub give it: {reason}; correct it or go online"
        ) from None
