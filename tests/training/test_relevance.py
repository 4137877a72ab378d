"""Pages that answer a query are no negatives of it: with them hidden, the loss is the one written out pair by pair."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from _engine import Judged, apart, embedded, measured, scorer, taken
from pagetune.training.feeding import Feeder
from pagetune.training.gradient_cache import Budget, StreamingCachedLoss

ALL = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
JUDGED = {
    "nothing alike": Judged([f"q{row}" for row in range(6)], [[f"{c}{row}" for row in range(6)] for c in "pn"], {}),
    # p1 is the positive of two rows and a negative of others; q0 stands twice, with two pages; q5 has more answers.
    "much alike": Judged(
        ["q0", "q1", "q2", "q0", "q4", "q5"],
        [["p0", "p1", "p1", "p3", "p4", "p5"], ["p1", "n1", "p5", "n3", "p3", "n1"]],
        {"q5": frozenset(["p4", "n3", "elsewhere"]), "q4": frozenset(["p4"])},
    ),
}


def compare(case, judged, rows, **options):
    """The engine with masks, and the loss by hand: a relative difference of the losses and of the gradients."""
    scale = options.pop("scale", 1.0 if case.late else 20.0)
    by_hand = {"directions": ("query_to_doc",), "partition": options.get("partition_mode", "joint")}
    by_hand["directions"] = options.get("directions", by_hand["directions"])
    values, masks = embedded(case)
    scores = [scorer(values, masks, size) for size in case.matryoshka or (None,)]
    expected = torch.stack([judged.masked_loss(score, range(6), scale, **by_hand) for score in scores]).sum()
    expected.backward()
    gradients = taken(case.model)
    with Feeder(case.preparer(), workers=0) as feeder:
        keys = [judged.queries, *judged.pages]
        loss = case.upstream(rows, scale=scale, **options)
        engine = StreamingCachedLoss(loss, Budget(tokens=60, keep_bytes=10**6))
        value, found = measured(case, engine, case.referenced(feeder, keys, judged.relevant))
    return abs(value - expected.item()) / expected.item(), apart(gradients, found)


def alike(case, judged):
    """Rows of equal keys, of equal content."""
    contents: dict[str, str] = {}
    for column, keys in zip(case.columns, [judged.queries, *judged.pages], strict=True):
        for row, key in enumerate(keys):
            column[row] = contents.setdefault(key, column[row])
    case.model.eval().double()
    return case


@pytest.mark.parametrize("judged", JUDGED.values(), ids=JUDGED)
@pytest.mark.parametrize("rows", [2, 4, 16])
@pytest.mark.parametrize(
    "options",
    [
        {"directions": ("query_to_doc",)},
        {"directions": ("query_to_doc", "query_to_query")},
        {"directions": ("query_to_doc", "doc_to_query")},
        {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"},
        {"directions": ("doc_to_doc", "query_to_doc")},
        {"directions": ALL},
    ],
    ids=lambda options: "-".join([*options["directions"], options.get("partition_mode", "joint")]),
)
def test_dense_in_every_direction(make_case, judged, rows, options):
    assert max(compare(alike(make_case("reader"), judged), judged, rows, **options)) < 1e-9


@pytest.mark.parametrize("partition", ["joint", "per_direction"])
def test_where_every_page_answers_every_query_there_is_nothing_to_learn_and_nothing_infinite(reader, partition):
    pages = [[f"{column}{row}" for row in range(6)] for column in "pn"]
    everything = frozenset(key for column in pages for key in column)
    keys = [[f"q{row}" for row in range(6)], *pages]
    relevant = dict.fromkeys(keys[0], everything)
    directions = ("query_to_doc", "doc_to_query") if partition == "per_direction" else ("query_to_doc", "doc_to_doc")
    with Feeder(reader.preparer(), workers=0) as feeder:
        loss = reader.upstream(4, directions=directions, partition_mode=partition)
        engine = StreamingCachedLoss(loss, Budget(tokens=60))
        value, found = measured(reader, engine, reader.referenced(feeder, keys, relevant))
    assert value == pytest.approx(0, abs=1e-4)  # Its own page is left to each.
    assert all(float(gradient.abs().max()) < 1e-4 for gradient in found.values())


@pytest.mark.parametrize("judged", JUDGED.values(), ids=JUDGED)
@pytest.mark.parametrize("rows", [2, 4, 16])
def test_late(make_case, judged, rows):
    # Upstream's MaxSim is of single precision whatever the vectors are.
    assert max(compare(alike(make_case("late_reader"), judged), judged, rows)) < 1e-5


def test_with_hardness_nothing_hidden_comes_back(make_case):
    judged = JUDGED["much alike"]
    case = alike(make_case("reader"), judged)
    with Feeder(case.preparer(), workers=0) as feeder:
        loss = case.upstream(4, hardness_mode="all_negatives", hardness_strength=5.0, directions=ALL)
        features = case.referenced(feeder, [judged.queries, *judged.pages], judged.relevant)
        value, gradients = measured(case, StreamingCachedLoss(loss, Budget(tokens=60)), features)
    assert torch.isfinite(torch.tensor(value))
    assert all(bool(each.isfinite().all()) for each in gradients.values())


def test_the_loss_is_as_before_afterwards(make_case):
    """A similarity may be a function or a module, and is put back as which it was."""
    judged = JUDGED["much alike"]
    case = alike(make_case("reader"), judged)

    class Dot(nn.Module):
        def forward(self, first, second):
            return first @ second.T

    for similarity in (Dot(), lambda first, second: first @ second.T):
        loss = case.upstream(4, similarity_fct=similarity)
        with Feeder(case.preparer(), workers=0) as feeder:
            features = case.referenced(feeder, [judged.queries, *judged.pages], judged.relevant)
            measured(case, StreamingCachedLoss(loss, Budget(tokens=60)), features)
        assert loss.loss.similarity_fct is similarity
        assert loss.loss.loss.__dict__.get("similarity_fct", similarity) is similarity
