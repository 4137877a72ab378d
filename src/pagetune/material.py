"""What a fit would be trained on, before anything is mined or made: rows of a dataset, or a workspace's own pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pagetune.errors import WorkspaceError

if TYPE_CHECKING:
    from pagetune.context import Context
    from pagetune.examples.visual import ImageTrainSet
    from pagetune.pages.store import PageStore
    from pagetune.recipe import Recipe
    from pagetune.records import Example, Page, Query

WORDS = 8
"""Of a page, in the query that stands for those that are not written yet."""


@dataclass(frozen=True)
class Material:
    """Rows of queries and pages. `train` makes some of them, their pages rendered within the bounds it is given."""

    told: str
    rows: int
    pages: int
    """Different ones among the answers."""
    columns: int
    """Of pages, in a row."""
    judged: int
    """Pages encoded in an evaluation."""
    train: Callable[[Mapping[str, int]], ImageTrainSet]


def find_material(context: Context) -> Material:
    """Of the recipe's dataset, else of the workspace. Raises WorkspaceError where there is neither."""
    return _of_dataset(context.recipe) if context.recipe.dataset.train else _of_documents(context)


def _of_dataset(recipe: Recipe) -> Material:
    from pagetune.examples.loading import load_eval_set, load_train_set

    train = load_train_set(recipe.dataset)
    judged = len(load_eval_set(recipe.dataset).page_ids) if recipe.dataset.eval else 0
    told = f"{len(train):,} {train.form} of {train.name}"
    pages = len(set(train.keys["image"]))
    return Material(told, len(train), pages, len(train.columns), judged, lambda bounds: train)


def _of_documents(context: Context) -> Material:
    from pagetune.examples.page_images import answerable, rendered_pages, train_set_of_pages
    from pagetune.training.trials import SAMPLE, spread

    root, recipe = context.workspace.root, context.recipe
    if not context.workspace.is_workspace():
        raise WorkspaceError(
            f"{root} is not a workspace and dataset.train is not set: there are no pages to measure on; read documents "
            f"(pagetune read DOCUMENTS -w {root}), or give dataset.train=ROWS"
        )
    store = rendered_pages(context.workspace.open(), recipe)
    pages = answerable(store.pages())
    if len(pages) < 2:
        raise WorkspaceError(f"{root}: {len(pages)} pages of text are too few to train on; read more documents")
    examples, queries, told, judged = _examples(context, store, pages)
    drawn = [examples[place] for place in spread(len(examples), SAMPLE)]
    some = [_with_negatives(example, pages, recipe.fit.negatives) for example in drawn]

    def train(bounds: Mapping[str, int]) -> ImageTrainSet:
        return train_set_of_pages(
            some,
            queries,
            store,
            {},
            negatives=recipe.fit.negatives,
            mask_probability=0.0,
            seed=recipe.fit.seed,
            bounds=bounds,
        )

    answers = len({example.positive for example in examples})
    return Material(told, len(examples), answers, 1 + recipe.fit.negatives, judged, train)


def _examples(
    context: Context, store: PageStore, pages: Sequence[Page]
) -> tuple[list[Example], dict[str, Query], str, int]:
    """The mined examples, else the written queries, else a line of each page; what they are, and pages judged on."""
    from pagetune.examples.datasets import load_data, load_examples
    from pagetune.records import Example, Query
    from pagetune.training.choice import choose_examples
    from pagetune.training.validation import validation_of

    workspace, recipe = context.workspace, context.recipe
    of = f"{len(pages):,} pages of {len(store.documents()):,} documents"
    if not (workspace.data / "queries").is_dir():
        texts = {page.id: page.joined(range(len(page.words[:WORDS]))) or page.id for page in pages}
        made = {page.id: Query(page.id, texts[page.id], "sentence", page.document, page.id) for page in pages}
        told = f"{of}; no queries are written yet: one a page is assumed, and no evaluation"
        return [Example(page.id, page.id) for page in pages], made, told, 0
    data = load_data(workspace.data)
    queries = {query.id: query for query in data.queries}
    mined = workspace.root / "negatives" / "examples.parquet"
    if mined.is_file():
        examples, how = load_examples(mined), "mined examples"
    else:
        examples = [Example(query, max(found, key=found.__getitem__)) for query, found in data.qrels("train").items()]
        how = "written queries, not mined yet,"
    chosen = choose_examples(examples, queries, recipe.fit)
    return chosen, queries, f"{len(chosen):,} {how} on {of}", len(validation_of(data, pages, recipe.fit.seed).pages)


def _with_negatives(example: Example, pages: Sequence[Page], count: int) -> Example:
    """With as many negatives as training takes, of whatever pages: it is their size that counts."""
    missing = max(0, count - len(example.negatives))
    others = [page.id for page in pages if page.id != example.positive][:missing]
    return replace(example, negatives=(*example.negatives, *others))
