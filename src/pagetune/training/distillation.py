"""A reranker's judgement into a retriever: the retriever learns the margins of the reranker's scores.

MarginMSE (Hofstätter et al., 2020): for a query, how much nearer one page is than another shall be what the reranker
makes of the two. What a reranker knows of a shortlist then costs nothing when searching.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError, ModelError
from pagetune.models.encoding import fingerprint_model
from pagetune.models.late_interaction import is_late
from pagetune.progress import SILENT, Progress
from pagetune.training.arguments import plan, training_arguments, use_bfloat16
from pagetune.training.checkpoints import has_ended, last_checkpoint, note, prepare_folder, read_state
from pagetune.training.loop import FitReport, dropout, finisher, keep, quiet_training, report, run
from pagetune.training.losses import DENSE_SCALE
from pagetune.workspace import fingerprint

if TYPE_CHECKING:
    from pagetune.examples.rerank import RankedList, RerankSet
    from pagetune.recipe import FitRecipe

DIRECTION: Any = "text_to_image"


def distil(
    model: Any,
    taught: RerankSet,
    recipe: FitRecipe,
    folder: Path,
    progress: Progress = SILENT,
) -> FitReport:
    """Train `model`, a dense retriever, in place on a reranker's scores of pages for queries.

    `taught`: lists of pages for a query, labelled with log-odds (`teacher.teach`). Cosines are scaled by
    `recipe.scale`, so that they span what log-odds do. All lists shall be of one length: longer ones are cut to the
    shortest. `folder` holds checkpoints, which a fit of the same lists and model goes on from. Raises DataError where
    there are no lists of two, ModelError for late interaction.
    """
    if is_late(model):
        raise ModelError("distil: margins of MaxSim are another scale each query; distil into a dense retriever")
    began = time.monotonic()
    lists = [each for each in taught.lists.get(DIRECTION, []) if len(each.candidates) > 1]
    if len(lists) < 2:
        raise DataError(f"distil: {len(lists)} list(s) of two pages or more for a query; 2 are needed, label more")
    width = min(len(each.candidates) for each in lists)
    lists = [replace(each, candidates=each.candidates[:width], labels=each.labels[:width]) for each in lists]
    told = [(each.asked, [taught.key(content) for content in each.candidates], each.labels) for each in lists]
    planned = plan(len(lists), 2 * len(lists), recipe)
    identity = fingerprint(fingerprint_model(model), told, recipe.model_dump(mode="json"), asdict(planned))
    noted = prepare_folder(folder, identity)
    note(folder, noted)
    last = last_checkpoint(folder)
    if last is None or not has_ended(last, planned.steps):
        with dropout(model, recipe.dropout):
            run(_trainer(model, taught, lists, recipe, folder), planned.steps, last, progress)
        last = last_checkpoint(folder)
        assert last is not None, "the last step is saved"
    state = read_state(last)
    kept = keep(model, last, state, None)
    bfloat16 = use_bfloat16(recipe, model.device)
    return report(state, kept, len(lists), planned, None, noted, bfloat16, time.monotonic() - began)


def _trainer(model: Any, taught: RerankSet, lists: Sequence[RankedList], recipe: FitRecipe, folder: Path) -> Any:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss
    from sentence_transformers.util import pairwise_cos_sim
    from transformers import PrinterCallback

    scale = recipe.scale or DENSE_SCALE
    columns = ["positive", *(f"negative_{place}" for place in range(1, len(lists[0].candidates)))]

    def opened(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        rows = [lists[row] for row in batch["row"]]
        found: dict[str, list[Any]] = {"query": [taught.open(each.asked) for each in rows]}
        for place, name in enumerate(columns):
            found[name] = [taught.open(each.candidates[place]) for each in rows]
        found["label"] = [list(each.labels) for each in rows]
        return found

    model.model_card_data.generate_widget_examples = False
    planned = plan(len(lists), 2 * len(lists), recipe)
    prompts = {name: model.prompts.get("query" if name == "query" else "document") for name in ("query", *columns)}
    with quiet_training():
        rows = Dataset.from_dict({name: list(range(len(lists))) for name in ("row", "query", *columns, "label")})
        trainer = SentenceTransformerTrainer(
            model=model,
            args=training_arguments(
                recipe,
                planned,
                folder,
                model.device,
                judged=False,
                batch_sampler="batch_sampler",
                prompts={name: prompt for name, prompt in prompts.items() if prompt},
            ),
            train_dataset=rows.with_transform(opened),
            loss=MarginMSELoss(model, similarity_fct=lambda first, second: scale * pairwise_cos_sim(first, second)),
            callbacks=[finisher(False)],
        )
    trainer.remove_callback(PrinterCallback)
    return trainer
