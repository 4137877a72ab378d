"""Pages into data: queries written, split, masked and validated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pagetune.errors import DataError
from pagetune.examples.datasets import RetrievalData, summary, validate_data
from pagetune.examples.masks import evaluation_masks
from pagetune.examples.queries import QueryWriter, write_queries
from pagetune.examples.splits import split_queries
from pagetune.progress import SILENT, Progress
from pagetune.recipe import QueriesRecipe, SplitsRecipe
from pagetune.records import Document, Page


def build_data(
    documents: Sequence[Document],
    pages: Sequence[Page],
    queries: QueriesRecipe,
    splits: SplitsRecipe,
    writers: Sequence[QueryWriter] | None = None,
    progress: Progress = SILENT,
) -> tuple[RetrievalData, dict[str, Any]]:
    """The data of a workspace, and what a report says about it: counts by kind and split, and of all left out.

    Raises DataError if nothing can be written or split, LeakageError if the split leaks.
    """
    written = write_queries(documents, pages, queries, writers, progress)
    silent = Counter(reason.partition(":")[0] for reason in written.silent.values())
    if not written.queries:
        raise DataError(_nothing(pages, written.dropped or silent))
    left_out: Counter[str] = Counter()
    sides = split_queries(written.queries, written.judgements, pages, splits, left_out)
    kept = [query for query in written.queries if query.id in sides]
    judgements = [judgement for judgement in written.judgements if judgement.query in sides]
    masks = evaluation_masks(written.masks, kept, sides)
    data = RetrievalData(kept, judgements, sides, masks)
    validate_data(data, [page.id for page in pages])
    report = {
        **summary(data),
        "written": written.written,
        "dropped": written.dropped,
        "dropped_by_kind": written.dropped_by_kind,
        "documents_without_queries": dict(silent.most_common()),
        "without_queries": [f"{document}: {reason}" for document, reason in written.silent.items()],
        "left_out_of_splits": dict(left_out.most_common()),
        "masked_pages": len(masks),
    }
    return data, report


def _nothing(pages: Sequence[Page], reasons: Mapping[str, int]) -> str:
    """What to say where nothing at all can be asked."""
    if pages and not any(page.words for page in pages):
        return (
            f"no page has words: all {len(pages)} page(s) that were read are blank, or pictures that were not read; "
            "give documents with text, or have scans read by OCR: pip install 'pagetune[light]', read.ocr=auto"
        )
    told = ", ".join(f"{reason} ({count})" for reason, count in reasons.items()) or "no text on the pages"
    return f"no query could be written from {len(pages)} page(s): {told}; give longer documents"
