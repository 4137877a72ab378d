"""The recipe's sections of training: the retriever's, and the reranker with its use."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pagetune.recipe_sections import Section

Direction = Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]
"""Between what a ranking loss compares, as Sentence Transformers calls it."""

RANKING_KEYS = ("directions", "partition", "hardness", "hardness_strength", "gather_across_devices")
"""Keys of `fit` that the ranking loss alone has: with `fit.teacher` they would do nothing."""

OWN = "reranker"
"""As `fit.teacher`: the workspace's own. Of documents one run can train it first: it does not need the retriever."""


class FitRecipe(Section):
    """Finetuning."""

    epochs: float = Field(
        3.0, gt=0, description="times through the examples, cut anew each time and mixed; a part of one is drawn"
    )
    batch_size: int = Field(160, ge=2, description="examples a step; each one's page is a negative for the others")
    mini_batch_size: int = Field(
        64, ge=1, description="a larger batch goes through the gradient cache, so many rows at a time"
    )
    mini_batch_tokens: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        "auto",
        description="page images: tokens of a mini-batch, padding included; auto: measured; none: mini_batch_size rows",
    )
    graph_memory: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="page images: GiB of activations kept between the passes of a step, which saves computing them "
        "twice; auto: what a GPU has left, 40% of free memory else",
    )
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto", description="page images: processes that open and scale pages ahead of the model"
    )
    page_cache: float = Field(
        8.0, ge=0, description="page images: GiB on disk for pages as the model scales them, for later epochs; 0: none"
    )
    learning_rate: float = Field(
        2e-4,
        gt=0,
        description="the highest; a batch that few pages make smaller lowers it",
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="in every dropout layer while training; drawing it can double a step on a CPU"
    )
    scale: float | None = Field(
        None, gt=0, description="inverse temperature of the ranking loss; none: 20 of cosines, 1 of late interaction"
    )
    directions: tuple[Direction, ...] = Field(
        ("query_to_doc",),
        description="of one vector a page: what the loss ranks; with doc_to_query it is symmetric, query_to_query and "
        "doc_to_doc push what is alike apart",
    )
    partition: Literal["joint", "per_direction"] = Field(
        "joint", description="one softmax over all directions, or one each, averaged (query_to_doc and doc_to_query)"
    )
    hardness: Literal["in_batch_negatives", "hard_negatives", "all_negatives"] | None = Field(
        None, description="of one vector a page: which negatives weigh more the nearer they are; none: all alike"
    )
    hardness_strength: float = Field(
        0.0, ge=0, description="how much more; published: 9 for in_batch_negatives, 5 for hard_negatives"
    )
    gather_across_devices: bool = Field(
        False, description="several processes: rank over the pages of all of them, as one batch"
    )
    matryoshka: tuple[int, ...] = Field((384, 256, 128, 64), description="dimensions trained together, widest first")
    mask_probability: float = Field(
        0.3,
        ge=0,
        le=1,
        description="how often a query's own words are masked in training; with teacher, rerank.mask_probability holds",
    )
    passage_tokens: int = Field(96, ge=16, le=512, description="tokens, about, of the longest passage to train on")
    negatives: int = Field(
        0,
        ge=0,
        le=16,
        description="mined negatives an example trains with; 0: in-batch ones only; with teacher, rerank.negatives and "
        "rerank.random_share hold",
    )
    teacher: str | None = Field(
        None,
        description="a reranker whose margins are learned instead, over lists as `rerank.negatives` makes them: "
        "reranker (the workspace's own), a preset, a Hub id or a folder; none: ranking",
    )
    lifted_share: float = Field(
        0.4, ge=0, description="sentences and phrases to one other example, at most, once there are 2000 examples"
    )
    max_examples: int | None = Field(None, ge=1, description="an upper bound, none: all")
    eval_fraction: float = Field(0.25, gt=0, le=1, description="evaluate and save every so much of an epoch")
    patience: int = Field(8, ge=1, description="evaluations without gain before stopping early")
    checkpoints: int = Field(2, ge=2, description="checkpoints kept, the best and the last among them")
    bf16: Literal["auto", "on", "off"] = Field("auto", description="auto: where the hardware has it")
    seed: int = Field(17, description="order, masks and dropout in training")
    log_fraction: float | None = Field(
        None, gt=0, le=1, description="log the loss every so much of an epoch; none: four times an evaluation"
    )
    gradient_checkpointing: bool = Field(False, description="compute activations twice instead of keeping them")
    max_grad_norm: float = Field(1.0, gt=0, description="longer gradients are cut to this length")
    freeze_vision: bool = Field(False, description="leave the vision tower as it is (page images)")
    projection_learning_rate: float | None = Field(
        None, gt=0, description="of new projections (router, late interaction); none: as everything else"
    )
    projection_epochs: float = Field(
        0.0, ge=0, description="router: so many epochs for the projections alone, the towers frozen, before `epochs`"
    )
    best: Literal["clear", "metric", "last"] = Field(
        "clear", description="checkpoint to keep: the last unless another is clearly better, the best, or the last"
    )
    truncate_dim: int | None = Field(None, ge=8, description="dimension that the saved model truncates to; none: full")
    truncate_loss: float | None = Field(
        None, ge=0, lt=1, description="or the smallest dimension that loses no more NDCG@10 than this on validation"
    )
    parity: bool = Field(True, description="save only a model that, reloaded, scores pages as the trained one did")
    push_to_hub: str | None = Field(None, description="put the saved model on the Hub under this id; none: nowhere")

    @field_validator("bf16", mode="before")
    @classmethod
    def _yaml_reads_on_and_off_as_truth(cls, value: Any) -> Any:
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _dimensions_fall(self) -> FitRecipe:
        if list(self.matryoshka) != sorted(set(self.matryoshka), reverse=True) or not self.matryoshka:
            raise ValueError(f"matryoshka={list(self.matryoshka)} must fall, without repetition")
        return self

    @model_validator(mode="after")
    def _directions_have_the_positive(self) -> FitRecipe:
        given = list(self.directions)
        if "query_to_doc" not in given or len(set(given)) < len(given):
            raise ValueError(f"directions={given} must have query_to_doc, in which the answer is, and none twice")
        if self.partition == "per_direction" and (apart := {"query_to_query", "doc_to_doc"}.intersection(given)):
            raise ValueError(
                f"partition=per_direction: {' and '.join(sorted(apart))} never hold the answer; leave them out of "
                "directions, or set partition=joint"
            )
        return self

    @model_validator(mode="after")
    def _hardness_has_a_strength(self) -> FitRecipe:
        if self.hardness is not None and not self.hardness_strength:
            raise ValueError(f"hardness={self.hardness} needs hardness_strength above 0, such as 5")
        if self.hardness is None and self.hardness_strength:
            raise ValueError(
                f"hardness_strength={self.hardness_strength:g} does nothing without hardness, such as all_negatives"
            )
        return self


