"""The judged benchmark of real manuals, as Pagetune's records: where it lies, its queries, and what it keeps out.

The set's folder is found at $PAGETUNE_BENCH, else at ../shared/bench beside the repository.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from pagetune.records import Query, Rect

ROOT = Path(__file__).resolve().parent.parent
BENCH = Path(os.environ.get("PAGETUNE_BENCH", ROOT.parent / "shared" / "bench"))
STRUCTURE = {"outline", "heading", "caption"}
"""Kinds that are taken from a heading or a caption; two of them on one page may be the same one in other words."""


@dataclass(frozen=True)
class Judged:
    """A judged set. `qrels` query -> page -> grade; `exclude` query -> pages left out of its ranking."""

    name: str
    queries: dict[str, str]
    kinds: dict[str, str]
    documents: dict[str, str]
    qrels: dict[str, dict[str, int]]
    exclude: dict[str, set[str]]
    pages: list[str]
    masks: dict[str, tuple[Rect, ...]]


def load(name: str) -> Judged:
    """Read a judged set by its folder's name; exit with a clear line where it is not there."""
    folder = BENCH / name
    if not (folder / "queries.jsonl").exists():
        sys.exit(f"no judged set at {folder}; name the benchmark's folder in PAGETUNE_BENCH")
    rows = [json.loads(line) for line in (folder / "queries.jsonl").open()]
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (folder / "qrels.tsv").open():
        query, _, page, grade = line.split("\t")
        qrels[query][page] = int(grade)
    masks = {page: tuple(map(tuple, rects)) for page, rects in map(json.loads, (folder / "masks.jsonl").open())}
    return Judged(
        name,
        {row["id"]: row["text"] for row in rows},
        {row["id"]: row["kind"] for row in rows},
        {row["id"]: row["doc"] for row in rows},
        dict(qrels),
        {row["id"]: set(row.get("exclude", [])) for row in rows},
        [json.loads(line)["docid"] for line in (folder / "pages.jsonl").open()],
        masks,
    )


def fetch_documents(name: str) -> Path:
    """The set's PDFs, fetched once by its own script."""
    folder = Path(tempfile.gettempdir()) / "pagetune-bench" / name
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([sys.executable, BENCH / "documents.py", name, folder], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the benchmark's documents could not be fetched: {done.stderr.strip()[-300:]}")
    return folder


def keep_out(queries: list[Query], judged: Judged) -> tuple[list[Query], int]:
    """Leave out every query that is a judged one in other words; returns the rest and how many went.

    Out goes a query from a heading or caption on a page that is the answer to a judged heading or caption of the
    same family, an index term that is a judged one or holds it, and any query whose words are nearly a judged one's.
    """
    texts = [(frozenset(_words(text)), judged.documents[query]) for query, text in judged.queries.items()]
    texts += [
        (frozenset(_words(text.rpartition(": ")[2])), judged.documents[query]) for query, text in judged.queries.items()
    ]
    by_word: dict[str, list[frozenset[str]]] = defaultdict(list)
    for words, _ in texts:
        for word in words:
            by_word[word].append(words)
    answers: dict[str, set[str]] = {"outline": set(), "caption": set()}
    for query, kind in judged.kinds.items():
        family = "outline" if kind == "outline" else "caption" if kind in ("caption", "lof", "xref") else None
        if family:
            answers[family].update(page for page, grade in judged.qrels[query].items() if grade == 2)
    kept = [query for query in queries if not _is_judged(query, by_word, answers)]
    return kept, len(queries) - len(kept)


def _is_judged(query: Query, by_word: dict[str, list[frozenset[str]]], answers: dict[str, set[str]]) -> bool:
    family = "caption" if query.kind == "caption" else "outline" if query.kind in STRUCTURE else None
    if family and query.page in answers[family]:
        return True
    words = frozenset(_words(query.text))
    for other in {other for word in words for other in by_word.get(word, ())}:
        shared = len(words & other)
        if shared / len(words | other) >= 0.6:
            return True
        if query.kind in {*STRUCTURE, "index"} and shared == min(len(words), len(other)):
            return True
    return False


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())
