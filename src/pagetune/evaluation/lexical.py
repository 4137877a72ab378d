"""The lexical baseline: BM25 (Robertson and Zaragoza, 2009) through bm25s, over the terms of `layout.terms`.

Of Latin text these are runs of two or more letters, digits and underscores, without stop words, stemmed by Snowball.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import SearchError
from pagetune.evaluation.ranking import Run, best
from pagetune.layout.terms import terms
from pagetune.records import Page, Rect

words_of = terms
"""The words of a text as BM25 counts them."""


class BM25:
    """An index of pages by their words.

    `texts` maps page ids to texts; k1 and b are BM25's, with the usual values.
    """

    def __init__(
        self, texts: Mapping[str, str], *, language: str = "english", k1: float = 1.5, b: float = 0.75
    ) -> None:
        import bm25s

        self.ids: tuple[str, ...] = tuple(texts)
        self.language = language
        self._index: Any = None
        counted = [words_of(text, language) for text in texts.values()]
        if any(counted):
            # bm25s sets its logger to DEBUG, so that it would speak in every program that logs at all.
            logging.getLogger("bm25s").setLevel(logging.WARNING)
            self._index = bm25s.BM25(k1=k1, b=b)
            self._index.index(counted, show_progress=False)

    def scores(self, text: str) -> NDArray[np.float32]:
        """float32 [pages], in the order of `ids`: BM25 of every page, 0 where no word is shared."""
        words = words_of(text, self.language)
        if self._index is None or not any(word in self._index.vocab_dict for word in words):
            return np.zeros(len(self.ids), dtype=np.float32)
        found: NDArray[np.float32] = self._index.get_scores(words)
        return found.astype(np.float32).round(6)

    def rank(
        self, text: str, depth: int, excluded: Collection[str] = (), among: NDArray[np.bool_] | None = None
    ) -> dict[str, float]:
        """The `depth` best pages that share a word with the text, best first; `among` is bool [pages]: only these."""
        scores = self.scores(text)
        wanted = scores > 0 if among is None else (scores > 0) & among
        return best(np.where(wanted, scores, -np.inf), self.ids, depth, excluded)

    def search(
        self, texts: Mapping[str, str], depth: int = 100, exclude: Mapping[str, Collection[str]] | None = None
    ) -> Run:
        """A run over many queries: query id -> text; `exclude` names the pages to leave out of a query's answer."""
        left_out = exclude or {}
        return {query: self.rank(text, depth, left_out.get(query, ())) for query, text in texts.items()}

    def save(self, folder: Path) -> None:
        """Write the index into a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        if self._index is not None:
            self._index.save(folder, show_progress=False)
        about = {"language": self.language, "empty": self._index is None, "ids": self.ids}
        (folder / "pages.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> BM25:
        """Read what `save` wrote; the postings stay on disk until they are needed. Raises SearchError."""
        import bm25s

        try:
            about = json.loads((folder / "pages.json").read_text(encoding="utf-8"))
            loaded = cls({}, language=about["language"])
            loaded.ids = tuple(about["ids"])
            if not about["empty"]:
                loaded._index = bm25s.BM25.load(folder, mmap=True, show_progress=False)
        except (OSError, ValueError, KeyError) as error:
            raise SearchError(
                f"{folder} holds no readable BM25 index ({' '.join(str(error).split())}); run: pagetune index"
            ) from None
        return loaded


def masked_bm25(pages: Sequence[Page], masks: Mapping[str, Sequence[Rect]]) -> BM25:
    """BM25 over the pages' masked texts: what the models see, it sees."""
    return BM25({page.id: page.text(masks.get(page.id, ())) for page in pages})
