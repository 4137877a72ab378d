"""Finetuning a reranker: whole or by adapters, in both directions, killed and continued at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pagetune.errors import DataError, ModelError
from pagetune.models.adapters import add_adapters, freeze_vision
from pagetune.models.encoding import fingerprint_model
from pagetune.progress import SILENT, Progress
from pagetune.recipe import FitRecipe, Recipe
from pagetune.training.adapter_checkpoints import adapter_checkpoints
from pagetune.training.arguments import Plan, training_arguments, use_bfloat16
from pagetune.training.budget import measure
from pagetune.training.checkpoints import has_ended, last_checkpoint, note, prepare_folder, read_state
from pagetune.training.loop import FitReport, dropout, finisher, keep, quiet_training, report, run
from pagetune.training.mini_batches import Budget
from pagetune.training.placement import tell_of_other_gpus
from pagetune.training.rerank_losses import ScoresLoss
from pagetune.training.rerank_pairs import PairBatch, PairFeed, PairScores, cut_lists, prompts_of
from pagetune.training.streaming import feeding_workers
from pagetune.training.validation import METRIC
from pagetune.workspace import fingerprint

if TYPE_CHECKING:
    from pagetune.examples.rerank import RerankSet
    from pagetune.recipe import RerankDirection
    from pagetune.training.rerank_judging import RerankEvaluator

MEASURED_ON = 64
"""Lists whose lengths are looked at to find the longest pair, evenly spread."""

IN_USE = ("depth", "weight", "deadline", "name", "architecture", "teacher", "pair_tokens")
"""Keys of `rerank` that act in use, or whose effect the fingerprints of model and data hold: another value finds the
same checkpoints."""

FROM_FIT = ("bf16", "dropout", "gradient_checkpointing", "log_fraction", "max_grad_norm", "freeze_vision")
"""Keys of `fit` that hold for rerankers too, and decide what training makes."""


@dataclass(frozen=True)
class RerankReport:
    """What a fit did: as of any fit, the shortlists' own figures, and those of the model before and after."""

    fit: FitReport
    mix: dict[str, dict[str, int]]
    shortlist: dict[str, float]
    before: dict[str, float]
    after: dict[str, float]

    def summary(self) -> dict[str, Any]:
        """The same as plain values."""
        judged = {"shortlist": self.shortlist, "before": self.before, "after": self.after}
        return {**self.fit.summary(), "mix": self.mix, "validation": judged}


def fit_reranker(
    model: Any,
    train: RerankSet,
    evaluator: RerankEvaluator | None,
    recipe: Recipe,
    folder: Path,
    progress: Progress = SILENT,
    cache: Path | None = None,
) -> RerankReport:
    """Train `model`, a CrossEncoder, in place on the lists.

    `evaluator` steers which checkpoint is kept; without it the last one is. `folder` holds the checkpoints: a fit of
    the same lists, recipe and model that finds whole ones there goes on from the last. Adapters are left beside the
    weights. `cache`: a folder for pages as the model scales them. Raises DataError, ModelError.
    """
    began = time.monotonic()
    if not len(train):
        raise DataError("there is nothing to train a reranker on: no list of a positive and its negatives")
    tell_of_other_gpus(model, progress)
    identity = [fingerprint_model(model), train.fingerprint]
    identity.append("" if evaluator is None else evaluator.shortlists.fingerprint)
    if recipe.fit.freeze_vision:
        freeze_vision(model)
    if recipe.lora.rank:
        if train.pictures is None:
            raise ModelError(
                f"lora.rank={recipe.lora.rank}: a reranker of text is trained whole, its head is new; leave out lora"
            )
        add_adapters(model, recipe.lora, recipe.rerank.seed)
    return _RerankFit(model, train, evaluator, recipe, folder, identity, progress, cache).run(began)


