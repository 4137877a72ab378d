"""Lists for rerankers: what is a negative, how many of which kind, what is held out."""

from __future__ import annotations

from collections import Counter

import pytest

from pagetune.errors import DataError
from pagetune.examples.loading import make_train_set
from pagetune.examples.rerank import Mix, RankedList, label_lists, lists_of_examples, without_lone_pairs
from pagetune.examples.rerank_rows import examples_of_rows, hold_out_labelled, mine_from_run
from pagetune.examples.rerank_shortlists import labelled_shortlists, shortlists
from pagetune.examples.rerank_sides import PagePassages
from pagetune.recipe import MineRecipe
from pagetune.records import Example, Query

BOTH = ("text_to_image", "image_to_text")


class ByName:
    """A page is its name, as text."""

    def shown(self, page: str, query: Query, masked: bool) -> str:
        return page if masked else f"{page} open"


class Numbered:
    """Pictures whose content is their number's last digit."""

    def image(self, number: int):
        raise AssertionError("nothing is decoded for a list")

    def key(self, number: int) -> str:
        return str(number % 10)

    def size(self, number: int) -> tuple[int, int]:
        return 64, 64


def query(name: str) -> Query:
    return Query(name, f"what is {name}", "sentence", "doc", f"page-{name}")


QUERIES = {name: query(name) for name in "abcdefgh"}
EXAMPLES = [
    Example(name, f"page-{name}", (f"page-{after}", f"page-{then}", "page-z"))
    for name, after, then in zip("abcdefgh", "bcdefgha", "cdefghab", strict=True)
]
POOL = [f"page-{name}" for name in "abcdefghz"]


def lists(mix: Mix, answers=None, directions=BOTH, **more):
    known = answers or {name: {f"page-{name}"} for name in QUERIES}
    return lists_of_examples(EXAMPLES, QUERIES, known, POOL, ByName(), directions, mix, seed=1, **more)


def test_a_list_is_a_positive_then_mined_then_random_ones():
    made = lists(Mix(4, 0.5), directions=("text_to_image",))
    first = made.lists["text_to_image"][0]
    assert first.asked == "what is a"
    assert first.candidates[0] == "page-a"
    assert set(first.candidates[1:3]) < {"page-b", "page-c", "page-z"}, "two of the three that mining found"
    assert len(set(first.candidates)) == 5
    assert first.labels == (1.0, 0.0, 0.0, 0.0, 0.0)
    assert made.mix["text_to_image"] == {"lists": 8, "positives": 8, "mined": 16, "random": 16}


def test_no_page_that_answers_the_query_is_a_negative():
    answers = {name: {f"page-{name}"} for name in QUERIES} | {"a": {"page-a", *POOL[3:8]}}
    made = lists(Mix(8, 1.0), answers, ("text_to_image",))
    assert set(made.lists["text_to_image"][0].candidates[1:]) == {"page-b", "page-c", "page-z"}


def test_queries_for_a_page_are_those_that_mistook_it_and_never_its_own():
    answers = {name: {f"page-{name}"} for name in QUERIES} | {"b": {"page-b", "page-a"}}
    made = lists(Mix(4, 0.25), answers, ("image_to_text",))
    of_a = made.lists["image_to_text"][0]
    assert (of_a.asked, of_a.candidates[0]) == ("page-a", "what is a")
    assert of_a.candidates[1:3] == ("what is g", "what is h"), "page-a was mined for both"
    assert "what is b" not in of_a.candidates, "page-a answers it too"
    assert len(of_a.candidates) == 5


def test_each_version_draws_anew_and_the_seed_decides():
    made = lists(Mix(4, 1.0), versions=2)
    again = lists(Mix(4, 1.0), versions=2)
    assert made.fingerprint == again.fingerprint
    found = made.lists["text_to_image"]
    assert len(found) == 16
    assert any(found[place].candidates[1:] != found[place + 8].candidates[1:] for place in range(8))


def test_all_pages_of_a_list_are_masked_or_none_is():
    made = lists(Mix(4, 0.5, mask_probability=0.5), versions=8)
    pages = [{page.endswith(" open") for page in each.candidates} for each in made.lists["text_to_image"]]
    assert {frozenset(each) for each in pages} == {frozenset({True}), frozenset({False})}
    assert {each.asked.endswith(" open") for each in made.lists["image_to_text"]} == {True, False}
    assert all("open" not in page for each in lists(Mix(4, 0.5)).lists["text_to_image"] for page in each.candidates)


