"""The recipe's sections, but for those of training: one model a stage, every key with what it means."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from pagetune.errors import ModelError
from pagetune.recipe_faults import say, unknown_keys
from pagetune.records import QueryKind


class Section(BaseModel):
    """A part of the recipe: unknown keys are refused, values are never silently converted from text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, validate_default=True)


class ReadRecipe(Section):
    """Reading: limits for each file, and when to use OCR."""

    workers: int | None = Field(None, ge=1, description="worker processes; none: one a core")
    timeout: float = Field(120.0, gt=0, description="seconds that one worker may spend on a file's pages at a time")
    memory_mb: int = Field(3072, ge=256, description="address space of one worker, in MiB, above its start")
    max_pages: int = Field(5000, ge=1, description="pages; a longer document is refused")
    max_file_mb: int = Field(2048, ge=1, description="MiB; a larger file is refused")
    max_image_side: int = Field(20000, ge=64, description="pixels; a larger picture is refused")
    ocr: Literal["auto", "never", "always"] = Field("auto", description="auto: only where the text layer is unusable")
    ocr_long_side: int = Field(1280, ge=320, description="pixels of the longer side of the image given to OCR")
    ocr_models: str | None = Field(
        None,
        description="a folder of further PP-OCR recognition models (ONNX), for pages that the built-in one cannot read",
    )


class QueriesRecipe(Section):
    """Queries out of the documents' own structure."""

    kinds: tuple[QueryKind, ...] = Field(get_args(QueryKind), description="kinds of query to write")
    min_words: int = Field(2, ge=1, description="fewer words is too short")
    max_words: int = Field(40, ge=3, description="more words is too long")
    sentences_per_page: int = Field(1, ge=0, description="sentences taken from a page, at most")
    phrases_per_page: int = Field(1, ge=0, description="phrases taken from a page, at most")
    max_pages_per_section: int = Field(6, ge=1, description="a section longer than this is too broad to ask for")
    max_queries: int | None = Field(None, ge=1, description="an upper bound over all documents, none: all")
    seed: int = Field(17, description="which spans are drawn, and which queries where max_queries holds fewer than all")


class SplitsRecipe(Section):
    """Which queries train, which steer, which judge."""

    by: Literal["auto", "document", "section"] = Field("auto", description="auto: document where there are 5 or more")
    test: float = Field(0.2, gt=0, lt=1, description="share of the pages")
    validation: float = Field(0.1, ge=0, lt=1, description="share of the pages")
    near_duplicate: float = Field(
        0.9, gt=0, le=1, description="Jaccard similarity of word 5-grams that counts as a leak"
    )
    seed: int = Field(17, description="the order in which documents or sections are dealt to the splits")

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> SplitsRecipe:
        if self.test + self.validation >= 0.9:
            raise ValueError("test + validation must leave at least 0.1 to train on")
        return self


