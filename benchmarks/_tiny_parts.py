"""What the tiny checkpoints share: trained tokenizers, chat templates, pieces of configurations, and the folder."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pagetune.models.quiet import quiet

CHAT_TEMPLATE = """\
{%- macro render(content) -%}
{%- if content is string -%}{{ content }}
{%- else -%}
{%- for part in content -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- elif part.type == 'text' -%}{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ render(message.content) }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""
"""Qwen's kind: every message, of whatever role, between its marks; text and pictures in the order given."""

VBERT_TEMPLATE = """\
{%- for message in messages -%}
{{ message.role }}: {% for part in message.content -%}
{%- if part.type == 'image' -%}<image>{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}
{%- endfor -%}<end_of_utterance>
{% endfor -%}"""

QWEN_MARKS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
VBERT_MARKS = (
    *("<|begin_of_text|>", "<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"),
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)

PATCH, SHUFFLE = 16, 2
"""ModernVBERT's patch, and the patches a side that make one token: 4 as published, but tiles here are small."""

STOCK = (
    "the a an of and to in is it that for on with as by at from or which where when how what why who does",
    "page pages table figure chart chapter section title text image number name value query document",
    " ".join(string.ascii_letters + string.digits + string.punctuation),
    string.ascii_lowercase + string.digits,
    # Reversed once more: a word piece that begins a word and the same inside one are two entries of the vocabulary.
    (string.ascii_lowercase + string.digits)[::-1],
)
"""What every tokenizer is trained on besides the caller's words, so that no text is all unknown."""


@dataclass(frozen=True)
class Shape:
    """What every tiny model has: how large it is, its words, and the seed of its weights.

    `words` are whole tokens; `vocab` bounds what else the tokenizer learns.
    """

    hidden: int = 128
    layers: int = 2
    heads: int = 4
    vocab: int = 4096
    words: Sequence[str] = ()
    seed: int = 0

    @property
    def spread(self) -> float:
        """Of the first weights: at the published 0.02 a model this narrow tells inputs apart less."""
        return self.hidden**-0.5

    def trained(self, blank: Any, special: Sequence[str] = ()) -> Any:
        """A tokenizer of the same class as `blank`: the words whole, other text in pieces."""
        from tokenizers import AddedToken

        lines = [*STOCK, *self.words, *(f" {word}" for word in self.words)]
        marks = list(special)
        tokenizer = blank.train_new_from_iterator(lines, self.vocab, new_special_tokens=marks, show_progress=False)
        # Words that the pre-tokenizer cuts (digits, hyphens), or that found no room, are taken in as they stand.
        cut = [word for word in self.words if len(tokenizer.tokenize(f" {word}")) != 1]
        tokenizer.add_tokens([AddedToken(word, single_word=True, lstrip=True) for word in cut])
        return tokenizer

    def sizes(self) -> dict[str, Any]:
        """What the configurations of texts and of pictures name alike."""
        return {
            "hidden_size": self.hidden,
            "intermediate_size": 4 * self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
        }

    def text(self, tokenizer: Any) -> dict[str, Any]:
        """What every text model's configuration names alike."""
        marks = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
        return {"vocab_size": len(tokenizer), **self.sizes(), **marks}

    def vision(self, image_size: int, patch: int) -> dict[str, Any]:
        """What CLIP's and SigLIP's picture towers name alike."""
        return {**self.sizes(), "image_size": image_size, "patch_size": patch}

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Random weights from the seed; the caller's own random state is as before afterwards."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            yield


def qwen_text(tokenizer: Any, shape: Shape) -> dict[str, Any]:
    """Qwen's language model: keys and values shared by two heads each, positions in time, height and width."""
    half = shape.hidden // shape.heads // 2
    side = half * 5 // 16
    return {
        **shape.text(tokenizer),
        "num_key_value_heads": max(1, shape.heads // 2),
        "max_position_embeddings": 32768,
        # Two short texts are 0.80 alike, at 0.02 they are 0.90.
        "initializer_range": shape.spread,
        # The three share the frequencies as published, near 24 : 20 : 20.
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [half - 2 * side, side, side]},
    }


def qwen_marks(tokenizer: Any) -> dict[str, Any]:
    """Qwen's marks by the names of its configuration."""
    named = ("image_token_id", "<|image_pad|>"), ("video_token_id", "<|video_pad|>")
    ends = ("vision_start_token_id", "<|vision_start|>"), ("vision_end_token_id", "<|vision_end|>")
    return {name: tokenizer.convert_tokens_to_ids(mark) for name, mark in (*named, *ends)}


def vbert_tokenizer(shape: Shape) -> Any:
    """A byte-level tokenizer with BERT's special tokens, as ModernBERT's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    blank = PreTrainedTokenizerFast(tokenizer_object=bare, model_max_length=8192, **named)
    return shape.trained(blank, VBERT_MARKS)


def vbert_tiles(tile: int) -> tuple[Any, int]:
    """The picture processor of ModernVBERT (up to four tiles a side, and the whole page), and a tile's tokens."""
    from transformers import Idefics3ImageProcessor

    sizes: dict[str, Any] = {"size": {"longest_edge": 4 * tile}, "max_image_size": {"longest_edge": tile}}
    return Idefics3ImageProcessor(**sizes), (tile // PATCH // SHUFFLE) ** 2


def vbert_config(tokenizer: Any, shape: Shape, tile: int) -> Any:
    """ModernVBERT's configuration: ModernBERT that reads SigLIP's patches, SHUFFLE x SHUFFLE of them a token."""
    from transformers import ModernVBertConfig

    text = shape.text(tokenizer) | {"model_type": "modernbert"}
    marks = {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
    vision = shape.vision(tile, PATCH) | {"model_type": "siglip_vision_model"}
    return ModernVBertConfig(
        text_config=text | marks | {"initializer_range": shape.spread},
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pixel_shuffle_factor=SHUFFLE,
        initializer_range=shape.spread,
    )


def write_folder(folder: Path, model: Any, processor: Any, kind: type, modules: Sequence[Any], **loading: Any) -> Path:
    """Write a checkpoint with what `kind` loads it by: a Transformer, made with `loading`, and then `modules`."""
    from sentence_transformers.base.modules import Transformer

    with quiet():
        with TemporaryDirectory() as bare:
            write_bare(Path(bare), model, processor)
            kind(modules=[Transformer(bare, **loading), *modules]).save_pretrained(str(folder), create_model_card=False)
        # Published checkpoints carry the head that was trained with them, which a Transformer drops at loading.
        model.save_pretrained(folder)
    return folder


def write_bare(folder: Path, model: Any, processor: Any) -> Path:
    """Write a checkpoint with transformers' files alone."""
    with quiet():
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder
