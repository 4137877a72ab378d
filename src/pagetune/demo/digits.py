"""The handbook's chapter on handwritten digits: small pictures in place of measurements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pagetune.demo import charts
from pagetune.demo.book import DataTable, Figure, Part
from pagetune.demo.measured import Matrix, description
from pagetune.demo.plaintext import Block

_NAMES = ("nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def chapter() -> Iterator[Part]:
    """The chapter's parts, in order."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.asarray(data.images, dtype=np.float64)
    target = np.asarray(data.target, dtype=np.int64)
    means = np.array([images[target == digit].mean(axis=0) for digit in range(10)])
    yield Block("heading", "Handwritten Digits", level=0)
    yield Block("heading", "Where the pictures of digits come from", level=1)
    yield from description(data.DESCR)
    yield from _samples(images, target)
    yield from _ink(images, target)
    yield from _means(images, target, means)
    yield from _confusion(images, target, means)


def _samples(images: Matrix, target: NDArray[np.int64]) -> Iterator[Part]:
    counts = np.bincount(target, minlength=10)
    yield Block("heading", "Forty pictures and how often each digit occurs", level=1)
    yield Block(
        "paragraph",
        f"There are {len(images)} pictures of eight by eight pixels, each with one of seventeen shades. The digits "
        f"occur almost equally often: {_NAMES[int(counts.argmax())]} most, {int(counts.max())} times, and "
        f"{_NAMES[int(counts.argmin())]} least, {int(counts.min())} times. The figure shows the first forty in the "
        f"order of the file, so that the same writer's hand can be followed from digit to digit.",
    )
    yield Figure(charts.pictures(images[:40], [str(d) for d in target[:40]], 10), "The first forty handwritten digits")
    yield Figure(
        charts.bars([str(d) for d in range(10)], counts.tolist(), "digit", "pictures"),
        "Number of pictures of each digit from nought to nine",
    )


def _ink(images: Matrix, target: NDArray[np.int64]) -> Iterator[Part]:
    ink = images.sum(axis=(1, 2))
    means = [ink[target == digit].mean() for digit in range(10)]
    most, least = int(np.argmax(means)), int(np.argmin(means))
    always = int((images.max(axis=0) == 0).sum())
    yield Block("heading", "How much ink a digit takes", level=1)
    yield Block(
        "paragraph",
        f"The sum of all shades of a picture says how much ink its writer spent. The digit {_NAMES[most]} takes most, "
        f"{means[most]:.0f} on average, and {_NAMES[least]} least, {means[least]:.0f}. The lightest picture of all has "
        f"{ink.min():.0f}, the darkest {ink.max():.0f}. Of the sixty-four pixels {always} are white in every picture; "
        f"the pixel that differs most from picture to picture lies in row "
        f"{int(images.var(axis=0).argmax()) // 8 + 1}, column {int(images.var(axis=0).argmax()) % 8 + 1}.",
    )
    rows = [("Digit", "Pictures", "Mean ink", "Standard deviation", "Lightest", "Darkest")]
    for digit, name in enumerate(_NAMES):
        mine = ink[target == digit]
        rows.append((f"{digit} ({name})", str(len(mine)), f"{mine.mean():.1f}", f"{mine.std():.1f}",
                     f"{mine.min():.0f}", f"{mine.max():.0f}"))  # fmt: skip
    yield DataTable(tuple(rows), "Ink spent on each digit: mean, spread, lightest and darkest picture")


def _means(images: Matrix, target: NDArray[np.int64], means: Matrix) -> Iterator[Part]:
    spread = [float(images[target == digit].std(axis=0).mean()) for digit in range(10)]
    loose, tight = int(np.argmax(spread)), int(np.argmin(spread))
    yield Block("heading", "The mean picture of every digit", level=1)
    yield Block(
        "paragraph",
        f"Laid over one another, all pictures of a digit give its mean picture. A sharp mean says that people write "
        f"the digit alike, a blurred one that they do not. By the standard deviation of its pixels, {_NAMES[loose]} is "
        f"written in the most different ways ({spread[loose]:.2f} shades) and {_NAMES[tight]} in the most similar "
        f"({spread[tight]:.2f} shades).",
    )
    yield Figure(charts.pictures(means, list(_NAMES), 5), "Mean pictures of the ten digits")


def _confusion(images: Matrix, target: NDArray[np.int64], means: Matrix) -> Iterator[Part]:
    distance = ((images[:, None] - means[None]) ** 2).sum(axis=(2, 3))
    guess = distance.argmin(axis=1)
    table = np.zeros((10, 10), dtype=int)
    np.add.at(table, (target, guess), 1)
    wrong = table - np.diag(np.diag(table))
    true, taken = np.unravel_index(int(wrong.argmax()), wrong.shape)
    yield Block("heading", "Which digits are taken for which", level=1)
    yield Block(
        "paragraph",
        f"Given to the nearest mean picture, {np.trace(table)} of {len(target)} pictures find their digit, or "
        f"{np.trace(table) / len(target):.1%}. The most frequent mistake takes {_NAMES[int(true)]} for "
        f"{_NAMES[int(taken)]}, {int(wrong.max())} times. Each row of the table is a true digit, each column what it "
        f"was taken for.",
    )
    yield DataTable(
        (("True digit", *(str(d) for d in range(10))), *((_NAMES[d], *(str(n) for n in table[d])) for d in range(10))),
        "Confusion of handwritten digits by the nearest mean picture",
    )
    clearest = np.argsort(-(np.sort(distance, axis=1)[:, 0]))[:10]
    yield Block(
        "paragraph",
        "The last figure shows the ten pictures that lie farthest from every mean: written at a slant, cut off at the "
        "edge, or with a stroke of the pen that hardly anyone else makes.",
    )
    yield Figure(
        charts.pictures(images[clearest], [f"a {_NAMES[int(d)]}" for d in target[clearest]], 10),
        "The ten digits that are least like any mean picture",
    )