class ModelRecipe(Section):
    """The model to start from, how it is loaded, and how a page becomes vectors."""

    name: str = Field("light", description="light, auto, a preset, a Hub id or a local folder")
    kind: Literal["auto", "dense", "late", "router"] = Field(
        "auto", description="auto: as the preset or the folder says, else dense"
    )
    image_model: str | None = Field(None, description="the image tower of a router; `name` is its text tower")
    revision: str | None = Field(None, description="branch, tag or commit on the Hub")
    trust_remote_code: bool = Field(False, description="run code that the checkpoint brings along")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="of the weights")
    attention: Literal["auto", "flash_attention_2", "sdpa", "eager"] = Field(
        "auto", description="auto: flash_attention_2 where it is installed and the model runs on a GPU, else sdpa"
    )
    device_map: str | dict[str, int | str] | None = Field(
        None, description="spread a large model over devices: auto, or its modules' names with a device each"
    )
    min_pixels: int | None = Field(None, ge=1, description="a smaller page image is enlarged; none: the model's own")
    max_pixels: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        None,
        description="a larger page image is reduced; none: the model's own; auto: the most up to it that this machine "
        "can train on, planned before the model is first used",
    )
    query_prompt: str | None = Field(None, description="before every query; none: the preset's or the model's own")
    document_prompt: str | None = Field(None, description="with every page; none: the preset's or the model's own")
    projection: int | None = Field(
        None, ge=8, description="width of a new projection: of a late-interaction token (128), of a router's towers"
    )
    token_pooling: int = Field(1, ge=1, description="late interaction: a page keeps one vector of so many (at rest)")
    encode_tokens: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="page images: tokens, padding included, that go through the model together to be encoded; "
        "auto: as many as make it faster",
    )
    encode_batch: int | None = Field(None, ge=1, description="so many page images instead; none: encode_tokens")
    chunk_tokens: int = Field(128, ge=16, le=512, description="tokens of one passage of a page (light)")
    chunk_overlap: int = Field(0, ge=0, description="tokens that neighbouring passages share (light)")
    page_vectors: Literal["chunks", "pooled"] = Field("chunks", description="one vector a passage, or one a page")

    @model_validator(mode="after")
    def _sizes_fit(self) -> ModelRecipe:
        if self.chunk_overlap >= self.chunk_tokens:
            raise ValueError(f"chunk_overlap={self.chunk_overlap} must be below chunk_tokens={self.chunk_tokens}")
        if self.min_pixels and isinstance(self.max_pixels, int) and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels={self.min_pixels} must not be above max_pixels={self.max_pixels}")
        if self.kind == "router" and self.name not in ("auto", "router") and self.image_model is None:
            raise ValueError("kind=router needs image_model, the image tower beside the text tower `name`")
        return self


