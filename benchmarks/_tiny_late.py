"""The tiny late-interaction checkpoints: a vector of `embedding` numbers a token, from text or from a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _tiny_parts import (
    QWEN_MARKS,
    qwen_marks,
    qwen_text,
    seeded,
    text_sizes,
    trained,
    vbert_config,
    vbert_tiles,
    vbert_tokenizer,
    vision_sizes,
    write_bare,
)


def tiny_colmodernvbert(
    folder: Path,
    hidden: int = 128,
    layers: int = 2,
    heads: int = 4,
    tile: int = 128,
    embedding: int = 64,
    vocab: int = 4096,
    words: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """ColModernVBERT (ModernVBERT/colmodernvbert-merged): a vector of `embedding` a token."""
    from transformers import ColModernVBertConfig, ColModernVBertForRetrieval, ColModernVBertProcessor

    tokenizer = vbert_tokenizer(words, vocab)
    image, tokens = vbert_tiles(tile)
    config = ColModernVBertConfig(
        vlm_config=vbert_config(tokenizer, hidden, layers, heads, tile), embedding_dim=embedding
    )
    with seeded(seed):
        model = ColModernVBertForRetrieval(config)
    return write_bare(folder, model, ColModernVBertProcessor(image, tokenizer, image_seq_len=tokens))


def tiny_colqwen2(
    folder: Path,
    hidden: int = 128,
    layers: int = 2,
    heads: int = 4,
    vision_hidden: int = 128,
    vision_layers: int = 2,
    embedding: int = 64,
    vocab: int = 4096,
    words: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """ColQwen2 (vidore/colqwen2-v1.0-hf): a vector of `embedding` a token."""
    from transformers import (
        ColQwen2Config,
        ColQwen2ForRetrieval,
        ColQwen2Processor,
        Qwen2Tokenizer,
        Qwen2VLConfig,
        Qwen2VLImageProcessor,
    )

    tokenizer = trained(Qwen2Tokenizer(model_max_length=32768), words, vocab, QWEN_MARKS)
    image = Qwen2VLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 768 * 28 * 28})
    vlm = Qwen2VLConfig(
        text_config=qwen_text(tokenizer, hidden, layers, heads),
        vision_config={
            "depth": vision_layers,
            "embed_dim": vision_hidden,
            "hidden_size": hidden,
            "num_heads": 4,
            "initializer_range": vision_hidden**-0.5,
        },
        **qwen_marks(tokenizer),
    )
    with seeded(seed):
        model = ColQwen2ForRetrieval(ColQwen2Config(vlm_config=vlm, embedding_dim=embedding))
    return write_bare(folder, model, ColQwen2Processor(image, tokenizer))


def tiny_colpali(
    folder: Path,
    hidden: int = 128,
    layers: int = 2,
    heads: int = 4,
    image_size: int = 224,
    embedding: int = 64,
    vocab: int = 4096,
    words: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """ColPali (vidore/colpali-v1.3-hf): a vector of `embedding` a token."""
    from transformers import (
        ColPaliConfig,
        ColPaliForRetrieval,
        ColPaliProcessor,
        GemmaTokenizer,
        PaliGemmaConfig,
        SiglipImageProcessor,
    )

    tokenizer = trained(GemmaTokenizer(model_max_length=8192), words, vocab, ("<image>",))
    image: Any = SiglipImageProcessor(size={"height": image_size, "width": image_size})
    image.image_seq_length = (image_size // 14) ** 2
    processor = ColPaliProcessor(image, tokenizer)
    text = {
        **text_sizes(tokenizer, hidden, layers, heads),
        "model_type": "gemma",
        "num_key_value_heads": 1,
        "head_dim": hidden // heads,
        "initializer_range": hidden**-0.5,
    }
    vlm = PaliGemmaConfig(
        text_config=text,
        vision_config=vision_sizes(hidden, layers, heads, image_size, 14)
        | {"model_type": "siglip_vision_model", "vision_use_head": False},
        image_token_index=processor.image_token_id,
        projection_dim=hidden,
        hidden_size=hidden,
        vocab_size=len(tokenizer),
    )
    with seeded(seed):
        model = ColPaliForRetrieval(ColPaliConfig(vlm_config=vlm, embedding_dim=embedding))
    return write_bare(folder, model, processor)
