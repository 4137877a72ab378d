"""A reranker's model card: what it was made of and how well it does, in the folder that it is saved in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from pagetune.models.card import figure, is_hub_id, libraries, portable, without_place
from pagetune.models.inspect import architecture_of, attention_of, sees, task_prompt
from pagetune.models.pixels import pixel_bounds
from pagetune.models.rerank_parity import RerankParityReport
from pagetune.models.reranker_specs import DIRECTIONS
from pagetune.recipe import Recipe

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

SECTIONS = ("rerank", "lora", "dataset")
"""Parts of the recipe that decide what a reranker becomes."""

KINDS = {
    "logit": "A reranker that answers with its language-model head",
    "pooled": "A reranker that scores the last token's vector",
    "text": "A reranker of texts",
}


@dataclass(frozen=True, slots=True)
class RerankFacts:
    """What the card says beside what the model and the recipe say themselves.

    `results`: what was reranked (such as a direction) -> NDCG@10 (or `metric`) of the shortlist in its own order and
    reranked, None where it was not measured. Leave out times and dates: the same training then gives the same card.
    """

    title: str = ""
    about: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    mix: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Direction -> what its lists are of -> how many: positives, and negatives mined and random."""
    datasets: tuple[str, ...] = ()
    """Hub ids."""
    results: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    metric: str = "NDCG@10"
    judged: str = ""
    """What the results were measured on, such as "300 queries, shortlists of 50 pages"."""
    training: Mapping[str, Any] = field(default_factory=dict)
    hardware: str = ""


def reranker_card(
    model: CrossEncoder, recipe: Recipe, facts: RerankFacts, parity: RerankParityReport | None, *, adapter: bool
) -> str:
    """The card as Markdown, its head as the Hub reads it. Folders of this machine are named by their last part."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pagetune.models"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    base = without_place(recipe.rerank.name)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    described = [
        f"takes {'texts and page images' if sees(model) else 'texts'}",
        f"{parameters / 1e6:.1f}M parameters in {str(model.dtype).removeprefix('torch.')}",
    ]
    if attention := attention_of(model):
        described.append(f"attention {attention}")
    if bounds := pixel_bounds(model):
        described.append(f"pages between {bounds[0]} and {bounds[1]} pixels")
    return environment.get_template("reranker_card.md.j2").render(
        front=yaml.safe_dump(_front(model, recipe, facts), sort_keys=False, allow_unicode=True),
        title=facts.title or f"{base.rpartition('/')[2]}, a reranker finetuned on pages",
        kind=KINDS[architecture_of(model)],
        base=f"`{base}`",
        facts=facts,
        mix=told_mix(facts.mix),
        description=", ".join(described),
        usage=_usage(model),
        prompts=[(each, prompt) for each in DIRECTIONS if (prompt := task_prompt(model, each))],
        results=[
            {"name": name, "before": figure(before), "after": figure(after)}
            for name, (before, after) in facts.results.items()
        ],
        libraries=libraries(),
        adapter=adapter,
        parity=parity,
        steps=[]
        if parity is None
        else [
            {"name": step.name, "difference": f"{step.difference:.0e}", "allowed": f"{step.allowed:g}"}
            for step in parity.steps
        ],
        recipe=yaml.safe_dump(portable(recipe, SECTIONS), sort_keys=False, allow_unicode=True),
    )


def told_mix(mix: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """By direction, in words."""
    found = {}
    for direction, counted in mix.items():
        said = ", ".join(f"{count} {name}" for name, count in counted.items() if name != "lists")
        found[direction] = f"{counted['lists']} lists ({said})"
    return found


def _front(model: CrossEncoder, recipe: Recipe, facts: RerankFacts) -> dict[str, Any]:
    tags = ["sentence-transformers", "cross-encoder", "reranker", "pagetune"]
    tags += ["visual-document-retrieval"] if sees(model) else []
    front: dict[str, Any] = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "text-ranking",
        "tags": tags + (["lora"] if recipe.lora.rank else []),
    }
    if is_hub_id(recipe.rerank.name):
        front["base_model"] = recipe.rerank.name
    if facts.datasets:
        front["datasets"] = list(facts.datasets)
    return front


def _usage(model: CrossEncoder) -> str:
    document = 'Image.open("page.png")' if sees(model) else '"the text of a page"'
    own = any(type(module).__module__.startswith("pagetune.") for module in model)
    prompt = f', prompt_name="{DIRECTIONS[0]}"' if model.prompts.get(DIRECTIONS[0]) else ""
    lines = [
        *(["from PIL import Image"] if sees(model) else []),
        "from sentence_transformers import CrossEncoder",
        "",
        # Its last module is Pagetune's, which Sentence Transformers imports only when it is told to.
        f'model = CrossEncoder("path/to/this/folder"{", trust_remote_code=True" if own else ""})',
        f'pairs = [("how do I reverse a transaction", {document})]',
        f"print(model.predict(pairs{prompt}))  # from 0 to 1",
    ]
    return "\n".join(lines)