RerankDirection = Literal["text_to_image", "image_to_text"]


class RerankRecipe(Section):
    """The reranker: its model, its training, its use on a shortlist. Adapters are set under `lora`."""

    name: str = Field("light", description="light, a preset, a Hub id or a local folder")
    architecture: Literal["auto", "logit", "pooled", "text"] = Field(
        "auto",
        description="logit: language-model head; pooled: last token + dense layer; text: the page's words; "
        "auto: the checkpoint's own, else text for a text model and logit for one that sees",
    )
    revision: str | None = Field(None, description="branch, tag or commit on the Hub")
    trust_remote_code: bool = Field(False, description="run code that the checkpoint brings along")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="of the weights")
    attention: Literal["auto", "flash_attention_2", "sdpa", "eager"] = Field(
        "auto", description="auto: flash_attention_2 where it is installed and the model runs on a GPU, else sdpa"
    )
    min_pixels: int | None = Field(None, ge=1, description="a smaller page image is enlarged; none: the model's own")
    max_pixels: int | None = Field(None, ge=1, description="a larger page image is reduced; none: the model's own")
    true_token: str = Field("1", description="logit and pooled: what the model says of a page that answers")
    false_token: str = Field("0", description="logit and pooled: what it says of one that does not")
    prompts: dict[RerankDirection, str] = Field({}, description="task prompt by direction; none: the model's own")
    directions: tuple[RerankDirection, ...] = Field(
        ("text_to_image", "image_to_text"),
        min_length=1,
        description="what to train: pages for a query, and queries for a page",
    )
    negatives: int = Field(4, ge=1, le=64, description="negatives an example trains with")
    random_share: float = Field(0.25, ge=0, le=1, description="of the negatives, drawn at random; the others are mined")
    mask_probability: float = Field(
        0.8,
        ge=0,
        le=1,
        description="documents' pictures: how often the pages of a list are masked as they are judged, else not at all",
    )
    loss: Literal["bce", "lambda", "listnet", "margin"] = Field(
        "bce",
        description="binary cross-entropy, LambdaLoss, ListNet, or margins of a teacher's scores or labels (MarginMSE)",
    )
    teacher: str | None = Field(
        None,
        description="a trained reranker, as `name`, whose scores are learned instead of labels: probabilities (bce), "
        "log-odds (listnet, margin)",
    )
    epochs: float = Field(1.0, gt=0, description="passes over the examples")
    max_examples: int | None = Field(None, ge=1, description="queries to train on, at most; none: all")
    batch_size: int = Field(64, ge=2, description="pairs a step (of whole queries)")
    pair_tokens: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="tokens of pairs that go through the model together, padding included"
    )
    max_tokens: int = Field(256, ge=32, description="text: tokens of a query and a passage together")
    learning_rate: float = Field(5e-5, gt=0, description="at its highest")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps")
    eval_fraction: float = Field(0.25, gt=0, le=1, description="evaluate and save every so much of an epoch")
    patience: int = Field(8, ge=1, description="evaluations without gain before stopping early")
    seed: int = Field(17, description="order, negatives and dropout in training")
    depth: int = Field(50, ge=2, description="pages of the shortlist that are reranked")
    weight: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = Field(
        "auto", description="of the reranker against the shortlist's own scores; auto: chosen on validation"
    )
    deadline: float | None = Field(
        None, gt=0, description="seconds a search may rerank; the rest keeps the shortlist's order; none: no limit"
    )
