"""The stage `rerank`: a reranker trained on what was mined, of documents or of a dataset, and saved past its gate.

As in `stages`, the summary has `content`, the digest of what was made.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pagetune.context import Context, Summary
    from pagetune.examples.rerank import RerankSet
    from pagetune.models.reranker_card import RerankFacts
    from pagetune.recipe import RerankRecipe
    from pagetune.training.rerank import RerankReport

GATED = 16
"""Pairs that the parity gate compares."""


def do_rerank(context: Context) -> Summary:
    """Examples into a finetuned reranker, in every direction that the recipe names."""
    from pagetune.errors import ModelError
    from pagetune.evaluation.rerank_use import content_of
    from pagetune.examples.rerank import without_lone_pairs
    from pagetune.models.inspect import architecture_of, sees
    from pagetune.models.reranker import load_reranker
    from pagetune.models.saving import save_reranker
    from pagetune.rerank_material import of_documents, of_rows
    from pagetune.reranking import settle_use
    from pagetune.training.rerank import fit_reranker
    from pagetune.training.rerank_judging import RerankEvaluator
    from pagetune.training.rerank_losses import POINTWISE

    recipe, workspace, progress = context.recipe, context.workspace, context.progress
    model = load_reranker(recipe.rerank)
    _check_teacher(recipe.rerank, model)
    if recipe.dataset.train is None:
        train, judged, about, held_out = of_documents(context, model)
    elif sees(model):
        train, judged, about, held_out = of_rows(context)
    else:
        raise ModelError(
            f"rerank.name={recipe.rerank.name!r} reads the words of pages, and dataset.train has their pictures; name "
            "a reranker or a model that takes images"
        )
    if recipe.rerank.loss not in POINTWISE:
        train = without_lone_pairs(train)
    progress.say(f"rerank: {architecture_of(model)}, {_told(train)}")
    train = _taught(context, train)
    report = fit_reranker(
        model,
        train,
        RerankEvaluator(judged) if judged is not None and len(judged) else None,
        recipe,
        workspace.runs / "rerank" / "checkpoints",
        progress,
        workspace.cache,
    )

    facts = _facts(report, about)
    parity = save_reranker(model, workspace.reranker, recipe, _gated(train), facts=facts)
    use = settle_use(context, model, held_out(model))
    return {
        "content": content_of(workspace.reranker),
        "architecture": architecture_of(model),
        **about,
        **report.summary(),
        "parity": parity.summary(),
        "use": None if use is None else asdict(use),
    }


def _taught(context: Context, train: RerankSet) -> RerankSet:
    """With the teacher's scores for labels, where the recipe has one."""
    from pagetune.errors import DataError
    from pagetune.models.reranker import load_reranker
    from pagetune.training.streaming import feeding_workers
    from pagetune.training.teacher import as_probabilities, teach

    recipe = context.recipe
    own = recipe.rerank
    if own.teacher is None:
        if own.loss == "margin" and all("labelled" not in counted for counted in train.mix.values()):
            raise DataError(
                "rerank.loss=margin: the dataset has no column 'label' of scores; add it, or set rerank.teacher"
            )
        return train
    teacher = load_reranker(teacher_recipe(own, own.teacher))
    workers = feeding_workers(recipe.fit, teacher) if train.pictures is not None else 0
    cache = context.workspace.cache / "teacher"
    taught = teach(teacher, train, cache, workers=workers, progress=context.progress)
    return as_probabilities(taught) if own.loss == "bce" else taught


def teacher_recipe(own: RerankRecipe, name: str) -> RerankRecipe:
    """The recipe that loads the teacher: its own template and prompts, the student's machine and pages."""
    from pagetune.recipe import RerankRecipe

    kept = {key: getattr(own, key) for key in ("trust_remote_code", "dtype", "attention", "min_pixels", "max_pixels")}
    return RerankRecipe(name=name, max_tokens=own.max_tokens, **kept)


def _check_teacher(own: RerankRecipe, model: Any) -> None:
    """Refuse a teacher that has learned nothing, or that cannot read what `model` is shown. Raises ModelError."""
    from pagetune.errors import ModelError
    from pagetune.models.inspect import sees
    from pagetune.models.reranker_specs import read_config, resolve_reranker, sees_by

    if own.teacher is None:
        return
    spec = resolve_reranker(teacher_recipe(own, own.teacher))
    if not spec.saved:
        raise ModelError(
            f"rerank.teacher={own.teacher} is no reranker yet: its head would be new, and its scores chance; name a "
            "trained one, such as a workspace's folder reranker/ or a published reranker"
        )
    if sees(model) and not sees_by(read_config(spec.base)):
        raise ModelError(
            f"rerank.teacher={own.teacher} reads words, and rerank.name={own.name} is trained on pictures of pages; "
            "name a teacher that takes images"
        )


def _gated(train: RerankSet) -> list[tuple[Any, Any]]:
    """Pairs for the parity gate: of every direction the first lists' answers, and one that is none of each."""
    share = GATED // len(train.lists)
    pairs = []
    for lists in train.lists.values():
        own = [(each.asked, content) for each in lists[:share] for content in each.candidates[:2]]
        pairs += [(train.open(asked), train.open(content)) for asked, content in own[:share]]
    return pairs


def _told(train: RerankSet) -> str:
    from pagetune.models.reranker_card import told_mix

    return "; ".join(f"{direction} {counted}" for direction, counted in told_mix(train.mix).items())


def _facts(report: RerankReport, about: dict[str, Any]) -> RerankFacts:
    from pagetune.machine import describe_machine
    from pagetune.models.reranker_card import RerankFacts
    from pagetune.training.validation import METRIC

    machine = describe_machine()
    directions = [key for key in report.after if key.endswith(f"_{METRIC}")]
    fit = report.fit
    return RerankFacts(
        data=about,
        mix=report.mix,
        results={
            key.removesuffix(f"_{METRIC}"): (report.shortlist.get(key), report.after.get(key)) for key in directions
        },
        judged=f"{fit.validation_queries} shortlists of {fit.validation_pages} pairs",
        training={"examples": fit.examples, "batch": fit.batch_size, "steps": fit.kept_step},
        hardware=", ".join(machine[key] for key in ("processor", "memory") if key in machine),
    )
