"""The model card: what a model was made of and how well it does, in the folder that it is saved in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from pagetune.models.inspect import describe, is_late, is_router
from pagetune.models.parity import ParityReport
from pagetune.recipe import Recipe

SECTIONS = ("model", "lora", "fit", "dataset")
"""Parts of the recipe that decide what a model becomes."""
LIBRARIES = ("pagetune", "sentence-transformers", "transformers", "torch", "peft")


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card says beside what the model and the recipe say themselves.

    `results`: dimension -> NDCG@10 (or `metric`) before and after, None where it was not measured. Leave out times and
    dates: the same training then gives the same card.
    """

    title: str = ""
    about: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    """Hub ids."""
    results: Mapping[int, tuple[float | None, float | None]] = field(default_factory=dict)
    metric: str = "NDCG@10"
    judged: str = ""
    """What the results were measured on, such as "300 queries against 1,500 pages"."""
    training: Mapping[str, Any] = field(default_factory=dict)
    hardware: str = ""


def model_card(model: Any, recipe: Recipe, facts: CardFacts, parity: ParityReport | None, *, adapter: bool) -> str:
    """The card as Markdown, its head as the Hub reads it. Folders of this machine are named by their last part."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pagetune.models"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    base = without_place(recipe.model.name)
    return environment.get_template("model_card.md.j2").render(
        front=yaml.safe_dump(_front(model, recipe, facts), sort_keys=False, allow_unicode=True),
        title=facts.title or f"{base.rpartition('/')[2]}, finetuned on pages",
        kind=_kind(model),
        base=_base(recipe),
        facts=facts,
        description=describe(model),
        dimension=getattr(model, "truncate_dim", None),
        usage=_usage(model),
        prompts=", ".join(f"{name} {prompt!r}" for name, prompt in model.prompts.items() if prompt),
        results=[
            {"size": size, "before": figure(before), "after": figure(after)}
            for size, (before, after) in sorted(facts.results.items(), reverse=True)
        ],
        libraries=libraries(),
        adapter=adapter,
        parity=parity,
        steps=[] if parity is None else [_step(step) for step in parity.steps],
        recipe=yaml.safe_dump(portable(recipe, SECTIONS), sort_keys=False, allow_unicode=True),
    )


def _front(model: Any, recipe: Recipe, facts: CardFacts) -> dict[str, Any]:
    tags = ["sentence-transformers", "visual-document-retrieval", "pagetune"]
    tags += ["multi-vector", "late-interaction"] if is_late(model) else []
    front: dict[str, Any] = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "visual-document-retrieval" if model.supports("image") else "sentence-similarity",
        "tags": tags + (["lora"] if recipe.lora.rank else []),
    }
    bases = [name for name in (recipe.model.name, recipe.model.image_model) if name and is_hub_id(name)]
    if bases:
        front["base_model"] = bases if len(bases) > 1 else bases[0]
    if facts.datasets:
        front["datasets"] = list(facts.datasets)
    return front


def _kind(model: Any) -> str:
    if is_late(model):
        return "A late-interaction retriever (a vector a token)"
    return "A retriever of two towers, text and image" if is_router(model) else "A dense retriever"


def _usage(model: Any) -> str:
    from pagetune.models.page_reader import PageReader

    if isinstance(model[0], PageReader):
        return (
            "from pathlib import Path\n\nfrom pagetune.models.loading import load_folder\n\n"
            'model = load_folder(Path("path/to/this/folder"))\n'
            'queries = model.encode_query(["how do I reverse a transaction"])\n'
            'pages = model.encode_document(["the text of a page"])'
        )
    kind = "MultiVectorEncoder" if is_late(model) else "SentenceTransformer"
    lines = [
        "from PIL import Image",
        f"from sentence_transformers import {kind}",
        "",
        f'model = {kind}("path/to/this/folder")',
        'queries = model.encode_query(["how do I reverse a transaction"])',
        'pages = model.encode_document([Image.open("page.png")])',
        "print(model.similarity(queries, pages))",
    ]
    return "\n".join(lines)


def _base(recipe: Recipe) -> str:
    names = [without_place(name) for name in (recipe.model.name, recipe.model.image_model) if name]
    return " and ".join(f"`{name}`" for name in names)


def portable(recipe: Recipe, sections: Sequence[str]) -> dict[str, Any]:
    """Sections of the recipe, folders of this machine named by their last part."""
    dumped = recipe.model_dump(mode="json", include=set(sections))
    return {section: without_places(dumped[section]) for section in sections}


def libraries() -> str:
    """The libraries that decide what a model becomes, each with its version."""
    return ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES if installed(name))


def without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_places(each) for key, each in value.items()}
    return without_place(value) if isinstance(value, str) else value


def without_place(name: str) -> str:
    return Path(name).name if name and (Path(name).is_absolute() or Path(name).exists()) else name


def is_hub_id(name: str) -> bool:
    return "/" in name and without_place(name) == name


def _step(step: Any) -> dict[str, str]:
    return {
        "name": step.name,
        "vectors": f"{max(step.difference.queries, step.difference.pages):.0e}",
        "allowed_vectors": f"{step.allowed.vectors:g}",
        "scores": f"{step.difference.scores:.0e}",
        "allowed_scores": f"{step.allowed.scores:g}",
    }


def figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
