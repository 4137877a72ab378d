"""Loading sets of page images: those that a recipe names, or of any source; rows in Python included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pagetune.errors import DataError
from pagetune.examples.judged import open_tables, rows_set, tables_set
from pagetune.examples.published import resolve
from pagetune.examples.sources import has_beir_layout, open_rows
from pagetune.examples.training_rows import train_set
from pagetune.examples.triplets import read_triplets
from pagetune.examples.visual import ImageEvalSet, ImageTrainSet

if TYPE_CHECKING:
    from pagetune.examples.fetching import Fetcher
    from pagetune.examples.sources import Source
    from pagetune.recipe import DatasetRecipe


def load_train_set(recipe: DatasetRecipe, fetcher: Fetcher | None = None) -> ImageTrainSet:
    """The set that a recipe trains on. Raises DataError, one line that names the place, the value and the fix."""
    if recipe.train is None:
        raise DataError("dataset.train is not set; give a Hub id, a file or a folder")
    return make_train_set(
        recipe.train,
        config=recipe.train_config,
        split=recipe.train_split,
        columns=recipe.columns,
        negatives=recipe.negatives,
        max_rows=recipe.max_train_rows,
        revision=recipe.revision,
        skip_broken=recipe.skip_broken,
        fetcher=fetcher,
    )


def load_eval_set(recipe: DatasetRecipe, fetcher: Fetcher | None = None) -> ImageEvalSet:
    """The set that a recipe judges on. Raises DataError, one line that names the place, the value and the fix."""
    if recipe.eval is None:
        raise DataError("dataset.eval is not set; give a Hub id, a file or a folder")
    recipe = resolve(recipe)
    assert recipe.eval is not None
    return make_eval_set(
        recipe.eval,
        config=recipe.eval_config,
        split=recipe.eval_split,
        columns=recipe.columns,
        max_queries=recipe.max_eval_queries,
        revision=recipe.revision,
        skip_broken=recipe.skip_broken,
        fetcher=fetcher,
    )


def make_train_set(
    source: Source,
    *,
    config: str | None = None,
    split: str | None = "train",
    columns: Mapping[str, str] | None = None,
    negatives: int | None = None,
    max_rows: int | None = None,
    revision: str | None = None,
    skip_broken: bool = False,
    fetcher: Fetcher | None = None,
) -> ImageTrainSet:
    """A training set of any source of `sources.open_rows`, rows in Python included. `negatives` none: all there are.

    Raises DataError for a missing column, or for the first broken row unless `skip_broken`.
    """
    rows = open_rows(source, config=config, split=split, columns=columns, revision=revision)
    return train_set(read_triplets(rows, negatives, max_rows, skip_broken, fetcher))


def make_eval_set(
    source: Source,
    *,
    config: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    max_queries: int | None = None,
    revision: str | None = None,
    skip_broken: bool = False,
    fetcher: Fetcher | None = None,
) -> ImageEvalSet:
    """An evaluation set of a source in either form; a source with corpus, queries and qrels is read as BEIR.

    Raises DataError for a missing column, or for the first broken row unless `skip_broken`.
    """
    if config is None and has_beir_layout(source, revision):
        return tables_set(*open_tables(source, split, columns, revision), max_queries, skip_broken, fetcher)
    rows = open_rows(source, config=config, split=split, columns=columns, revision=revision)
    return rows_set(read_triplets(rows, None, max_queries, skip_broken, fetcher, training=False))
