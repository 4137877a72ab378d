"""What is in a training set and an evaluation set: counts, sizes, tokens, duplicates, and what stands in both."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from pagetune.examples.visual import ImageEvalSet, ImageTrainSet
from pagetune.layout.words import split

PATCH = 32
"""Pixels of the side of the square that becomes one token: patches of 16, two by two merged, as in Qwen3-VL."""

MIN_PIXELS, MAX_PIXELS = 65_536, 16_777_216
"""The bounds that Qwen3-VL's own processor has."""

MAX_RATIO = 200
"""A picture longer than so many times its width is refused by Qwen-VL's processors."""

_NAMED = 3


def image_tokens(
    width: int, height: int, patch: int = PATCH, min_pixels: int = MIN_PIXELS, max_pixels: int = MAX_PIXELS
) -> int:
    """The tokens that a picture becomes in a model of the Qwen-VL kind.

    Each side is brought to a whole number of `patch`es; where the area is then out of bounds, the picture is scaled
    into them first, its sides rounded down from above and up from below.
    """
    across, down = round(width / patch), round(height / patch)
    area = across * down * patch**2
    if area > max_pixels:
        scale = math.sqrt(max_pixels / (width * height))
        across = max(1, math.floor(width * scale / patch))
        down = max(1, math.floor(height * scale / patch))
    elif area < min_pixels:
        scale = math.sqrt(min_pixels / (width * height))
        across, down = math.ceil(width * scale / patch), math.ceil(height * scale / patch)
    return across * down


def check_sets(
    train: ImageTrainSet | None,
    evaluation: ImageEvalSet | None,
    patch: int = PATCH,
    min_pixels: int = MIN_PIXELS,
    max_pixels: int = MAX_PIXELS,
) -> dict[str, Any]:
    """A report of either set or both, as plain values. Nothing is decoded."""
    bounds = {"patch": patch, "min_pixels": min_pixels, "max_pixels": max_pixels}
    report: dict[str, Any] = {"pixels": bounds}
    if train is not None:
        report["train"] = _train_report(train, bounds)
    if evaluation is not None:
        report["eval"] = _eval_report(evaluation, bounds)
    if train is not None and evaluation is not None:
        report["leakage"] = leakage(train, evaluation)
    return report


def leakage(train: ImageTrainSet, evaluation: ImageEvalSet) -> dict[str, Any]:
    """What of the evaluation set stands in the training set: queries of the same words, pages of the same content.

    An answer is a page that is relevant to a query; other pages leak less, but a model knows them too.
    """
    asked = {_folded(text) for text in train.dataset["query"]}
    seen = {key for column in train.columns for key in train.keys[column]}
    answers = {page for grades in evaluation.qrels.values() for page in grades}
    queries = [text for text in evaluation.queries.values() if _folded(text) in asked]
    pages = [page for page in evaluation.page_ids if evaluation.page_key(page) in seen]
    return {
        "queries": len(queries),
        "answers": sum(page in answers for page in pages),
        "other_pages": sum(page not in answers for page in pages),
        "examples": [*queries[:_NAMED], *[page for page in pages if page in answers][:_NAMED]],
    }


