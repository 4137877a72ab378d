"""What makes a reranker score nonsense without a word, refused before it does: head, generation prompt, template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pagetune.errors import ModelError
from pagetune.models.inspect import architecture_of
from pagetune.models.reranker_head import answer_ids, has_head
from pagetune.models.reranker_specs import RerankSpec
from pagetune.models.reranker_template import pair_failure, unanswered
from pagetune.recipe import RerankRecipe

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


def check_reranker(model: CrossEncoder, spec: RerankSpec, recipe: RerankRecipe) -> None:
    """Refuse a reranker that cannot score a query and a page. Raises ModelError with one line."""
    architecture = architecture_of(model)
    _check_head(model, spec)
    transformer: Any = model[0]
    shown = "image" in transformer.modalities
    if "message" not in transformer.modalities:
        if shown:
            raise ModelError(
                f"reranker {spec.name!r} has no chat template to put a query and a page into; add chat_template.jinja"
            )
        return
    if architecture == "text" and not shown:
        return  # Its tokenizer takes a pair of texts as it is, whatever template lies beside it.
    failure = pair_failure(transformer)
    if failure is not None:
        line = " ".join(failure.split())
        raise ModelError(
            f"reranker {spec.name!r}: its chat template does not carry a query and a page ({line}); give it a "
            "chat_template.jinja that renders the roles query and document"
        )
    if architecture == "logit" or not spec.saved:
        missing = unanswered(transformer)
        if missing is not None:
            raise ModelError(
                f"reranker {spec.name!r}: the model is read where no answer begins: {missing}; set "
                '"add_generation_prompt": true under processing_kwargs.chat_template in sentence_bert_config.json, '
                "and have chat_template.jinja open the assistant's turn"
            )


def _check_head(model: CrossEncoder, spec: RerankSpec) -> None:
    """One score a pair, by a head that was trained."""
    architecture = architecture_of(model)
    if model.num_labels != 1:
        what = "no Dense layer that gives scores" if architecture == "pooled" else f"{model.num_labels} classes"
        raise ModelError(
            f"reranker {spec.name!r} has the wrong head: it gives {what}, a reranker gives one score a pair; choose a "
            "checkpoint with num_labels=1, or the backbone that it was made from"
        )
    if architecture == "logit" and not has_head(model.config, spec):
        raise ModelError(
            f"reranker {spec.name!r} has the wrong head: its checkpoint holds no language-model head (lm_head.weight), "
            "so its scores would be random; name the model that generates, or set rerank.architecture=pooled"
        )


def check_answers(model: CrossEncoder, spec: RerankSpec, recipe: RerankRecipe) -> None:
    """Refuse answers that the recipe names and a logit checkpoint does not have. Raises ModelError."""
    from sentence_transformers.cross_encoder.modules import LogitScore

    if not {"true_token", "false_token"} & recipe.model_fields_set:
        return
    asked = answer_ids(model.tokenizer, recipe, spec.name)
    for module in model:
        if isinstance(module, LogitScore) and (module.true_token_id, module.false_token_id) != asked:
            own = model.tokenizer.convert_ids_to_tokens([module.true_token_id, module.false_token_id or 0])
            raise ModelError(
                f"rerank.true_token={recipe.true_token!r} and false_token={recipe.false_token!r}: {spec.name} answers "
                f"with {own[0]!r} and {own[1]!r}; leave them out, or name a backbone"
            )
