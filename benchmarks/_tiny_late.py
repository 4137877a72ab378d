"""The tiny late-interaction checkpoints: a vector of `embedding` numbers a token, from text or from a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _tiny_parts import (
    QWEN_MARKS,
    Shape,
    qwen_marks,
    qwen_text,
    vbert_config,
    vbert_tiles,
    vbert_tokenizer,
    write_bare,
)


def tiny_colmodernvbert(folder: Path, tile: int = 128, embedding: int = 64, **sizes: Any) -> Path:
    """ColModernVBERT (ModernVBERT/colmodernvbert-merged): a vector of `embedding` a token."""
    from transformers import ColModernVBertConfig, ColModernVBertForRetrieval, ColModernVBertProcessor

    shape = Shape(**sizes)
    tokenizer = vbert_tokenizer(shape)
    image, tokens = vbert_tiles(tile)
    config = ColModernVBertConfig(vlm_config=vbert_config(tokenizer, shape, tile), embedding_dim=embedding)
    with shape.seeded():
        model = ColModernVBertForRetrieval(config)
    return write_bare(folder, model, ColModernVBertProcessor(image, tokenizer, image_seq_len=tokens))


def tiny_colqwen2(
    folder: Path, vision_hidden: int = 128, vision_layers: int = 2, embedding: int = 64, **sizes: Any
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

    shape = Shape(**sizes)
    tokenizer = shape.trained(Qwen2Tokenizer(model_max_length=32768), QWEN_MARKS)
    image = Qwen2VLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 768 * 28 * 28})
    vlm = Qwen2VLConfig(
        text_config=qwen_text(tokenizer, shape),
        vision_config={
            "depth": vision_layers,
            "embed_dim": vision_hidden,
            "hidden_size": shape.hidden,
            "num_heads": 4,
            "initializer_range": vision_hidden**-0.5,
        },
        **qwen_marks(tokenizer),
    )
    with shape.seeded():
        model = ColQwen2ForRetrieval(ColQwen2Config(vlm_config=vlm, embedding_dim=embedding))
    return write_bare(folder, model, ColQwen2Processor(image, tokenizer))


def tiny_colpali(folder: Path, image_size: int = 224, embedding: int = 64, **sizes: Any) -> Path:
    """ColPali (vidore/colpali-v1.3-hf): a vector of `embedding` a token."""
    from transformers import (
        ColPaliConfig,
        ColPaliForRetrieval,
        ColPaliProcessor,
        GemmaTokenizer,
        PaliGemmaConfig,
        SiglipImageProcessor,
    )

    shape = Shape(**sizes)
    tokenizer = shape.trained(GemmaTokenizer(model_max_length=8192), ("<image>",))
    image: Any = SiglipImageProcessor(size={"height": image_size, "width": image_size})
    image.image_seq_length = (image_size // 14) ** 2
    processor = ColPaliProcessor(image, tokenizer)
    text = {
        **shape.text(tokenizer),
        "model_type": "gemma",
        "num_key_value_heads": 1,
        "head_dim": shape.hidden // shape.heads,
        "initializer_range": shape.spread,
    }
    vlm = PaliGemmaConfig(
        text_config=text,
        vision_config=shape.vision(image_size, 14) | {"model_type": "siglip_vision_model", "vision_use_head": False},
        image_token_index=processor.image_token_id,
        projection_dim=shape.hidden,
        hidden_size=shape.hidden,
        vocab_size=len(tokenizer),
    )
    with shape.seeded():
        model = ColPaliForRetrieval(ColPaliConfig(vlm_config=vlm, embedding_dim=embedding))
    return write_bare(folder, model, processor)
