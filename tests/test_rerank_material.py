"""What a reranker is trained on: which pages are no negatives."""

from __future__ import annotations

from _tiny import tiny_text_encoder
from pagetune import rerank_material
from pagetune.examples.rerank import Mix, lists_of_examples
from pagetune.recipe import ModelRecipe
from pagetune.records import Example, Query
from pagetune.rerank_material import Base, answers_of
from topics import make_page, topic_text


def test_a_small_base_model_is_loaded_once_and_a_large_one_again_after_training(tmp_path, monkeypatch):
    base = Base(ModelRecipe(name=str(tiny_text_encoder(tmp_path / "model"))))
    base.make_room()
    model = base.model
    base.make_room()
    assert base.model is model
    monkeypatch.setattr(rerank_material, "HELD", 0)
    base.make_room()
    assert base.model is not model


class ByName:
    """A page is its name, as text."""

    def shown(self, page, query, masked):
        return page


def test_a_page_that_says_nearly_the_same_is_no_negative_mined_or_drawn():
    text = topic_text("garden", 1, 120)
    pages = [
        make_page("first", text),
        make_page("second", f"{text} revised"),
        make_page("another", topic_text("garden", 9, 120)),
    ]
    answers = answers_of({"q": {"first": 2}}, pages)
    assert answers == {"q": {"first", "second"}}
    query = Query("q", "what grows", "heading", "d", "first")
    pool = [page.id for page in pages]
    made = lists_of_examples(
        [Example("q", "first")], {"q": query}, answers, pool, ByName(), ("text_to_image",), Mix(3, 0.25), seed=1
    )
    assert made.lists["text_to_image"][0].candidates == ("first", "another")