def leaks(report: dict[str, Any]) -> bool:
    """Whether a report names a query or an answer on both sides."""
    found = report.get("leakage", {})
    return bool(found.get("queries") or found.get("answers"))


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report in words, a fact a line."""
    lines = []
    for name in ("train", "eval"):
        for key, value in report.get(name, {}).items():
            if value not in ([], {}, None):
                lines.append(f"{name} {key.replace('_', ' ')}: {_plain(value)}")
    if "leakage" in report:
        found = report["leakage"]
        lines.append(
            f"in both: {found['queries']} queries, {found['answers']} answers, {found['other_pages']} other pages"
            + (f"; such as {_plain(found['examples'])}" if found["examples"] else "")
        )
    return lines


def _train_report(train: ImageTrainSet, bounds: dict[str, int]) -> dict[str, Any]:
    texts = [*train.dataset["query"]]
    pages = {
        key: size for column in train.columns for key, size in zip(train.keys[column], train.sizes[column], strict=True)
    }
    labels = Counter(train.dataset["label"]) if train.has_label else Counter()
    return {
        "source": train.name,
        "form": train.form,
        "rows": len(train),
        "left_out": len(train.broken),
        "left_out_because": [*train.broken[:_NAMED]],
        "queries": len(set(texts)),
        "query_words": _spread(len(split(text)) for text in texts),
        "pages": len(pages),
        "labels": dict(labels.most_common(10)),
        **_sizes([*pages.values()], bounds),
        "repeated": {
            "rows": _repeats(zip(train.keys["query"], train.keys["image"], strict=True)),
            "queries": _repeats(map(_folded, texts)),
            "answers": _repeats(train.keys["image"]),
        },
        "negatives_that_answer": _answering_negatives(train, texts),
        "fingerprint": train.fingerprint,
    }


def _eval_report(evaluation: ImageEvalSet, bounds: dict[str, int]) -> dict[str, Any]:
    answers = [len(grades) for grades in evaluation.qrels.values()]
    keys = [evaluation.page_key(page) for page in evaluation.page_ids]
    relevant = {page for grades in evaluation.qrels.values() for page in grades}
    return {
        "source": evaluation.name,
        "form": evaluation.form,
        "left_out": len(evaluation.broken),
        "left_out_because": [*evaluation.broken[:_NAMED]],
        "queries": len(evaluation),
        "query_words": _spread(len(split(text)) for text in evaluation.queries.values()),
        "pages": len(keys),
        "pages_without_query": len(keys) - len(relevant),
        "answers_of_a_query": _spread(answers),
        **_sizes([evaluation.pages.size(page) for page in evaluation.page_ids], bounds),
        "repeated": {"queries": _repeats(map(_folded, evaluation.queries.values())), "pages": _repeats(keys)},
        "copies_of_answers_left_out": _copies(evaluation),
        "fingerprint": evaluation.fingerprint,
    }


def _answering_negatives(train: ImageTrainSet, texts: Sequence[str]) -> dict[str, Any]:
    """Rows of which a negative is the answer of another row with the same query: training does not take it for one."""
    answers: dict[str, set[str]] = {}
    for query, page in zip(train.keys["query"], train.keys["image"], strict=True):
        answers.setdefault(query, set()).add(page)
    negatives = [train.keys[column] for column in train.columns[1:]]
    rows = [
        row
        for row, query in enumerate(train.keys["query"])
        if len(answers[query]) > 1 and any(column[row] in answers[query] for column in negatives)
    ]
    return {"rows": len(rows), "such_as": [f"{texts[row]!r}" for row in rows[:_NAMED]]} if rows else {}


def _copies(evaluation: ImageEvalSet) -> dict[str, Any]:
    """Pages that do not count in a query's answers, since an answer of it has the same bytes."""
    found = []
    for query, grades in evaluation.qrels.items():
        keys = {evaluation.page_key(page) for page in grades}
        copies = (page for page in evaluation.excluded.get(query, ()) if evaluation.page_key(page) in keys)
        found += [f"page {page!r} for query {query!r}" for page in copies]
    return {"pages": len(found), "such_as": found[:_NAMED]} if found else {}


def _sizes(sizes: Sequence[tuple[int, int, int]], bounds: dict[str, int]) -> dict[str, Any]:
    """Of distinct pages: their pixels, bytes and tokens."""
    long = sum(max(width, height) > MAX_RATIO * min(width, height) for width, height, _ in sizes)
    return {
        "width": _spread(width for width, _, _ in sizes),
        "height": _spread(height for _, height, _ in sizes),
        "megabytes": round(sum(size for _, _, size in sizes) / 1e6, 3),
        "tokens_of_a_page": _spread(image_tokens(width, height, **bounds) for width, height, _ in sizes),
        **({"pages_too_long_for_qwen_vl": long} if long else {}),
    }


def _spread(values: Iterable[int]) -> dict[str, float]:
    found = sorted(values)
    return {"least": found[0], "median": median(found), "most": found[-1]} if found else {}


def _repeats(values: Iterable[Any]) -> int:
    """How many are there again."""
    found = [*values]
    return len(found) - len(set(found))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return " | ".join(str(inner) for inner in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
