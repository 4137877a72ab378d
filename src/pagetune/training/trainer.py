"""Finetuning on the examples that mining made, killed and continued at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError
from pagetune.layout.words import split
from pagetune.models.encoding import fingerprint_model
from pagetune.progress import SILENT, Progress
from pagetune.recipe import Recipe
from pagetune.records import Example, Page
from pagetune.training.arguments import Plan, plan, training_arguments, use_bfloat16
from pagetune.training.checkpoints import (
    has_ended,
    last_checkpoint,
    note,
    prepare_folder,
    read_state,
)
from pagetune.training.choice import choose_examples
from pagetune.training.images import AT_REST, BESIDE
from pagetune.training.loop import FitReport, dropout, finisher, keep, quiet_training, report, run
from pagetune.training.losses import ranking_loss
from pagetune.training.pairs import Pairs, make_pairs
from pagetune.training.placement import check_placement, left_in_place, tell_of_other_gpus
from pagetune.training.validation import METRIC, ValidationEvaluator, choose_validation
from pagetune.workspace import fingerprint

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pagetune.examples.datasets import RetrievalData

EVALUATION_SHARE = 0.15
"""Share of the training's own computation that all evaluations together may cost."""

FEWEST_WORDS = 15_000
"""Words of the pages that validation ranks, at least: fewer say nothing."""


def fit_model(
    model: SentenceTransformer,
    data: RetrievalData,
    examples: Sequence[Example],
    pages: Sequence[Page],
    recipe: Recipe,
    folder: Path,
    progress: Progress = SILENT,
) -> FitReport:
    """Train `model` in place on the examples of the data's train split.

    The last weights stay in it, unless validation found earlier ones better by more than its own standard error.
    `folder` holds the checkpoints. A fit of the same examples, recipe and model that finds whole checkpoints there
    goes on from the last one, and ends with the weights that it would have ended with. Raises DataError where there
    is too little to train on, ModelError for adapters, or a placement in which nothing can be trained.
    """
    check_reading(model, recipe)
    tell_of_other_gpus(model, progress)
    began = time.monotonic()
    queries = {query.id: query for query in data.queries}
    chosen = [
        replace(example, negatives=example.negatives[: recipe.fit.negatives])
        for example in choose_examples(examples, queries, recipe.fit)
    ]
    pairs = make_pairs(
        chosen,
        queries,
        pages,
        data.masks,
        passage_tokens=recipe.fit.passage_tokens,
        mask_probability=recipe.fit.mask_probability,
        seed=recipe.fit.seed,
        versions=math.ceil(recipe.fit.epochs),
    )
    planned = plan(len(chosen), len(set(pairs.pages)), recipe.fit)
    words = sum(len(split(text)) for column in pairs.columns().values() for text in column)
    evaluator = validation_evaluator(data, pages, words / len(pairs.queries), planned, recipe)
    identity = fingerprint(
        fingerprint_model(model),
        pairs.columns(),
        pairs.pages,
        recipe.fit.model_dump(exclude=BESIDE),
        recipe.model.model_dump(exclude=AT_REST),
        asdict(planned),
        [] if evaluator is None else evaluator.identity(),
    )
    noted = prepare_folder(folder, identity)
    if evaluator is not None and "base_ndcg" not in noted:
        noted["base_ndcg"] = evaluator(model)[METRIC]
        note(folder, noted)
    last = last_checkpoint(folder)
    if last is None or not has_ended(last, planned.steps):
        trainer = _trainer(model, pairs, planned, evaluator, recipe, folder)
        with while_training(model, recipe):
            run(trainer, planned.steps, last, progress)
        last = last_checkpoint(folder)
        assert last is not None, "the last step is saved"
        assert has_ended(last, planned.steps), f"{last} is not the end"
    state = read_state(last)
    kept = keep(model, last, state, evaluator, recipe.fit.best)
    bfloat16 = use_bfloat16(recipe.fit, model.device)
    judged = evaluator.sizes if evaluator else None
    return report(state, kept, len(chosen), planned, judged, noted, bfloat16, time.monotonic() - began)


def check_reading(model: SentenceTransformer, recipe: Recipe) -> None:
    """Raise ModelError where the recipe asks for what a model that reads pages cannot be trained with."""
    if recipe.lora.rank:
        raise ModelError(
            f"lora.rank={recipe.lora.rank}: a model that reads pages is trained whole, adapters are for those that "
            "look at them; leave out the section lora"
        )
    check_placement(model, recipe.model)


@contextmanager
def while_training(model: SentenceTransformer, recipe: Recipe) -> Iterator[None]:
    """The recipe's dropout, and for a model that reads pages in passages no longer texts than when it encodes.

    A batch is padded to its longest text, and one table of numbers has three times the tokens of a passage of prose.
    """
    from pagetune.models.page_reader import PageReader

    reader = model[0]
    longest = reader.max_seq_length if isinstance(reader, PageReader) else None
    if isinstance(reader, PageReader):
        reader.max_seq_length = min(recipe.model.chunk_tokens, longest or recipe.model.chunk_tokens)
    try:
        with dropout(model, recipe.fit.dropout):
            yield
    finally:
        if isinstance(reader, PageReader):
            reader.max_seq_length = longest


def validation_evaluator(
    data: RetrievalData, pages: Sequence[Page], words: float, planned: Plan, recipe: Recipe
) -> ValidationEvaluator | None:
    """None where there is nothing to validate on. `words`: of a row that is trained on."""
    # A step computes forward and backward, about three times what encoding the same words costs.
    allowed = EVALUATION_SHARE * 3 * words * planned.batch_size * planned.interval
    chosen = choose_validation(
        data.of("validation"),
        data.qrels("validation"),
        pages,
        max(FEWEST_WORDS, round(allowed)),
        recipe.fit.seed,
    )
    return ValidationEvaluator(chosen, data.masks, recipe.model) if chosen.queries else None


def _trainer(
    model: SentenceTransformer,
    pairs: Pairs,
    planned: Plan,
    evaluator: ValidationEvaluator | None,
    recipe: Recipe,
    folder: Path,
) -> Any:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from transformers import EarlyStoppingCallback, PrinterCallback

    kind: Any = left_in_place(SentenceTransformerTrainer, model)

    class OnePageTrainer(kind):  # type: ignore[misc]
        """Draws batches in which no text and no answering page stands twice: it would be a false negative."""

        def get_batch_sampler(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return super().get_batch_sampler(dataset.add_column("page", pairs.pages), *args, **kwargs)

    # The card's examples: given here, they are not drawn from the documents with a bar of their own.
    model.model_card_data.widget = [{"text": text} for text in pairs.queries[:3]]
    model.model_card_data.generate_widget_examples = False
    judged = evaluator is not None
    callbacks: list[Any] = [finisher(judged)]
    if judged:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=recipe.fit.patience))
    with quiet_training():
        trainer = OnePageTrainer(
            model=model,
            args=training_arguments(recipe.fit, planned, folder, model.device, judged=judged),
            train_dataset=Dataset.from_dict(pairs.columns()),
            loss=ranking_loss(model, recipe.fit, cached=planned.batch_size > recipe.fit.mini_batch_size),
            evaluator=evaluator,
            callbacks=callbacks,
        )
    trainer.remove_callback(PrinterCallback)
    return trainer
