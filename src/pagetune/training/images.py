"""Finetuning on page images: any model that takes them, whole or by adapters, killed and continued at any moment."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError, ModelError
from pagetune.models.adapters import add_adapters, freeze_vision
from pagetune.models.encoding import fingerprint_model
from pagetune.models.inspect import is_late, is_router
from pagetune.models.late_interaction import PROJECTION
from pagetune.models.quantised import stored_bytes
from pagetune.models.router import PROJECTIONS
from pagetune.progress import SILENT, Progress
from pagetune.recipe import FitRecipe, Recipe
from pagetune.training.adapter_checkpoints import adapter_checkpoints
from pagetune.training.arguments import Plan, plan, training_arguments, use_bfloat16
from pagetune.training.checkpoints import has_ended, last_checkpoint, note, prepare_folder, read_state
from pagetune.training.gradient_cache import StreamingCachedLoss
from pagetune.training.image_judging import ImageEvaluator, identity_of
from pagetune.training.loop import FitReport, dropout, finisher, keep, quiet_training, report, run
from pagetune.training.losses import check_loss
from pagetune.training.placement import check_placement, left_in_place, tell_of_other_gpus
from pagetune.training.streaming import Streaming
from pagetune.training.validation import METRIC
from pagetune.workspace import fingerprint

if TYPE_CHECKING:
    from pagetune.examples.visual import ImageTrainSet, JudgedImages

WHOLE, PROJECTIONS_FOLDER = "whole", "projections"
"""Folders of checkpoints: of the whole model, and of a router's projections before that."""

BESIDE = {
    "push_to_hub",
    "parity",
    "truncate_dim",
    "truncate_loss",
    "best",
    "checkpoints",
    "workers",
    "page_cache",
    "graph_memory",
    "teacher",
}
"""Keys of `fit` that act when training is over, or that it does not depend on: another value finds the same
checkpoints."""

AT_REST = {"encode_batch", "encode_tokens", "token_pooling"}
"""Keys of `model` that training does not know."""


def fit_images(
    model: Any,
    train: ImageTrainSet,
    judged: JudgedImages | None,
    recipe: Recipe,
    folder: Path,
    progress: Progress = SILENT,
    cache: Path | None = None,
) -> FitReport:
    """Train `model` in place on queries and the images of the pages that answer them.

    `judged` steers which checkpoint is kept; without it the last one is. A router is first aligned: its projections
    alone, the towers frozen, for `fit.projection_epochs`. `folder` holds the checkpoints; a fit of the same set, recipe
    and model that finds whole checkpoints there goes on from the last one. Adapters are left beside the weights:
    `models.adapters.merge_adapters`. `cache` is a folder for pages as the model scales them, and for vectors. Raises
    DataError, ModelError.
    """
    check_images(model, recipe)
    check_loss(model, recipe.fit, train.keys)
    tell_of_other_gpus(model, progress)
    began = time.monotonic()
    identity = [fingerprint_model(model), train.fingerprint, *([""] if judged is None else identity_of(judged))]
    if recipe.fit.freeze_vision:
        freeze_vision(model)
    if recipe.lora.rank:
        plain = stored_bytes(model)
        add_adapters(model, recipe.lora, recipe.fit.seed)
        if recipe.lora.quantise != "none":
            kept = f"{stored_bytes(model) / 2**20:.0f} MiB instead of {plain / 2**20:.0f}"
            progress.say(f"fit: weights in {recipe.lora.quantise}, {kept}, adapters included")
    evaluator = ImageEvaluator(judged, recipe, cache) if judged is not None else None
    rates = part_rates(model, recipe.fit)
    fit = KeyedFit(model, train, evaluator, recipe, folder / WHOLE, identity, rates, progress, cache)
    fit.judge_untrained()
    if is_router(model) and recipe.fit.projection_epochs and last_checkpoint(fit.folder) is None:
        _align(model, train, recipe, folder / PROJECTIONS_FOLDER, identity, progress, cache)
    return fit.run(began)


