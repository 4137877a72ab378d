"""Batches of references through Sentence Transformers' own trainers: the weights of the plain recipe."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from datasets import Dataset

from _engine import with_dropout
from pagetune.training.feeding import Feeder, Reference, Route
from pagetune.training.gradient_cache import Budget, StreamingCachedLoss
from pagetune.training.references import Column, ReferenceCollator, References

TEXT, PAGE = Route(), Route(prompt=" ")  # Two, so that queries and pages share no mini-batch, as upstream.


def dataset(case):
    return Dataset.from_dict(dict(zip(("query", "image", "negative_0"), case.columns, strict=True)))


def collator(feeder, relevant=None):
    def refer(cell):
        return Reference(cell, cell, len(cell.split()))

    columns = {"query": Column(TEXT, refer), "image": Column(PAGE, refer), "negative_0": Column(PAGE, refer)}
    return ReferenceCollator(columns, feeder, relevant)


def trained(case, folder, loss, evaluated=False, data_collator=None, **arguments):
    """The weights after two epochs, and the losses."""
    import sentence_transformers as st

    kind = "MultiVectorEncoder" if case.late else "SentenceTransformer"
    trainer = getattr(st, f"{kind}Trainer")(
        model=case.model,
        args=getattr(st, f"{kind}TrainingArguments")(
            output_dir=str(folder),
            num_train_epochs=2,
            per_device_train_batch_size=4,
            learning_rate=1e-3,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            eval_strategy="epoch" if evaluated else "no",
            **arguments,
        ),
        train_dataset=dataset(case),
        eval_dataset=dataset(case.part(0, 4)) if evaluated else None,
        loss=loss,
        data_collator=data_collator,
    )
    trainer.train()
    losses = [each[key] for each in trainer.state.log_history for key in ("loss", "eval_loss") if key in each]
    return {name: tensor.clone() for name, tensor in case.model.state_dict().items()}, losses


@pytest.mark.parametrize("name", ["reader", "late_reader"])
@pytest.mark.parametrize(
    ("workers", "arguments"),
    [(0, {}), (1, {"evaluated": True}), (1, {"dataloader_num_workers": 2}), (0, {"gradient_accumulation_steps": 2})],
    ids=["plain", "judged by a loss", "two loaders", "accumulated"],
)
def test_the_trainer_ends_with_upstreams_weights(make_case, tmp_path, name, workers, arguments):
    case = make_case(name, rows=10)
    with_dropout(case.model)
    for key, parameter in case.model.named_parameters():
        # Their gradients are 0 by right; of the rounding, Adam would make steps as large as any.
        parameter.requires_grad_("key.bias" not in key)
    before = copy.deepcopy(case.model.state_dict())
    expected, losses = trained(case, tmp_path, case.upstream(2), **arguments)
    case.model.load_state_dict(before)
    with Feeder(case.preparer(), workers=workers) as feeder:
        engine = StreamingCachedLoss(case.upstream(2), Budget(items=2, keep_bytes=600_000))
        found, told = trained(case, tmp_path, engine, data_collator=collator(feeder), **arguments)
    assert told == pytest.approx(losses, rel=1e-4)
    assert 0 < engine.account.summary()["graphs_kept"] < 1
    assert any(not torch.equal(before[key], tensor) for key, tensor in found.items())
    for key, tensor in expected.items():
        assert float((found[key] - tensor).norm()) <= 1e-5 * float(tensor.norm()), key


def test_a_batch_is_light_and_travels(reader):
    feeder = Feeder(reader.preparer(), workers=0)
    everything = {f"q{number}": frozenset([f"p{number}"]) for number in range(1000)}
    batch = collator(feeder, everything)([{"query": "q1", "image": "p1", "negative_0": "p2"}])
    assert list(batch) == ["query_input_ids", "image_input_ids", "negative_0_input_ids"]
    again = pickle.loads(pickle.dumps(batch))
    column = again["query_input_ids"]
    assert isinstance(column, References)
    assert column.entries == batch["query_input_ids"].entries
    assert column.feeder is feeder
    assert column.relevant == {"q1": frozenset(["p1"])}  # Not all that is known of the dataset.
    assert len(pickle.dumps(batch)) < 2000
