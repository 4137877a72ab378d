"""A reranker's judgement into a retriever: the retriever learns the margins of the reranker's scores.

MarginMSE (Hofstätter et al., 2020): for a query, how much nearer one page is than another shall be what the reranker
makes of the two. What a reranker knows of a shortlist then costs nothing when searching.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pagetune.errors import DataError, ModelError
from pagetune.models.adapters import add_adapters, freeze_vision
from pagetune.models.encoding import fingerprint_model
from pagetune.models.inspect import is_late
from pagetune.progress import SILENT, Progress
from pagetune.training.adapter_checkpoints import adapter_checkpoints
from pagetune.training.arguments import Plan, plan, training_arguments, use_bfloat16
from pagetune.training.checkpoints import has_ended, last_checkpoint, note, prepare_folder, read_state
from pagetune.training.image_judging import ImageEvaluator
from pagetune.training.images import AT_REST, BESIDE, check_images, part_rates
from pagetune.training.loop import Evaluator, FitReport, finisher, keep, quiet_training, report, run
from pagetune.training.placement import left_in_place
from pagetune.training.trainer import check_reading, while_training
from pagetune.training.validation import METRIC
from pagetune.workspace import fingerprint

if TYPE_CHECKING:
    from pagetune.examples.rerank import RankedList, RerankSet
    from pagetune.recipe import Recipe
    from pagetune.training.taught_feed import TaughtFeed

DIRECTION: Any = "text_to_image"


class Judge(Evaluator, Protocol):
    """What judges the retriever while it is trained: `ValidationEvaluator` or `ImageEvaluator`."""

    def __call__(self, model: Any) -> dict[str, float]: ...
    def identity(self) -> list[Any]: ...

    @property
    def sizes(self) -> tuple[int, int]: ...


def even_lists(taught: RerankSet) -> tuple[list[RankedList], int]:
    """The lists of pages for a query, all of the width that most of them have, and how many shorter ones were left out.

    A batch holds lists of one width. Longer ones are cut to it.
    """
    lists = taught.lists.get(DIRECTION, [])
    counted = Counter(len(each.candidates) for each in lists if len(each.candidates) > 1)
    width = max(counted, key=lambda width: (counted[width], width), default=2)
    kept = [
        replace(each, candidates=each.candidates[:width], labels=each.labels[:width])
        for each in lists
        if len(each.candidates) >= width
    ]
    return kept, len(lists) - len(kept)


def plan_taught(taught: RerankSet, recipe: Recipe) -> Plan:
    """As of any fit, a list being an example. Raises DataError where there are fewer than two lists of two pages."""
    lists, _ = even_lists(taught)
    rows = len(lists) // taught.versions
    if rows < 2:
        raise DataError(f"distil: {rows} list(s) of two pages or more for a query; 2 are needed, label more")
    # Pages of other rows are no negatives here: a batch may hold one several times.
    return plan(rows, 2 * rows, recipe.fit)


def distil(
    model: Any,
    taught: RerankSet,
    recipe: Recipe,
    folder: Path,
    progress: Progress = SILENT,
    *,
    evaluator: Judge | None = None,
    cache: Path | None = None,
) -> FitReport:
    """Train `model`, a dense retriever, in place on a reranker's scores of pages for queries.

    `taught`: lists of pages for a query, labelled with log-odds (`teacher.teach`). Cosines are scaled by `fit.scale`,
    so that they span what log-odds do; every Matryoshka dimension learns the margins. `evaluator` steers which
    checkpoint is kept; without it the last one is. `folder` holds checkpoints, which a fit of the same lists, recipe
    and model goes on from. Adapters are left beside the weights. `cache`: a folder for pages as the model scales them.
    Raises DataError where there are no lists of two, ModelError for late interaction.
    """
    check_student(model, recipe, pictures=taught.pictures is not None)
    began = time.monotonic()
    planned = plan_taught(taught, recipe)
    lists, left_out = even_lists(taught)
    if left_out:
        width = len(lists[0].candidates)
        progress.say(f"fit: {left_out} of {len(lists) + left_out} lists left out, of fewer than {width} pages")
    told = [(each.asked, [taught.key(content) for content in each.candidates], each.labels) for each in lists]
    settings = [
        recipe.fit.model_dump(mode="json", exclude=BESIDE),
        recipe.model.model_dump(mode="json", exclude=AT_REST),
        recipe.lora.model_dump(mode="json", exclude={"keep_adapter"}),
    ]
    judged_on = [] if evaluator is None else evaluator.identity()
    identity = fingerprint("distil", fingerprint_model(model), told, settings, asdict(planned), judged_on)
    if recipe.fit.freeze_vision:
        freeze_vision(model)
    if recipe.lora.rank:
        add_adapters(model, recipe.lora, recipe.fit.seed)
    noted = prepare_folder(folder, identity)
    if isinstance(evaluator, ImageEvaluator):
        evaluator.last = planned.steps
    if evaluator is not None and "base_ndcg" not in noted:
        noted["base_ndcg"] = evaluator(model)[METRIC]
        note(folder, noted)
    last = last_checkpoint(folder)
    if last is None or not has_ended(last, planned.steps):
        with _feeding(model, taught, lists, recipe, cache) as feed:
            budget = feed.budget(noted, progress)
            note(folder, noted)
            trainer = _trainer(model, feed, budget, planned, evaluator, recipe, folder)
            run(trainer, planned.steps, last, progress)
            noted["engine"] = trainer.loss.account.summary()
        note(folder, noted)
        last = last_checkpoint(folder)
        assert last is not None, "the last step is saved"
    state = read_state(last)
    kept = keep(model, last, state, evaluator, recipe.fit.best)
    bfloat16 = use_bfloat16(recipe.fit, model.device)
    sizes = evaluator.sizes if evaluator else None
    rows = len(lists) // taught.versions
    return report(state, kept, rows, planned, sizes, noted, bfloat16, time.monotonic() - began)


def check_student(model: Any, recipe: Recipe, *, pictures: bool) -> None:
    """Raise ModelError where a reranker's margins cannot be put into this model, as the recipe has it."""
    if is_late(model):
        raise ModelError(
            "fit.teacher: MaxSim adds up as many cosines as a query has tokens: its margins are of another scale for "
            "each; distil into a dense retriever (model.kind=dense), or leave fit.teacher out"
        )
    if recipe.fit.projection_epochs:
        raise ModelError(
            f"fit.projection_epochs={recipe.fit.projection_epochs:g} with fit.teacher: a router's projections are "
            "aligned by ranking; fit it without a teacher first, or leave one of the two out"
        )
    if pictures:
        check_images(model, recipe)
    else:
        check_reading(model, recipe)


