"""How models are loaded: without the libraries' bars and warnings, and with new weights that are the same each time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

SEED = 17

_LOGGERS = ("transformers", "sentence_transformers", "accelerate", "bitsandbytes")


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and nothing below an error from the libraries around transformers; afterwards as before."""
    from transformers.utils import logging as transformers_logging

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def drawn_from(seed: int = SEED) -> Iterator[None]:
    """Draw new weights from this seed, so that a fit that goes on in another process finds its own beginning; the
    caller's own random state stays as it was."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