def plan_lists(train: RerankSet, recipe: Recipe) -> Plan:
    """How many lists a step takes: as many as hold `rerank.batch_size` pairs, at least one; and how many steps."""
    width = train.pairs / len(train)
    batch = max(1, round(recipe.rerank.batch_size / width))
    # Every direction ends with a smaller batch of its own.
    steps_an_epoch = math.ceil(sum(math.ceil(len(lists) / batch) for lists in train.lists.values()) / train.versions)
    steps = max(1, math.ceil(recipe.rerank.epochs * steps_an_epoch))
    interval = max(1, round(recipe.rerank.eval_fraction * steps_an_epoch))
    return Plan(batch, recipe.rerank.learning_rate, steps_an_epoch, steps, interval)


def as_fit(recipe: Recipe) -> FitRecipe:
    """What the trainer reads, with the reranker's own keys in place of the retriever's."""
    own = recipe.rerank
    shared = ("epochs", "learning_rate", "warmup", "eval_fraction", "patience", "seed")
    return recipe.fit.model_copy(update={key: getattr(own, key) for key in shared})


class _RerankFit:
    """One run of the trainer, to its end."""

    def __init__(
        self,
        model: Any,
        train: RerankSet,
        evaluator: RerankEvaluator | None,
        recipe: Recipe,
        folder: Path,
        identity: list[str],
        progress: Progress,
        cache: Path | None,
    ) -> None:
        self.model, self.train, self.evaluator = model, train, evaluator
        self.recipe, self.folder, self.progress, self.cache = recipe, folder, progress, cache
        self.fit = as_fit(recipe)
        self.planned = plan_lists(train, recipe)
        self.prompts = prompts_of(model, list(train.lists), recipe.rerank.prompts)
        shared = {key: getattr(recipe.fit, key) for key in FROM_FIT}
        settings = [recipe.rerank.model_dump(mode="json", exclude=set(IN_USE)), shared]
        lora = recipe.lora.model_dump(mode="json", exclude={"keep_adapter"})
        self.identity = fingerprint(*identity, settings, lora, asdict(self.planned), sorted(self.prompts.items()))

    def run(self, began: float) -> RerankReport:
        """Train, keep a checkpoint, report."""
        noted = prepare_folder(self.folder, self.identity)
        with closing(self._feed(self.train)) as feed:
            budget = self._budget(feed, noted)
            shown = self._feed(self.evaluator.shortlists) if self.evaluator else feed
            with closing(shown):
                return self._run(feed, shown, budget, noted, began)

    def _run(
        self, feed: PairFeed, shown: PairFeed, budget: Budget, noted: dict[str, Any], began: float
    ) -> RerankReport:
        evaluator, planned = self.evaluator, self.planned
        before: dict[str, float] = {}
        if evaluator is not None:
            evaluator.feed, evaluator.budget = shown, budget
            before = noted.setdefault("before", None) or evaluator(self.model)
            noted |= {"before": before, "base_ndcg": before[METRIC]}
        note(self.folder, noted)
        last = last_checkpoint(self.folder)
        if last is None or not has_ended(last, planned.steps):
            with dropout(self.model, self.fit.dropout):
                run(self._trainer(feed, budget), planned.steps, last, self.progress)
            last = last_checkpoint(self.folder)
            assert last is not None, "the last step is saved"
        state = read_state(last)
        kept = keep(self.model, last, state, evaluator, self.fit.best)
        after = evaluator(self.model) if evaluator is not None else {}
        sizes = None
        if evaluator is not None:
            lists = [each for found in evaluator.shortlists.lists.values() for each in found]
            sizes = (len(lists), sum(len(each.candidates) for each in lists))
        bfloat16 = use_bfloat16(self.fit, self.model.device)
        rows = len(self.train) // self.train.versions
        told = report(state, kept, rows, planned, sizes, noted, bfloat16, time.monotonic() - began)
        first = evaluator.first_order() if evaluator is not None else {}
        return RerankReport(told, self.train.mix, first, before, after)

    def _feed(self, chosen: RerankSet) -> PairFeed:
        sees = chosen.pictures is not None
        return PairFeed(
            self.model,
            chosen,
            self.prompts,
            workers=feeding_workers(self.fit, self.model) if sees else 0,
            cache=None if self.cache is None else self.cache / "pixels",
            cache_bytes=round(self.fit.page_cache * 2**30),
        )

    def _budget(self, feed: PairFeed, noted: dict[str, Any]) -> Budget:
        """As the recipe has it; "auto" is measured once, and noted for a fit that goes on later."""
        asked = self.recipe.rerank.pair_tokens
        if asked != "auto":
            return Budget(tokens=asked)
        if "budget" not in noted:
            direction, lists = max(self.train.lists.items(), key=lambda item: len(item[1]))
            some = lists[:: max(1, len(lists) // MEASURED_ON)]
            pairs = [reference for each in some for reference in feed.references(direction, each)]
            self.model.train()
            found, trials = measure(self.model, PairScores, feed.feeder.prepare, pairs, feed.routes[direction])
            noted["budget"] = found.tokens
            tried = ", ".join(f"{trial.items}: {trial.tokens / trial.seconds:,.0f}" for trial in trials)
            self.progress.say(f"fit: {found.tokens:,} tokens of pairs at a time (tokens a second by pairs: {tried})")
        return Budget(tokens=noted["budget"])

    def _trainer(self, feed: PairFeed, budget: Budget) -> Any:
        from datasets import Dataset
        from sentence_transformers.cross_encoder.training_args import CrossEncoderTrainingArguments
        from transformers import EarlyStoppingCallback, PrinterCallback

        judged = self.evaluator is not None
        callbacks: list[Any] = [finisher(judged)]
        if judged:
            callbacks.append(EarlyStoppingCallback(early_stopping_patience=self.fit.patience))
        self.model.model_card_data.generate_widget_examples = False
        arguments = training_arguments(
            self.fit,
            self.planned,
            self.folder,
            self.model.device,
            judged=judged,
            kind=CrossEncoderTrainingArguments,
            prompts={direction: prompt for direction, prompt in self.prompts.items() if prompt},
            batch_sampler="batch_sampler",
            multi_dataset_batch_sampler="proportional",
            dataloader_drop_last=False,
        )
        name = self.recipe.rerank.loss
        with quiet_training():
            trainer = _trainer_class()(
                model=self.model,
                args=arguments,
                train_dataset={
                    direction: Dataset.from_dict(
                        {"row": list(range(len(lists))), "direction": [direction] * len(lists)}
                    )
                    for direction, lists in self.train.lists.items()
                },
                data_collator=_Collator(self.train, feed, budget, name),
                loss=ScoresLoss(name, self.model),
                evaluator=self.evaluator,
                callbacks=callbacks,
            )
        trainer.feed = feed
        trainer.remove_callback(PrinterCallback)
        return trainer


class _Collator:
    """Rows of one direction into a batch of pairs."""

    valid_label_columns = ("label", "score")

    def __init__(self, train: RerankSet, feed: PairFeed, budget: Budget, loss: Any) -> None:
        self.train, self.feed, self.budget, self.loss = train, feed, budget, loss

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, PairBatch]:
        direction: RerankDirection = rows[0]["direction"]
        lists = [self.train.lists[direction][row["row"]] for row in rows]
        return {"pairs": cut_lists(direction, lists, self.feed, self.budget, self.loss)}


def _trainer_class() -> Any:
    from sentence_transformers import CrossEncoderTrainer

    class PairTrainer(adapter_checkpoints(CrossEncoderTrainer)):  # type: ignore[misc]
        """Draws batches of lists of one direction; a step's gradient is summed over its mini-batches, each through the
        model once, so that memory is that of one."""

        feed: PairFeed

        def training_step(self, model: Any, inputs: dict[str, PairBatch], num_items_in_batch: Any = None) -> Any:
            model.train()
            parts = inputs["pairs"].parts
            device = self.model.device
            total = torch.zeros((), device=device)
            features = self.feed.feeder.stream([part.job for part in parts], device)
            for part, given in zip(parts, features, strict=True):
                with self.compute_loss_context_manager():
                    scores, _ = PairScores.forward(model, given)
                    loss = self.loss(scores, part.labels) * part.share
                self.accelerator.backward(loss)
                total += loss.detach()
            return total.to(self.args.device)

    return PairTrainer
