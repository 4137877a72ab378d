"""What every fit shares: the loop's callbacks, which checkpoint is kept, and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from numpy.typing import NDArray

from pagetune.progress import Progress
from pagetune.training.arguments import use_bfloat16
from pagetune.training.checkpoints import drop_optimizers, load_weights
from pagetune.training.validation import METRIC, clearly_better

if TYPE_CHECKING:
    from transformers import TrainerState

    from pagetune.recipe import FitRecipe
    from pagetune.training.arguments import Plan

Best = Literal["clear", "metric", "last"]


class Evaluator(Protocol):
    """What judges a model while it is trained."""

    def values(self, model: Any) -> NDArray[Any]:
        """float64 [queries]: each query's NDCG@10 with the model as it is now."""
        ...


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
    engine: Mapping[str, float] = field(default_factory=dict)
    """Of a fit on page images: what the gradient cache has to say of itself."""

    def summary(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self) | {"history": list(self.history)}


@contextmanager
def dropout(model: Any, share: float) -> Iterator[None]:
    """Every dropout layer at the recipe's share, while training."""
    from torch.nn import Dropout

    drops = {module: module.p for module in model.modules() if isinstance(module, Dropout)}
    for module in drops:
        module.p = share
    try:
        yield
    finally:
        for module, own in drops.items():
            module.p = own


@contextmanager
def as_trained(model: Any, recipe: FitRecipe) -> Iterator[None]:
    """The model as the trainer has it: training, with its dropout, its forward pass in bfloat16 where `fit` is."""
    import torch
    from accelerate.utils.operations import convert_outputs_to_fp32

    device = next(model.parameters()).device
    wrapped = use_bfloat16(recipe, device)
    if wrapped:
        # Around each forward pass, as Accelerate has it: weights are rounded anew for every mini-batch.
        model.forward = convert_outputs_to_fp32(torch.autocast(device.type, torch.bfloat16)(model.forward))
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    model.train()
    try:
        with dropout(model, recipe.dropout):
            yield
    finally:
        if wrapped:
            del model.forward


def run(trainer: Any, steps: int, last: Path | None, progress: Progress) -> None:
    """Train to the end, from the checkpoint `last` where there is one."""
    with progress.task("fit", steps, "steps") as task, quiet_training():
        trainer.add_callback(_reporter(task, progress))
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    trainer.model.zero_grad(set_to_none=True)
    # Off with the autocast that the trainer has wrapped around the model: it would go on rounding to bfloat16.
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)


def keep(model: Any, last: Path, state: TrainerState, evaluator: Evaluator | None, best: Best = "clear") -> int:
    """Put the weights to keep into the model; returns their step. The fit has ended: its optimizer's state goes.

    The last ones have seen most, and the best of many evaluations on few queries is best by chance: with "clear" it is
    kept only where, query by query, it is better than the last by more than the standard error of the difference.
    """
    drop_optimizers(last)
    if getattr(model, "config", None) is not None:
        # As the trainer sets it: a fit that is found ended makes the same folder as the one that ended.
        model.config.use_cache = False
    step = state.best_global_step or state.global_step
    place = last.with_name(f"checkpoint-{step}")
    if evaluator is None or best == "last" or place == last or not place.exists():
        load_weights(model, last)
        return state.global_step
    load_weights(model, place)
    if best == "metric":
        return step
    of_the_best = evaluator.values(model)
    load_weights(model, last)
    if not clearly_better(of_the_best, evaluator.values(model)):
        return state.global_step
    load_weights(model, place)
    return step


def finisher(judged: bool) -> Any:
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
def quiet_training() -> Iterator[None]:
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


def report(
    state: TrainerState,
    kept: int,
    examples: int,
    planned: Plan,
    judged: tuple[int, int] | None,
    noted: dict[str, Any],
    bfloat16: bool,
    seconds: float,
) -> FitReport:
    history: list[dict[str, float]] = []
    if judged is not None:
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
        validation_queries=judged[0] if judged else 0,
        validation_pages=judged[1] if judged else 0,
        bfloat16=bfloat16,
        stopped_early=state.global_step < planned.steps,
        seconds=seconds,
        history=tuple(history),
        engine=noted.get("engine", {}),
    )
