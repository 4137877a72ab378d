"""Upstream's own batches: how long their rows are, and that mini-batches are slices of a column."""

from __future__ import annotations

import pytest
import torch

from pagetune.training.preprocessed import PreprocessedBatch

CPU = torch.device("cpu")


def ids(*masks):
    mask = torch.tensor(masks)
    return {"input_ids": torch.arange(mask.numel()).reshape(mask.shape), "attention_mask": mask}


@pytest.mark.parametrize(
    ("column", "lengths"),
    [
        (ids([1, 1, 0], [1, 0, 0], [1, 1, 1]), [2, 1, 3]),
        (ids([0, 1, 1], [0, 0, 1]), [3, 3]),  # Padding that stands before the tokens stays.
        (ids([[1, 1, 0], [1, 0, 0]], [[1, 1, 1], [0, 0, 0]]), [3, 3]),  # Pages of passages.
        ({"input_ids": torch.zeros(1, 9), "cu_seq_lens_q": torch.tensor([0, 4, 9])}, [4, 5]),
        ({"pixel_values": torch.zeros(2, 3, 64, 32)}, [8, 8]),
        ({"sentence_embedding": torch.zeros(2, 5)}, [1, 1]),
    ],
    ids=["padded after", "padded before", "passages", "flattened", "pictures", "something else"],
)
def test_lengths(column, lengths):
    batch = PreprocessedBatch([column, column], late=False)
    assert batch.lengths == [*lengths, *lengths]
    assert batch.columns == [[*range(len(lengths))], [*range(len(lengths), 2 * len(lengths))]]
    assert len(set(batch.kinds)) == 2


def test_mini_batches_are_slices_of_one_column():
    column = ids([1, 1, 0], [1, 0, 0], [1, 1, 1])
    batch = PreprocessedBatch([column, column], late=True)
    found = list(batch.stream([[0, 1], [5], [3, 4]], CPU))
    assert [each["task"] for each in found] == ["query", "document", "document"]
    assert found[0]["input_ids"].tolist() == [[0, 1], [3, 4]]
    assert found[1]["input_ids"].tolist() == [[6, 7, 8]]
    with pytest.raises(AssertionError, match="slice"):
        list(batch.stream([[0, 2]], CPU))
