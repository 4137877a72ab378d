"""Finetuning on the examples that mining made, killed and continued at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.models.encoding import fingerprint_model
from pagetune.progress import SILENT, Progress
from pagetune.recipe import Recipe
from pagetune.records import Example, Page
from pagetune.training.arguments import Plan, plan, training_arguments, use_bfloat16
from pagetune.training.checkpoints import (
    has_ended,
    last_checkpoint,
    load_weights,
    note,
    prepare_folder,
    read_state,
)
from pagetune.training.choice import choose_examples
from pagetune.training.losses import ranking_loss
from pagetune.training.pairs import Pairs, make_pairs
from pagetune.training.validation import METRIC, ValidationEvaluator, choose_validation, clearly_better
from pagetune.workspace import fingerprint

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from transformers import TrainerState

    from pagetune.examples.datasets import RetrievalData

EVALUATION_SHARE = 0.15
"""Share of the training's own computation that all evaluations together may cost."""

FEWEST_WORDS = 15_000
"""Words of the pages that validation ranks, at least: fewer say nothing."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit did.

    `history` holds a record a moment: `step` with `loss` (mean since the last), or with `ndcg` (validation NDCG@10);
    step 0 is the model before training. `kept_step` is the checkpoint that was kept, `kept_ndcg` its validation.
    """

    examples: int
    batch_size: int
    steps: int
    steps_done: int
    kept_step: int
    base_ndcg: float | None
    kept_ndcg: float | None
    validation_queries: int
    validation_pages: int
    bfloat16: bool
    stopped_early: bool
    seconds: float
    history: tuple[dict[str, float], ...]

    def summary(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self) | {"history": list(self.history)}


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
    is too little to train on.
    """
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
    evaluator = _evaluator(data, pages, pairs, planned, recipe)
    identity = fingerprint(
        fingerprint_model(model),
        pairs.columns(),
        pairs.pages,
        recipe.fit.model_dump(),
        recipe.model.model_dump(),
        asdict(planned),
        [] if evaluator is None else evaluator.identity(),
    )
    noted = prepare_folder(folder, identity)
    if evaluator is not None and "base_ndcg" not in noted:
        noted["base_ndcg"] = evaluator(model)[METRIC]
        note(folder, noted)
    last = last_checkpoint(folder)
    if last is None or not has_ended(last, planned.steps):
        _train(_trainer(model, pairs, planned, evaluator, recipe, folder), planned.steps, recipe, last, progress)
        last = last_checkpoint(folder)
        assert last is not None, "the last step is saved"
        assert has_ended(last, planned.steps), f"{last} is not the end"
    state = read_state(last)
    kept = _keep(model, last, state, evaluator)
    bfloat16 = use_bfloat16(recipe.fit, model.device)
    return _report(state, kept, len(chosen), planned, evaluator, noted, bfloat16, time.monotonic() - began)


def _train(trainer: Any, steps: int, recipe: Recipe, last: Path | None, progress: Progress) -> None:
    """Train to the end, from the checkpoint `last` where there is one."""
    with progress.task("fit", steps, "steps") as task, _quiet(), _while_training(trainer.model, recipe):
        trainer.add_callback(_reporter(task, progress))
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    trainer.model.zero_grad(set_to_none=True)


def _keep(model: SentenceTransformer, last: Path, state: TrainerState, evaluator: ValidationEvaluator | None) -> int:
    """Put the weights to keep into the model; returns their step.

    The last ones have seen most, and the best of many evaluations on few queries is best by chance: it is kept only
    where, query by query, it is better than the last by more than the standard error of the difference.
    """
    step = state.best_global_step or state.global_step
    best = last.with_name(f"checkpoint-{step}")
    if evaluator is None or best == last or not best.exists():
        load_weights(model, last)
        return state.global_step
    load_weights(model, best)
    of_the_best = evaluator.values(model)
    load_weights(model, last)
    if not clearly_better(of_the_best, evaluator.values(model)):
        return state.global_step
    load_weights(model, best)
    return step


@contextmanager
def _while_training(model: SentenceTransformer, recipe: Recipe) -> Iterator[None]:
    """The recipe's dropout, and for a model that reads pages in passages no longer texts than when it encodes.

    A batch is padded to its longest text, and one table of numbers has three times the tokens of a passage of prose.
    """
    from torch.nn import Dropout

    from pagetune.models.page_reader import PageReader

    drops = {module: module.p for module in model.modules() if isinstance(module, Dropout)}
    reader = model[0]
    longest = reader.max_seq_length if isinstance(reader, PageReader) else None
    for module in drops:
        module.p = recipe.fit.dropout
    if isinstance(reader, PageReader):
        reader.max_seq_length = min(recipe.model.chunk_tokens, longest or recipe.model.chunk_tokens)
    try:
        yield
    finally:
        for module, share in drops.items():
            module.p = share
        if isinstance(reader, PageReader):
            reader.max_seq_length = longest


def _evaluator(
    data: RetrievalData, pages: Sequence[Page], pairs: Pairs, planned: Plan, recipe: Recipe
) -> ValidationEvaluator | None:
    """None where there is nothing to validate on."""
    words = sum(len(text.split()) for column in pairs.columns().values() for text in column)
    # A step computes forward and backward, about three times what encoding the same words costs.
    words_a_step = words / len(pairs.queries) * planned.batch_size
    allowed = EVALUATION_SHARE * 3 * words_a_step * planned.interval
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

    class OnePageTrainer(SentenceTransformerTrainer):
        """Draws batches in which no text and no answering page stands twice: it would be a false negative."""

        def get_batch_sampler(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return super().get_batch_sampler(dataset.add_column("page", pairs.pages), *args, **kwargs)

    # The card's examples: given here, they are not drawn from the documents with a bar of their own.
    model.model_card_data.widget = [{"text": text} for text in pairs.queries[:3]]
    model.model_card_data.generate_widget_examples = False
    judged = evaluator is not None
    callbacks: list[Any] = [_finisher(judged)]
    if judged:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=recipe.fit.patience))
    with _quiet():
        trainer = OnePageTrainer(
            model=model,
            args=training_arguments(recipe.fit, planned, folder, model.device, judged=judged),
            train_dataset=Dataset.from_dict(pairs.columns()),
            loss=ranking_loss(model, recipe.fit, planned.batch_size),
            evaluator=evaluator,
            callbacks=callbacks,
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _finisher(judged: bool) -> Any:
    from transformers import TrainerCallback

    class Finisher(TrainerCallback):
        """Judges and saves the last step too, wherever it falls."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step >= state.max_steps:
                control.should_save = True
                control.should_evaluate = judged

    return Finisher()


