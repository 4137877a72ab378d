"""The bars and warnings of the libraries kept from the user: Pagetune's progress and errors say what matters."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

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
