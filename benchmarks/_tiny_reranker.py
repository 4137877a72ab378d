"""Small random backbones for rerankers, made from nothing: what `load_reranker` builds both architectures from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _tiny import _qwen3_vl_model, _qwen3_vl_processor, tiny_qwen3_vl_reranker
from _tiny_parts import Shape, qwen_marks, qwen_text, vbert_tiles, vbert_tokenizer, write_bare

__all__ = [
    "PAIR_TEMPLATE",
    "tiny_qwen3_vl_reranker",
    "tiny_reranker_backbone",
    "tiny_seeing_classifier",
    "tiny_smolvlm",
    "tiny_text_reranker",
]

PAIR_TEMPLATE = """\
{%- macro render(content) -%}
{%- if content is string -%}{{ content }}
{%- else -%}
{%- for part in content -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'text' -%}{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- set parts = namespace(system='', query='', document='') -%}
{%- for message in messages -%}
{%- if message.role == 'query' -%}{%- set parts.query = render(message.content) -%}
{%- elif message.role == 'document' -%}{%- set parts.document = render(message.content) -%}
{%- elif message.role == 'system' -%}{%- set parts.system = render(message.content) -%}
{%- endif -%}
{%- endfor -%}
<|im_start|>user
<Instruct>: {{ parts.system }}
<Query>: {{ parts.query }}
<Document>: {{ parts.document }}<|im_end|>
{% if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""
"""The task prompt (the system's part), the query and the document in one turn; then the answer's, where it is asked."""


CHAT = """\
{%- for message in messages -%}
{%- if message.role in ('user', 'assistant') -%}
{{ message.role | capitalize }}: {% for part in message.content -%}
{%- if part.type == 'image' -%}<image>{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}
{%- endfor -%}<end_of_utterance>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{% endif -%}"""
"""Idefics's kind: turns of a user and an assistant, and no others."""


def tiny_reranker_backbone(
    folder: Path, vision_hidden: int = 128, vision_layers: int = 2, template: str = PAIR_TEMPLATE, **sizes: Any
) -> Path:
    """Qwen3-VL with its language-model head (Qwen/Qwen3-VL-2B-Instruct), and a template for pairs."""
    shape = Shape(**sizes)
    processor = _qwen3_vl_processor(shape)
    processor.chat_template = processor.tokenizer.chat_template = template
    with shape.seeded():
        model = _qwen3_vl_model(processor.tokenizer, shape, vision_hidden, vision_layers)
    return write_bare(folder, model, processor)


def tiny_seeing_classifier(folder: Path, vision_hidden: int = 64, **sizes: Any) -> Path:
    """Qwen3.5 with one class in the place of its language-model head: a sequence classifier that takes images, as
    nvidia/llama-nemotron-rerank-vl-1b-v2 is one."""
    from transformers import Qwen3_5Config, Qwen3_5ForSequenceClassification

    shape = Shape(**sizes)
    processor = _qwen3_vl_processor(shape)
    processor.chat_template = processor.tokenizer.chat_template = PAIR_TEMPLATE
    text = qwen_text(processor.tokenizer, shape)
    text |= {"head_dim": shape.hidden // shape.heads, "layer_types": ["full_attention"] * shape.layers}
    text["rope_parameters"] |= {"mrope_interleaved": True, "partial_rotary_factor": 1.0}
    vision = {
        "depth": 1,
        "hidden_size": vision_hidden,
        "intermediate_size": 4 * vision_hidden,
        "num_heads": 4,
        "out_hidden_size": shape.hidden,
        "initializer_range": vision_hidden**-0.5,
    }
    config = Qwen3_5Config(text_config=text, vision_config=vision, num_labels=1, **qwen_marks(processor.tokenizer))
    config.text_config.num_labels = 1
    config.pad_token_id = processor.tokenizer.pad_token_id
    with shape.seeded():
        model = Qwen3_5ForSequenceClassification(config)
    return write_bare(folder, model, processor)


def tiny_smolvlm(folder: Path, tile: int = 128, **sizes: Any) -> Path:
    """SmolVLM (HuggingFaceTB/SmolVLM-256M-Instruct): a page in tiles, a head of its own, a chat's template."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor

    shape = Shape(**sizes)
    tokenizer = vbert_tokenizer(shape)
    tokenizer.eos_token = "<end_of_utterance>"
    image, tokens = vbert_tiles(tile)
    processor = Idefics3Processor(image, tokenizer, image_seq_len=tokens, chat_template=CHAT)
    text = shape.text(tokenizer) | {"model_type": "llama", "initializer_range": shape.spread}
    config = Idefics3Config(
        text_config=text,
        vision_config=shape.vision(tile, 16),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    with shape.seeded():
        model = Idefics3ForConditionalGeneration(config)
    return write_bare(folder, model, processor)


def tiny_text_reranker(folder: Path, labels: int = 1, **sizes: Any) -> Path:
    """BERT that scores a query and a passage (cross-encoder/ms-marco-MiniLM-L6-v2)."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    shape = Shape(**sizes)
    tokenizer = shape.trained(BertTokenizer(model_max_length=512))
    config = BertConfig(**shape.text(tokenizer), initializer_range=shape.spread, num_labels=labels)
    with shape.seeded():
        model = BertForSequenceClassification(config)
    return write_bare(folder, model, tokenizer)
