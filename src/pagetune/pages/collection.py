"""The collection that a reading makes: everything into one fresh folder, which then takes the place of the old one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pagetune.errors import ReadingError
from pagetune.pages import sources
from pagetune.pages.duplicates import Duplicates, Look, Place
from pagetune.pages.reading_report import Tally
from pagetune.pages.tables import documents_to_table, load_pages, page_schema, pages_to_table
from pagetune.records import Document, OutlineEntry, Page
from pagetune.workspace import replace_folder

Find = Callable[[str], Path | None]
"""The name of a kept source -> where it lies, if it does."""


def write_collection(
    target: Path,
    files: Sequence[Path],
    kept: Mapping[int, Path],
    left_out: Mapping[int, Document],
    find: Find,
    look: Look,
) -> tuple[tuple[Document, ...], Tally]:
    """Write the pages that are `kept` of some of the `files`, and all files as documents, in their order.

    `kept` and `left_out`, the documents refused and doubled, are by a file's place among `files`; `look` paints the
    pages that have the words of another. Raises ReadingError where there is not one page.
    """
    import pyarrow.parquet as pq

    places, others = sorted(kept), sorted(left_out)
    if not files:
        raise ReadingError("no files in what was given to read; give PDF, image or office files, or their folders")
    if not places:
        reasons = [f"{left_out[place].path}: {left_out[place].reason}" for place in others]
        raise ReadingError(f"not one page could be read of {len(files)} files; {'; '.join(reasons[:3])}")
    names = sources.name_documents([files[place] for place in places + others])
    ids = dict(zip(places + others, names, strict=True))
    tally, duplicates = Tally(), Duplicates(look)
    with replace_folder(target) as folder:
        (folder / "sources").mkdir()
        rows: dict[int, tuple[Document, str]] = {
            place: (replace(left_out[place], id=ids[place]), "") for place in others
        }
        with pq.ParquetWriter(folder / "pages.parquet", page_schema(), compression="zstd") as writer:
            for place in places:
                document, source, pages, note = _load(kept[place], files[place], ids[place])
                rows[place] = (document, source)
                lies = find(source)
                _link(lies, folder / "sources" / source)
                pages = [duplicates.mark(page, Place(lies or target, document.format, page.number)) for page in pages]
                tally.add(document, pages, note)
                writer.write_table(pages_to_table(pages))
            writer.add_key_value_metadata({"pagetune.digest": tally.digest})
        pq.write_table(documents_to_table(rows[place] for place in sorted(rows)), folder / "documents.parquet")
    return tuple(rows[place][0] for place in sorted(rows)), tally


def _load(kept: Path, path: Path, name: str) -> tuple[Document, str, list[Page], dict[str, Any]]:
    """A document, the name of its kept source, its pages as they stand in this collection, and their note."""
    from pagetune.pages.kinds import classify_pages

    loaded = load_pages(kept)
    if loaded is None:
        raise ReadingError(f"{kept} has gone while it was needed; read again")
    pages, note = loaded
    outline = tuple(OutlineEntry(*entry) for entry in note["outline"])
    pages = [replace(page, id=f"{name}-{page.number:04d}", document=name) for page in pages]
    kinds = classify_pages(pages, outline)
    pages = [replace(page, kind=kind) for page, kind in zip(pages, kinds, strict=True)]
    document = Document(
        id=name,
        path=sources.shown(path),
        digest=kept.name.partition("-")[0],
        format=str(note["format"]),
        pages=len(pages),
        title=str(note["title"]),
        outline=outline,
        metadata=dict(note["metadata"]),
    )
    return document, str(note["source"]), pages, note


def _link(source: Path | None, target: Path) -> None:
    """Put a kept source into the new folder: another name for the same bytes, both ours, or else a copy."""
    if source is None:
        raise ReadingError(f"the kept source {target.name} has gone while it was needed; read again")
    try:
        target.hardlink_to(source)
    except OSError:
        sources.copy_or_clone(source, target)
