"""Rerankers made of a backbone: what stands behind the transformer, what stands around the pair, how each begins."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError
from pagetune.models.light import light_weights
from pagetune.models.own_modules import load_modules, names_own, read_json
from pagetune.models.quiet import drawn_from, quiet
from pagetune.models.refused import why
from pagetune.models.reranker_head import answer_direction, answer_ids
from pagetune.models.reranker_specs import RerankSpec, generates, read_config, sees_by
from pagetune.models.reranker_template import add_roles
from pagetune.recipe import RerankDirection, RerankRecipe

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer

PROMPTS: dict[RerankDirection, str] = {
    "text_to_image": "Given a search query, judge whether the page answers it.",
    "image_to_text": "Given a page, judge whether the text is a query that it answers.",
}
"""The task prompts of a reranker that is built from a vision-language backbone."""

ANSWERING: Any = {"chat_template": {"add_generation_prompt": True}}
"""The input ends where an answer would begin: there the model is read."""


def load_saved(spec: RerankSpec) -> CrossEncoder:
    """A checkpoint that is a reranker already, by its own files. Raises ModelError."""
    from sentence_transformers import CrossEncoder

    try:
        with quiet():
            folder = Path(spec.name)
            if names_own(read_json(folder / "modules.json")):
                return load_own(folder, model_kwargs=spec.base.model_arguments())
            return CrossEncoder(spec.name, **spec.base.arguments())
    except ModelError:
        raise
    except Exception as error:
        raise _refused(spec, error) from error


def load_own(folder: Path, device: str | None = None, **transformer: Any) -> CrossEncoder:
    """A reranker whose folder names a module of Pagetune's; `transformer`: keyword arguments of the one that holds the
    weights."""
    from sentence_transformers import CrossEncoder

    loaded = load_modules(folder, read_json(folder / "modules.json"), **transformer)
    config = read_json(folder / "config_sentence_transformers.json") or {}
    kept = {key: config[key] for key in ("prompts", "default_prompt_name") if key in config}
    return CrossEncoder(modules=loaded, num_labels=1, device=device, **kept)


def build_reranker(spec: RerankSpec, recipe: RerankRecipe) -> CrossEncoder:
    """A reranker over the backbone that `spec` names. Raises ModelError, MissingExtra."""
    try:
        with quiet():
            if spec.architecture == "text":
                return _text(spec, recipe)
            return _logit(spec, recipe) if spec.architecture == "logit" else _pooled(spec, recipe)
    except ModelError:
        raise
    except Exception as error:
        raise _refused(spec, error) from error


def _logit(spec: RerankSpec, recipe: RerankRecipe) -> CrossEncoder:
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.modules import LogitScore

    config = read_config(spec.base)
    if not generates(config):
        heads = ", ".join(getattr(config, "architectures", None) or ["a model without a class"])
        raise ModelError(
            f"reranker {spec.name!r}: architecture logit needs a language-model head, the checkpoint is {heads}; "
            "name a model that generates, or set rerank.architecture to pooled or text"
        )
    transformer = _transformer(spec, "any-to-any" if sees_by(config) else "text-generation")
    true, false = answer_ids(transformer.tokenizer, recipe, spec.name)
    add_roles(transformer, recipe, spec.name)
    return CrossEncoder(modules=[transformer, LogitScore(true, false)], prompts=_prompts(transformer))


def _pooled(spec: RerankSpec, recipe: RerankRecipe) -> CrossEncoder:
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.sentence_transformer.modules import Pooling

    transformer = _transformer(spec, "feature-extraction")
    answers = answer_ids(transformer.tokenizer, recipe, spec.name)
    add_roles(transformer, recipe, spec.name)
    width = transformer.get_embedding_dimension()
    dense = Dense(
        width,
        1,
        bias=False,
        activation_function=None,
        init_weight=answer_direction(transformer.model, spec, *answers)[None],
        module_output_name="scores",
    )
    # The difference of two large sums: in half precision the last bits of it would decide which page is first.
    modules = [transformer, Pooling(width, "lasttoken"), dense]
    return CrossEncoder(modules=modules, prompts=_prompts(transformer), keep_in_fp32_modules=["2.linear"])


def _text(spec: RerankSpec, recipe: RerankRecipe) -> CrossEncoder:
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer

    if spec.name == "light":
        return _light(spec)
    places = spec.hub() | {"trust_remote_code": spec.base.trust_remote_code}
    config = read_config(spec.base)
    if sees_by(config):
        raise ModelError(
            f"reranker {spec.name!r}: architecture text needs a text model, this one is a {config.model_type} that "
            "takes images; set rerank.architecture to logit or pooled"
        )
    with drawn_from(recipe.seed):  # The classifier on top is new.
        transformer = Transformer(
            spec.name,
            transformer_task="sequence-classification",
            model_kwargs=spec.base.model_arguments() | places,
            processor_kwargs=dict(places),
            config_kwargs=places | {"num_labels": 1},
        )
    return CrossEncoder(modules=[transformer], num_labels=1)


def _light(spec: RerankSpec) -> CrossEncoder:
    """The retriever's own transformer, which knows what is alike, under a head that begins with that."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer

    from pagetune.models.token_match import TokenMatch

    places = {"local_files_only": True}
    transformer = Transformer(
        str(light_weights()),
        transformer_task="feature-extraction",
        model_kwargs=spec.base.model_arguments() | places,
        processor_kwargs=dict(places),
        config_kwargs=places | {"num_labels": 1},
    )
    # It has learned to compare texts of the first type only: the second begins as the same.
    types = transformer.model.embeddings.token_type_embeddings.weight.data
    types[1] = types[0]
    match = TokenMatch(transformer.get_embedding_dimension(), transformer.tokenizer.sep_token_id)
    return CrossEncoder(modules=[transformer, match], num_labels=1)


def _transformer(spec: RerankSpec, task: Any) -> Transformer:
    from sentence_transformers.base.modules import Transformer

    places = spec.hub() | {"trust_remote_code": spec.base.trust_remote_code}
    return Transformer(
        spec.name,
        transformer_task=task,
        model_kwargs=spec.base.model_arguments() | places,
        processor_kwargs=dict(places),
        config_kwargs=dict(places),
        processing_kwargs=copy.deepcopy(ANSWERING),
    )


def _prompts(transformer: Any) -> dict[str, str]:
    known = {str(direction): prompt for direction, prompt in PROMPTS.items()}
    return known if "image" in transformer.modalities else {}


def _refused(spec: RerankSpec, error: Exception) -> ModelError:
    base = spec.base
    reason = why(base.name, error, trusted=base.trust_remote_code, revision=base.revision, section="rerank")
    return ModelError(f"reranker {base.name!r} cannot be loaded: {reason}")