def _align(
    model: Any,
    train: ImageTrainSet,
    recipe: Recipe,
    folder: Path,
    identity: list[str],
    progress: Progress,
    cache: Path | None,
) -> None:
    """Train the projections of a router alone, its towers frozen."""
    import re

    progress.say("fit: the projections first, the towers frozen")
    trained = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    first = recipe.fit.model_copy(
        update={
            "epochs": recipe.fit.projection_epochs,
            "learning_rate": recipe.fit.projection_learning_rate or recipe.fit.learning_rate,
        }
    )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(bool(re.search(PROJECTIONS, name)))
    try:
        changed = recipe.model_copy(update={"fit": first})
        identity = [*identity, "projections"]
        KeyedFit(model, train, None, changed, folder, identity, {}, progress, cache).run(time.monotonic())
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(trained[name])


def part_rates(model: Any, recipe: FitRecipe) -> dict[str, float]:
    """Learning rates of parts of the model, by a pattern of their parameters' names."""
    import re

    if recipe.projection_learning_rate is None:
        return {}
    pattern = PROJECTIONS if is_router(model) else PROJECTION
    if not any(re.search(pattern, name) for name, _ in model.named_parameters()):
        raise ModelError("fit.projection_learning_rate: the model has no projection of its own; leave it out")
    return {pattern: recipe.projection_learning_rate}


def check_images(model: Any, recipe: Recipe) -> None:
    """Raise ModelError where the model cannot be trained on page images as the recipe has it."""
    missing = [kind for kind in ("text", "image") if not model.supports(kind)]
    if missing:
        raise ModelError(f"the model takes {model.modalities}, not {missing[0]}; page images need a model of both")
    shorter, width = recipe.fit.truncate_dim, model.get_embedding_dimension() or 0
    if shorter and (is_late(model) or shorter > width):
        why = "a late-interaction model keeps its tokens' width" if is_late(model) else f"the model is {width} wide"
        raise ModelError(f"fit.truncate_dim={shorter}: {why}; leave it out, or choose a smaller one")
    if recipe.fit.truncate_loss is not None and is_late(model):
        raise ModelError("fit.truncate_loss: a late-interaction model keeps its tokens' width; leave it out")
    check_placement(model, recipe.model)
    cached = recipe.fit.batch_size > recipe.fit.mini_batch_size and recipe.fit.mini_batch_tokens is None
    if recipe.fit.gradient_checkpointing and cached:
        raise ModelError(
            f"fit.gradient_checkpointing=true with fit.batch_size={recipe.fit.batch_size} above "
            f"fit.mini_batch_size={recipe.fit.mini_batch_size}: the gradient cache computes everything twice already "
            "and holds one mini-batch; lower mini_batch_size instead"
        )


