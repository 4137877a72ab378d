"""Batches as Sentence Transformers' own collator makes them: every column preprocessed already."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from sentence_transformers.base.losses.gradcache import _create_minibatch, _get_batch_size
from torch import Tensor

from pagetune.training.preparing import Features

PATCH = 3 * 16 * 16
"""Numbers of a patch, where a picture does not say how many tokens it makes."""


class PreprocessedBatch:
    """Columns of features, each padded as a whole; a mini-batch is a slice of one column, in its order.

    The features of a column cannot be sorted (a processor has laid the patches of its pictures end to end), so only
    neighbours share a mini-batch.
    """

    in_order = True

    def __init__(self, features: Sequence[Features], *, late: bool) -> None:
        # A late-interaction model treats queries and pages differently; the library's losses tell it so themselves.
        tasks = ["query", *["document"] * (len(features) - 1)] if late else []
        self._features = [dict(column) for column in features]
        for column, task in zip(self._features, tasks, strict=False):
            column.setdefault("task", task)
        sizes = [_get_batch_size(column) for column in self._features]
        starts = [sum(sizes[:number]) for number in range(len(sizes))]
        self._starts = starts
        self.columns = [list(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]
        self.kinds = [number for number, size in enumerate(sizes) for _ in range(size)]
        self.lengths = [length for column in self._features for length in _lengths(column)]

    def stream(self, groups: Sequence[Sequence[int]], device: torch.device) -> Generator[Features, None, None]:
        """Slices of the columns."""
        for rows in groups:
            column = self.kinds[rows[0]]
            first, last = min(rows) - self._starts[column], max(rows) - self._starts[column]
            assert last - first == len(rows) - 1, "a mini-batch of a preprocessed column is a slice of it"
            yield _create_minibatch(self._features[column], first, last + 1)

    def masked(self, cached: Any) -> AbstractContextManager[None]:
        """Which rows are alike is not known here."""
        return nullcontext()


def _lengths(column: Features) -> list[int]:
    """Tokens of each row, up to its last: padding before them stays in a mini-batch."""
    size = _get_batch_size(column)
    if "cu_seq_lens_q" in column:
        return [max(1, length) for length in column["cu_seq_lens_q"].diff().tolist()]
    mask, pixels = column.get("attention_mask"), column.get("pixel_values")
    if isinstance(mask, Tensor) and mask.ndim >= 2 and len(mask) == size:
        places = torch.arange(1, mask.shape[-1] + 1, device=mask.device)
        ends = (mask.bool() * places).amax(dim=-1)
        return [max(1, int(end)) for end in ends.reshape(size, -1).sum(dim=1).tolist()]
    if isinstance(pixels, Tensor) and len(pixels) == size:
        return [max(1, pixels[0].numel() // PATCH)] * size
    return [1] * size
