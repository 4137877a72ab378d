"""One engine behind the command line, the Python API and the web page."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import SearchError
from pagetune.evaluation.ranking import ranking
from pagetune.evaluation.retrieval import fuse
from pagetune.progress import SILENT, Progress
from pagetune.records import Hit
from pagetune.search.index import SearchIndex, StoredPage
from pagetune.search.snippets import snippet
from pagetune.workspace import Workspace, command

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from pagetune.models.page_reader import PageReader
    from pagetune.pages.store import PageStore
    from pagetune.search.reranking import ShortlistReranker

Mode = Literal["fused", "dense", "lexical"]
MODES: tuple[Mode, ...] = ("fused", "dense", "lexical")
IMAGE_SIDE = 1600
"""Pixels of the longer side of a saved page image."""


class SearchEngine:
    """Search in a workspace. The model is loaded at the first search that needs it.

    `model` is the tuned model where the caller has it loaded already. `close` ends the workers that render pages,
    as the end of a `with` does. Raises SearchError where there is no index.
    """

    def __init__(
        self,
        workspace: Workspace | Path | str,
        *,
        model: SentenceTransformer | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self.workspace = workspace if isinstance(workspace, Workspace) else Workspace(Path(workspace))
        self.index = SearchIndex(self.workspace.index)
        self._given, self._progress = model, progress

    def __enter__(self) -> SearchEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers that render pages; a later search that needs them starts others."""
        if store := self.__dict__.get("_store"):
            store.close()

    def search(
        self,
        text: str,
        k: int = 10,
        documents: Sequence[str] | None = None,
        mode: Mode = "fused",
        *,
        rerank: bool = False,
        deadline: float | None = None,
    ) -> list[Hit]:
        """The `k` best pages, each once, best first; only of these documents, if any are named.

        "dense" asks the tuned model, "lexical" BM25, "fused" both, joined as the evaluation joins them. `rerank`: the
        first pages are looked at again by the workspace's reranker, for `deadline` seconds at most (none: the
        recipe's). Raises SearchError for an empty query, an unknown document or mode, and a model that is not the
        index's; WorkspaceError where there is no reranker.
        """
        wanted = list(dict.fromkeys(documents or ()))
        self._check(text, k, wanted, mode)
        dense: dict[str, tuple[float, int]] = {}
        lexical: dict[str, float] = {}
        depth = max(k, self.index.info.depth) if mode == "fused" else k
        if rerank:
            depth = max(depth, self.reranker.recipe.depth)
        vector = None if mode == "lexical" else self.encode(text)
        if vector is not None:
            dense = self.index.nearest(vector, depth, wanted)
        if mode != "dense":
            lexical = self.index.bm25.rank(text, depth, among=self._among(wanted))
        scores: Mapping[str, float] = {page: score for page, (score, _) in dense.items()}
        if mode == "lexical":
            scores = lexical
        elif mode == "fused":
            scores = fuse({"": dict(scores)}, {"": lexical}, self.index.info.fusion_weight)[""]
        relevance: Mapping[str, float] = {}
        if rerank:
            found = self.reranker.rerank(text, scores, vector=vector, reader=self._reader(vector), deadline=deadline)
            scores, relevance = found.scores, found.relevance
        best = {page: scores[page] for page in ranking(scores)[:k]}
        return self._hits(text, best, {page: passage for page, (_, passage) in dense.items()}, relevance)

    @cached_property
    def reranker(self) -> ShortlistReranker:
        """The workspace's reranker, loaded at the first search that asks for it. Raises WorkspaceError."""
        from pagetune.search.reranking import ShortlistReranker

        return ShortlistReranker(self.workspace, self.index, lambda: self._store, self._progress)

    def _reader(self, vector: NDArray[np.float32] | None) -> PageReader | None:
        """The retriever's reader, where it has a vector a passage."""
        from pagetune.models.page_reader import PageReader

        if vector is None or self.index.info.late or self.index.info.passages == self.index.info.pages:
            return None
        reader = self.model[0]
        return reader if isinstance(reader, PageReader) else None

    def encode(self, text: str) -> NDArray[np.float32]:
        """float32 [dim], as the tuned model makes it: the query's vector, or [tokens, dim] with late interaction."""
        from pagetune.models.encoding import encode_queries
        from pagetune.models.inspect import is_late
        from pagetune.models.pictures import encode_texts

        vectors: Sequence[NDArray[np.float32]] | NDArray[np.float32]
        vectors = (encode_texts if is_late(self.model) else encode_queries)(self.model, [text])
        return np.asarray(vectors[0])

    @cached_property
    def model(self) -> SentenceTransformer:
        """The model whose vectors the index holds. Raises SearchError where it is another."""
        from pagetune.models.encoding import fingerprint_model

        model = self._given or self._load()
        dimension, known = model.get_embedding_dimension() or 0, self.index.info
        if dimension < known.dimension:
            raise SearchError(
                f"the model gives {dimension} dimensions, the index holds {known.dimension}; run: pagetune index"
            )
        if known.model and fingerprint_model(model) != known.model:
            raise SearchError(
                f"the model in {self.workspace.model} is not the one that the index was built with; run: pagetune index"
            )
        return model

    def save_images(self, hits: Sequence[Hit], folder: Path) -> list[Path]:
        """Write the pages of the hits as PNG files, named by rank and page; the files' paths."""
        folder.mkdir(parents=True, exist_ok=True)
        saved = []
        for hit in hits:
            name = re.sub(r"[^\w.-]+", "_", hit.page)
            path = folder / f"{hit.rank:02d}-{name}.png"
            self._store.image(hit.page, long_side=IMAGE_SIDE).save(path)
            saved.append(path)
        return saved

    def thumbnail(self, page: str) -> bytes | None:
        """The page's small JPEG; None where the index has none."""
        stored = self.index.pages([page], thumbnails=True).get(page)
        return None if stored is None else stored.thumbnail

    @cached_property
    def _store(self) -> PageStore:
        from pagetune.pages.store import PageStore

        return PageStore(self.workspace.pages, lasting=True)

    def _load(self) -> SentenceTransformer:
        from pagetune.models.loading import load_model
        from pagetune.recipe import ModelRecipe

        self.workspace.check("fit")
        if not (self.workspace.model / "modules.json").exists():
            raise SearchError(
                f"{self.workspace.model} holds no model; finetune one with: pagetune {command('fit')} "
                f"-w {self.workspace.root}"
            )
        return load_model(ModelRecipe(), self.workspace.model)

    def _check(self, text: str, k: int, documents: Sequence[str], mode: str) -> None:
        if not text.strip():
            raise SearchError("the query is empty; say what to look for")
        if k < 1:
            raise SearchError(f"k={k} pages asked for; ask for at least 1")
        if mode not in MODES:
            raise SearchError(f"mode {mode!r} is none of {', '.join(MODES)}")
        if documents:
            known = sorted(set(self.index.documents.values()))
            for name in documents:
                if name not in known:
                    close = difflib.get_close_matches(name, known, n=1) or known[:1]
                    raise SearchError(
                        f"no document {name!r} among the {len(known)} of the index; did you mean {close[0]!r}?"
                    )

    def _among(self, documents: Sequence[str]) -> NDArray[np.bool_] | None:
        if not documents:
            return None
        of, wanted = self.index.documents, set(documents)
        return np.fromiter((of.get(page) in wanted for page in self.index.bm25.ids), dtype=bool)

    def _hits(
        self, query: str, scores: Mapping[str, float], passages: Mapping[str, int], relevance: Mapping[str, float]
    ) -> list[Hit]:
        stored = self.index.pages(list(scores))
        return [
            Hit(
                rank=rank,
                score=round(score, 6),
                page=page,
                document=stored[page].document,
                number=stored[page].number,
                snippet=snippet(stored[page].text, query, self._span(stored[page], passages.get(page))),
                relevance=round(relevance[page], 6) if page in relevance else None,
            )
            for rank, (page, score) in enumerate(scores.items(), start=1)
        ]

    def _span(self, page: StoredPage, passage: int | None) -> tuple[int, int] | None:
        """Where in the page's text a passage stands, for a model that cuts pages into passages."""
        from pagetune.models.page_reader import PageReader

        if passage is None or self.index.info.passages == self.index.info.pages:
            return None
        reader = self.model[0]
        if not isinstance(reader, PageReader):
            return None
        cut = reader.passages([page.text])[0]
        return (cut[passage].start, cut[passage].stop) if passage < len(cut) else None