class KeyedFit:
    """One run of the trainer, to its end."""

    def __init__(
        self,
        model: Any,
        train: ImageTrainSet,
        evaluator: ImageEvaluator | None,
        recipe: Recipe,
        folder: Path,
        identity: list[str],
        rates: dict[str, float],
        progress: Progress,
        cache: Path | None = None,
    ) -> None:
        self.model, self.train, self.evaluator = model, train, evaluator
        self.recipe, self.folder, self.identity = recipe, folder, identity
        self.progress, self.cache = progress, cache
        self.rows = len(train) // train.versions
        self.planned = plan(self.rows, len(set(train.keys["image"])), recipe.fit)
        if evaluator is not None:
            evaluator.last = self.planned.steps
        # A batch that few pages make smaller lowers every rate alike.
        self.rates = {
            name: rate * self.planned.learning_rate / recipe.fit.learning_rate for name, rate in rates.items()
        }

    def run(self, began: float) -> FitReport:
        """Train, keep a checkpoint, report."""
        fit, evaluator, planned = self.recipe.fit, self.evaluator, self.planned
        noted = self.judge_untrained()
        last = last_checkpoint(self.folder)
        if last is None or not has_ended(last, planned.steps):
            noted["engine"] = self._train(noted, last)
            note(self.folder, noted)
            last = last_checkpoint(self.folder)
            assert last is not None, "the last step is saved"
        state = read_state(last)
        kept = keep(self.model, last, state, evaluator, fit.best)
        sizes = evaluator.sizes if evaluator else None
        bfloat16 = use_bfloat16(fit, self.model.device)
        return report(state, kept, self.rows, planned, sizes, noted, bfloat16, time.monotonic() - began)

    def _train(self, noted: dict[str, Any], last: Path | None) -> dict[str, float]:
        """To the last step; returns what the gradient cache has to say of it."""
        pixels = None if self.cache is None else self.cache / "pixels"
        streaming = Streaming(self.model, self.train, self.prompts, self.recipe.fit, pixels)
        with closing(streaming), dropout(self.model, self.recipe.fit.dropout):
            budget = streaming.budget(noted, self.progress)
            note(self.folder, noted)
            trainer = self.trainer(streaming, streaming.loss(budget))
            began = time.monotonic()
            run(trainer, self.planned.steps, last, self.progress)
            if not trainer.state.global_step:
                raise DataError(
                    f"no batch of {self.planned.batch_size} rows in which no text and no page stands twice can be made "
                    f"of {self.rows} rows; lower fit.batch_size, or the negatives that rows share"
                )
            waited = streaming.feeder.waited / max(1e-9, time.monotonic() - began)
        return {**trainer.loss.account.summary(), "waited_for_pages": round(waited, 4)}

    def judge_untrained(self) -> dict[str, Any]:
        """Make the folder ready and note how good the model is before any training; what has been noted, if it has."""
        lora = self.recipe.lora.model_dump(exclude={"keep_adapter"})
        settings = [self.recipe.fit.model_dump(exclude=BESIDE), self.recipe.model.model_dump(exclude=AT_REST), lora]
        noted = prepare_folder(self.folder, fingerprint(*self.identity, settings, asdict(self.planned)))
        if self.evaluator is not None and "base_ndcg" not in noted:
            noted["base_ndcg"] = self.evaluator(self.model)[METRIC]
            note(self.folder, noted)
        return noted

    def trainer(self, streaming: Streaming, loss: StreamingCachedLoss) -> Any:
        """Sentence Transformers' trainer for this kind of model, drawing batches of references by content keys."""
        from transformers import EarlyStoppingCallback, PrinterCallback

        # The card's examples: given here, they are not drawn from the data with a bar of their own.
        self.model.model_card_data.widget = [{"text": text} for text in self.train.dataset[:3]["query"]]
        self.model.model_card_data.generate_widget_examples = False
        callbacks: list[Any] = [finisher(self.evaluator is not None)]
        if self.evaluator is not None:
            callbacks.append(EarlyStoppingCallback(early_stopping_patience=self.recipe.fit.patience))
        with quiet_training():
            trainer = _trainer_class(self.model, self.train)(
                model=self.model,
                args=self.arguments(self.planned),
                train_dataset=streaming.dataset(),
                data_collator=streaming.collator,
                loss=loss,
                evaluator=self.evaluator,
                callbacks=callbacks,
            )
        trainer.remove_callback(PrinterCallback)
        return trainer

    @property
    def prompts(self) -> dict[str, str]:
        """What stands before the cells of each column: the prompts that encoding will use too."""
        found = {name: self.model.prompts.get("query" if name == "query" else "document") for name in self.train.keys}
        return {name: prompt for name, prompt in found.items() if prompt}

    def arguments(self, planned: Plan) -> Any:
        """The training arguments: prompts, and a route for each column."""
        from sentence_transformers import MultiVectorEncoderTrainingArguments

        return training_arguments(
            self.recipe.fit,
            planned,
            self.folder,
            self.model.device,
            judged=self.evaluator is not None,
            kind=MultiVectorEncoderTrainingArguments if is_late(self.model) else None,
            prompts=self.prompts,
            router_mapping={name: "query" if name == "query" else "document" for name in self.train.keys},
            learning_rate_mapping=self.rates,
        )


def _trainer_class(model: Any, train: ImageTrainSet) -> Any:
    from datasets import Dataset
    from sentence_transformers import MultiVectorEncoderTrainer, SentenceTransformerTrainer

    kind: Any = left_in_place(MultiVectorEncoderTrainer if is_late(model) else SentenceTransformerTrainer, model)
    keys = Dataset.from_dict(dict(train.keys))

    class KeyedTrainer(adapter_checkpoints(kind)):  # type: ignore[misc]
        """Draws batches in which nothing stands twice, by content keys: no picture is decoded to find that out."""

        def get_batch_sampler(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return super().get_batch_sampler(keys, *args, **kwargs)

    return KeyedTrainer
