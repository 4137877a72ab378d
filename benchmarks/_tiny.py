"""Small random checkpoints of the real architecture classes, made from nothing and loaded like the published ones.

Every builder writes a folder and returns it; besides its own keywords it takes those of `Shape`. The weights are
random: what a model finds is chance, until it is trained.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from _tiny_late import tiny_colmodernvbert, tiny_colpali, tiny_colqwen2
from _tiny_parts import (
    CHAT_TEMPLATE,
    QWEN_MARKS,
    VBERT_TEMPLATE,
    Shape,
    qwen_marks,
    qwen_text,
    vbert_config,
    vbert_tiles,
    vbert_tokenizer,
    write_bare,
    write_folder,
)

__all__ = [
    "tiny_clip",
    "tiny_colmodernvbert",
    "tiny_colpali",
    "tiny_colqwen2",
    "tiny_modernvbert",
    "tiny_qwen3_vl",
    "tiny_qwen3_vl_reranker",
    "tiny_siglip",
    "tiny_text_encoder",
]

CENTRED: dict[str, Any] = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
"""Pixels between -1 and 1, as Qwen3-VL wants them."""

ANSWERING = {"chat_template": {"add_generation_prompt": True}}
"""The input ends where an answer would begin, whatever was asked: there the model is read."""


def tiny_text_encoder(folder: Path, **sizes: Any) -> Path:
    """BERT, mean pooling, length 1 (sentence-transformers/all-MiniLM-L6-v2)."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel, BertTokenizer

    shape = Shape(**sizes)
    tokenizer = shape.trained(BertTokenizer(model_max_length=512))
    config = BertConfig(**shape.text(tokenizer), initializer_range=shape.spread)
    with shape.seeded():
        model = BertModel(config)
    modules = [Pooling(shape.hidden, "mean"), Normalize()]
    return write_folder(folder, model, tokenizer, SentenceTransformer, modules, max_seq_length=256)


def tiny_clip(folder: Path, image_size: int = 224, **sizes: Any) -> Path:
    """CLIP, text and pictures of one fixed size (openai/clip-vit-base-patch32)."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    shape = Shape(**sizes)
    tokenizer = shape.trained(CLIPTokenizer(model_max_length=77))
    size = {"height": image_size, "width": image_size}
    image = CLIPImageProcessor(size={"shortest_edge": image_size}, crop_size=size)
    config = CLIPConfig(
        text_config={
            **shape.text(tokenizer),
            "max_position_embeddings": 77,
            "projection_dim": shape.hidden,
        },
        vision_config=shape.vision(image_size, 32) | {"projection_dim": shape.hidden},
        projection_dim=shape.hidden,
    )
    with shape.seeded():
        model = CLIPModel(config)
    return write_bare(folder, model, CLIPProcessor(image, tokenizer))


def tiny_siglip(folder: Path, image_size: int = 224, **sizes: Any) -> Path:
    """SigLIP 2 at a fixed resolution: SigLIP's class, Gemma's tokenizer (google/siglip2-base-patch16-224)."""
    from transformers import GemmaTokenizer, SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    shape = Shape(**sizes)
    tokenizer = shape.trained(GemmaTokenizer(model_max_length=64, padding_side="right"))
    image = SiglipImageProcessor(size={"height": image_size, "width": image_size})
    config = SiglipConfig(
        text_config={
            **shape.text(tokenizer),
            "max_position_embeddings": 64,
            "projection_size": shape.hidden,
        },
        vision_config=shape.vision(image_size, 16),
    )
    with shape.seeded():
        model = SiglipModel(config)
    return write_bare(folder, model, SiglipProcessor(image, tokenizer))


def tiny_qwen3_vl(
    folder: Path, vision_hidden: int = 128, vision_layers: int = 2, intermediate: int | None = None, **sizes: Any
) -> Path:
    """Qwen3-VL, last token, length 1 (Qwen/Qwen3-VL-Embedding-2B)."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling

    shape = Shape(**sizes)
    processor = _qwen3_vl_processor(shape)
    with shape.seeded():
        model = _qwen3_vl_model(processor.tokenizer, shape, vision_hidden, vision_layers, intermediate)
    modules = [Pooling(shape.hidden, "lasttoken"), Normalize()]
    return write_folder(folder, model, processor, SentenceTransformer, modules, processing_kwargs=ANSWERING)


def tiny_qwen3_vl_reranker(folder: Path, vision_hidden: int = 128, vision_layers: int = 2, **sizes: Any) -> Path:
    """Qwen3-VL with its language head; a pair's score is the logit of "yes" less that of "no"."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.modules import LogitScore

    shape = Shape(**sizes)
    shape = replace(shape, words=[*shape.words, "yes", "no"])
    processor = _qwen3_vl_processor(shape)
    with shape.seeded():
        model = _qwen3_vl_model(processor.tokenizer, shape, vision_hidden, vision_layers)
    answers = processor.tokenizer.convert_tokens_to_ids(["yes", "no"])
    loading: dict[str, Any] = {"transformer_task": "any-to-any", "processing_kwargs": ANSWERING}
    return write_folder(folder, model, processor, CrossEncoder, [LogitScore(*answers)], **loading)


def tiny_modernvbert(folder: Path, tile: int = 128, **sizes: Any) -> Path:
    """ModernVBERT, mean pooling, length 1 (ModernVBERT/modernvbert); a page is cut in up to four tiles a side."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import Idefics3Processor, ModernVBertForMaskedLM

    shape = Shape(**sizes)
    tokenizer = vbert_tokenizer(shape)
    image, tokens = vbert_tiles(tile)
    processor = Idefics3Processor(image, tokenizer, image_seq_len=tokens, chat_template=VBERT_TEMPLATE)
    with shape.seeded():
        model = ModernVBertForMaskedLM(vbert_config(tokenizer, shape, tile))
    return write_folder(folder, model, processor, SentenceTransformer, [Pooling(shape.hidden, "mean"), Normalize()])


def _qwen3_vl_processor(shape: Shape) -> Any:
    from transformers import Qwen2Tokenizer, Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer = shape.trained(Qwen2Tokenizer(model_max_length=32768), QWEN_MARKS)
    tokenizer.eos_token = "<|im_end|>"
    # The bounds are numbers of pixels, whatever their names say.
    image = Qwen2VLImageProcessor(patch_size=16, size={"shortest_edge": 4096, "longest_edge": 1310720}, **CENTRED)
    return Qwen3VLProcessor(image, tokenizer, Qwen3VLVideoProcessor(), chat_template=CHAT_TEMPLATE)


def _qwen3_vl_model(
    tokenizer: Any, shape: Shape, vision_hidden: int, vision_layers: int, intermediate: int | None = None
) -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    text = qwen_text(tokenizer, shape)
    text["rope_parameters"]["mrope_interleaved"] = True
    taps = min(3, shape.layers, vision_layers)
    vision = {
        "depth": vision_layers,
        "hidden_size": vision_hidden,
        "intermediate_size": 4 * vision_hidden,
        "num_heads": 4,
        "out_hidden_size": shape.hidden,
        "num_position_embeddings": 576,
        # The layers whose output the first layers of the language model see too.
        "deepstack_visual_indexes": [place * vision_layers // taps for place in range(taps)],
        "initializer_range": vision_hidden**-0.5,
    }
    config = Qwen3VLConfig(
        text_config=text
        | {"head_dim": shape.hidden // shape.heads, "intermediate_size": intermediate or 3 * shape.hidden},
        vision_config=vision,
        tie_word_embeddings=True,
        **qwen_marks(tokenizer),
    )
    return Qwen3VLForConditionalGeneration(config)