@contextmanager
def _feeding(
    model: Any, taught: RerankSet, lists: Sequence[RankedList], recipe: Recipe, cache: Path | None
) -> Iterator[TaughtFeed]:
    """The lists as features, the model as it is while it is trained."""
    from pagetune.training.taught_feed import TaughtFeed

    pixels = None if cache is None else cache / "pixels"
    with while_training(model, recipe), closing(TaughtFeed(model, taught, lists, recipe.fit, pixels)) as feed:
        yield feed


def _trainer(
    model: Any, feed: TaughtFeed, budget: Any, planned: Plan, evaluator: Judge | None, recipe: Recipe, folder: Path
) -> Any:
    from sentence_transformers import SentenceTransformerTrainer
    from transformers import EarlyStoppingCallback, PrinterCallback

    from pagetune.training.gradient_cache import StreamingCachedLoss
    from pagetune.training.margins import margin_loss

    judged = evaluator is not None
    callbacks: list[Any] = [finisher(judged)]
    if judged:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=recipe.fit.patience))
    model.model_card_data.widget = [{"text": each.asked} for each in feed.lists[:3]]
    model.model_card_data.generate_widget_examples = False
    slower = planned.learning_rate / recipe.fit.learning_rate
    arguments = training_arguments(
        recipe.fit,
        planned,
        folder,
        model.device,
        judged=judged,
        batch_sampler="batch_sampler",
        prompts={name: route.prompt for name, route in feed.routes.items() if route.prompt},
        router_mapping={name: route.task for name, route in feed.routes.items()},
        learning_rate_mapping={part: rate * slower for part, rate in part_rates(model, recipe.fit).items()},
    )
    with quiet_training():
        trainer = adapter_checkpoints(left_in_place(SentenceTransformerTrainer, model))(
            model=model,
            args=arguments,
            train_dataset=feed.dataset(),
            data_collator=feed,
            loss=StreamingCachedLoss(margin_loss(model, recipe.fit), budget),
            evaluator=evaluator,
            callbacks=callbacks,
        )
    trainer.remove_callback(PrinterCallback)
    return trainer
