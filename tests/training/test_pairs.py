"""The training texts: around the query's words, masked as asked, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pagetune.errors import DataError
from pagetune.records import Example, Page, Query, Rect
from pagetune.training.pairs import Pairs, make_pairs


def rect(page: Page, *words: int) -> tuple[Rect, ...]:
    return tuple((box[0], box[1], box[2], box[3]) for box in page.boxes[list(words)].tolist())


@pytest.fixture
def pages(page_maker: Callable[..., Page]) -> list[Page]:
    body = "\n".join(" ".join(f"w{line}x{place}" for place in range(8)) for line in range(12))
    other = "\n".join(" ".join(f"v{line}x{place}" for place in range(8)) for line in range(12))
    return [
        page_maker("a-0001", f"running head\nCrop rotation\n{body}"),
        page_maker("a-0002", f"{other}\ncrop of the year rotation"),
        page_maker("a-0003", "nothing to see"),
    ]


def pairs(pages: list[Page], query: Query, negatives: tuple[str, ...] = (), **changes: object) -> Pairs:
    masks = {"a-0001": rect(pages[0], 0, 1, 2, 3)}
    settings = {"passage_tokens": 40, "mask_probability": 1.0, "seed": 1, **changes}
    examples = [Example(query.id, "a-0001", negatives)]
    return make_pairs(examples, {query.id: query}, pages, masks, **settings)  # type: ignore[arg-type]


def test_heading_is_masked_and_what_follows_it_stays(pages: list[Page]) -> None:
    query = Query("q", "Crop rotation", "heading", "a", "a-0001", rect(pages[0], 2, 3))
    masked = pairs(pages, query).positives[0]
    assert masked.startswith("w0x0 w0x1")
    assert "Crop" not in masked
    assert 8 <= len(masked.split()) <= 28


def test_own_words_are_shown_and_other_masks_stay(pages: list[Page]) -> None:
    query = Query("q", "Crop rotation", "heading", "a", "a-0001", rect(pages[0], 2, 3))
    shown = pairs(pages, query, mask_probability=0.0).positives[0]
    assert shown.startswith("Crop rotation w0x0")
    assert "running" not in shown


def test_passage_of_a_sentence_holds_its_surroundings(pages: list[Page]) -> None:
    own = [word for word, text in enumerate(pages[0].words) if text.startswith("w6x")]
    query = Query("q", "w6x1 w6x2", "sentence", "a", "a-0001", rect(pages[0], *own[1:3]))
    text = pairs(pages, query, mask_probability=0.0).positives[0].split()
    assert {"w6x1", "w6x2"} <= set(text)


def test_words_of_a_training_sentence_are_masked_though_evaluation_does_not_mask_them(pages: list[Page]) -> None:
    own = [word for word, text in enumerate(pages[0].words) if text.startswith("w6x")]
    query = Query("q", "w6x1 w6x2", "sentence", "a", "a-0001", rect(pages[0], *own))
    text = pairs(pages, query, mask_probability=1.0).positives[0].split()
    assert text
    assert not [word for word in text if word.startswith("w6x")]


def test_page_without_the_querys_words_gives_its_nearest_passage(pages: list[Page]) -> None:
    query = Query("q", "w9x3 w9x4", "index", "a", "a-0001")
    assert "w9x3" in pairs(pages, query).positives[0].split()


def test_every_version_of_an_example_is_cut_anew(pages: list[Page]) -> None:
    own = [word for word, text in enumerate(pages[0].words) if text.startswith("w6x")]
    query = Query("q", "w6x1 w6x2", "sentence", "a", "a-0001", rect(pages[0], *own[1:3]))
    made = pairs(pages, query, mask_probability=0.5, versions=6)
    assert made.queries == ["w6x1 w6x2"] * 6
    assert made.pages == ["a-0001"] * 6
    assert len(set(made.positives)) > 3
    assert len({"w6x1" in text for text in made.positives}) == 2
    assert made.positives[:1] == pairs(pages, query, mask_probability=0.5).positives


def test_negative_is_the_passage_nearest_to_the_query(pages: list[Page]) -> None:
    query = Query("q", "Crop rotations", "heading", "a", "a-0001", rect(pages[0], 2, 3))
    made = pairs(pages, query, ("a-0002",))
    assert "rotation" in made.negatives[0][0].split()
    assert list(made.columns()) == ["query", "positive", "negative_1"]


def test_places_of_missing_negatives_are_filled(pages: list[Page]) -> None:
    one = Query("one", "Crop rotation", "heading", "a", "a-0001", rect(pages[0], 2, 3))
    two = Query("two", "w5x5", "phrase", "a", "a-0001", rect(pages[0], 45))
    examples = [Example("one", "a-0001", ("a-0002",)), Example("two", "a-0001")]
    made = make_pairs(examples, {"one": one, "two": two}, pages, {}, passage_tokens=40, mask_probability=0.5, seed=1)
    assert len(made.negatives[0]) == 2
    assert "w0x0" not in made.negatives[0][1]


def test_same_seed_same_texts_whatever_the_order(pages: list[Page]) -> None:
    query = Query("q", "w6x1 w6x2", "sentence", "a", "a-0001", rect(pages[0], 53, 54))
    assert pairs(pages, query) == pairs(pages, query)
    drawn = {pairs(pages, query, seed=seed).positives[0] for seed in range(8)}
    assert len(drawn) > 1


def test_unknown_names_are_errors(pages: list[Page]) -> None:
    query = Query("q", "x", "phrase", "a", "a-0001")
    with pytest.raises(DataError, match="'b-0001'"):
        pairs(pages, query, ("b-0001",))
    with pytest.raises(DataError, match="'other'"):
        make_pairs([Example("other", "a-0001")], {}, pages, {}, passage_tokens=40, mask_probability=1, seed=1)
