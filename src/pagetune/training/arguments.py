"""From the recipe to Sentence Transformers' training arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError
from pagetune.models.hardware import has_bfloat16
from pagetune.recipe import FitRecipe
from pagetune.training.validation import METRIC

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rows a step takes and how far it goes, how many steps there are, and how often the model is judged
    and saved."""

    batch_size: int
    learning_rate: float
    steps_an_epoch: int
    steps: int
    interval: int


def plan(rows: int, pages: int, recipe: FitRecipe) -> Plan:
    """Fit the recipe to the examples: a batch holds each page once, so few pages allow a small batch only.

    A smaller batch than the recipe's goes with a learning rate smaller by the square root of their ratio, the rule for
    Adam (Malladi et al., 2022).
    Raises DataError where there are fewer than two examples or pages: nothing to rank against.
    """
    if min(rows, pages) < 2:
        raise DataError(
            f"{rows} training examples of {pages} pages: at least 2 of 2 are needed; add documents or query kinds"
        )
    batch = min(recipe.batch_size, rows, max(2, pages // 2))
    steps_an_epoch = rows // batch
    steps = max(1, math.ceil(recipe.epochs * steps_an_epoch))
    learning_rate = recipe.learning_rate * math.sqrt(batch / recipe.batch_size)
    return Plan(batch, learning_rate, steps_an_epoch, steps, max(1, round(recipe.eval_fraction * steps_an_epoch)))


def use_bfloat16(recipe: FitRecipe, device: torch.device) -> bool:
    """Whether to compute in bfloat16 (the weights and the optimizer stay float32)."""
    return has_bfloat16(device) if recipe.bf16 == "auto" else recipe.bf16 == "on"


def training_arguments(
    recipe: FitRecipe,
    planned: Plan,
    folder: Path,
    device: torch.device,
    *,
    judged: bool,
    kind: type[Any] | None = None,
    **more: Any,
) -> Any:
    """The arguments; `judged`: validation queries steer which checkpoint is kept and when to stop. `kind`: their class,
    Sentence Transformers' for dense models unless another is given. `more` goes to it as it is. A process trains on one
    GPU, whatever the machine has."""
    from sentence_transformers import SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers

    if recipe.gradient_checkpointing:
        more["gradient_checkpointing"] = True
    usual: dict[str, Any] = {"batch_sampler": BatchSamplers.NO_DUPLICATES, "dataloader_drop_last": True}
    chosen: Any = kind or SentenceTransformerTrainingArguments
    made: Any = chosen(
        output_dir=str(folder),
        max_steps=planned.steps,
        per_device_train_batch_size=planned.batch_size,
        learning_rate=planned.learning_rate,
        warmup_steps=round(recipe.warmup * planned.steps),
        max_grad_norm=recipe.max_grad_norm,
        bf16=use_bfloat16(recipe, device),
        use_cpu=device.type == "cpu",
        seed=recipe.seed,
        data_seed=recipe.seed,
        eval_strategy="steps" if judged else "no",
        eval_steps=planned.interval,
        save_strategy="steps",
        save_steps=planned.interval,
        save_total_limit=recipe.checkpoints,
        metric_for_best_model=f"eval_{METRIC}" if judged else None,
        greater_is_better=True if judged else None,
        restore_callback_states_from_checkpoint=True,
        logging_steps=_log_interval(recipe, planned),
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=False,
        **(usual | more),
    )
    # Over more the trainer would put nn.DataParallel: a batch so many times as large, cut by what knows nothing of
    # references, and copies of a model that a device map may have spread over them.
    made._n_gpu = min(made.n_gpu, 1)
    return made


def _log_interval(recipe: FitRecipe, planned: Plan) -> int:
    if recipe.log_fraction is None:
        return max(1, planned.interval // 4)
    return max(1, round(recipe.log_fraction * planned.steps_an_epoch))