def test_a_passage_is_chosen_without_knowing_which_query_answers():
    class ForQuery(ByName):
        def shown(self, page: str, query: Query, masked: bool) -> str:
            return f"{page} for {query.id}"

    known = {name: {f"page-{name}"} for name in QUERIES}
    made = lists_of_examples(
        EXAMPLES, QUERIES, known, POOL, ForQuery(), ("image_to_text",), Mix(4, 0.5), seed=1, versions=20
    )
    first = [each.asked for each in made.lists["image_to_text"] if each.candidates[0] == "what is a"]
    assert sum(asked.endswith("for a") for asked in first) < 12, "no more often than the others"
    assert len(set(first)) > 3


def test_of_passages_in_their_order_the_one_with_most_of_the_query_is_shown():
    passages = ["of a flute", "what is an A string, and what is A", "what about it"]
    ordered, ranked = (PagePassages(lambda query, page: passages, nearest_first=each) for each in (False, True))
    assert (ordered.shown("p", QUERIES["a"], True), ranked.shown("p", QUERIES["a"], True)) == (passages[1], passages[0])


def test_too_few_mined_ones_are_made_up_for_at_random():
    bare = [Example("a", "page-a", ("page-b",)), Example("c", "page-c")]
    answers = {name: {f"page-{name}"} for name in QUERIES}
    made = lists_of_examples(bare, QUERIES, answers, POOL, ByName(), BOTH[:1], Mix(4, 0.25), seed=1)
    assert [len(each.candidates) for each in made.lists["text_to_image"]] == [5, 5]
    assert made.mix["text_to_image"] == {"lists": 2, "positives": 2, "mined": 1, "random": 7}


def test_one_page_alone_is_refused():
    with pytest.raises(DataError, match="nothing to rank"):
        lists_of_examples([Example("a", "page-a")], QUERIES, {}, ["page-a"], ByName(), BOTH, Mix(4, 0.5), seed=1)
    with pytest.raises(DataError, match="'x', which the data do not have"):
        lists_of_examples([Example("x", "page-a")], QUERIES, {}, POOL, ByName(), BOTH, Mix(4, 0.5), seed=1)


def test_labelled_pairs_are_lists_of_each_side_by_content():
    rows = [("q", 1, 1.0), ("q", 2, 0.0), ("r", 12, 0.5)]  # 12 looks as 2 does
    made = label_lists(rows, BOTH, Numbered())
    assert made.lists["text_to_image"] == [RankedList("q", (1, 2), (1.0, 0.0)), RankedList("r", (12,), (0.5,))]
    assert made.lists["image_to_text"] == [RankedList(1, ("q",), (1.0,)), RankedList(2, ("q", "r"), (0.0, 0.5))]
    assert made.pairs == 6


def test_lists_of_one_candidate_have_no_order_to_learn():
    pairs = [("q", 1, 1.0), ("q", 2, 0.0), ("r", 12, 0.5)]
    kept = without_lone_pairs(label_lists(pairs, BOTH, Numbered()))
    assert kept.lists["text_to_image"] == [RankedList("q", (1, 2), (1.0, 0.0))]
    assert kept.lists["image_to_text"] == [RankedList(2, ("q", "r"), (0.0, 0.5))]
    assert kept.mix == {name: {"lists": 1, "labelled": 2, "dropped": 1} for name in BOTH}
    whole = label_lists([("q", 1, 1.0), ("q", 2, 0.0)], BOTH, Numbered())
    assert without_lone_pairs(whole).lists == {"text_to_image": whole.lists["text_to_image"]}
    assert without_lone_pairs(whole).mix["image_to_text"] == {"lists": 0, "labelled": 0, "dropped": 2}
    with pytest.raises(DataError, match=r"each of 2 lists has one candidate.*rerank\.loss=bce"):
        without_lone_pairs(label_lists([("q", 1, 1.0)], BOTH, Numbered()))


def test_the_passage_for_several_queries_does_not_know_which_of_them_it_answers():
    asked: list[tuple[str, str]] = []

    class Asked(ByName):
        def shown(self, page: str, query: Query, masked: bool) -> str:
            asked.append((page, query.text))
            return page

    run = {"a": {"page-a": 0.9, "page-b": 0.8}, "b": {"page-a": 0.7, "page-b": 0.6}, "c": {"page-b": 1.0}}
    found = []
    for answering in ("a", "b"):
        asked.clear()
        grades = {name: {"page-a": int(name == answering)} for name in "abc"}
        shortlists([QUERIES[name] for name in "abc"], run, grades, Asked(), BOTH[1:], 100, seed=1)
        found.append(list(asked))
    assert found[0] == found[1] == [("page-a", "what is a")], "the one that is rated highest there"


