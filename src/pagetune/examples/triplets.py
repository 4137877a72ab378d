"""Rows of a query, its page and pages that do not answer it: what training sets and the article's evaluation sets are.

A negative is a picture in a column negative_0, negative_1 …, or the id of another row's page: in such a column, or in
a list column `negatives`, with a column `id`. A row without a query is a page and no example, where negatives are ids
and in every evaluation set: there a page that nobody asks for makes the others harder to find.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError
from pagetune.examples.encoded import Faults, PictureColumn, read_pictures
from pagetune.examples.sources import NEGATIVE, Rows

if TYPE_CHECKING:
    from pagetune.examples.fetching import Fetcher

IMAGE = "image"


@dataclass(frozen=True, eq=False)
class Triplets:
    """The examples of a table, its pictures still encoded.

    `chosen` are the rows that are examples, `others` those of an evaluation set that are pages alone. `queries` is over
    all rows; in an evaluation set each has a list of them. `pictures` has a column of pictures for `image`, and, unless
    negatives are ids, for each negative. `slots` has for each negative of an example its column and the row in it, a
    list over all rows (None: the same row). `labels` is over all rows, or None.
    """

    rows: Rows
    chosen: list[int]
    queries: list[Any]
    labels: list[Any] | None
    pictures: dict[str, PictureColumn]
    slots: list[tuple[str, list[int] | None]]
    broken: dict[int, str]
    others: list[int]

    def place(self, slot: int, row: int) -> tuple[str, int]:
        """The column of `pictures` and the row in it of a negative of a row."""
        column, rows = self.slots[slot]
        return column, row if rows is None else rows[row]


def read_triplets(
    rows: Rows,
    negatives: int | None,
    max_rows: int | None = None,
    skip_broken: bool = False,
    fetcher: Fetcher | None = None,
    training: bool = True,
) -> Triplets:
    """Read and judge examples. `negatives`: so many of them, none: all there are; `max_rows`: the first examples.

    `training`: a negative with the content of the page itself is a fault, and labels are read. Else `max_rows` keeps
    the first different queries with all their rows, and every row without a query.
    Raises DataError for a missing column, or for the first broken row unless `skip_broken`.
    """
    rows.need("query", IMAGE)
    faults = Faults(skip_broken)
    columns = _negative_columns(rows, negatives)
    by_id = _are_ids(rows, columns)
    if max_rows is not None and training and not by_id:
        rows = replace(rows, dataset=rows.dataset.select(range(min(max_rows, len(rows.dataset)))))
    queries = rows.dataset.with_format(None).select_columns(["query"])[:]["query"]
    chosen = _asking(rows, queries, faults, by_id, training)
    others: list[int] = []
    if training:
        chosen = chosen[:max_rows]
    else:
        queries = [texts_of(cell) or [] for cell in queries]
        others = [row for row, texts in enumerate(queries) if not texts and row not in faults.rows]
        chosen = _first_queries(chosen, queries, max_rows)
    labels = _labels(rows, chosen, faults) if training and "label" in rows.columns else None
    if by_id:
        slots = _rows_of_ids(rows, columns, negatives, chosen, faults)
        wanted = {*chosen, *others, *(target[row] for _, target in slots if target is not None for row in chosen)}
        pictures = {IMAGE: read_pictures(rows, IMAGE, Faults(), wanted, fetcher)}
    else:
        slots = [(column, None) for column in columns]
        pages = None if training else {*chosen, *others}
        asking = None if training else {*chosen}
        pictures = {IMAGE: read_pictures(rows, IMAGE, faults, pages, fetcher)}
        pictures |= {column: read_pictures(rows, column, faults, asking, fetcher) for column in columns}
    others = [row for row in others if row not in faults.rows]
    triplets = Triplets(rows, chosen, queries, labels, pictures, slots, faults.rows, others)
    if training:
        _judge_negatives(triplets, faults)
    triplets.chosen[:] = [row for row in chosen if row not in faults.rows]
    if not triplets.chosen:
        first = next(iter(faults.rows.values()), "none has a query")
        raise DataError(f"{rows.name}: no row is left: {first}")
    return triplets


def _negative_columns(rows: Rows, negatives: int | None) -> list[str]:
    """The columns that hold negatives, as many as are kept; ["negatives"] for a list."""
    if "negatives" in rows.columns:
        return ["negatives"] if negatives != 0 else []
    numbers = sorted(int(found[1]) for name in rows.columns if (found := NEGATIVE.fullmatch(name)))
    if numbers != [*range(len(numbers))]:
        missing = min({*range(len(numbers))} - {*numbers})
        raise DataError(
            f"{rows.name}: column 'negative_{missing}' is missing (there are {rows.columns}); number them from 0"
        )
    if negatives is not None and negatives > len(numbers):
        raise DataError(
            f"{rows.name}: dataset.negatives={negatives}, but {len(numbers)} negative column(s) are there "
            f"({rows.columns}); set dataset.negatives={len(numbers)} or less"
        )
    return [f"negative_{number}" for number in numbers[:negatives]]


def _are_ids(rows: Rows, columns: Sequence[str]) -> bool:
    """Whether negatives are ids of other rows. Raises DataError where only some are, or a list holds no ids."""
    from datasets import List, Value

    features = rows.dataset.features
    if [*columns] == ["negatives"]:
        feature = features["negatives"]
        inner = getattr(feature, "feature", None)
        if (
            not isinstance(feature, List)
            or not isinstance(inner, Value)
            or inner.dtype not in ("string", "int64", "null")
        ):
            raise DataError(
                f"{rows.name}: column 'negatives' is no list of ids; list the ids of other rows, "
                "or give pictures in columns negative_0, negative_1 …"
            )
        rows.need("id")
        return True
    if "id" not in rows.columns:
        return False
    plain = [getattr(features[column], "dtype", "") in ("string", "large_string", "int64") for column in columns]
    if any(plain) and not all(plain):
        raise DataError(f"{rows.name}: some of {[*columns]} are ids and some pictures; make them alike")
    return any(plain)


def texts_of(cell: Any) -> list[str] | None:
    """The queries in a cell: one, several in a list, none where it is empty; None where something else is in it."""
    if cell is None or cell != cell:  # Not a number: an empty cell of a column of numbers.
        return []
    if isinstance(cell, list):
        found = [None if isinstance(each, list) else texts_of(each) for each in cell]
        return None if None in found else [text for texts in found for text in texts or []]
    if isinstance(cell, str):
        return [cell] if cell.strip() else []
    return None


def _asking(rows: Rows, queries: Sequence[Any], faults: Faults, by_id: bool, training: bool) -> list[int]:
    """The rows with a query."""
    chosen = []
    for row, cell in enumerate(queries):
        texts = texts_of(cell)
        if texts is None or (training and isinstance(cell, list)):
            faults.add(row, f"{rows.where(row)}: query {cell!r} is not text; write a string there")
        elif texts:
            chosen.append(row)
        elif training and not by_id:
            faults.add(row, f"{rows.where(row)}: query {cell!r} has no text; write one or remove the row")
    return chosen


def _first_queries(chosen: list[int], queries: list[list[str]], most: int | None) -> list[int]:
    """The rows that ask one of the first `most` different queries; `queries` keeps no others."""
    if most is None:
        return chosen
    first = {*islice(dict.fromkeys(text for row in chosen for text in queries[row]), most)}
    for row in chosen:
        queries[row] = [text for text in queries[row] if text in first]
    return [row for row in chosen if queries[row]]


def _labels(rows: Rows, chosen: Sequence[int], faults: Faults) -> list[Any]:
    labels = rows.dataset.with_format(None).select_columns(["label"])[:]["label"]
    for row in chosen:
        value = labels[row]
        if value is None:
            faults.add(row, f"{rows.where(row)}: label is empty; write a number or remove the row")
        elif not isinstance(value, int | float) or math.isnan(value):
            faults.add(row, f"{rows.where(row)}: label {value!r} is not a number; write a class or a score there")
    return labels


def _rows_of_ids(
    rows: Rows, columns: Sequence[str], negatives: int | None, chosen: Sequence[int], faults: Faults
) -> list[tuple[str, list[int] | None]]:
    """For each kept negative the row that holds its page, over all rows; of rows that are no examples, themselves."""
    ids = _unique_ids(rows)
    cells = rows.dataset.with_format(None).select_columns([*columns])[:]
    named: dict[int, list[Any]] = {
        row: (cells["negatives"][row] or []) if columns[0] == "negatives" else [cells[name][row] for name in columns]
        for row in chosen
    }
    # An evaluation takes what each row has; training needs as many everywhere.
    count = max((len(names) for names in named.values()), default=0) if negatives is None else negatives
    targets = [[*range(len(rows.dataset))] for _ in range(count)]
    for row, names in named.items():
        if negatives is not None and len(names) < negatives:
            faults.add(
                row,
                f"{rows.where(row)}: negatives has {len(names)} id(s), but dataset.negatives={negatives}; "
                "add some or lower it",
            )
        for slot, name in enumerate(names[:count]):
            target = ids.get(str(name))
            if name is None or target is None:
                column = columns[0] if columns[0] == "negatives" else columns[slot]
                faults.add(row, f"{rows.where(row)}: {column} {name!r} is the id of no row; correct it or add its page")
            else:
                targets[slot][row] = target
    return [(IMAGE, target) for target in targets]


def _unique_ids(rows: Rows) -> dict[str, int]:
    ids: dict[str, int] = {}
    for row, name in enumerate(rows.dataset.with_format(None).select_columns(["id"])[:]["id"]):
        if name is None or str(name) in ids:
            problem = "is empty" if name is None else f"{name!r} is also that of row {ids[str(name)]}"
            raise DataError(f"{rows.where(row)}: id {problem}; give each page its own")
        ids[str(name)] = row
    return ids


def _judge_negatives(triplets: Triplets, faults: Faults) -> None:
    rows, own = triplets.rows, triplets.pictures[IMAGE].keys
    for row in triplets.chosen:
        if row in faults.rows:
            continue
        for slot in range(len(triplets.slots)):
            column, target = triplets.place(slot, row)
            if triplets.pictures[column].keys[target] == own[row]:
                faults.add(
                    row,
                    f"{rows.where(row)}: negative_{slot} is the page of image itself; give another or remove the row",
                )
