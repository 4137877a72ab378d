"""The chat template around a query and a page: whether it carries both, and one that does for a plain chat model."""

from __future__ import annotations

import re
from typing import Any

from pagetune.errors import ModelError
from pagetune.recipe import RerankRecipe

PAIR = """\
{%- set pair = namespace(task=[], query=[], document=[], flat=true) -%}
{%- for message in messages -%}
{%- set parts = [{'type': 'text', 'text': message.content}] if message.content is string else message.content -%}
{%- if message.content is not string -%}{%- set pair.flat = false -%}{%- endif -%}
{%- if message.role == 'query' -%}{%- set pair.query = pair.query + parts -%}
{%- elif message.role == 'document' -%}{%- set pair.document = pair.document + parts -%}
{%- elif message.role == 'system' -%}{%- set pair.task = pair.task + parts -%}
{%- endif -%}
{%- endfor -%}
{%- if pair.query or pair.document -%}
{%- set parts = [{'type': 'text', 'text': ASKED}] + pair.task
    + [{'type': 'text', 'text': '\\n<Query>: '}] + pair.query
    + [{'type': 'text', 'text': '\\n<Document>: '}] + pair.document -%}
{%- if pair.flat -%}{%- set parts = parts | map(attribute='text') | join -%}{%- endif -%}
{%- set messages = [{'role': 'user', 'content': parts}] -%}
{%- endif -%}
"""
"""Stands before a chat model's own template: the pair becomes one turn of the user, which that template knows."""

QUERY, PAGE = "zebra query", "zebra page"
"""What stands for both where a template is looked at."""

CLOSING = re.compile(r"</[^<>]*>|<\|?/?(?:end|eot|eos|eom|im_end)\w*\|?>", re.IGNORECASE)
"""Marks at which something ends, in the ways of various families."""

ASKED = 'Does the document answer the query? Reply "{true}" if it does and "{false}" if it does not.\n<Instruct>: '


def add_roles(transformer: Any, recipe: RerankRecipe, name: str) -> None:
    """Teach a backbone's chat template the roles of a query and a document, unless it knows them.

    Raises ModelError for a backbone without a chat template.
    """
    template = chat_template(transformer)
    if template is None:
        raise ModelError(
            f"reranker {name!r} has no chat template to put a query and a page into; add chat_template.jinja, or name "
            "the instruction-tuned model of the same family"
        )
    if "'document'" in template or '"document"' in template:
        return  # It means to know them: where it does not, the checks say how.
    asked = ASKED.format(true=recipe.true_token, false=recipe.false_token)
    # As Jinja writes texts, which is as Python does.
    set_chat_template(transformer, PAIR.replace("ASKED", repr(asked)) + template)


def chat_template(transformer: Any) -> str | None:
    """The template in force; None where there is none, or several by name."""
    processor = transformer.processor
    for holder in (processor, getattr(processor, "tokenizer", None)):
        template = getattr(holder, "chat_template", None)
        if isinstance(template, dict):
            template = template.get("default")
        if isinstance(template, str):
            return template
    return None


def set_chat_template(transformer: Any, template: str) -> None:
    """Replace it wherever it is read from."""
    processor = transformer.processor
    for holder in (processor, getattr(processor, "tokenizer", None)):
        if holder is not None and hasattr(holder, "chat_template"):
            holder.chat_template = template


def pair_failure(transformer: Any) -> str | None:
    """Why the chat template does not carry a query and a page to the model; None where it does."""
    formatter = transformer.input_formatter
    kwargs = template_arguments(transformer)
    failure: str | None = formatter.pair_roles_failure(kwargs)
    token = getattr(transformer.processor, "image_token", None)
    if failure is not None or token is None or "image" not in transformer.modalities:
        return failure
    for role, messages in (
        ("document", formatter.pair_to_messages(("a query", _picture()))),
        ("query", formatter.pair_to_messages((_picture(), "a query"))),
    ):
        try:
            rendered = transformer.processor.apply_chat_template(messages, tokenize=False, **kwargs)
        except Exception as error:  # Whatever a foreign template raises.
            return f"it raised {type(error).__name__}: {error}"
        if token not in rendered:
            return f"an image as the {role!r} does not reach the rendered prompt"
    return None


def template_arguments(transformer: Any) -> dict[str, Any]:
    """What the chat template is called with, as far as it is the template's own affair."""
    given: dict[str, Any] = dict(transformer.processing_kwargs.get("chat_template", {}))
    given.pop("restore_suffix", None)
    return given


def unanswered(transformer: Any) -> str | None:
    """Why a rendered pair does not end where the model's answer would begin; None where it does."""
    kwargs = template_arguments(transformer)
    messages = transformer.input_formatter.pair_to_messages((QUERY, PAGE))
    render = transformer.processor.apply_chat_template
    rendered = render(messages, tokenize=False, **kwargs)
    asked = render(messages, tokenize=False, **kwargs | {"add_generation_prompt": True})
    if rendered != asked:
        return "its chat template would add a generation prompt and is not told to"
    ends = {transformer.tokenizer.eos_token, *_ends(transformer)} - {None}
    bare = rendered.rstrip()
    last = next((end for end in ends if bare.endswith(end)), None)
    if last is not None:
        return f"its chat template ends with {last!r} and has no generation prompt"
    if bare.endswith(PAGE):
        return "its chat template ends with the page and has no generation prompt"
    if bare != render(messages, tokenize=False, **kwargs | {"add_generation_prompt": False}).rstrip():
        return None
    # It opens the answer whether it is told to or not, or never does.
    rest = bare[max(bare.rfind(text) + len(text) for text in (QUERY, PAGE)) :] if PAGE in bare else bare
    for end in ends:
        rest = rest.replace(end, "")
    if CLOSING.sub("", rest).strip(" \n\t\"'.)]}*`"):
        return None
    return f"nothing behind the page ({bare[-24:]!r}) opens an answer, and its chat template has no generation prompt"


def _ends(transformer: Any) -> list[str]:
    """The tokens at which the model stops answering."""
    ids = getattr(getattr(transformer.model, "generation_config", None), "eos_token_id", None)
    listed = ids if isinstance(ids, list) else [] if ids is None else [ids]
    return [str(transformer.tokenizer.convert_ids_to_tokens(each)) for each in listed]


def _picture() -> Any:
    from PIL import Image

    return Image.new("RGB", (32, 32))
