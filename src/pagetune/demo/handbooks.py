"""Handbooks of the data sets inside scikit-learn: descriptions, and tables, charts and sentences of their data."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pagetune.demo import charts, digits
from pagetune.demo.book import BookPlan, DataTable, Figure, Part
from pagetune.demo.measured import Matrix, Measured, description, load_measured
from pagetune.demo.plaintext import Block

_SOURCE = (
    "Set by pagetune demo from the data sets inside scikit-learn {version}, with their descriptions. "
    "Every figure was computed from the data when this handbook was set (Python {python})."
)


def handbooks() -> list[BookPlan]:
    """The handbooks of the data sets, each of two."""
    import sklearn

    source = _SOURCE.format(version=sklearn.__version__, python=platform.python_version())
    return [
        BookPlan(
            "handbook-irises-and-wines",
            "Irises and Wines",
            "A handbook of two classical measurements: Fisher’s irises and Italian wines",
            source,
            partial(_parts, ("iris", "wine")),
            scanned=(6, 7, 8),
        ),
        BookPlan(
            "handbook-clinical-measurements",
            "Clinical Measurements",
            "A handbook of cell nuclei in breast tumours and of the course of diabetes",
            source,
            partial(_parts, ("breast_cancer", "diabetes")),
        ),
        BookPlan(
            "handbook-digits-and-exercise",
            "Handwritten Digits and Exercise",
            "A handbook of small pictures of numerals and of twenty men in a fitness club",
            source,
            partial(_parts, ("digits", "linnerud")),
        ),
    ]


def _parts(names: Sequence[str]) -> list[Part]:
    return [
        part for name in names for part in (digits.chapter() if name == "digits" else _chapter(load_measured(name)))
    ]


def _chapter(data: Measured) -> Iterator[Part]:
    yield Block("heading", data.title, level=0)
    yield Block("heading", f"Where the {_plural(data.row)} come from", level=1)
    yield from description(data.description)
    yield from _ranges(data)
    yield from _distributions(data)
    yield from _relations(data)
    if data.groups is not None:
        yield from _groups(data)
    yield from _extremes(data)


def _ranges(data: Measured) -> Iterator[Part]:
    values, names = data.values, data.names
    spread = values.std(axis=0) / np.abs(values.mean(axis=0))
    wide, narrow = int(spread.argmax()), int(spread.argmin())
    yield Block("heading", f"Ranges of the measurements of a {data.row}", level=1)
    yield _say(
        f"The table has {len(values)} rows, one for each {data.row}, and {len(names)} columns. Measured against its "
        f"mean, {names[wide]} varies most: its standard deviation is {spread[wide]:.0%} of a mean of "
        f"{_n(values[:, wide].mean())}. {names[narrow].capitalize()} varies least, with {spread[narrow]:.0%} of "
        f"{_n(values[:, narrow].mean())}. Half of all values lie between the lower and the upper quartile."
    )
    rows: list[tuple[str, ...]] = [
        ("Measurement", "Least", "Lower quartile", "Median", "Mean", "Upper quartile", "Largest")
    ]
    for name, column in zip(names, values.T, strict=True):
        low, middle, high = np.percentile(column, (25, 50, 75))
        rows.append((name, *(_n(v) for v in (column.min(), low, middle, column.mean(), high, column.max()))))
    yield DataTable(tuple(rows), f"Range, quartiles and mean of every measurement of a {data.row}")


def _distributions(data: Measured) -> Iterator[Part]:
    shown = data.values[:, :12]
    names = data.names[:12]
    scaled = (shown - shown.mean(axis=0)) / shown.std(axis=0)
    skew = (scaled**3).mean(axis=0)
    right, even = int(skew.argmax()), int(np.abs(skew).argmin())
    beyond = np.abs(scaled) > 3
    yield Block("heading", f"How {_plural(data.row)} are distributed", level=1)
    yield _say(
        f"The histograms show how often each value occurs among the {len(shown)} {_plural(data.row)}. The longest tail "
        f"to the right belongs to {names[right]}, with a skewness of {skew[right]:.2f}: its mean, "
        f"{_n(shown[:, right].mean())}, lies above its median, {_n(np.median(shown[:, right]))}. The most even of them "
        f"is {names[even]}, with a skewness of {skew[even]:.2f}. Values more than three standard deviations from their "
        f"mean: {int(beyond.sum())}, spread over {int(beyond.any(axis=1).sum())} of the {len(shown)} rows."
    )
    yield Figure(charts.histograms(shown, names), f"Histograms of {_listing(names, 4)} among {_plural(data.row)}")


def _relations(data: Measured) -> Iterator[Part]:
    names = data.names[:14]
    correlation: Matrix = np.atleast_2d(np.corrcoef(data.values[:, :14].T))
    upper = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
    strongest = sorted(upper, key=lambda pair: -abs(correlation[pair]))
    first, second = strongest[0]
    weakest = strongest[-1]
    yield Block("heading", f"Which measurements of a {data.row} go together", level=1)
    yield _say(
        f"Two measurements that rise together have a correlation near one, two that have nothing to do with each other "
        f"one near zero. The closest pair is {names[first]} and {names[second]}, with "
        f"{correlation[first, second]:.2f}; the two that tell least about each other are {names[weakest[0]]} and "
        f"{names[weakest[1]]}, with {correlation[weakest]:.2f}."
    )
    rows = [("First measurement", "Second measurement", "Correlation", "Shared variance")]
    for i, j in strongest[:6]:
        rows.append((names[i], names[j], f"{correlation[i, j]:.3f}", f"{correlation[i, j] ** 2:.0%}"))
    yield DataTable(tuple(rows), f"The strongest correlations between measurements of a {data.row}")
    yield Figure(charts.correlations(correlation, names), f"Correlation matrix of the measurements of a {data.row}")
    slope, start = np.polyfit(data.values[:, first], data.values[:, second], 1)
    residual = data.values[:, second] - (slope * data.values[:, first] + start)
    yield _say(
        f"The straight line that fits the closest pair best raises {names[second]} by {_n(slope)} for each unit of "
        f"{names[first]}. What it leaves over has a standard deviation of {_n(residual.std())}, against "
        f"{_n(data.values[:, second].std())} before."
    )
    yield Figure(
        charts.scatter(data.values[:, first], data.values[:, second], names[first], names[second], data.groups,
                       data.group_names),
        f"{names[second].capitalize()} against {names[first]}, with the line that fits best",
    )  # fmt: skip


def _groups(data: Measured) -> Iterator[Part]:
    assert data.groups is not None
    values, names, groups = data.values, data.names, data.groups
    kinds = range(len(data.group_names))
    ratio = _separation(values, groups)
    order = np.argsort(-ratio)
    best, worst = int(order[0]), int(order[-1])
    means = np.array([values[groups == kind].mean(axis=0) for kind in kinds])
    highest = int(means[:, best].argmax())
    yield Block("heading", f"What tells {_listing(data.group_names, 3)} apart", level=1)
    counts = ", ".join(f"{int((groups == kind).sum())} {data.group_names[kind]}" for kind in kinds)
    yield _say(
        f"The {_plural(data.row)} belong to {len(kinds)} groups: {counts}. The variance between the groups, divided by "
        f"the variance within them, says how well one measurement alone tells them apart. It is largest for "
        f"{names[best]}, with an F ratio of {ratio[best]:,.0f}, where the mean of {data.group_names[highest]}, "
        f"{_n(means[highest, best])}, is the highest. It is smallest for {names[worst]}, with "
        f"{ratio[worst]:.1f}, which is of little use by itself."
    )
    yield DataTable(
        (
            ("Measurement", *(f"Mean {name}" for name in data.group_names), "F ratio"),
            *((names[c], *(_n(m) for m in means[:, c]), f"{ratio[c]:,.1f}") for c in order[:10]),
        ),
        f"Means of {_listing(data.group_names, 3)}, the most telling measurements first",
    )
    four = [int(column) for column in order[:4]]
    yield Figure(
        charts.boxes(values[:, four], [names[column] for column in four], groups, data.group_names),
        f"Box plots of {_listing([names[column] for column in four], 4)} by group",
    )
    nearest = _nearest_mean(values, groups, len(kinds))
    table = np.array([[int(((groups == a) & (nearest == b)).sum()) for b in kinds] for a in kinds])
    yield Block("heading", f"Telling {_plural(data.row)} apart by the nearest mean", level=2)
    yield _say(
        f"The simplest rule gives each {data.row} to the group whose mean is nearest, after every measurement has been "
        f"scaled to the same spread. It is right for {int(np.trace(table))} of {len(values)} {_plural(data.row)}, or "
        f"{np.trace(table) / len(values):.1%}. The table shows where it goes wrong: its rows are the true groups."
    )
    yield DataTable(
        (("True group", *data.group_names), *((data.group_names[a], *(str(n) for n in table[a])) for a in kinds)),
        f"Confusion of {_listing(data.group_names, 3)} by the nearest mean",
    )


def _extremes(data: Measured) -> Iterator[Part]:
    scaled = (data.values - data.values.mean(axis=0)) / data.values.std(axis=0)
    far = np.sqrt((scaled**2).mean(axis=1))
    order = np.argsort(-far)[:8]
    odd = np.abs(scaled[order]).argmax(axis=1)
    yield Block("heading", f"The most unusual {_plural(data.row)}", level=1)
    first, why = int(order[0]), int(odd[0])
    yield _say(
        f"Row {first + 1} lies farthest from the middle of all: its {data.names[why]} of "
        f"{_n(data.values[first, why])} is {abs(scaled[first, why]):.1f} standard deviations from the mean. Such rows "
        f"deserve a second look before a model is fitted, as a single one can turn a line of least squares. The most "
        f"ordinary {data.row} is row {int(far.argmin()) + 1}, with no measurement more than "
        f"{np.abs(scaled[int(far.argmin())]).max():.2f} standard deviations from its mean."
    )
    rows = [("Row", "Most unusual measurement", "Value", "Deviations", "Distance")]
    for row, column in zip(order, odd, strict=True):
        value, away = data.values[row, column], scaled[row, column]
        rows.append((str(int(row) + 1), data.names[column], _n(value), f"{away:+.2f}", f"{far[row]:.2f}"))
    yield DataTable(tuple(rows), f"The {_plural(data.row)} farthest from the mean of all")


def _separation(values: Matrix, groups: NDArray[np.int64]) -> Matrix:
    """The F ratio of every column (one-way analysis of variance)."""
    kinds = np.unique(groups)
    grand = values.mean(axis=0)
    between = sum((groups == k).sum() * (values[groups == k].mean(axis=0) - grand) ** 2 for k in kinds)
    within = sum(((values[groups == k] - values[groups == k].mean(axis=0)) ** 2).sum(axis=0) for k in kinds)
    ratio: Matrix = (between / (len(kinds) - 1)) / (within / (len(values) - len(kinds)))
    return ratio


def _nearest_mean(values: Matrix, groups: NDArray[np.int64], kinds: int) -> NDArray[np.int64]:
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    means = np.array([scaled[groups == kind].mean(axis=0) for kind in range(kinds)])
    distance = ((scaled[:, None, :] - means[None]) ** 2).sum(axis=2)
    return distance.argmin(axis=1).astype(np.int64)


def _say(text: str) -> Block:
    return Block("paragraph", text)


def _plural(word: str) -> str:
    return {"man": "men"}.get(word, f"{word}s")


def _listing(names: Sequence[str], most: int) -> str:
    shown = list(names[:most])
    if len(names) > most:
        return ", ".join(shown) + " and more"
    return ", ".join(shown[:-1]) + f" and {shown[-1]}" if len(shown) > 1 else shown[0]


def _n(value: float) -> str:
    """A number with three or four significant digits."""
    places = next(places for places, least in enumerate((100, 10, 1, 0.1, 0)) if abs(float(value)) >= least)
    return f"{float(value):,.{places}f}"
