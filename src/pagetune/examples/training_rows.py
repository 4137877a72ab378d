"""Triplets as one `datasets.Dataset`, with as little copied as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pagetune.examples.pictures import sha256
from pagetune.examples.triplets import IMAGE, Triplets
from pagetune.examples.visual import ImageTrainSet
from pagetune.workspace import fingerprint

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset


def train_set(triplets: Triplets) -> ImageTrainSet:
    """The rows chosen, as a training set.

    Rows in order of the source need no copy. Where negatives are ids, their pictures are copied beside the rows, by
    `datasets`: to its cache where the source lies on disk, in memory where it does not.
    """
    columns = ["query", IMAGE, *(f"negative_{slot}" for slot in range(len(triplets.slots)))]
    places = {IMAGE: [(IMAGE, row) for row in triplets.chosen]}
    for slot, name in enumerate(columns[2:]):
        places[name] = [triplets.place(slot, row) for row in triplets.chosen]
    keys = {"query": [sha256(triplets.queries[row].encode("utf-8", "surrogatepass")) for row in triplets.chosen]}
    keys |= {name: [triplets.pictures[at].keys[row] for at, row in found] for name, found in places.items()}
    sizes = {name: [triplets.pictures[at].sizes[row] for at, row in found] for name, found in places.items()}
    return ImageTrainSet(
        dataset=_dataset(triplets, keys),
        keys=keys,
        negatives=len(triplets.slots),
        name=triplets.rows.name,
        sizes=sizes,
        broken=tuple(triplets.broken.values()),
    )


def _dataset(triplets: Triplets, keys: dict[str, list[str]]) -> Dataset:
    import pyarrow as pa
    from datasets import concatenate_datasets

    cells: dict[str, Any] = {
        "query": pa.array([text if isinstance(text, str) else None for text in triplets.queries], pa.string()),
        IMAGE: triplets.pictures[IMAGE].cells,
    }
    names = {f"negative_{slot}": (column, rows) for slot, (column, rows) in enumerate(triplets.slots)}
    aside = {name: rows for name, (_, rows) in names.items() if rows is not None}
    cells |= {name: triplets.pictures[column].cells for name, (column, rows) in names.items() if rows is None}
    label = {} if triplets.labels is None else {"label": _label_column(triplets.labels)}
    mark = fingerprint("dataset", keys)
    dataset = _as_dataset(cells | ({} if aside else label), mark)
    if triplets.chosen != [*range(len(dataset))]:
        dataset = dataset.select(triplets.chosen)
    if not aside:
        return dataset
    parts = [dataset]
    for name, rows in aside.items():
        pages = _as_dataset({name: triplets.pictures[IMAGE].cells}, fingerprint(mark, name))
        parts.append(pages.select([rows[row] for row in triplets.chosen]))
    if label:
        parts.append(_as_dataset(label, fingerprint(mark, "label")).select(triplets.chosen))
    return concatenate_datasets(parts, axis=1)


def _as_dataset(cells: dict[str, Any], mark: str) -> Dataset:
    import pyarrow as pa
    from datasets import Dataset, DatasetInfo, Features, Image, Value

    features = Features(
        {
            name: Image(mode="RGB") if pa.types.is_struct(values.type) else Value(str(values.type))
            for name, values in cells.items()
        }
    )
    return Dataset(pa.table(cells), info=DatasetInfo(features=features), fingerprint=mark)


def _label_column(labels: list[Any]) -> pa.Array:
    import pyarrow as pa

    numbers = [value if isinstance(value, int | float) else None for value in labels]
    if any(isinstance(value, float) for value in numbers):
        return pa.array([None if value is None else float(value) for value in numbers], pa.float64())
    return pa.array([None if value is None else int(value) for value in numbers], pa.int64())
