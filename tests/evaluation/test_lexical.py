from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pagetune.errors import SearchError
from pagetune.evaluation.lexical import BM25, words_of

TEXTS = {
    "a-0002": "Reversing a transaction writes a second entry into the ledger.",
    "a-0001": "The ledger keeps every entry. Reversed transactions stay visible.",
    "b-0001": "Margins and page layout.",
    "c-0001": "",
}


def test_words_are_stemmed_joined_over_lines_and_without_stop_words() -> None:
    assert words_of("The Transac-\ntions of the ﬁle") == words_of("transaction file")
    assert words_of("reversed") == words_of("reversing") != words_of("margin")


def test_scripts_without_spaces_are_cut_into_characters_and_pairs() -> None:
    assert words_of("東京都") == ["東", "東京", "京", "京都", "都"]


def test_finds_pages_by_words_and_leaves_out_those_that_share_none() -> None:
    run = BM25(TEXTS).search({"q": "reverse a transaction", "none": "zebra", "empty": ""})
    assert set(run["q"]) == {"a-0001", "a-0002"}
    assert list(run["q"].values()) == sorted(run["q"].values(), reverse=True)
    assert run["none"] == run["empty"] == {}


def test_ties_are_broken_by_page_id_and_exclusions_do_not_cost_depth() -> None:
    index = BM25({"z": "same words here", "m": "same words here", "a": "same words here", "x": "other text"})
    assert list(index.rank("same words", 2)) == ["a", "m"]
    assert list(index.rank("same words", 2, {"a"})) == ["m", "z"]


def test_saved_and_loaded_it_scores_the_same(tmp_path: Path) -> None:
    index = BM25(TEXTS)
    index.save(tmp_path / "bm25")
    loaded = BM25.load(tmp_path / "bm25")
    assert loaded.ids == index.ids
    np.testing.assert_array_equal(loaded.scores("ledger entry"), index.scores("ledger entry"))


def test_a_collection_without_words_is_searched_in_vain(tmp_path: Path) -> None:
    BM25({"a": "", "b": "—"}).save(tmp_path)
    assert BM25.load(tmp_path).search({"q": "word"}) == {"q": {}}


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="pagetune index"):
        BM25.load(tmp_path)