def test_labelled_queries_are_held_out_with_their_answers():
    made = [(f"q{n}", 3 * n + place, float(place == n % 3)) for n in range(40) for place in range(3)]
    kept, judged = hold_out_labelled(made, str, 0.2, 1, scores=False)
    queries = {text for text, _, _ in judged}
    assert len(queries) == 8
    assert len(judged) == 24
    assert not queries & {text for text, _, _ in kept}
    shared = [*made, *((f"r{n}", 3 * n + n % 3, 0.0) for n in range(40))]
    kept, judged = hold_out_labelled(shared, str, 0.2, 1, scores=False)
    answers = {page for _, page, grade in judged if grade}
    assert not answers & {page for _, page, _ in kept}, "a page that answers a held-out query is not trained on"
    assert hold_out_labelled([(text, 5, label) for text, _, label in made], str, 0.2, 1, scores=False)[1] == []
    assert hold_out_labelled([row for row in made if row[2]], str, 0.2, 1, scores=False)[1] == [], "nothing but answers"
    logs = [(text, page, 4.5 * label - 9) for text, page, label in made]
    _, judged = hold_out_labelled(logs, str, 0.2, 1, scores=True)
    assert sorted(grade for _, _, grade in judged) == [0.0] * 16 + [1.0] * 8, "the best of each query's scores"


def test_shortlists_of_labels_are_in_no_order_of_the_labels():
    made = [(f"q{n}", 3 * n + place, float(place == 0)) for n in range(40) for place in range(3)]

    class Apart(Numbered):
        def key(self, number: int) -> str:
            return str(number)

    shown = labelled_shortlists(label_lists(made, BOTH, Apart()), 1000, seed=1)
    assert set(shown.lists) == {"text_to_image"}, "no page has queries of both kinds"
    firsts = Counter(each.labels.index(1.0) for each in shown.lists["text_to_image"])
    assert set(firsts) == {0, 1, 2}
    assert shown.pictures is not None
    assert len(labelled_shortlists(label_lists(made, BOTH, Apart()), 30, seed=1)) == 5


def rows(count: int, picture_maker) -> list[dict]:
    return [{"query": f"query {n // 2}", "image": picture_maker(n)} for n in range(count)]


@pytest.fixture
def picture_maker():
    from PIL import Image

    return lambda number: Image.new("RGB", (32, 32), (number * 7 % 256, number * 13 % 256, number))


def test_held_out_queries_and_their_pages_are_not_trained_on(picture_maker):
    train = make_train_set(rows(40, picture_maker))
    made = examples_of_rows(train, 0.2, None, 3)
    assert len(made.held_out) == 4
    assert len(made.held_out_pages) == 8, "each query has two pages"
    assert not set(made.pages) & set(made.held_out_pages)
    assert not {each.query for each in made.examples} & set(made.held_out)
    assert len(made.examples) == 32
    assert len(examples_of_rows(train, 0.2, 5, 3).examples) == 10, "5 queries of two pages"


def test_mined_pages_score_clearly_less_than_the_answer_and_never_answer():
    run = {"a": {"page-b": 0.99, "page-a": 0.9, "page-c": 0.88, "page-d": 0.5, "page-e": 0.4}}
    answers = {"a": {"page-a", "page-e"}}
    found = mine_from_run([Example("a", "page-a", ("page-q",))], answers, run, MineRecipe(negatives=3))
    assert found[0].negatives == ("page-q", "page-d"), "b and c are as likely answers that nobody judged"


def test_shortlists_turn_round_and_are_graded():
    run = {"a": {"page-a": 0.9, "page-b": 0.8}, "b": {"page-a": 0.7, "page-b": 0.6}, "c": {"page-b": 1.0}}
    grades = {name: {f"page-{name}": 1} for name in "abc"}
    made = shortlists([QUERIES[name] for name in "abc"], run, grades, ByName(), BOTH, 100, seed=1)
    pages = {each.asked: each for each in made.lists["text_to_image"]}
    assert pages.keys() == {"what is a", "what is b"}, "no answer to c in its shortlist"
    assert pages["what is b"].candidates == ("page-a", "page-b")
    assert pages["what is b"].labels == (0.0, 1.0)
    texts = {each.asked: each for each in made.lists["image_to_text"]}
    assert texts["page-b"].candidates == ("what is c", "what is a", "what is b"), "highest rated first"
    assert texts["page-b"].labels == (0.0, 0.0, 1.0)
    small = shortlists([QUERIES[name] for name in "ab"], run, grades, ByName(), BOTH, 2, seed=1)
    assert Counter(len(found) for found in small.lists.values()) == {1: 2}, "as many pairs as there is room for"