class LoraRecipe(Section):
    """Low-rank adapters (Hu et al., 2021) instead of full finetuning."""

    rank: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        0, description="0: none, every weight is trained; auto: so where that fits this machine, else adapters"
    )
    alpha: int | None = Field(None, ge=1, description="none: twice the rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="on the way into the adapters")
    targets: tuple[str, ...] | Literal["all-linear"] = Field(
        "all-linear", description="names of layers, or all linear ones of the language model"
    )
    vision: bool = Field(False, description="adapters in the vision tower too")
    quantise: Literal["none", "4bit"] = Field("none", description="4bit: QLoRA (Dettmers et al., 2023)")
    keep_adapter: bool = Field(
        False, description="save the adapter alone too, beside the model, whose weights it is always merged into"
    )

    @property
    def chosen_rank(self) -> int:
        """The rank as a number. Raises ModelError where it is still to be chosen."""
        if self.rank == "auto":
            raise ModelError("lora.rank=auto is chosen before a fit (pagetune fit, run or plan); give a number here")
        return self.rank

    @model_validator(mode="after")
    def _quantised_is_adapted(self) -> LoraRecipe:
        if self.quantise != "none" and self.rank in (0, "auto"):
            raise ValueError("quantise=4bit trains adapters only: set lora.rank, such as 16")
        return self


class MineRecipe(Section):
    """Hard negatives from the whole page collection."""

    negatives: int = Field(4, ge=0, le=16, description="hard negatives to find for an example")
    candidates: int = Field(50, ge=1, description="candidates taken from each of base model and BM25")
    margin: float = Field(0.95, gt=0, le=1, description="a negative scores below this share of the positive's score")
    skip: int = Field(0, ge=0, description="leave out this many of the best-scored candidates")


class EvaluateRecipe(Section):
    """Judging base, tuned, BM25 and the fusion on the held-out queries."""

    depth: int = Field(100, ge=10, description="pages kept in each run, a query")
    resamples: int = Field(10000, ge=100, description="bootstrap and permutation samples")
    confidence: float = Field(
        0.95, gt=0.5, lt=1, description="of the intervals; a gain is claimed only where p is below 1 - confidence"
    )
    rerank: bool = Field(False, description="judge the reranker too, on the shortlist of BM25 and the tuned model")
    fusion_weight: float = Field(0.5, ge=0, le=1, description="weight of the model against BM25 in the fusion")
    ocr: bool = Field(False, description="read a dataset's pages by OCR for BM25, where it brings no text of them")
    guard: str | None = Field(
        None, description="a general set that base and tuned are judged on too: forgetting shows; none: none"
    )
    guard_columns: dict[str, str] = Field(
        {}, description="a column's name in the general set: its name here, as in dataset.columns"
    )
    guard_queries: int = Field(300, ge=1, description="the first so many queries of the general set")
    fail_under: float | str | None = Field(
        None,
        description="exit code 1 where NDCG@10 is measurably below this value (0 to 1), or below an earlier run (its "
        "metrics.json, or the folder); none: no gate",
    )
    gated: Literal["tuned", "BM25+tuned", "reranked"] = Field(
        "tuned", description="the system that fail_under is about"
    )
    seed: int = Field(17, description="bootstrap and permutation samples")

    @field_validator("fail_under")
    @classmethod
    def _is_a_share(cls, value: float | str | None) -> float | str | None:
        if isinstance(value, float) and not 0 <= value <= 1:
            raise ValueError("NDCG@10 is between 0 and 1; give such a number, or a metrics.json")
        return value


GATE_KEYS = ("fail_under", "gated")
"""Keys of `evaluate` that judge its figures and change none: they set off nothing and are not kept beside them."""


class IndexRecipe(Section):
    """The LanceDB table that search reads."""

    dimension: int = Field(256, ge=8, description="the embedding is truncated to this (Matryoshka)")
    thumbnail_side: int = Field(320, ge=64, description="pixels of the longer side of a page's thumbnail")
    ann_from: int = Field(20000, ge=256, description="rows from which an approximate index is built")
    refine: int = Field(10, ge=1, description="approximate search rescored over this many times the answers")


class DatasetRecipe(Section):
    """Datasets of page images, where they are not made from documents: one to train on, one to judge on."""

    train: str | None = Field(None, description="rows to train on: a Hub id, a file or a folder")
    train_config: str | None = Field(None, description="configuration of it (a folder in a local one)")
    train_split: str = Field("train", description="split of it")
    eval: str | None = Field(
        None,
        description="queries and pages to judge on: a Hub id, a file, a folder, or a short name such as vidore-v2/esg",
    )
    eval_config: str | None = Field(None, description="configuration of it; none: corpus, queries and qrels if there")
    eval_split: str | None = Field(None, description="split of it; none: the only one, else test or validation")
    revision: str | None = Field(None, description="commit, tag or branch of a dataset on the Hub")
    max_train_rows: int | None = Field(None, ge=1, description="the first so many rows, none: all")
    max_eval_queries: int | None = Field(None, ge=1, description="the first so many queries, none: all")
    columns: dict[str, str] = Field({}, description="a column's name there: its name here, such as {question: query}")
    negatives: int = Field(1, ge=0, description="negative columns that training keeps; 0: pairs")
    skip_broken: bool = Field(False, description="leave out rows that are broken, instead of refusing the dataset")


def _judge_compared(entry: Any) -> Any:
    if isinstance(entry, str) and entry.strip():
        if entry.casefold() == "bm25":
            raise ValueError("BM25 is no model; leave it out and set compare.bm25=true")
        return entry
    if not isinstance(entry, dict) or not entry.get("name"):
        raise ValueError(f"a preset, a Hub id, a folder, or a mapping of the keys of `model` with a name, not {entry}")
    problems = [*unknown_keys(entry, ModelRecipe)]
    try:
        ModelRecipe.model_validate(entry)
    except ValidationError as error:
        problems.extend(say(fault) for fault in error.errors() if fault["type"] != "extra_forbidden")
    if problems:
        raise ValueError("; ".join(problems))
    return entry


class CompareRecipe(Section):
    """Many models on `dataset.eval`, each in its own process; intervals and tests are those of `evaluate`."""

    models: tuple[Annotated[str | dict[str, Any], BeforeValidator(_judge_compared)], ...] = Field(
        (), description="presets, Hub ids, folders, or mappings of the keys of `model`"
    )
    bm25: bool = Field(True, description="one more row: BM25 over the text of the pages")
    text_column: str | None = Field(
        None, description="column of the pages' text for BM25; none: a corpus's text or markdown, else OCR"
    )
    dimensions: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (2048, 1536, 1024, 512, 256, 128, 64), description="Matryoshka dimensions to judge besides a model's own"
    )
    timeout: float = Field(7200.0, gt=0, description="seconds that one model may take")
