"""The input module of the `light` model: it takes a text, or a page that it reads, into one text transformer.

A page has far more words than a small transformer takes at once, so it is cut into passages, and every passage goes
through the same transformer. The passages' vectors leave the module where a text model's token vectors would, so
that Sentence Transformers' own Pooling and Normalize make the page's vector of them, and
`encode(..., output_value="token_embeddings")` hands them out one by one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sentence_transformers.base.modality import is_image_url_or_path
from sentence_transformers.base.modality_types import Modality
from sentence_transformers.base.modules import InputModule, Transformer
from torch import Tensor
from torch.nn.functional import normalize

from pagetune.errors import DataError, MissingExtra, ModelError
from pagetune.examples.pictures import to_rgb
from pagetune.models.passages import PageText, Passage, cut_texts
from pagetune.records import Page

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from pagetune.pages.ocr import Ocr

TOKENS_AT_ONCE = 16384
"""Tokens, padding included, of one pass through the transformer; a larger batch goes in slices of like lengths."""

TOKENS_AT_ONCE_ON_CPU = 1024
"""The same where nothing runs in parallel: small slices pad little, which made a training step 1.4 times as fast."""

OCR_LONG_SIDE = 1280
"""Pixels of the longer side at which a picture is read, as in the reading of scanned pages."""


class PageReader(InputModule):
    """A text transformer that also takes pages: `str`, PIL images, paths of images, `Page` and `PageText`.

    A `str` is one passage, cut off at the transformer's length. A page is all of its passages of `chunk_tokens`
    tokens (special tokens included), neighbours sharing up to `chunk_overlap`. A picture is read by OCR first.

    Features in:  `input_ids`, `attention_mask` [batch, tokens] where every input is one passage,
                  else [batch, passages, tokens].
    Features out: `token_embeddings` float [batch, passages, dimension], each passage's mean over its tokens, L2-
                  normalised; `attention_mask` int64 [batch, passages].
    """

    config_file_name = "page_reader_config.json"
    config_keys = ["chunk_tokens", "chunk_overlap"]  # noqa: RUF012 - the base class declares it so

    def __init__(self, transformer: Transformer, chunk_tokens: int = 128, chunk_overlap: int = 32) -> None:
        super().__init__()
        self.transformer = transformer
        self.chunk_tokens = chunk_tokens
        self.chunk_overlap = chunk_overlap
        self._frame = _special_tokens(self.tokenizer)

    @property
    def modalities(self) -> list[Modality]:
        """What `encode` takes: text and images."""
        return ["text", "image"]

    @property
    def tokenizer(self) -> Any:
        """The transformer's tokenizer."""
        return self.transformer.tokenizer

    @tokenizer.setter
    def tokenizer(self, value: Any) -> None:
        self.transformer.processor = value

    @property
    def processor(self) -> Any:
        """The tokenizer again: pictures are turned into text."""
        return self.transformer.processor

    @property
    def max_seq_length(self) -> int | None:
        """Tokens at which a text is cut off, special tokens included."""
        return self.transformer.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        self.transformer.max_seq_length = value

    def get_embedding_dimension(self) -> int:
        """The width of a passage's vector."""
        return self.transformer.get_embedding_dimension()

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Tensor]:
        """Turn inputs into features; `prompt` goes before texts, not before pages.

        Raises ModelError for an input of another type.
        """
        readable = [_as_text(entry) for entry in inputs]
        pages = iter(self.passages([entry.text for entry in readable if isinstance(entry, PageText)]))
        texts = iter(self._tokens([(prompt or "") + entry for entry in readable if isinstance(entry, str)]))
        return self.features(
            [
                [passage.ids for passage in next(pages)] if isinstance(entry, PageText) else [next(texts)]
                for entry in readable
            ]
        )

    def passages(self, texts: Sequence[str]) -> list[list[Passage]]:
        """Cut the texts of pages into passages; a text without a token is one empty passage."""
        room = self.chunk_tokens - len(self._frame[0]) - len(self._frame[1])
        return cut_texts(self.tokenizer, texts, room, self.chunk_overlap)

    def features(self, inputs: Sequence[Sequence[Sequence[int]]]) -> dict[str, Tensor]:
        """Pack the passages' token ids of each input, special tokens added, into padded tensors."""
        before, after = self._frame
        longest = max((len(ids) for entry in inputs for ids in entry), default=0) + len(before) + len(after)
        most = max((len(entry) for entry in inputs), default=1)
        ids = np.full((len(inputs), most, longest), self.tokenizer.pad_token_id or 0, dtype=np.int64)
        mask = np.zeros((len(inputs), most, longest), dtype=np.int64)
        for row, entry in enumerate(inputs):
            for column, tokens in enumerate(entry):
                whole = (*before, *tokens, *after)
                ids[row, column, : len(whole)] = whole
                mask[row, column, : len(whole)] = 1
        if most == 1:
            ids, mask = ids[:, 0], mask[:, 0]
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Embed every passage; see the class for shapes. The given features are left as they are."""
        ids, mask = features["input_ids"], features["attention_mask"]
        if ids.ndim == 2:
            vectors = self._embed(ids, mask).unsqueeze(1)
            present = torch.ones(vectors.shape[:2], dtype=torch.int64, device=ids.device)
        else:
            found = mask.any(dim=-1)
            flat = self._embed(ids[found], mask[found])
            vectors = flat.new_zeros((*found.shape, flat.shape[-1]))
            vectors[found] = flat
            present = found.to(torch.int64)
        return {**features, "token_embeddings": vectors, "attention_mask": present}

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the transformer, its tokenizer and this module's settings."""
        self.transformer.save(output_path, safe_serialization=safe_serialization)
        self.save_config(output_path)

    @classmethod
    def load(  # type: ignore[override] # the keywords go on to Transformer.load, which knows them
        cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any
    ) -> Self:
        """Read what `save` wrote; the keywords are those of Sentence Transformers' modules."""
        where = {key: kwargs[key] for key in ("token", "cache_folder", "revision", "local_files_only") if key in kwargs}
        config = cls.load_config(model_name_or_path, subfolder=subfolder, **where)
        return cls(Transformer.load(model_name_or_path, subfolder=subfolder, **kwargs), **config)

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        limit = self.max_seq_length
        room = None if limit is None else limit - len(self._frame[0]) - len(self._frame[1])
        encoded = self.tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)
        return [ids[:room] for ids in encoded["input_ids"]]

    def _embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors [passages, dimension], long passages first so that little is padded."""
        lengths = mask.sum(dim=1)
        room = TOKENS_AT_ONCE_ON_CPU if ids.device.type == "cpu" else TOKENS_AT_ONCE
        if ids.numel() <= room:
            return self._embed_slice(ids, mask)
        order = torch.argsort(lengths, descending=True, stable=True)
        parts = [
            self._embed_slice(ids[chosen, :width], mask[chosen, :width])
            for chosen, width in _slices(order, lengths[order], room)
        ]
        return torch.cat(parts)[torch.argsort(order)]

    def _embed_slice(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden = self.transformer({"input_ids": ids, "attention_mask": mask})["token_embeddings"].float()
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
        return normalize(mean, dim=-1)


def _slices(order: Tensor, lengths: Tensor, room: int) -> Iterator[tuple[Tensor, int]]:
    begin = 0
    while begin < len(order):
        width = int(lengths[begin])
        end = begin + max(1, room // max(1, width))
        yield order[begin:end], width
        begin = end


def _special_tokens(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the tokenizer puts before and after a text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return tuple(whole[:start]), tuple(whole[start + len(plain) :])
    raise ModelError(f"the tokenizer {type(tokenizer).__name__} does not frame a text with special tokens; use another")


def _as_text(entry: Any) -> str | PageText:
    from PIL import Image

    if isinstance(entry, dict) and len(entry) == 1 and next(iter(entry)) in ("text", "image"):
        entry = next(iter(entry.values()))
    if isinstance(entry, Page):
        return PageText(entry.text())
    if isinstance(entry, PageText):
        return entry
    if isinstance(entry, Image.Image):
        return PageText(text_of_picture(entry))
    if isinstance(entry, np.ndarray) and entry.ndim == 3:
        return PageText(text_of_picture(Image.fromarray(entry)))
    if isinstance(entry, Path) or (isinstance(entry, str) and is_image_url_or_path(entry) and Path(entry).is_file()):
        return PageText(_read_file(Path(entry)))
    if isinstance(entry, str):
        return entry
    raise ModelError(f"PageReader takes text, images, paths of images and pages, got {type(entry).__name__}")


def _read_file(path: Path) -> str:
    try:
        return text_of_picture(to_rgb(path))
    except DataError as error:
        raise ModelError(f"{path} is not a readable image: {error}") from None


def text_of_picture(picture: Picture) -> str:
    """What OCR reads on the picture of a page (PIL), a line of the page a line; empty where it finds no word.

    What a PageReader reads of the picture, so that a text can be read once and kept. Raises MissingExtra.
    """
    if max(picture.size) > OCR_LONG_SIDE:
        picture = picture.copy()
        picture.thumbnail((OCR_LONG_SIDE, OCR_LONG_SIDE))
    width, height = map(float, picture.size)
    words = _ocr().read(picture, width, height).words
    page = Page("", "", 1, width, height, tuple(words.words), words.boxes, words.sizes, words.lines)
    return page.text()


@cache
def _ocr() -> Ocr:
    if importlib.util.find_spec("rapidocr") is None:
        raise MissingExtra("rapidocr", "light", "reading a picture")
    from pagetune.pages.ocr import Ocr

    return Ocr()