def _reporter(task: Any, progress: Progress) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        """Hands steps, loss and validation to the caller's progress."""

        loss: float | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step:
                task.advance(state.global_step)
                progress.say(f"fit: continued from step {state.global_step} of {state.max_steps}")

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            task.advance()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            self.loss = (logs or {}).get("loss", self.loss)

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
            value = (metrics or {}).get(f"eval_{METRIC}")
            loss = "" if self.loss is None else f", loss {self.loss:.3f}"
            progress.say(f"fit: step {state.global_step} of {state.max_steps}{loss}, validation NDCG@10 {value:.3f}")

    return Reporter()


@contextmanager
def _quiet() -> Iterator[None]:
    """`quiet`, and the bars of datasets besides."""
    import datasets

    from pagetune.models.quiet import quiet

    bars_off = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with quiet():
            yield
    finally:
        if not bars_off:
            datasets.enable_progress_bars()


def _report(
    state: TrainerState,
    kept: int,
    examples: int,
    planned: Plan,
    evaluator: ValidationEvaluator | None,
    noted: dict[str, Any],
    bfloat16: bool,
    seconds: float,
) -> FitReport:
    history: list[dict[str, float]] = []
    if evaluator is not None:
        history.append({"step": 0, "ndcg": noted["base_ndcg"]})
    for record in state.log_history:
        for key, name in (("loss", "loss"), (f"eval_{METRIC}", "ndcg")):
            if key in record:
                history.append({"step": record["step"], name: float(record[key])})
    return FitReport(
        examples=examples,
        batch_size=planned.batch_size,
        steps=planned.steps,
        steps_done=state.global_step,
        kept_step=kept,
        base_ndcg=noted.get("base_ndcg"),
        kept_ndcg=next((record["ndcg"] for record in history if record["step"] == kept and "ndcg" in record), None),
        validation_queries=len(evaluator.chosen.queries) if evaluator else 0,
        validation_pages=len(evaluator.chosen.pages) if evaluator else 0,
        bfloat16=bfloat16,
        stopped_early=state.global_step < planned.steps,
        seconds=seconds,
        history=tuple(history),
    )
