"""New weights that are the same each time: a fit that goes on in another process must find its own beginning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

SEED = 17


@contextmanager
def drawn_from(seed: int = SEED) -> Iterator[None]:
    """Draw new weights from this seed; the caller's own random state stays as it was."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
