"""Small models, made on the spot: a random BERT over a WordPiece vocabulary of a few words."""

from __future__ import annotations

import os
import shutil
import string
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
# What `datasets` reads it copies to a cache: not to the user's own.
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="pagetune-tests-")
# Two threads that wait for each other on a busy machine are far slower than one, for models this small.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pagetune.recipe import ModelRecipe
from pagetune.records import Page
from topics import TOPICS, make_page, topic_text


def pytest_sessionfinish() -> None:
    shutil.rmtree(os.environ["HF_DATASETS_CACHE"], ignore_errors=True)


@pytest.fixture(scope="session")
def page_maker() -> Callable[..., Page]:
    """`make_page` for the tests."""
    return make_page


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder: a random BERT of two layers, 32 wide, and its tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    letters = string.ascii_lowercase + string.digits
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word for words in TOPICS.values() for word in words})
    (folder / "vocab.txt").write_text("\n".join([*special, *letters, *(f"##{sign}" for sign in letters), *words]))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_model(tiny_folder: Path) -> Any:
    """A page reader over the random BERT, passages of 16 tokens: fresh for every test."""
    from sentence_transformers.base.modules import Transformer

    from pagetune.models.light import assemble

    return assemble(Transformer(str(tiny_folder), max_seq_length=64), ModelRecipe(chunk_tokens=16, chunk_overlap=4))


@pytest.fixture(scope="session")
def topic_pages() -> Sequence[Page]:
    """Forty pages, ten of each topic."""
    return [
        make_page(f"{topic}-{number:04d}", topic_text(topic, 100 * place + number), number=number)
        for place, topic in enumerate(TOPICS)
        for number in range(10)
    ]
